import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { vectorsOf } from './base.ts';
import { Cells } from './cells.ts';
import { estimatePlace } from './estimate.ts';
import { createEstimates } from './estimation.ts';
import { arrange } from './places.ts';
import { metrosOf } from './spots.ts';
import { measured, prefix, prior } from './testing.ts';
import { Tiers } from './tiers.ts';

const pops = 2;
const km = Float32Array.of(1_000, 1_200);
const nowSeconds = 1_764_000_000;

/** Cells of one metro, each measured at both PoPs; what is believed of another metro 400 km away. */
function world(votes: readonly (readonly [number, number])[]) {
  const cells = new Cells(pops);
  const metros = metrosOf([0, 3.6], [0, 0], undefined, vectorsOf([0, 3.6], [0, 0]));
  const tiers = new Tiers(cells, metros, vectorsOf([0, 0], [9, -11]), prior);
  for (const [i, times] of votes.entries()) {
    const row = cells.add({ prefix: prefix(`192.0.${i}.0/24`), location: 0, km, votes: true });
    for (const [pop, ms] of times.entries()) cells.setOwn(row, pop, measured(ms, 20), nowSeconds);
    tiers.place(row, 0, 64_500, true);
    tiers.touch(row);
  }
  tiers.update();
  return tiers;
}

function rankedFrom(tiers: Tiers, metro: number, ranking: Uint8Array): Uint8Array {
  const estimates = createEstimates(pops);
  estimatePlace(km, metro, 0, tiers, estimates);
  const costs = Float64Array.from(estimates.ms);
  const slack = Float64Array.from(costs, (_, pop) => tiers.beliefOf(metro, 0).slackMs(pop));
  arrange(ranking, costs, 0, slack);
  return ranking;
}

const time = fc.double({ min: 12, max: 300, noNaN: true });

describe('rankings of places', () => {
  test('leave the nearest PoP for one that all cells measured as quicker', () => {
    const honest = Array.from({ length: 6 }, (_, i) => [90 + i, 30 + i] as const);
    for (const metro of [0, 1]) expect([...rankedFrom(world(honest), metro, Uint8Array.of(0, 1))]).toEqual([1, 0]);
  });

  test('are not moved by what one cell says of one PoP, whatever that is', () => {
    // The PoP that the others say nothing bad of stays first: no gain is beyond the margin without the liar.
    const honest = Array.from({ length: 5 }, (_, i) => [40 + i, 46 + i] as const);
    fc.assert(
      fc.property(time, time, fc.constantFrom(0, 1), (first, second, metro) => {
        const tiers = world([...honest, [first, second]]);
        expect([...rankedFrom(tiers, metro, Uint8Array.of(0, 1))]).toEqual([0, 1]);
      }),
    );
  });

  test('ask for a gain beyond the margin and beyond the slack of both costs', () => {
    const order = (gain: number, slack: number) => [
      ...((ranking: Uint8Array) => {
        arrange(ranking, Float64Array.of(100, 100 - gain), 0, Float64Array.of(slack, slack));
        return ranking;
      })(Uint8Array.of(0, 1)),
    ];
    expect(order(11, 0)).toEqual([1, 0]);
    expect(order(11, 1)).toEqual([0, 1]);
    expect(order(13, 1)).toEqual([1, 0]);
    expect(order(50, Number.POSITIVE_INFINITY)).toEqual([0, 1]);
  });

  test('leave what became slow for one that is surely better, past one of which little is known', () => {
    const ranking = Uint8Array.of(0, 1, 2);
    arrange(ranking, Float64Array.of(131, 84, 73), 0, Float64Array.of(1, 40, 3));
    expect([...ranking]).toEqual([2, 0, 1]);
  });

  test('keep no first choice that another gains on for sure', () => {
    const known = fc.record({
      costs: fc.array(fc.integer({ min: 5, max: 300 }), { minLength: 6, maxLength: 6 }),
      slack: fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 6, maxLength: 6 }),
      ranking: fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 6 }),
    });
    fc.assert(
      fc.property(known, ({ costs, slack, ranking }) => {
        const row = Uint8Array.from(ranking);
        arrange(row, Float64Array.from(costs), ranking[0]!, Float64Array.from(slack));
        const first = row[0]!;
        for (const pop of row) {
          const gain = costs[first]! - costs[pop]! - (pop === first ? 0 : slack[first]! + slack[pop]!);
          expect(gain).toBeLessThanOrEqual(Math.max(5, 0.1 * costs[first]!));
        }
        expect([...row].sort()).toEqual([0, 1, 2, 3, 4, 5]);
      }),
    );
  });

  test('go back to the nearest PoP only when what one cell says cannot be why', () => {
    const back = (slack: number) => {
      const ranking = Uint8Array.of(1, 0);
      arrange(ranking, Float64Array.of(100, 101), 0, Float64Array.of(slack, slack));
      return [...ranking];
    };
    expect(back(0)).toEqual([0, 1]);
    expect(back(1)).toEqual([1, 0]);
  });
});
