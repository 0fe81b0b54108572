/** `ufes force GLOB STATE`: a PoP, or a PoP's state, for steered names, for a while, whatever measurements say. */
import { userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import type { Order } from '@ufes/core/steering/orders.ts';
import { adminGet, adminPost } from '@ufes/io/admin-client.ts';
import { systemClock } from '@ufes/io/clock.ts';
import {
  ago,
  bold,
  type Command,
  jsonOption,
  orderOptions,
  parseDuration,
  stateFolder,
  stateOption,
  table,
  UsageError,
} from '../command.ts';

export const force: Command = {
  usage: 'force [GLOB POP|POP=up|down|draining --for 1h --why TEXT [--pin] | GLOB|ID --undo]',
  summary: 'answer a PoP for names, or take a PoP to be in a state there, for a while; alone: what is forced',
  details:
    '\nGLOB is a steered name, with * for any run of characters and ? for one. POP is answered to everyone, but gives way\nwhen it is down, drains or is full, unless --pin says to hold to it. Nothing breaks a service’s "only". It ends after\n--for, and survives the loss of the store and restarts until then. --by NAME (default: you) is kept in the audit log.\n',
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        ...jsonOption,
        ...orderOptions,
        pin: { type: 'boolean', default: false },
        undo: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    });
    const folder = stateFolder(values.state);
    const by = values.by ?? userInfo().username;
    const [glob, said] = positionals;
    if (glob === undefined) return list(folder, values.json);
    if (values.undo) {
      const { shared, orders } = await adminPost<{ shared: boolean; orders: Order[] }>(folder, 'dns', '/forces/undo', {
        ...(/^[0-9a-f]{8}$/.test(glob) ? { id: glob } : { glob }),
        by,
      });
      for (const order of orders) process.stdout.write(`${wordsOf(order)}: taken back\n`);
      tellShared(shared);
      return 0;
    }
    if (said === undefined || values.for === undefined || values.why === undefined) {
      throw new UsageError('something is missing');
    }
    const [pop, state] = said.split('=');
    const answer = await adminPost<{ order: Order; shared: boolean; names: string[] }>(folder, 'dns', '/forces', {
      glob,
      pop,
      ...(state === undefined ? {} : { state }),
      pin: values.pin,
      forMs: parseDuration(values.for),
      reason: values.why,
      by,
    });
    const { order, names, shared } = answer;
    if (values.json) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    else {
      const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
      process.stdout.write(`${wordsOf(order)} for ${values.for}: ${names.slice(0, 5).join(' ')}${more}\n`);
    }
    tellShared(shared);
    return 0;
  },
};

function wordsOf({ glob, pop, state, pin }: Order): string {
  return `${glob} → ${pop}${state === undefined ? '' : `=${state}`}${pin ? ', pinned' : ''}`;
}

export function tellShared(shared: boolean): void {
  if (shared) return;
  process.stderr.write('the store could not be told: in force on this dns node, others follow when it is back\n');
}

async function list(state: string, json: boolean): Promise<number> {
  const { forces } = await adminGet<{ forces: Order[] }>(state, 'dns', '/forces');
  if (json) {
    process.stdout.write(`${JSON.stringify(forces, null, 2)}\n`);
    return 0;
  }
  if (forces.length === 0) {
    process.stdout.write('nothing is forced\n');
    return 0;
  }
  const nowMs = systemClock.nowMs();
  const rows = forces
    .toSorted((a, b) => b.writtenMs - a.writtenMs)
    .map((order) => [
      order.key.slice('force/'.length),
      order.glob ?? '',
      `${order.pop}${order.state === undefined ? '' : `=${order.state}`}${order.pin ? ' pin' : ''}`,
      ago(order.untilMs - nowMs),
      order.by,
      order.reason,
    ]);
  process.stdout.write(table([['ID', 'NAMES', 'STATE', 'ENDS IN', 'BY', 'WHY'].map(bold), ...rows]));
  return 0;
}
