/** Builds step by step: the map depends on the evidence there is, not on the way by which it came. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Prefix } from '../ip.ts';
import { type GroupPlan, vectorsOf } from './base.ts';
import { SteeringBuild } from './build.ts';
import { groundOf, spotOf } from './ground.ts';
import { encodeMap } from './map-bytes.ts';
import { measured, prior, ranges4, ranges6 } from './testing.ts';

const nowMs = 1_764_000_000_000;
const popCount = 8;
const longitudes = Array.from({ length: popCount }, (_, pop) => 12 * pop);
const popVectors = vectorsOf(
  longitudes.map(() => 10),
  longitudes,
);
/** A place beside each PoP, and one between each two; six /24s in each. */
const places = {
  latitude: Array.from({ length: 2 * popCount }, () => 10.2),
  longitude: Array.from({ length: 2 * popCount }, (_, place) => 6 * place),
};
const cellsEach = 6;
const browser = 1;
/** Twice what a residual changes by untold (tiers.ts): in a metro, and in those around. */
const untoldMs = 0.5;
const plan: GroupPlan = {
  key: 'all|eu|1|latency',
  pops: longitudes.map((_, pop) => pop),
  backboneMs: longitudes.map((_, pop) => 3 * pop),
  k: 1,
  policy: 'latency',
  defaultOrder: longitudes.map((_, pop) => pop),
};
const ground = groundOf(
  ranges4([
    [0, -1] as const,
    ...places.latitude.map((_, place) => [0x0a000000 + 256 * cellsEach * place, place] as const),
    [0x0a000000 + 256 * cellsEach * places.latitude.length, -1] as const,
  ]),
  ranges6([[0, 0, -1]]),
  places,
  'Example city 2026-01-01',
  {
    v4: ranges4([
      [0, 0],
      [0x0a000000, 64_500],
      [0x0a000000 + 256 * cellsEach * 9 + 512, 64_501],
    ]),
    v6: ranges6([[0, 0, 0]]),
  },
);

function createBuild(): SteeringBuild {
  const groups = [plan, { ...plan, key: 'all|eu|1|geo', policy: 'geo' as const }];
  const pops = longitudes.map((_, pop) => `p${pop}`);
  return new SteeringBuild({ pops, popVectors, groups, ground, sources: ['rum'], prior, bases: new Map() });
}

/** What a cell was measured to be at a PoP; n = 0 takes it away. */
interface Change {
  readonly cell: number;
  readonly pop: number;
  readonly ms: number;
  readonly n: number;
}

const stepsOf = (n: fc.Arbitrary<number>) =>
  fc.array(
    fc.array(
      fc.record({
        cell: fc.nat(2 * popCount * cellsEach - 1),
        pop: fc.nat(popCount - 1),
        ms: fc.integer({ min: 20, max: 300 }),
        n,
      }),
      { minLength: 1, maxLength: 60 },
    ),
    { minLength: 1, maxLength: 6 },
  );

/** One build after each step, and another that is given all of it at once. */
function bothWays(
  steps: readonly (readonly Change[])[],
  votes: boolean,
): readonly [stepwise: SteeringBuild, fresh: SteeringBuild] {
  const [stepwise, fresh] = [createBuild(), createBuild()];
  for (const [i, changes] of steps.entries()) {
    for (const one of changes) apply(stepwise, one, votes);
    stepwise.build(nowMs + i);
  }
  for (const one of steps.flat()) apply(fresh, one, votes);
  fresh.build(nowMs + steps.length);
  return [stepwise, fresh];
}

function prefixOf(cell: number): Prefix {
  return { family: 4, hi: 0x0a000000 + 256 * cell, lo: 0, length: 24 };
}

function apply({ cells }: SteeringBuild, { cell, pop, ms, n }: Change, votes: boolean): void {
  const prefix = prefixOf(cell);
  let row = cells.rowOf(4, prefix.hi, 0);
  if (row < 0) {
    const location = ground.spots.place[spotOf(ground, 4, prefix.hi, 0)]!;
    const km = Float32Array.from(longitudes, () => 0);
    for (let other = 0; other < popCount; other++) km[other] = 111 * Math.abs(6 * location - 12 * other);
    row = cells.add({ prefix, location, km, votes });
  }
  // Timed by clients: what edges time nearer than light disputes the place, which is remembered in a ranking.
  cells.kind[row] = browser;
  cells.setOwn(row, pop, measured(ms, n), nowMs / 1000, browser);
  cells.setSamples(row, cells.samples[row]! + n);
}

describe('an incremental build over any sequence of changes', () => {
  test('is byte for byte a fresh build of the same evidence, while nothing is stabilised', () => {
    fc.assert(
      // So few samples rank nothing, and nobody speaks for others.
      fc.property(stepsOf(fc.constantFrom(0, 1, 3)), (steps) => {
        const [a, b] = bothWays(steps, false).map((build) => encodeMap(build.build(nowMs + 1_000)));
        expect(Buffer.compare(a!, b!)).toBe(0);
      }),
    );
  });

  test('believes what a fresh one does, but for what is too little to be told', () => {
    fc.assert(
      fc.property(stepsOf(fc.constantFrom(0, 1, 3, 12, 30)), (steps) => {
        const [stepwise, fresh] = bothWays(steps, true);
        for (let row = 0; row < stepwise.cells.count; row++) {
          const { family, hi, lo } = stepwise.cells;
          const [a, b] = [stepwise, fresh].map((build) =>
            build.estimatesAt(family[row] === 4 ? 4 : 6, hi[row]!, lo[row]!),
          );
          expect(a!.tier).toEqual(b!.tier);
          expect(a!.n).toEqual(b!.n);
          for (const [pop, ms] of a!.ms.entries()) expect(Math.abs(ms - b!.ms[pop]!)).toBeLessThanOrEqual(untoldMs);
        }
      }),
    );
  });
});
