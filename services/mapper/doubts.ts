/**
 * Everything that was measured and does not count, or counts for less, for people: what clients claim that their place
 * does not allow, places that edges dispute, what came by plans of other prefixes, and records that were set aside.
 *
 * All of it is read off the evidence itself, so it is what the store holds, whatever has been restarted. That takes a look
 * at every prefix: in slices, and kept for a while.
 */
import { formatPrefix, type Prefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import type { DisputedPrefix, HeldApart, QuarantinedPrefix } from '@ufes/core/quarantine.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { distanceKm } from '@ufes/core/steering/base.ts';
import { locationOf } from '@ufes/core/steering/ground.ts';
import { runGently, type Slices } from '@ufes/io/slices.ts';
import type { EvidenceTable } from './evidence.ts';
import type { Fed } from './feed.ts';
import type { Folder } from './fold.ts';
import { distancePrior } from './ground.ts';
import { looseKind, quarantineKind } from './record.ts';

type Found = Pick<HeldApart, 'quarantined' | 'disputed' | 'loose'>;

/** Prefixes looked at between two looks at the clock. */
const slice = 256;

export class DoubtsReader {
  readonly #clock: Clock;
  readonly #sinceMs: number;
  #last: { readonly atMs: number; readonly of: Promise<Found> } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.nowMs();
  }

  /** At most `most` rows of each kind. */
  async report(fed: Fed, folder: Folder, most: number): Promise<HeldApart> {
    const nowMs = this.#clock.nowMs();
    if (this.#last === undefined || nowMs - this.#last.atMs >= limits.mapper.answerMs) {
      const of = runGently(find(fed, folder.table), limits.mapper.sliceMs, () => this.#clock.monotonicMs());
      this.#last = { atMs: nowMs, of };
    }
    const { quarantined, disputed, loose } = await this.#last.of;
    const reasons = [...folder.rejectedCounts].map(([reason, total]) => ({ reason, total }));
    const rows = folder.rejected.map(({ why, ...rest }) => ({ reason: why, ...rest }));
    return {
      atMs: this.#last.atMs,
      quarantined: { ...quarantined, rows: quarantined.rows.slice(0, most) },
      disputed: { ...disputed, rows: disputed.rows.slice(0, most) },
      loose,
      aside: { sinceMs: this.#sinceMs, reasons, rows: rows.slice(0, most) },
    };
  }
}

/** Sketches of one prefix, by kind. */
interface Own {
  readonly quarantined: Map<string, Sketch>;
  readonly edge: Map<string, Sketch>;
  loose: number;
}

function* find(fed: Fed, table: EvidenceTable): Slices<Found> {
  const { build } = fed;
  const quarantined: QuarantinedPrefix[] = [];
  const disputed: DisputedPrefix[] = [];
  const counts = { prefixes: 0, samples: 0 };
  const loose = { prefixes: 0, samples: 0, outranked: 0 };
  let disputes = 0;
  for (let number = 0; number < table.numbers; number++) {
    if (number % slice === 0) yield;
    const prefix = table.prefixOf(number);
    const row = build.cells.rowOf(prefix.family, prefix.hi, prefix.lo);
    const isDisputed = row >= 0 && row < build.tiers.placed && build.tiers.isDisputed(row);
    const own = ownOf(table, number, isDisputed);
    if (own === undefined) continue;
    if (own.loose > 0) {
      loose.prefixes++;
      loose.samples += own.loose;
      if (own.edge.size > 0) loose.outranked++;
    }
    if (isDisputed) {
      disputes++;
      const found = disputedOf(fed, prefix, own);
      if (found !== undefined) keepNewest(disputed, found, ({ lastAtMs }) => lastAtMs);
    }
    if (own.quarantined.size === 0) continue;
    const found = quarantinedOf(fed, prefix, own, isDisputed);
    counts.prefixes++;
    counts.samples += found.claims.reduce((sum, { samples }) => sum + samples, 0);
    keepNewest(quarantined, found, newest);
  }
  return {
    quarantined: { ...counts, rows: quarantined.sort((a, b) => newest(b) - newest(a)) },
    disputed: { prefixes: disputes, rows: disputed.sort((a, b) => b.lastAtMs - a.lastAtMs) },
    loose,
  };
}

const newest = ({ claims }: QuarantinedPrefix): number => Math.max(...claims.map(({ lastAtMs }) => lastAtMs));

/** Rows are told of the newest alone; twice as many are held on the way. */
function keepNewest<T>(rows: T[], row: T, atMs: (row: T) => number): void {
  rows.push(row);
  if (rows.length < 2 * limits.mapper.doubtsShown) return;
  rows.sort((a, b) => atMs(b) - atMs(a));
  rows.length = limits.mapper.doubtsShown;
}

/** Undefined: nothing of this prefix is in doubt. */
function ownOf(table: EvidenceTable, number: number, isDisputed: boolean): Own | undefined {
  let isWanted = isDisputed;
  table.forEach(number, ({ rest }) => {
    const { kind } = table.rests[rest]!;
    isWanted ||= kind === quarantineKind || kind === looseKind;
  });
  if (!isWanted) return undefined;
  const own: Own = { quarantined: new Map(), edge: new Map(), loose: 0 };
  table.forEach(number, ({ rest, bytes, from, end }) => {
    const { kind, target } = table.rests[rest]!;
    const by = kind === quarantineKind ? own.quarantined : kind === 'edge' ? own.edge : undefined;
    if (by === undefined && kind !== looseKind) return;
    const sketch = Sketch.decode(bytes.subarray(from, end));
    if (by === undefined) own.loose += sketch.count;
    else by.set(target, by.get(target)?.merge(sketch) ?? sketch);
  });
  return own;
}

function quarantinedOf(fed: Fed, prefix: Prefix, own: Own, isDisputed: boolean): QuarantinedPrefix {
  const claims = [...own.quarantined]
    .map(([target, sketch]) => {
      const floorMs = floorOf(fed, prefix, target);
      return { ...measuredOf(target, sketch), ...(!Number.isNaN(floorMs) && { floorMs: tenth(floorMs) }) };
    })
    .sort((a, b) => b.samples - a.samples);
  return { ...whereOf(fed, prefix), isDisputed, claims };
}

function disputedOf(fed: Fed, prefix: Prefix, own: Own): DisputedPrefix | undefined {
  let most: DisputedPrefix | undefined;
  for (const [target, sketch] of own.edge) {
    const floorMs = tenth(floorOf(fed, prefix, target));
    const one = { ...whereOf(fed, prefix), ...measuredOf(target, sketch), floorMs };
    if (one.samples === 0 || !(one.ms < floorMs)) continue;
    if (most === undefined || floorMs - one.ms > most.floorMs - most.ms) most = one;
  }
  return most;
}

function measuredOf(target: string, sketch: Sketch) {
  return {
    target,
    samples: sketch.count,
    ms: sketch.count === 0 ? 0 : tenth(sketch.ranked().ms),
    lastAtMs: 1000 * sketch.lastSeconds,
  };
}

function whereOf({ geoip, ground }: Fed, prefix: Prefix) {
  const id = locationOf(ground, prefix.family, prefix.hi, prefix.lo);
  const found = id < 0 ? undefined : geoip.location(id);
  const asn = geoip.asn(prefix);
  const place = [found?.city, found?.country].filter((part) => part !== undefined && part !== '').join(', ');
  return {
    prefix: formatPrefix(prefix),
    ...(place !== '' && { place }),
    ...(asn > 0 && { asn: `AS${asn} ${geoip.asnName(asn)}`.trim() }),
  };
}

/** By where GeoIP has it, disputed or not; NaN: not known. */
function floorOf({ plan, ground }: Fed, { family, hi, lo }: Prefix, target: string): number {
  const pop = plan.pops.indexOf(target.slice('pop:'.length));
  if (pop < 0) return Number.NaN;
  return distancePrior.floorMs(distanceKm(ground.places, locationOf(ground, family, hi, lo), plan.popVectors, pop));
}

function tenth(ms: number): number {
  return Math.round(10 * ms) / 10;
}
