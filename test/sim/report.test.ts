import { seededRng } from '@ufes/core/seeded.ts';
import { describe, expect, test } from 'vitest';
import { secondsOver, secondsUntil } from './modes/events.ts';
import { plotCdf, plotSeries } from './plot.ts';
import { atLeast, atMost, mean, pairedBootstrap, quantile, summarise, table } from './report.ts';

const outcome = (regretMs: number, geoMs = 0, cluster = 'c') => ({ cluster, regretMs, geoMs });

describe('summaries', () => {
  test('are those of known data', () => {
    const outcomes = Array.from({ length: 100 }, (_, i) => outcome(i + 1, 40));
    expect(summarise(outcomes)).toEqual({
      users: 100,
      meanMs: 50.5,
      p95Ms: 95,
      p99Ms: 99,
      over10: 0.9,
      over25: 0.75,
      over100: 0,
      harmed: 0.55,
    });
  });

  test('of nobody have no mean and no share', () => {
    expect(summarise([])).toMatchObject({ users: 0, meanMs: Number.NaN, harmed: 0 });
    expect(quantile([], 0.5)).toBeNaN();
    expect(mean([])).toBeNaN();
  });

  test('keep bounds that are reached exactly', () => {
    expect(atMost('x', 5, 5).kept).toBe(true);
    expect(atLeast('x', 4.9, 5).kept).toBe(false);
    expect(atMost('x', Number.NaN, 5).kept).toBe(false);
  });
});

describe('the paired bootstrap', () => {
  test('of a constant difference has no width', () => {
    const pairs = Array.from({ length: 40 }, (_, i) => ({ cluster: `c${i % 8}`, a: i, b: i + 3 }));
    expect(pairedBootstrap(pairs, seededRng(1))).toEqual({ mean: 3, low: 3, high: 3 });
  });

  test('draws clusters, not users: a thousand users of one city are one witness', () => {
    const many = Array.from({ length: 1_000 }, (_, i) => ({ cluster: 'x', a: 0, b: i % 2 }));
    expect(pairedBootstrap(many, seededRng(1))).toEqual({ mean: 0.5, low: 0.5, high: 0.5 });
    const apart = many.map((pair, i) => ({ ...pair, cluster: String(i) }));
    const { low, high } = pairedBootstrap(apart, seededRng(1));
    // 1.96 · √(0.25 / 1000) = 0.031
    expect(low).toBeGreaterThan(0.46);
    expect(low).toBeLessThan(0.478);
    expect(high).toBeGreaterThan(0.522);
    expect(high).toBeLessThan(0.54);
  });

  test('holds the true mean in about 95 of 100 cases', () => {
    const rng = seededRng('coverage');
    let held = 0;
    for (let trial = 0; trial < 200; trial++) {
      const pairs = Array.from({ length: 60 }, (_, i) => ({ cluster: String(i), a: 0, b: rng.next() }));
      const { low, high } = pairedBootstrap(pairs, rng, 300);
      if (low <= 0.5 && high >= 0.5) held++;
    }
    expect(held).toBeGreaterThan(180);
    expect(held).toBeLessThan(199);
  });
});

test('evacuation lasts until no more than the share is ever left again', () => {
  const ticks = [1, 1, 0.5, 0.04, 0.06, 0.05, 0].map((left, i) => ({
    seconds: i - 1,
    left,
    leftOnTime: left,
    loads: [],
  }));
  expect(secondsUntil(ticks, 0.05)).toBe(4);
  expect(secondsUntil(ticks.slice(0, 4), 0.01)).toBe(Number.POSITIVE_INFINITY);
});

test('one PoP after another over its hard limit is not the same one for all that time', () => {
  const over = (...pops: number[]) => [0, 1, 2].map((pop) => (pops.includes(pop) ? 0.96 : 0.95));
  const ticks = [over(0), over(0), over(0, 1), over(1), over(), over(1)].map((loads, i) => ({
    ...{ seconds: i - 1, left: 0, leftOnTime: 0, loads },
  }));
  expect(secondsOver(ticks)).toBe(2);
});

test('tables line numbers up on the right', () => {
  expect(
    table(
      ['what', 'ms'],
      [
        ['a', 1.234],
        ['long', 123.4],
      ],
    ),
  ).toBe('what  ms\na     1.23\nlong   123');
});

test('plots have a line and a name for each series', () => {
  const cdf = plotCdf('Regret', { geo: [0, 1, 100], 'a < b': [0] }, 'ms');
  expect(cdf.match(/<polyline/g)).toHaveLength(2);
  expect(cdf).toContain('a &lt; b');
  expect(cdf).not.toContain('NaN');
  const series = plotSeries('Demand', [0, 1, 2], { lon: [1, 2, 3], iad: [0, 0, 0] }, 'requests/s');
  expect(series.match(/<polyline/g)).toHaveLength(2);
  expect(series).not.toContain('NaN');
});
