/** What plans go by: the map in service, read as dns reads it, and distances where it says nothing. */
import type { DesiredPop } from '@ufes/core/desired.ts';
import { parseAddress } from '@ufes/core/ip.ts';
import { unknownMs } from '@ufes/core/steering/asking.ts';
import { noPop, type SteeringMap } from '@ufes/core/steering/map.ts';
import { decodeMap, encodeMap } from '@ufes/core/steering/map-bytes.ts';
import { expect, it } from 'vitest';
import { believe, PlanDemand } from './beliefs.ts';

const pop = (id: string): DesiredPop => ({
  id,
  title: id,
  latitude: 0,
  longitude: 0,
  vips: {},
  httpsPort: 443,
  httpPort: 80,
  requestsPerSecond: 1,
  backboneRttMs: {},
});
/** `new` is not in the map; the map numbers the others differently. */
const pops = ['new', 'sin', 'iad', 'lon'].map(pop);
const client = parseAddress('81.2.69.160')!;
const none = new Uint32Array(0);
const map: SteeringMap = decodeMap(
  encodeMap({
    createdAtMs: 1,
    pops: ['lon', 'iad', 'sin'],
    sources: ['rum'],
    geoip: 'test',
    groups: [
      {
        key: 'iad,lon,sin|eu|2|latency',
        width: 3,
        rankings: Uint8Array.of(0, 1, noPop, 1, 0, 2),
        v4: { family: 4, hi: Uint32Array.of(0, client.hi - 160), lo: none, ranking: Uint32Array.of(0, 1) },
        v6: { family: 6, hi: Uint32Array.of(0), lo: Uint32Array.of(0), ranking: Uint32Array.of(0) },
      },
    ],
    cells: {
      v4: Uint32Array.of(client.hi - 160),
      v6hi: none,
      v6lo: none,
      estimate: Uint16Array.of(100, 120, 65_535),
      low: Uint16Array.of(90, 110, 65_535),
      high: Uint16Array.of(115, 140, 65_535),
      n: Uint16Array.of(30, 30, 0),
      tier: Uint8Array.of(1, 1, 0),
    },
  }),
);

it('has the ranking of the map with unknown PoPs last, bounds of the cell, and floors where it says nothing', () => {
  const beliefs = believe(map, map.groups[0], client, pops, [100, 9_000, 6_000, 200]);
  expect(beliefs.ranking).toEqual([2, 3, 1, 0]);
  expect(beliefs.lowMs).toEqual([1, 90, 11, 9]);
  expect(beliefs.priorMs[3]).toBeCloseTo(25 + 17 * 0.2);
  expect(beliefs.uncertaintyMs).toBeCloseTo(14 - 1);
});

it('of a client that the map knows no cell of: its place’s ranking, floors, and the most to be learnt', () => {
  const other = parseAddress('81.2.70.1')!;
  const near = believe(map, map.groups[0], parseAddress('9.9.9.9')!, pops, undefined);
  expect(near).toMatchObject({ ranking: [3, 2, 0, 1], uncertaintyMs: unknownMs });
  expect(near.lowMs).toEqual(pops.map(() => Number.NaN));
  expect(believe(undefined, undefined, other, pops, [400, 300, 200, 100]).ranking).toEqual([3, 2, 1, 0]);
});

it('counts who comes, half as much an hour later', () => {
  const demand = new PlanDemand();
  for (let i = 1; i <= 8; i++) expect(demand.count(client, 1_000)).toBe(i);
  expect(demand.count(client, 3_601_000)).toBe(5);
  expect(demand.count(parseAddress('192.0.2.1')!, 3_601_000)).toBe(1);
});
