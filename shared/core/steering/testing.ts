/** A small world for tests: three PoPs, an origin beside London, places of GeoIP ranges drawn by fast-check or given. */
import { type Prefix, parsePrefix } from '../ip.ts';
import type { QuantileBounds } from '../sketch/sketch.ts';
import { distanceKm, type GroupPlan, type PlaceRanges, vectorsOf } from './base.ts';
import { SteeringBuild } from './build.ts';
import type { Prior } from './estimation.ts';
import { groundOf, locationOf } from './ground.ts';

export const prior: Prior = {
  expectedMs: (km) => 25 + 0.017 * km,
  floorMs: (km) => km / 100,
  ceilingMs: (km) => 2 * (25 + 0.017 * km) + 50,
};

/** Map PoP numbers 0, 1, 2. */
export const pops = ['iad', 'lon', 'sin'] as const;
export const popVectors = vectorsOf([39.04, 51.5, 1.35], [-77.49, -0.13, 103.82]);

/** Location ids. The last one has no coordinates. */
export const places = {
  latitude: [51.5, 40.7, 1.3, 48.9, -33.9, 35.7, Number.NaN],
  longitude: [-0.1, -74, 103.8, 2.3, 151.2, 139.7, Number.NaN],
};
export const london = 0;
export const newYork = 1;
export const singapore = 2;

export const latencyGroup: GroupPlan = {
  key: 'iad,lon,sin|eu|3|latency',
  pops: [0, 1, 2],
  backboneMs: [60, 2, 100],
  k: 3,
  policy: 'latency',
  defaultOrder: [1, 0, 2],
};
export const geoGroup: GroupPlan = { ...latencyGroup, key: 'iad,lon,sin|eu|3|geo', policy: 'geo' };

export function ranges4(entries: readonly (readonly [start: number, location: number])[]): PlaceRanges {
  return {
    family: 4,
    hi: Uint32Array.from(entries, ([start]) => start),
    lo: new Uint32Array(0),
    value: Int32Array.from(entries, ([, location]) => location),
  };
}

export function ranges6(entries: readonly (readonly [hi: number, lo: number, location: number])[]): PlaceRanges {
  return {
    family: 6,
    hi: Uint32Array.from(entries, ([hi]) => hi),
    lo: Uint32Array.from(entries, ([, lo]) => lo),
    value: Int32Array.from(entries, ([, , location]) => location),
  };
}

/** 192.0.2.0/23 and 198.51.100.0/24 in London, 203.0.113.0/24 in New York, the rest of v4 nowhere. */
export const documentation4 = ranges4([
  [0, -1],
  [0xc0000200, london],
  [0xc0000400, -1],
  [0xc6336400, london],
  [0xc6336500, -1],
  [0xcb007100, newYork],
  [0xcb007200, -1],
]);
/** 2001:db8::/32 in Singapore. */
export const documentation6 = ranges6([
  [0, 0, -1],
  [0x20010db8, 0, singapore],
  [0x20010db9, 0, -1],
]);

export function worldBuild(
  v4 = documentation4,
  v6 = documentation6,
  groups: readonly GroupPlan[] = [latencyGroup],
): SteeringBuild {
  const ground = groundOf(v4, v6, places, 'Example city 2026-01-01');
  return new SteeringBuild({ pops, popVectors, groups, ground, sources: ['rum'], prior, bases: new Map() });
}

export const prefix = (text: string): Prefix => parsePrefix(text)!;

export function addCell(build: SteeringBuild, text: string, votes = false): number {
  const { ground } = build.input;
  const cell = prefix(text);
  const location = locationOf(ground, cell.family, cell.hi, cell.lo);
  const km = Float32Array.from(pops, (_, pop) => distanceKm(ground.places, location, popVectors, pop));
  return build.cells.add({ prefix: cell, location, km, votes });
}

/** Evidence of n equal samples. */
export function measured(ms: number, n: number): QuantileBounds {
  const [lowMs, highMs] = n >= 13 ? [ms * 0.99, ms * 1.01] : [0, Number.POSITIVE_INFINITY];
  return { ms, lowMs, highMs, n };
}
