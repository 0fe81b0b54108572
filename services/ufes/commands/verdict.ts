/** `ufes verdict POP up|down`: what somebody outside knows better than the checks, for a while. */
import { userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import type { ExternalVerdict } from '@ufes/core/belief.ts';
import { splitTarget } from '@ufes/core/votes.ts';
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

export const verdict: Command = {
  usage: 'verdict [POP[/SERVICE] up|down|none --for 10m --why TEXT]',
  summary: 'say that a PoP, or a service there, is up or down, whatever the checks see; alone: what has been said',
  details:
    '\nIt ends after --for, and survives the loss of the store and restarts until then; none takes it back. One on a\nservice goes before one on its PoP. --by NAME (default: you) is kept in the audit log with the reason.\n',
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
    const [target, said] = positionals;
    if (target === undefined) return list(state, values.json);
    const isStated = said === 'up' || said === 'down';
    if ((!isStated && said !== 'none') || (isStated && (values.for === undefined || values.why === undefined))) {
      throw new UsageError('something is missing');
    }
    const answer = await adminPost<{ verdict: ExternalVerdict; shared: boolean }>(state, 'dns', '/verdicts', {
      ...splitTarget(target),
      state: said,
      ...(values.for === undefined ? {} : { forMs: parseDuration(values.for) }),
      ...(values.why === undefined ? {} : { reason: values.why }),
      by: values.by ?? userInfo().username,
    });
    if (values.json) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    else
      process.stdout.write(
        said === 'none' ? `${target}: the checks decide again\n` : `${target}: ${said} for ${values.for}\n`,
      );
    if (!answer.shared) {
      process.stderr.write('the store could not be told: in force on this dns node, others follow when it is back\n');
    }
    return 0;
  },
};

async function list(state: string, json: boolean): Promise<number> {
  const { verdicts } = await adminGet<{ verdicts: ExternalVerdict[] }>(state, 'dns', '/verdicts');
  if (json) {
    process.stdout.write(`${JSON.stringify(verdicts, null, 2)}\n`);
    return 0;
  }
  if (verdicts.length === 0) {
    process.stdout.write('nothing said: the checks decide\n');
    return 0;
  }
  const nowMs = systemClock.nowMs();
  process.stdout.write(
    table([
      ['TARGET', 'STATE', 'ENDS IN', 'SAID BY', 'WHY'].map(bold),
      ...verdicts.map(({ target, state: said, untilMs, by, reason }) => [
        target,
        said,
        ago(untilMs - nowMs),
        by,
        reason,
      ]),
    ]),
  );
  return 0;
}
