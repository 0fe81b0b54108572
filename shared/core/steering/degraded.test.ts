import { describe, expect, test } from 'vitest';
import { Degradations, degrading } from './degraded.ts';
import { estimation } from './estimation.ts';
import { addCell, measured, pops, ranges4, ranges6, worldBuild } from './testing.ts';

const nowMs = 1_764_000_000_000;
const minuteMs = 60_000;
const lon = pops.indexOf('lon');
const iad = pops.indexOf('iad');

/** Cells of London, 24 ms to lon and 90 ms to iad by edges' timing of a day. */
function world(count: number, n = 30) {
  const build = worldBuild(
    ranges4([
      [0, -1],
      [0x0a000000, 0],
      [0x0b000000, -1],
    ]),
    ranges6([[0, 0, -1]]),
  );
  const rows = Array.from({ length: count }, (_, i) => addCell(build, `10.0.${i}.0/24`, true));
  for (const row of rows) {
    build.cells.setOwn(row, lon, measured(24, n), nowMs / 1000);
    build.cells.setOwn(row, iad, measured(90, n), nowMs / 1000);
    build.cells.setSamples(row, 2 * n);
  }
  const watch = new Degradations();
  const see = (cells: number, ms: number, atMs: number, from = 0) => {
    for (let i = from; i < from + cells; i++) watch.add('lon', 4, 0x0a000000 + 256 * i, 0, ms, atMs);
  };
  return { build, rows, watch, see };
}

describe('a PoP is degraded', () => {
  test('when twenty cells have it by more than 25 ms and 50% beyond their own', () => {
    const { build, watch, see } = world(30);
    see(degrading.cells, 24 + 26, nowMs);
    expect(watch.step(build.cells, pops, nowMs)).toBe(true);
    expect(watch.now.get('lon')).toMatchObject({ ms: 26, cells: degrading.cells });
  });

  test.each([
    ['nineteen cells, however often', degrading.cells - 1, 200],
    ['what lies less than 25 ms beyond', 25, 24 + 24],
  ])('never by %s', (_, cells, ms) => {
    const { build, watch, see } = world(30);
    for (let i = 0; i < 50; i++) see(cells, ms, nowMs);
    expect(watch.step(build.cells, pops, nowMs)).toBe(false);
  });

  test('never by cells that have no evidence of the day there, or by samples of long ago', () => {
    const few = world(30, 2);
    few.see(30, 200, nowMs);
    expect(few.watch.step(few.build.cells, pops, nowMs)).toBe(false);
    const old = world(30);
    old.see(30, 200, nowMs - 16 * minuteMs);
    expect(old.watch.step(old.build.cells, pops, nowMs)).toBe(false);
  });

  test('as soon as more than half of the newest twenty say so, where few measure it', () => {
    const { build, watch, see } = world(30);
    see(20, 24, nowMs - 12 * minuteMs);
    see(10, 124, nowMs - 2 * minuteMs);
    expect(watch.step(build.cells, pops, nowMs)).toBe(false);
    see(1, 124, nowMs, 10);
    expect(watch.step(build.cells, pops, nowMs)).toBe(true);
  });

  test('one cell has one vote', () => {
    const { build, watch, see } = world(41);
    for (let i = 0; i < 50; i++) see(20, 300, nowMs, 21);
    see(21, 24, nowMs);
    expect(watch.step(build.cells, pops, nowMs)).toBe(false);
  });

  test('until less than half of that is left; while nobody measures it, for an hour', () => {
    const { build, watch, see } = world(30);
    see(30, 124, nowMs);
    watch.step(build.cells, pops, nowMs);
    expect(watch.step(build.cells, pops, nowMs + 30 * minuteMs)).toBe(false);
    expect(watch.now.has('lon')).toBe(true);
    see(30, 24 + 20, nowMs + 31 * minuteMs);
    watch.step(build.cells, pops, nowMs + 31 * minuteMs);
    expect(watch.now.has('lon')).toBe(true);
    expect(watch.step(build.cells, pops, nowMs + 92 * minuteMs)).toBe(true);
    expect(watch.now.size).toBe(0);
    see(30, 124, nowMs + 100 * minuteMs);
    watch.step(build.cells, pops, nowMs + 100 * minuteMs);
    see(30, 26, nowMs + 106 * minuteMs);
    expect(watch.step(build.cells, pops, nowMs + 106 * minuteMs)).toBe(true);
    expect(watch.now.size).toBe(0);
  });
});

describe('what a degraded PoP adds', () => {
  const firstOf = (build: ReturnType<typeof world>['build'], row: number) => pops[build.rankings(0, row).steered[0]!];

  test('moves every cell in one build, those that are not measured too', () => {
    const { build, rows, watch, see } = world(30);
    const sparse = addCell(build, '10.0.200.0/24', true);
    build.build(nowMs, true);
    expect(firstOf(build, rows[0]!)).toBe('lon');
    see(30, 24 + 300, nowMs);
    watch.step(build.cells, pops, nowMs);
    build.setDegraded(new Map([[lon, watch.now.get('lon')!.ms]]));
    build.build(nowMs + 1_000);
    for (const row of [...rows, sparse]) expect(firstOf(build, row)).toBe('iad');
    expect(build.estimates(rows[0]!).ms[lon]).toBeCloseTo(324, 0);
    build.setDegraded(new Map());
    build.build(nowMs + 2_000);
    expect(build.estimates(rows[0]!).ms[lon]).toBeCloseTo(24, 0);
    expect(firstOf(build, sparse)).toBe('lon');
  });

  test('is nothing where the last quarter of an hour speaks for itself', () => {
    const { build, rows } = world(30);
    expect(estimation.recentN).toBeGreaterThan(1);
    build.cells.speaking.add(rows[3]! * 256 + lon);
    build.setDegraded(new Map([[lon, 300]]));
    build.build(nowMs, true);
    expect(firstOf(build, rows[3]!)).toBe('lon');
    expect(firstOf(build, rows[4]!)).toBe('iad');
  });
});
