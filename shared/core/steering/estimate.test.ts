import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Sketch } from '../sketch/sketch.ts';
import { vectorsOf } from './base.ts';
import { Cells } from './cells.ts';
import { estimateCell, estimatePlace, statistic } from './estimate.ts';
import { createEstimates, estimation } from './estimation.ts';
import { Tier } from './map.ts';
import { metrosOf } from './spots.ts';
import { measured, prefix, prior } from './testing.ts';
import { Tiers } from './tiers.ts';

const nowMs = 1_764_000_000_000;
const nowSeconds = nowMs / 1000;
const priorMs = 42;
const { shrinkage, asnShrinkage, metroShrinkage } = estimation;

/** Cells of one AS in one metro, a thousand kilometres from the PoPs; the second PoP pins their lines at nothing. */
function metro(votes: readonly number[], n = 20, kind = 0) {
  const cells = new Cells(2);
  const places = vectorsOf([0], [0]);
  const metros = metrosOf([0], [0], undefined, places);
  const tiers = new Tiers(cells, metros, vectorsOf([0, 0], [9, -9]), prior);
  for (const [i, ms] of votes.entries()) {
    const row = cells.add({
      prefix: prefix(`192.0.${i}.0/24`),
      location: 0,
      km: Float32Array.of(1_000, 1_000),
      votes: true,
    });
    cells.setOwn(row, 0, measured(ms, n), nowSeconds, kind);
    cells.kind[row] = kind;
    tiers.place(row, 0, 64_500, true);
    tiers.touch(row);
  }
  tiers.update();
  return { cells, tiers };
}

function estimate({ cells, tiers }: ReturnType<typeof metro>, row: number, atMs = nowMs) {
  const out = createEstimates(2);
  estimateCell(cells, row, tiers, atMs, out);
  return { ms: out.ms[0]!, lowMs: out.lowMs[0]!, highMs: out.highMs[0]!, n: out.n[0]!, tier: out.tier[0]! };
}

function placeEstimate({ tiers }: ReturnType<typeof metro>, asn: number) {
  const out = createEstimates(2);
  estimatePlace(Float32Array.of(1_000, 1_000), 0, asn, tiers, out);
  return { ms: out.ms[0]!, tier: out.tier[0]! };
}

describe('estimates', () => {
  test('own evidence is shrunk to the prior at every n, and is its own at last', () => {
    const world = metro([100]);
    for (const n of [1, 5, 20, 300, 1e6]) {
      world.cells.setOwn(0, 0, measured(100, n), nowSeconds);
      expect(estimate(world, 0).ms).toBeCloseTo((n * 100 + shrinkage * priorMs) / (n + shrinkage), 3);
    }
    expect(estimate(world, 0).ms).toBeCloseTo(100, 3);
    expect(estimate(world, 0).tier).toBe(Tier.prefix);
  });

  test('cells of an AS in a metro make a tier of their own, one vote each', () => {
    const world = metro([80, 82, 84, 86, 5_000]);
    const { ms, tier } = placeEstimate(world, 64_500);
    expect(tier).toBe(Tier.asnMetro);
    const ofMetro = (5 * 84 + metroShrinkage * priorMs) / (5 + metroShrinkage);
    // Lines take a part of the difference; what is left is between the prior and the median.
    expect(ms).toBeGreaterThan(priorMs);
    expect(ms).toBeLessThanOrEqual((5 * 84 + asnShrinkage * ofMetro) / (5 + asnShrinkage) + 1);
  });

  test('too few cells, or cells with too few samples, make none', () => {
    const one = placeEstimate(metro([80, 82]), 64_500);
    expect(one.tier).toBe(Tier.prior);
    expect(one.ms).toBeCloseTo(priorMs, 4);
    expect(placeEstimate(metro([80, 82, 84, 86, 88], 1), 64_500).ms).toBeCloseTo(priorMs, 4);
  });

  test('whatever one cell says, what is believed of others stays between what the others say', () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 9_000, noNaN: true }), (told) => {
        const honest = [80, 82, 84, 86];
        const { ms } = placeEstimate(metro([...honest, told]), 64_500);
        const without = [metro([...honest, 1]), metro([...honest, 9_000])].map(
          (world) => placeEstimate(world, 64_500).ms,
        );
        expect(ms).toBeGreaterThanOrEqual(Math.min(...without) - 3);
        expect(ms).toBeLessThanOrEqual(Math.max(...without) + 3);
      }),
    );
  });

  test('the interval holds the estimate, and many samples give their own', () => {
    const world = metro([100], 5);
    const few = estimate(world, 0);
    expect(few.lowMs).toBeLessThanOrEqual(few.ms);
    expect(few.highMs).toBeGreaterThanOrEqual(100);
    world.cells.setOwn(0, 0, measured(100, 30), nowSeconds);
    const more = estimate(world, 0);
    expect(more.lowMs).toBeLessThanOrEqual(more.ms);
    expect(more.highMs).toBeCloseTo(101, 3);
  });

  test('nothing is claimed of a place that nobody knows', () => {
    const out = createEstimates(2);
    estimatePlace(Float32Array.of(Number.NaN, Number.NaN), -1, 0, metro([]).tiers, out);
    expect(out.tier[0]).toBe(Tier.none);
    expect(out.ms[0]).toBeNaN();
  });

  test('old evidence fades back to the prior', () => {
    const week = estimate(metro([100]), 0, nowMs + 7 * 86_400_000);
    expect(week.tier).toBe(Tier.prior);
    expect(week.ms).toBeCloseTo(priorMs, 4);
  });

  test('an edge that times a cell faster than light disputes its place; a browser does not', () => {
    const edge = metro([5]);
    expect(edge.tiers.isDisputed(0)).toBe(true);
    const browser = metro([5], 20, 1);
    expect(browser.tiers.isDisputed(0)).toBe(false);
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
