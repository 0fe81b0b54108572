/** `ufes explain NAME CLIENT`: why this client gets, or got, this answer, by the code that answers. */
import { parseArgs } from 'node:util';
import { limits } from '@ufes/core/limits.ts';
import { type Evidence, type Explanation, withEvidence } from '@ufes/core/steering/explanation.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { type Command, columns, jsonOption, parseDuration, stateFolder, stateOption, UsageError } from '../command.ts';
import { explanationText } from './explain-text.ts';

export const explain: Command = {
  usage: 'explain NAME [CLIENT] [--resolver ADDRESS] [--type A] [--at TIME] [--node dns]',
  summary: 'why CLIENT (address or prefix), or a resolver that tells none, gets the answer it gets for NAME, or got it',
  details: `
The decision comes from the running dns; estimates that its map does not hold are asked of the mapper.
--at TIME explains what was answered then, from the maps, names and live state that are kept for 7 days: -90s, -2h, -3d,
or 2026-11-24T10:00:00Z (UTC where no zone is written). --node names the dns node it is about, where there are several.
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: joinedTime(args),
      options: {
        ...stateOption,
        ...jsonOption,
        type: { type: 'string', default: 'A' },
        resolver: { type: 'string' },
        at: { type: 'string' },
        node: { type: 'string' },
      },
      allowPositionals: true,
    });
    const [name, client, ...more] = positionals;
    if (name === undefined || (client === undefined && values.resolver === undefined)) {
      throw new UsageError('which name, and for which client?');
    }
    if (more.length > 0) throw new UsageError(`what is ${more.join(' ')}? One name and one client are explained`);
    const state = stateFolder(values.state);
    const atMs = values.at === undefined ? undefined : timeOf(values.at, systemClock.nowMs());
    const query = new URLSearchParams({
      name,
      type: values.type.toUpperCase(),
      ...(client === undefined ? {} : { client }),
      ...(values.resolver === undefined ? {} : { resolver: values.resolver }),
      ...(atMs === undefined ? {} : { at: String(atMs) }),
      ...(values.node === undefined ? {} : { node: values.node }),
    });
    const options = atMs === undefined ? {} : { timeoutMs: limits.history.pastMs };
    const decision = await adminGet<Explanation>(state, 'dns', `/explain?${query}`, options);
    const believed = await adminGet<Evidence>(
      state,
      'mapper',
      `/evidence?${new URLSearchParams({ client: decision.placed.split('/')[0]!, service: decision.name })}`,
    ).catch(() => undefined);
    const whole = withEvidence(decision, believed);
    process.stdout.write(values.json ? `${JSON.stringify(whole, null, 2)}\n` : explanationText(whole, columns()));
    return 0;
  },
};

/** `--at -2h` as `--at=-2h`: what begins with a hyphen would be taken for an option. */
function joinedTime(args: readonly string[]): string[] {
  const at = args.indexOf('--at');
  const value = args[at + 1];
  if (at < 0 || value === undefined || !/^-\d/.test(value)) return [...args];
  return [...args.slice(0, at), `--at=${value}`, ...args.slice(at + 2)];
}

/** Milliseconds since the epoch. */
export function timeOf(text: string, nowMs: number): number {
  const wrong = `--at ${text}: write how long ago, as -90s, -15m, -2h or -3d, or a time as 2026-11-24T10:00:00Z`;
  if (/^-\d/.test(text)) {
    const atMs = /^-\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text) ? nowMs - parseDuration(text.slice(1)) : Number.NaN;
    if (Number.isNaN(atMs)) throw new UsageError(wrong);
    return Math.round(atMs);
  }
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?)?$/i.exec(text);
  const atMs = match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2] ?? '00:00'}${match[3] ?? 'Z'}`);
  if (Number.isNaN(atMs)) throw new UsageError(wrong);
  if (atMs > nowMs)
    throw new UsageError(`--at ${text}: that is still to come (it is ${new Date(nowMs).toISOString()})`);
  return atMs;
}
