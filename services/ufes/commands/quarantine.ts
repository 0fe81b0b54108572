/** `ufes quarantine`: what was sent and was refused, or was measured and does not count; how much, since when, and why. */
import { parseArgs } from 'node:util';
import { describeError } from '@ufes/core/errors.ts';
import type { DisputedPrefix, HeldApart, QuarantinedPrefix, Refused } from '@ufes/core/quarantine.ts';
import { asideWords, refusalWords } from '@ufes/core/quarantine-words.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { systemClock } from '@ufes/io/clock.ts';
import {
  ago,
  bold,
  type Command,
  dim,
  green,
  jsonOption,
  red,
  stateFolder,
  stateOption,
  table,
  UsageError,
  yellow,
} from '../command.ts';

export const quarantine: Command = {
  usage: 'quarantine [--limit 20]',
  summary: 'beacons that were refused, and measurements that do not count: what, where from, why',
  details: `
REFUSED       by collectors: tokens that do not hold, more than the caps allow
QUARANTINED   browsers say they are nearer than light allows from where GeoIP has them: kept, and counts for nothing
DISPUTED      an edge timed it nearer than that: GeoIP is wrong, its place is not used
SET ASIDE     by the mapper: records that cannot be folded, tokens that were used before

docs/steering.md, *Integrity*, tells what to do about each. --json has all of it.
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { ...stateOption, ...jsonOption, limit: { type: 'string', default: '20' } },
    });
    if (!/^[1-9]\d{0,2}$/.test(values.limit)) throw new UsageError(`--limit ${values.limit}: 1 to 999 is wanted`);
    const state = stateFolder(values.state);
    const ask = <T>(node: string, path: string) =>
      adminGet<T>(state, node, `${path}?limit=${values.limit}`).catch((thrown: unknown) => describeError(thrown));
    const [refused, apart] = await Promise.all([
      ask<Refused>('probe', '/refused'),
      ask<HeldApart>('mapper', '/quarantine'),
    ]);
    if (values.json) process.stdout.write(`${JSON.stringify({ refused, apart }, null, 2)}\n`);
    else process.stdout.write(`${refusedText(refused)}\n${apartText(apart)}`);
    return typeof refused === 'string' && typeof apart === 'string' ? 3 : 0;
  },
};

const what = (words: object, reason: string): string =>
  (words as Readonly<Record<string, readonly [string, string]>>)[reason]?.[0] ?? reason;
const why = (words: object, reason: string): string =>
  (words as Readonly<Record<string, readonly [string, string]>>)[reason]?.[1] ?? '';

function refusedText(refused: Refused | string): string {
  if (typeof refused === 'string') return `${red('the collector does not say')}: ${refused}\n`;
  const nowMs = systemClock.nowMs();
  const some = refused.reasons.filter(({ total }) => total > 0);
  const since = `since ${ago(nowMs - refused.sinceMs)} ago`;
  if (some.length === 0) return `${bold('REFUSED')}  ${green('nothing')} ${since}\n`;
  const reasons = table(
    some.map(({ reason, total, day }) => [
      `  ${yellow(what(refusalWords, reason))}`,
      `${day} in 24 h`,
      `${total} in all`,
      dim(why(refusalWords, reason)),
    ]),
  );
  const prefixes = table([
    ['  PREFIX', 'WHY', 'COUNT', 'LAST', 'SOURCE'].map(dim),
    ...refused.prefixes.map(({ prefix, reason, count, lastAtMs, source }) => [
      `  ${prefix}`,
      what(refusalWords, reason),
      String(count),
      `${ago(nowMs - lastAtMs)} ago`,
      source,
    ]),
  ]);
  return `${bold('REFUSED')} ${since}\n${reasons}${prefixes}`;
}

function apartText(apart: HeldApart | string): string {
  if (typeof apart === 'string') return `${red('the mapper does not say')}: ${apart}\n`;
  const { quarantined, disputed, loose, aside } = apart;
  const nowMs = systemClock.nowMs();
  const parts = [
    quarantined.prefixes === 0
      ? `${bold('QUARANTINED')}  ${green('nothing')}\n`
      : `${bold('QUARANTINED')} ${quarantined.samples} samples of ${count(quarantined.prefixes)}\n${quarantinedTable(quarantined.rows, nowMs)}`,
    disputed.prefixes === 0
      ? `${bold('DISPUTED')}  ${green('no place')}\n`
      : `${bold('DISPUTED')} places of ${count(disputed.prefixes)}\n${disputedTable(disputed.rows, nowMs)}`,
    loose.prefixes === 0
      ? ''
      : `${bold('LOOSE')} ${loose.samples} samples of ${count(loose.prefixes)}, by plans of other prefixes of their AS; ` +
        `of ${loose.outranked} they count for nothing, since an edge has timed them\n`,
    aside.reasons.length === 0
      ? `${bold('SET ASIDE')}  ${green('nothing')} since ${ago(nowMs - aside.sinceMs)} ago\n`
      : `${bold('SET ASIDE')} since ${ago(nowMs - aside.sinceMs)} ago\n${table(
          aside.reasons.map(({ reason, total }) => [
            `  ${yellow(what(asideWords, reason))}`,
            String(total),
            dim(why(asideWords, reason)),
          ]),
        )}`,
  ];
  return parts.filter((part) => part !== '').join('\n');
}

const count = (prefixes: number): string => `${prefixes} ${prefixes === 1 ? 'prefix' : 'prefixes'}`;

function quarantinedTable(rows: readonly QuarantinedPrefix[], nowMs: number): string {
  return table([
    ['  PREFIX', 'WHERE GEOIP HAS IT', 'CLAIMED', 'POSSIBLE', 'SAMPLES', 'LAST', 'AS'].map(dim),
    ...rows.flatMap(({ prefix, place = 'not known', asn = '', isDisputed, claims }) =>
      claims.map(({ target, samples, ms, floorMs, lastAtMs }, i) => [
        i === 0 ? `  ${prefix}` : '',
        i === 0 ? `${place}${isDisputed ? yellow(' (disputed)') : ''}` : '',
        `${target.replace('pop:', '')} in ${ms} ms`,
        floorMs === undefined ? '' : `≥ ${floorMs} ms`,
        String(samples),
        `${ago(nowMs - lastAtMs)} ago`,
        i === 0 ? dim(asn) : '',
      ]),
    ),
  ]);
}

function disputedTable(rows: readonly DisputedPrefix[], nowMs: number): string {
  return table([
    ['  PREFIX', 'WHERE GEOIP HAS IT', 'TIMED BY THE EDGE', 'POSSIBLE THERE', 'SAMPLES', 'LAST', 'AS'].map(dim),
    ...rows.map(({ prefix, place = 'not known', target, samples, ms, floorMs, lastAtMs, asn = '' }) => [
      `  ${prefix}`,
      place,
      `${target.replace('pop:', '')} in ${ms} ms`,
      `≥ ${floorMs} ms`,
      String(samples),
      `${ago(nowMs - lastAtMs)} ago`,
      dim(asn),
    ]),
  ]);
}
