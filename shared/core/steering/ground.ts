/** What GeoIP says of all addresses, prepared for building maps: spots by range, places as vectors, metros. */
import { lastAtOrBefore32, lastAtOrBefore64 } from '../search.ts';
import { foldRanges, type PlaceRanges, vectorsOf } from './base.ts';
import type { PlaceGround } from './places.ts';
import { groupBy, metrosOf, SpotNumbers, spotRanges } from './spots.ts';

export interface Locations {
  readonly latitude: ArrayLike<number>;
  readonly longitude: ArrayLike<number>;
  /** Any number by country; absent: no borders are known. */
  readonly country?: ArrayLike<number>;
}

/** Ranges of ASes: `value` is the AS number, 0 or less for none. */
export interface AsnRanges {
  readonly v4: PlaceRanges;
  readonly v6: PlaceRanges;
}

/** Every 32nd first address is kept apart too: a look-up searches those, which stay in the processor's cache, and one run. */
const run = 32;

interface GroundRanges extends PlaceRanges {
  readonly sampleHi: Uint32Array;
  readonly sampleLo: Uint32Array;
}

export interface Ground extends PlaceGround {
  /** Spots, folded to cells (`foldRanges`), with what was there before. */
  readonly v4: GroundRanges;
  readonly v6: GroundRanges;
  /** Unit vectors by location id (`vectorsOf`). */
  readonly places: Float32Array;
  /** Name and date. */
  readonly label: string;
}

/** Prepares GeoIP data, once an edition. Takes some seconds for 3.7 M ranges. */
export function groundOf(
  v4: PlaceRanges,
  v6: PlaceRanges,
  locations: Locations,
  label: string,
  asns?: AsnRanges,
): Ground {
  const places = vectorsOf(locations.latitude, locations.longitude);
  const numbers = new SpotNumbers();
  const [folded4, folded6] = [v4, v6].map((ranges) =>
    sampled(foldRanges(spotRanges(ranges, ranges.family === 4 ? asns?.v4 : asns?.v6, numbers))),
  ) as [GroundRanges, GroundRanges];
  const spots = numbers.spots();
  const metros = metrosOf(locations.latitude, locations.longitude, locations.country, places);
  const metroOfSpot = spots.place.map((place) => metros.ofPlace[place]!);
  const spotsOfMetro = groupBy(metroOfSpot, metros.count);
  const { first, items } = spotsOfMetro;
  for (let metro = 0; metro < metros.count; metro++) {
    items.subarray(first[metro], first[metro + 1]).sort((a, b) => spots.asn[a]! - spots.asn[b]! || a - b);
  }
  return { v4: folded4, v6: folded6, places, label, spots, metros, spotsOfMetro };
}

function sampled(ranges: PlaceRanges): GroundRanges {
  const every = (starts: Uint32Array) =>
    Uint32Array.from({ length: Math.ceil(starts.length / run) }, (_, i) => starts[i * run]!);
  return { ...ranges, sampleHi: every(ranges.hi), sampleLo: every(ranges.lo) };
}

/** Spot of a cell, -1 for none: the one that the base ranks it by. */
export function spotOf(ground: Ground, family: 4 | 6, hi: number, lo: number): number {
  const ranges = family === 4 ? ground.v4 : ground.v6;
  const { sampleHi, sampleLo } = ranges;
  const lastUpTo = (starts: Uint32Array, startsLo: Uint32Array, low: number, high: number) =>
    family === 4 ? lastAtOrBefore32(starts, low, high, hi) : lastAtOrBefore64(starts, startsLo, low, high, hi, lo);
  const from = run * lastUpTo(sampleHi, sampleLo, 0, sampleHi.length - 1);
  return ranges.value[lastUpTo(ranges.hi, ranges.lo, from, Math.min(from + run, ranges.hi.length) - 1)]!;
}

/** Location of a cell, -1 for none. */
export function locationOf(ground: Ground, family: 4 | 6, hi: number, lo: number): number {
  return ground.spots.place[spotOf(ground, family, hi, lo)] ?? -1;
}
