/** Medians by picking, against sorting. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Middles, medianByPicking } from './medians.ts';

const numbers = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 90 });
const medianOfSorted = (of: readonly number[]) => (of[(of.length - 1) >> 1]! + of[of.length >> 1]!) / 2;
const sortedOf = (of: readonly number[]) => [...of].sort((a, b) => a - b);

test('what is in the middle says the median, with one left out or moved too', () => {
  fc.assert(fc.property(numbers, fc.nat(), check));
});

function check(of: readonly number[], which: number): void {
  const sorted = sortedOf(of);
  const middles = new Middles(2);
  middles.put(1, Float32Array.of(...of, 7), 0, of.length);
  expect(middles.counts).toEqual(Uint32Array.of(0, of.length));
  expect(middles.median(1)).toBe(medianOfSorted(sorted));
  expect(medianByPicking(Float64Array.from(of), 0, of.length)).toBe(medianOfSorted(sorted));
  if (of.length < 2) return;
  const at = which % of.length;
  const others = sortedOf(of.toSpliced(at, 1));
  expect(middles.without(1, of[at]!)).toBe(medianOfSorted(others));
  const moved = sorted.flatMap((_, i) => [-1_000, 1_000].map((far) => medianOfSorted(sortedOf(sorted.with(i, far)))));
  const most = Math.max(...moved.map((ms) => Math.abs(ms - medianOfSorted(sorted))));
  expect(middles.slack(1)).toBe(of.length < 3 ? Number.POSITIVE_INFINITY : most);
}
