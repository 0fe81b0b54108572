import { describe, expect, test } from 'vitest';
import { Sketch } from '../sketch/sketch.ts';
import { Cells } from './cells.ts';
import { Aggregates, createEstimates, estimateCell, estimatePlace, statistic } from './estimate.ts';
import { Tier } from './map.ts';
import { measured, prefix, prior } from './testing.ts';

const nowMs = 1_764_000_000_000;
const nowSeconds = nowMs / 1000;
const km = 1_000;
const priorMs = 42;

function metro(votes: readonly number[], n = 20) {
  const cells = new Cells(1);
  for (const [i, ms] of votes.entries()) {
    const row = cells.add({
      prefix: prefix(`192.0.${i}.0/24`),
      location: 0,
      km: Float32Array.of(km),
      aggregate: 'as|m',
    });
    cells.setOwn(row, 0, measured(ms, n), nowSeconds);
  }
  const aggregates = new Aggregates(cells);
  aggregates.update(0);
  return { cells, aggregates };
}

function estimate(cells: Cells, aggregates: Aggregates, row: number, atMs = nowMs) {
  const out = createEstimates(1);
  estimateCell(cells, row, aggregates, prior, atMs, out);
  return { ms: out.ms[0]!, lowMs: out.lowMs[0]!, highMs: out.highMs[0]!, n: out.n[0]!, tier: out.tier[0]! };
}

describe('estimates', () => {
  test('own evidence is shrunk to the prior by n/(n + 10), at every n', () => {
    const { cells, aggregates } = metro([100]);
    for (const n of [1, 5, 20, 300]) {
      cells.setOwn(0, 0, measured(100, n), nowSeconds);
      expect(estimate(cells, aggregates, 0).ms).toBeCloseTo((n * 100 + 10 * priorMs) / (n + 10), 3);
    }
    expect(estimate(cells, aggregates, 0).tier).toBe(Tier.prefix);
  });

  test('five prefixes of an AS in a metro make a tier of their own, one vote each', () => {
    const { cells, aggregates } = metro([80, 82, 84, 86, 5_000]);
    const out = createEstimates(1);
    estimatePlace(Float32Array.of(km), 0, aggregates, prior, out);
    expect(out.tier[0]).toBe(Tier.asnMetro);
    expect(out.ms[0]).toBeCloseTo((5 * 84 + 10 * priorMs) / 15, 3);
    const own = estimate(cells, aggregates, 0);
    expect(own.ms).toBeCloseTo((20 * 80 + 10 * out.ms[0]!) / 30, 3);
  });

  test('four prefixes, or prefixes with few samples, make none', () => {
    for (const { aggregates } of [metro([80, 82, 84, 86]), metro([80, 82, 84, 86, 88], 4)]) {
      const out = createEstimates(1);
      estimatePlace(Float32Array.of(km), 0, aggregates, prior, out);
      expect(out.tier[0]).toBe(Tier.prior);
      expect(out.ms[0]).toBeCloseTo(priorMs, 4);
    }
  });

  test('the interval holds the estimate, and that of the prior stands in where n is too small', () => {
    const { cells, aggregates } = metro([100], 5);
    const few = estimate(cells, aggregates, 0);
    expect(few.lowMs).toBeLessThanOrEqual(10);
    expect(few.highMs).toBeGreaterThanOrEqual(134);
    cells.setOwn(0, 0, measured(100, 30), nowSeconds);
    const more = estimate(cells, aggregates, 0);
    expect(more.lowMs).toBeLessThanOrEqual(more.ms);
    expect(more.highMs).toBeCloseTo(101, 3);
  });

  test('nothing is claimed of a place that nobody knows', () => {
    const out = createEstimates(1);
    estimatePlace(Float32Array.of(Number.NaN), -1, new Aggregates(new Cells(1)), prior, out);
    expect(out.tier[0]).toBe(Tier.none);
    expect(out.ms[0]).toBeNaN();
  });

  test('old evidence fades back to the prior', () => {
    const { cells, aggregates } = metro([100]);
    const week = estimate(cells, aggregates, 0, nowMs + 7 * 86_400_000);
    expect(week.tier).toBe(Tier.prior);
    expect(week.ms).toBeCloseTo(priorMs, 4);
  });
});

describe('the statistic', () => {
  function sketch(recentMs: number, recentCount: number): Sketch {
    const made = new Sketch();
    for (let i = 0; i < 200; i++) made.add(40 + (i % 10), nowMs - 3_600_000);
    for (let i = 0; i < recentCount; i++) made.add(recentMs + (i % 10), nowMs);
    return made;
  }

  test('is demoted by the last quarter of an hour when that is surely slower', () => {
    const { own, demoted } = statistic(sketch(150, 25), nowMs);
    expect(demoted).toBe(true);
    expect(own.ms).toBeGreaterThan(140);
    expect(statistic(sketch(150, 25), nowMs + 20 * 60_000).demoted).toBe(false);
  });

  test('is not demoted by a few, and never promoted', () => {
    expect(statistic(sketch(150, 19), nowMs).demoted).toBe(false);
    const { own, demoted } = statistic(sketch(5, 25), nowMs);
    expect(demoted).toBe(false);
    expect(own.ms).toBeGreaterThan(35);
  });
});
