/** `ufes fail POP`: holds a PoP's edge down for a rehearsal. */
import { parseArgs } from 'node:util';
import { adminPost } from '@ufes/io/admin-client.ts';
import { type Command, parseDuration, stateFolder, stateOption, UsageError } from '../command.ts';

export const fail: Command = {
  usage: 'fail POP [--for 1m | --undo]',
  summary: 'kill a PoP’s edge and hold it down, for a rehearsal',
  details:
    '\nThe supervisor does not revive it until --for has passed or `ufes fail POP --undo`.\nAnswers come back to the PoP after hysteresis (probes.health.successes).\n',
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...stateOption, for: { type: 'string' }, undo: { type: 'boolean', default: false } },
      allowPositionals: true,
    });
    const [pop] = positionals;
    if (pop === undefined) throw new UsageError('which PoP?');
    if (values.undo && values.for !== undefined) throw new UsageError('--undo takes no --for');
    const forMs = values.for === undefined ? undefined : parseDuration(values.for);
    await adminPost(stateFolder(values.state), 'ufes', '/fail', {
      pop,
      undo: values.undo,
      ...(forMs === undefined ? {} : { forMs }),
    });
    const until = forMs === undefined ? `until \`ufes fail ${pop} --undo\`` : `for ${values.for}`;
    process.stdout.write(values.undo ? `${pop}: edge lives again\n` : `${pop}: edge is down ${until}\n`);
    return 0;
  },
};
