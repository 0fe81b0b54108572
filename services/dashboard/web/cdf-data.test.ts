import type { CompareGroup } from '@ufes/core/dashboard.ts';
import { expect, test } from 'vitest';
import { cdfData, shareWithin } from './cdf-data.ts';

test('the share of users within a time runs between quantiles', () => {
  const quantiles = [10, 20, 40];
  const at = [9, 10, 15, 20, 30, 39.999, 40, 99].map((ms) => Number(shareWithin(quantiles, ms).toFixed(3)));
  expect(at).toEqual([0, 0, 0.25, 0.5, 0.75, 1, 1, 1]);
  expect(shareWithin([], 5)).toBe(0);
  expect(shareWithin([7], 6)).toBe(0);
  expect(shareWithin([7], 7)).toBe(1);
  // All of them equal: a step.
  expect(shareWithin([5, 5, 5], 4.9)).toBe(0);
  expect(shareWithin([5, 5, 5], 5)).toBe(1);
});

test('distributions rise from 0 and share one axis; nobody gives none', () => {
  const series = (['direct', 'steered'] as const).map((path, i) => ({
    path,
    count: 3,
    measured: 3,
    meanMs: 0,
    p50Ms: 0,
    p95Ms: 0,
    p99Ms: 100 * (i + 1),
    quantilesMs: [10, 50, 100 * (i + 1)],
  }));
  const group: CompareGroup = { count: 3, series };
  const data = cdfData(group, ['direct', 'geo', 'steered'])!;
  expect(data.x[0]).toBe(0);
  expect(data.x.at(-1)).toBeCloseTo(212);
  for (const y of data.y) {
    expect(y).toHaveLength(data.x.length);
    expect(y.every((share, i) => i === 0 || share >= y[i - 1]!)).toBe(true);
  }
  expect(data.y.map((y) => y.at(-1))).toEqual([100, 0, 100]);
  expect(cdfData({ count: 0, series: [] }, ['direct'])).toBeUndefined();
});
