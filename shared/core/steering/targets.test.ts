import { expect, test } from 'vitest';
import { seededRng } from '../seeded.ts';
import { planTargets } from './targets.ts';

const pops = [3, 1, 0, 2, 5, 4, 6, 7];
const lowMs = [50, 10, 40, 30, 60, 20, 70, 80];
const priorMs = [90, 80, 70, 60, 5, 40, 30, 20];

test('all of them when they fit', () => {
  const planned = planTargets({ ranking: [2, 0, 1], lowMs, priorMs }, 5, seededRng(1));
  expect(planned).toEqual([2, 0, 1].map((pop) => ({ pop, p: 1 })));
});

test('the incumbent, the two with the lowest bound, the best by distance, and one at random with its probability', () => {
  const seen = new Map<number, number>();
  const rng = seededRng(1);
  for (let i = 0; i < 4_000; i++) {
    const planned = planTargets({ ranking: pops, lowMs, priorMs }, 5, rng);
    expect(planned.slice(0, 4)).toEqual([3, 1, 5, 4].map((pop) => ({ pop, p: 1 })));
    expect(planned[4]!.p).toBe(1 / 4);
    seen.set(planned[4]!.pop, (seen.get(planned[4]!.pop) ?? 0) + 1);
  }
  expect([...seen.keys()].sort()).toEqual([0, 2, 6, 7]);
  for (const count of seen.values()) expect(count / 4_000).toBeCloseTo(0.25, 1);
});

test('at random where nothing is known', () => {
  const nothing = pops.map(() => Number.NaN);
  const planned = planTargets({ ranking: pops, lowMs: nothing, priorMs: nothing }, 5, seededRng(1));
  expect(new Set(planned.map(({ pop }) => pop)).size).toBe(5);
  expect(planned.map(({ p }) => p)).toEqual([1, 4 / 7, 4 / 7, 4 / 7, 4 / 7]);
});
