/**
 * What clients say they timed faster than light allows from where GeoIP has them. Either they lie or GeoIP is wrong, and
 * nothing here can tell which: it is kept under a kind of its own, which nobody steers by, and counted.
 *
 *     192.0.2.0/24|pop:sin|browser|rum      counts
 *     192.0.2.0/24|pop:sin|quarantine|rum   can be looked at
 *
 * An edge cannot be told less than the distance, so what it timed counts, and disputes the place (core/steering/tiers.ts).
 * From then on the place says nothing of what clients may have timed.
 */
import { type Address, cellOf, formatPrefix, parsePrefix } from '@ufes/core/ip.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { distanceKm } from '@ufes/core/steering/base.ts';
import type { Doubts, Quarantined } from '@ufes/core/steering/explanation.ts';
import { locationOf } from '@ufes/core/steering/ground.ts';
import type { EvidenceTable } from './evidence.ts';
import type { Fed } from './feed.ts';
import { distancePrior } from './ground.ts';
import { quarantineKind } from './record.ts';

/** The quickest that a prefix can reach a target, milliseconds; NaN: not known. */
export type FloorOf = (prefix: string, target: string) => number;

export interface Parted {
  readonly counted: readonly SampleRecord[];
  /** What is left out of those. */
  readonly apart: readonly SampleRecord[];
}

export function floorsOf({ build, plan, ground }: Fed): FloorOf {
  const pops = new Map(plan.pops.map((id, pop) => [`pop:${id}`, pop]));
  return (text, target) => {
    const pop = pops.get(target);
    const prefix = pop === undefined ? undefined : parsePrefix(text);
    if (pop === undefined || prefix === undefined) return Number.NaN;
    const { family, hi, lo } = prefix;
    const row = build.cells.rowOf(family, hi, lo);
    if (row >= 0 && row < build.tiers.placed && build.tiers.isDisputed(row)) return Number.NaN;
    const location = row < 0 ? locationOf(ground, family, hi, lo) : build.cells.location[row]!;
    return distancePrior.floorMs(distanceKm(ground.places, location, plan.popVectors, pop));
  };
}

/** The same of what is built from now; nothing is known before. */
export function currentFloors(current: () => Fed | undefined): FloorOf {
  let of: Fed | undefined;
  let floors: FloorOf | undefined;
  return (prefix, target) => {
    const now = current();
    if (now !== of) {
      of = now;
      floors = now && floorsOf(now);
    }
    return floors?.(prefix, target) ?? Number.NaN;
  };
}

/** Takes out what clients timed below the floor. */
export function partByFloor(records: readonly SampleRecord[], floorOf: FloorOf): Parted {
  const counted: SampleRecord[] = [];
  const apart: SampleRecord[] = [];
  for (const record of records) {
    const isBelow = ({ target, rttMs }: SampleRecord['observations'][number]) =>
      record.kind === 'browser' && rttMs !== undefined && rttMs < floorOf(record.prefix, target);
    const below = record.observations.filter(isBelow);
    if (below.length === 0) {
      counted.push(record);
      continue;
    }
    counted.push({ ...record, observations: record.observations.filter((one) => !below.includes(one)) });
    apart.push({ ...record, observations: below });
  }
  return { counted, apart };
}

/** What does not fit the place that GeoIP gives a client: that edges dispute it, and what is kept apart. */
export function doubtsOf({ build }: Fed, table: EvidenceTable, client: Address): Doubts {
  const cell = cellOf(client);
  const row = build.cells.rowOf(cell.family, cell.hi, cell.lo);
  const isDisputed = row >= 0 && build.tiers.isDisputed(row);
  const quarantined = quarantinedOf(table, formatPrefix(cell));
  return { ...(isDisputed && { isDisputed }), ...(Object.keys(quarantined).length > 0 && { quarantined }) };
}

/** By PoP id. */
function quarantinedOf(table: EvidenceTable, prefix: string): Readonly<Record<string, Quarantined>> {
  const byPop: Record<string, Quarantined> = {};
  const number = table.numberOf(prefix);
  if (number < 0) return byPop;
  table.forEach(number, ({ rest, bytes, from, end }) => {
    const { target, kind } = table.rests[rest]!;
    if (kind !== quarantineKind) return;
    const sketch = Sketch.decode(bytes.subarray(from, end));
    const id = target.slice('pop:'.length);
    const other = byPop[id];
    const ms = Math.round(10 * sketch.ranked().ms) / 10;
    byPop[id] = {
      samples: sketch.count + (other?.samples ?? 0),
      ms: Math.min(ms, other?.ms ?? ms),
      lastAtMs: Math.max(1000 * sketch.lastSeconds, other?.lastAtMs ?? 0),
    };
  });
  return byPop;
}
