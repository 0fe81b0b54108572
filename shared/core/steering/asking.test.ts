import { expect, test } from 'vitest';
import { seededRng } from '../seeded.ts';
import { BeaconBudget, uncertaintyMs, unknownMs } from './asking.ts';

test('what could still be gained: from the upper bound of the incumbent to the lowest lower bound of another', () => {
  const beliefs = { ranking: [1, 0, 2], lowMs: [15, 12, 60], priorMs: [] };
  expect(uncertaintyMs(beliefs, [30, 20, 90])).toBe(5);
  expect(uncertaintyMs({ ...beliefs, lowMs: [25, 12, Number.NaN] }, [30, 20, 90])).toBe(0);
  expect(uncertaintyMs(beliefs, [30, Number.NaN, 90])).toBe(unknownMs);
});

test('everybody is asked within the budget', () => {
  const budget = new BeaconBudget(100);
  for (let i = 0; i < 3_000; i++) expect(budget.chance(i % 7, i * 11)).toBe(1);
});

/** Plan requests at `perSecond` for a while, of `cells` whose needs are given: what was asked, by cell. */
function play(perSecond: number, budget: BeaconBudget, needs: readonly number[]) {
  const rng = seededRng('asking');
  const asked = needs.map(() => ({ came: 0, asked: 0, weight: 0 }));
  const afterMs = 60_000;
  for (let atMs = 0; atMs < 2 * afterMs; atMs += 1000 / perSecond) {
    const cell = Math.floor(rng.next() * needs.length);
    const p = budget.chance(needs[cell]!, atMs);
    const isAsked = rng.next() < p;
    if (atMs < afterMs) continue;
    asked[cell]!.came++;
    if (!isAsked) continue;
    asked[cell]!.asked++;
    asked[cell]!.weight += 1 / p;
  }
  return { asked, seconds: afterMs / 1000 };
}

test('of the budget nine of ten go where most is to be learnt, one to anybody, and 1/p tells how many came', () => {
  const needs = Array.from({ length: 100 }, (_, cell) => cell);
  const { asked, seconds } = play(1_000, new BeaconBudget(200), needs);
  const total = asked.reduce((sum, one) => sum + one.asked, 0);
  expect(total / seconds / 200).toBeCloseTo(1, 1);
  // 200 of 1,000: the top 18 of 100 cells and some of the next.
  const top = asked.slice(-19).reduce((sum, one) => sum + one.asked, 0);
  expect(top / total).toBeGreaterThan(0.89);
  expect(top / total).toBeLessThan(0.95);
  const bottom = asked.slice(0, 80);
  const came = bottom.reduce((sum, one) => sum + one.came, 0);
  expect(bottom.reduce((sum, one) => sum + one.asked, 0) / came).toBeCloseTo(0.02, 2);
  expect(bottom.reduce((sum, one) => sum + one.weight, 0) / came).toBeCloseTo(1, 0);
});

test('where all are alike the lot decides', () => {
  const { asked } = play(
    1_000,
    new BeaconBudget(100),
    Array.from({ length: 20 }, () => unknownMs),
  );
  for (const { came, asked: some } of asked) {
    expect(some / came).toBeGreaterThan(0.07);
    expect(some / came).toBeLessThan(0.13);
  }
});
