/** `ufes drain POP`, `ufes undrain POP`: DNS sends no new clients to a PoP; those it has stay until their TTL is over. */
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
import { tellShared } from './force.ts';

export const drain: Command = {
  usage: 'drain [POP --for 1h --why TEXT]',
  summary: 'send a PoP no new clients for a while; alone: what drains',
  details:
    '\nAnswers go elsewhere at once, and clients follow as their TTLs end. It ends after --for or by `ufes undrain POP`, and\nsurvives the loss of the store and restarts until then.\n',
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        ...jsonOption,
        ...orderOptions,
      },
      allowPositionals: true,
    });
    const state = stateFolder(values.state);
    const [pop] = positionals;
    if (pop === undefined) return list(state, values.json);
    if (values.for === undefined || values.why === undefined) {
      throw new UsageError('something is missing');
    }
    const { shared } = await adminPost<{ shared: boolean }>(state, 'dns', '/drain', {
      pop,
      forMs: parseDuration(values.for),
      reason: values.why,
      by: values.by ?? userInfo().username,
    });
    process.stdout.write(`${pop}: drains for ${values.for}\n`);
    tellShared(shared);
    return 0;
  },
};

export const undrain: Command = {
  usage: 'undrain POP',
  summary: 'send a PoP clients again',
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...stateOption, by: { type: 'string' } },
      allowPositionals: true,
    });
    const [pop] = positionals;
    if (pop === undefined) {
      throw new UsageError('something is missing');
    }
    const { shared } = await adminPost<{ shared: boolean }>(stateFolder(values.state), 'dns', '/undrain', {
      pop,
      by: values.by ?? userInfo().username,
    });
    process.stdout.write(`${pop}: gets clients again\n`);
    tellShared(shared);
    return 0;
  },
};

async function list(state: string, json: boolean): Promise<number> {
  const { drains } = await adminGet<{ drains: Order[] }>(state, 'dns', '/drains');
  if (json) process.stdout.write(`${JSON.stringify(drains, null, 2)}\n`);
  else if (drains.length === 0) process.stdout.write('nothing drains\n');
  else {
    const nowMs = systemClock.nowMs();
    const rows = drains.map(({ pop, untilMs, by, reason }) => [pop, ago(untilMs - nowMs), by, reason]);
    process.stdout.write(table([['POP', 'ENDS IN', 'BY', 'WHY'].map(bold), ...rows]));
  }
  return 0;
}
