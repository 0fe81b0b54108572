/** `ufes rollback`: brings the rankings of an older map back, and holds what would undo it; `--release` ends that. */
import { userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import { adminPost } from '@ufes/io/admin-client.ts';
import {
  type Command,
  jsonOption,
  orderOptions,
  parseDuration,
  stateFolder,
  stateOption,
  UsageError,
} from '../command.ts';

export const rollback: Command = {
  usage: 'rollback [VERSION] --why TEXT [--for 2h] | --release --why TEXT',
  summary: 'bring an older map back, and hold what would undo it; --release lets maps go on, held ones too',
  details:
    '\nVERSION is one of `ufes history --all`; without it, the map before the last that moved demand. The old rankings go out\nunder a new version. Until --for is over (30 days) or --release only moves off PoPs that are down, draining, overloaded or\ndegraded are published. --release also lets pass, for two hours and in stages, what guardrails hold, but for PoPs over\ntheir hard limit. --by NAME (default: you) and --why are kept in the audit log.\n',
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        ...jsonOption,
        ...orderOptions,
        release: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    });
    const state = stateFolder(values.state);
    const [version, ...more] = positionals;
    if (values.why === undefined || more.length > 0) throw new UsageError('--why is missing, or there is too much');
    const said = { why: values.why, by: values.by ?? userInfo().username };
    if (values.release) {
      if (version !== undefined || values.for !== undefined) throw new UsageError('--release stands alone with --why');
      const answer = await adminPost<{ version?: string }>(state, 'mapper', '/release', said);
      const what = answer.version === undefined ? '' : `; the rollback has ended with ${answer.version}`;
      process.stdout.write(values.json ? `${JSON.stringify(answer, null, 2)}\n` : `released for 2 h${what}\n`);
      return 0;
    }
    const answer = await adminPost<{ version: string; restores: string; untilMs: number }>(
      state,
      'mapper',
      '/rollback',
      {
        ...said,
        ...(version === undefined ? {} : { version }),
        ...(values.for === undefined ? {} : { forMs: parseDuration(values.for) }),
      },
    );
    const text = `${answer.restores} is back as ${answer.version}, until ${new Date(answer.untilMs).toISOString()} or \`ufes rollback --release\`\n`;
    process.stdout.write(values.json ? `${JSON.stringify(answer, null, 2)}\n` : text);
    return 0;
  },
};
