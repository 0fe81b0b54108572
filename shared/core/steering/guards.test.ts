import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Sketch } from '../sketch/sketch.ts';
import { distanceKm, type PlaceRanges } from './base.ts';
import { type GuardInput, SteeringBuild } from './build.ts';
import { groundOf } from './ground.ts';
import { guarding, SlowVotes, slowPlaces } from './guards.ts';
import { findInterval } from './map.ts';
import { type CellCosts, createCosts } from './rank.ts';
import { geoGroup, latencyGroup, london, places, pops, popVectors, prior, ranges4, ranges6 } from './testing.ts';

const nowMs = 1_764_000_000_000;
const [iad, lon] = [0, 1];
const firstCell = 0x0a000000;

/** Cells 10.0.0.0/24, 10.0.1.0/24, …, all in London; ten of an AS. */
function worldOf(cells: number): SteeringBuild {
  const v4 = ranges4([
    [0, -1],
    [firstCell, london],
    [firstCell + cells * 256, -1],
  ]);
  const asns: PlaceRanges = ranges4(
    Array.from({ length: Math.ceil(cells / 10) }, (_, i) => [i === 0 ? 0 : firstCell + i * 2560, 64_500 + i]),
  );
  const none6 = ranges6([[0, 0, -1]]);
  const ground = groundOf(v4, none6, places, 'Example', { v4: asns, v6: ranges6([[0, 0, 0]]) });
  const groups = [{ ...latencyGroup, k: 1, backboneMs: [0, 0, 0] }, geoGroup];
  const build = new SteeringBuild({ pops, popVectors, groups, ground, sources: ['rum'], prior, bases: new Map() });
  const km = Float32Array.from(pops, (_, pop) => distanceKm(ground.places, london, popVectors, pop));
  for (let i = 0; i < cells; i++) {
    const prefix = { family: 4, hi: firstCell + i * 256, lo: 0, length: 24 } as const;
    build.cells.add({ prefix, location: london, km, votes: true });
  }
  return build;
}

/** n samples of which every third is `slowMs`. */
function evidence(fastMs: number, slowMs: number, n = 30) {
  const sketch = new Sketch();
  for (let i = 0; i < n; i++) sketch.add(i % 3 === 0 ? slowMs : fastMs + (i % 5) / 10, nowMs);
  return sketch.ranked();
}

function measure(build: SteeringBuild, row: number, isSlow: boolean, kind = 0, n = 30): void {
  build.cells.kind[row] = kind;
  build.cells.setOwn(row, lon, evidence(20, isSlow ? 300 : 21, n), nowMs / 1000, kind);
  build.cells.setOwn(row, iad, evidence(60, 62, n), nowMs / 1000, kind);
}

function measureAll(build: SteeringBuild, rows: readonly number[], isSlow: boolean, kind = 0, n = 30): void {
  for (const row of rows) measure(build, row, isSlow, kind, n);
}

/** Map PoP number that each cell is sent to first. */
function built(build: SteeringBuild, atMs = nowMs): number[] {
  build.build(atMs, true);
  const { groups } = build.build(atMs, true);
  const { v4, rankings, width } = groups[0]!;
  return Array.from({ length: build.cells.count }, (_, row) => {
    const at = v4.ranking[findInterval(v4, build.cells.hi[row]!, 0)]!;
    return rankings[at * width]!;
  });
}

describe('a PoP where every fourth request is slow', () => {
  test('is not first for cells of which 20 say so by what edges timed', () => {
    const build = worldOf(30);
    for (let row = 0; row < 30; row++) measure(build, row, row < 20);
    const first = built(build);
    expect(first).toEqual([...Array(20).fill(iad), ...Array(10).fill(lon)]);
    expect(build.guardOf(0, 3, lon)).toBe('slow');
    expect(build.guardOf(0, 25, lon)).toBeUndefined();
  });

  test('is first again when it no longer is, with the time that any move takes', () => {
    const build = worldOf(20);
    for (let row = 0; row < 20; row++) measure(build, row, true);
    expect(built(build)[0]).toBe(iad);
    for (let row = 0; row < 20; row++) measure(build, row, false);
    build.cells.samples.fill(1);
    build.build(nowMs + 20 * 60_000, true);
    build.cells.samples.fill(2);
    expect(built(build, nowMs + 21 * 60_000)[0]).toBe(lon);
  });

  test('that is degraded keeps nobody from the others by what it was', () => {
    const build = worldOf(30);
    measureAll(build, range(30), false);
    expect(built(build)).toEqual(Array(30).fill(lon));
    build.setDegraded(new Map([[lon, 300]]));
    expect(built(build)).toEqual(Array(30).fill(iad));
    expect(build.guardOf(0, 3, iad)).toBeUndefined();
  });

  const cases: [string, (build: SteeringBuild) => void, number][] = [
    ['19 sources', (build) => measureAll(build, range(19), true), 30],
    ['20 sources but no other of the AS', (build) => measureAll(build, [...range(19), 20], true), 21],
    ['only what clients timed', (build) => measureAll(build, range(30), true, 1), 30],
    ['19 samples at each', (build) => measureAll(build, range(30), true, 0, 19), 30],
  ];
  test.each(cases)('stays first with %s', (name, tell, cells) => {
    const build = worldOf(cells);
    measureAll(build, range(cells), false);
    tell(build);
    const first = built(build);
    expect(first[name.includes('AS') ? 20 : 0]).toBe(lon);
  });

  test('what clients timed counts while a check fails too', () => {
    const build = worldOf(30);
    measureAll(build, range(30), true, 1);
    expect(built(build)[0]).toBe(lon);
    build.setGuards({ doubted: new Set([lon]), unreached: new Set() });
    expect(built(build)).toEqual(Array(30).fill(iad));
  });

  test('what clients timed is enough in company of what edges timed', () => {
    const build = worldOf(30);
    measureAll(build, range(30), true);
    measure(build, 5, true, 1);
    expect(built(build)[5]).toBe(iad);
  });
});

describe('a network that does not reach a PoP', () => {
  const unreached: GuardInput = { doubted: new Set(), unreached: new Set([64_501 * 256 + lon]) };

  test('is sent elsewhere at once, by evidence or without; other networks are not', () => {
    const build = worldOf(30);
    measureAll(build, range(15), false);
    expect(built(build)).toEqual(Array(30).fill(lon));
    build.setGuards(unreached);
    expect(built(build)).toEqual([...Array(10).fill(lon), ...Array(10).fill(iad), ...Array(10).fill(lon)]);
    expect(build.guardOf(0, 10, lon)).toBe('unreachable');
    build.setGuards({ doubted: new Set(), unreached: new Set() });
    expect(built(build, nowMs + 1000)[19]).toBe(lon);
  });

  test('stays where nobody is left', () => {
    const build = worldOf(20);
    build.setGuards({ doubted: new Set(), unreached: new Set(pops.map((_, pop) => 64_501 * 256 + pop)) });
    expect(built(build)).toEqual(Array(20).fill(lon));
  });
});

test('one cell alone moves no other, and is not moved by what it alone says', () => {
  const samples = fc.array(fc.double({ min: 1, max: 2_000, noNaN: true }), { minLength: 1, maxLength: 60 });
  const liar = fc.record({ row: fc.nat(24), kind: fc.constantFrom(0, 1), byPop: fc.tuple(samples, samples, samples) });
  fc.assert(
    fc.property(liar, ({ row, kind, byPop }) => {
      const build = worldOf(25);
      measureAll(build, range(25), false);
      const before = built(build);
      build.cells.kind[row] = kind;
      for (const [pop, values] of byPop.entries()) {
        const sketch = new Sketch();
        for (const ms of values) sketch.add(ms, nowMs);
        build.cells.setOwn(row, pop, sketch.ranked(), nowMs / 1000, kind);
      }
      expect(built(build).toSpliced(row, 1)).toEqual(before.toSpliced(row, 1));
      for (const pop of pops.keys()) expect(build.guardOf(0, row, pop)).toBeUndefined();
    }),
    { numRuns: 50 },
  );
});

describe('votes', () => {
  test('are counted as if from scratch, whatever cells said before', () => {
    const say = fc.record({
      row: fc.nat(30),
      places: fc.uniqueArray(fc.nat(3), { maxLength: 2 }),
      byEdge: fc.boolean(),
    });
    const asnOf = (row: number) => 64_500 + (row % 3);
    fc.assert(
      fc.property(fc.array(say, { maxLength: 200 }), fc.boolean(), (steps, isDoubted) => {
        const votes = new SlowVotes();
        const last = new Map<number, (typeof steps)[number]>();
        for (const step of steps) {
          votes.say(step.row, asnOf(step.row), step.places, step.byEdge);
          last.set(step.row, step);
        }
        for (const { row, places } of last.values()) {
          for (let place = 0; place < 4; place++) {
            const speak = [...last.values()].filter((one) => one.places.includes(place) && (one.byEdge || isDoubted));
            const others = speak.filter((one) => one.row !== row && asnOf(one.row) === asnOf(row));
            const isBarred = places.includes(place) && speak.length >= guarding.sources && others.length > 0;
            expect(votes.bars(row, place, isDoubted)).toBe(isBarred);
          }
        }
      }),
    );
  });

  test('are on what would be first, never on what has the least tail', () => {
    const ms = fc.double({ min: 1, max: 500, noNaN: true });
    const entry = fc.record({
      cost: ms,
      factor: fc.option(fc.double({ min: 1, max: 5, noNaN: true }), { nil: Number.NaN }),
    });
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 8 }), fc.nat(7), (entries, drawn) => {
        const costs: CellCosts = createCosts(entries.length);
        for (const [i, { cost, factor }] of entries.entries()) {
          costs.cost[i] = cost;
          costs.tail[i] = cost * factor;
        }
        const incumbent = drawn % entries.length;
        const slow = slowPlaces(costs, incumbent);
        const known = [...costs.tail].filter((tail) => !Number.isNaN(tail));
        const least = Math.min(...known);
        for (const place of slow) expect(costs.tail[place]).toBeGreaterThan(Math.max(1.5 * least, least + 5));
        const rest = entries.map((_, i) => i).filter((i) => !slow.includes(i) || i === incumbent);
        const dearest = Math.max(0, ...slow.filter((i) => i !== incumbent).map((i) => costs.cost[i]!));
        for (const i of rest) if (!slow.includes(i)) expect(costs.cost[i]).toBeGreaterThanOrEqual(dearest);
      }),
    );
  });
});

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
