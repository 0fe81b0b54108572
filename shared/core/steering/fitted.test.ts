import { describe, expect, test } from 'vitest';
import { findInterval, type SteeringMap } from './map.ts';
import { addCell, latencyGroup, measured, pops, prefix, ranges4, ranges6, worldBuild } from './testing.ts';

const nowMs = 1_764_000_000_000;
const [iad, lon, sin] = pops.map((_, pop) => pop) as [number, number, number];

/** 10.0.0.0/8 in London; PoPs take so many requests a second. */
function world(hard: readonly number[]) {
  const limits = { soft: hard.map((of) => 0.8 * of), hard };
  const v4 = ranges4([
    [0, -1],
    [0x0a000000, 0],
    [0x0b000000, -1],
  ]);
  return worldBuild(v4, ranges6([[0, 0, -1]]), [{ ...latencyGroup, limits }]);
}

function firstOf(map: SteeringMap, text: string, place = 0): number {
  const { family, hi, lo } = prefix(text);
  const { v4, v6, rankings, width } = map.groups[0]!;
  const index = family === 4 ? v4 : v6;
  return rankings[index.ranking[findInterval(index, hi, lo)]! * width + place]!;
}

const cells = Array.from({ length: 10 }, (_, i) => `10.0.${i}.0/24`);
const ask = (build: ReturnType<typeof world>, perSecond: number) => {
  for (const text of cells) {
    const { family, hi, lo } = prefix(text);
    build.sharing.setRequests(family, hi, lo, perSecond);
  }
};
const at = (map: SteeringMap, pop: number) => cells.filter((text) => firstOf(map, text) === pop).length;

describe('a build', () => {
  test('gives a PoP no more than it can take, of cells that are not measured too', () => {
    const build = world([1000, 62, 1000]);
    expect(at(build.build(nowMs, true), lon)).toBe(10);
    ask(build, 10);
    const map = build.build(nowMs + 1_000);
    expect(at(map, lon)).toBe(6);
    expect(at(map, iad)).toBe(4);
    // What moved is a cell of the map: the judge sees it.
    expect(map.cells.v4.length).toBeGreaterThanOrEqual(4);
    // The rest of London goes on as it did.
    expect(firstOf(map, '10.9.0.0/24')).toBe(lon);
  });

  test('keeps those away who were sent away, and brings them back when there is room', () => {
    const build = world([1000, 62, 1000]);
    ask(build, 10);
    const before = build.build(nowMs, true);
    const away = cells.filter((text) => firstOf(before, text) !== lon);
    const row = addCell(build, cells[9]!);
    build.cells.setOwn(row, lon, measured(30, 30), nowMs / 1000);
    const again = build.build(nowMs + 60_000, true);
    expect(cells.filter((text) => firstOf(again, text) !== lon)).toEqual(away);
    ask(build, 1);
    // Not at once: a little less for a while moves nobody to and fro.
    expect(at(build.build(nowMs + 120_000), lon)).toBe(6);
    expect(at(build.build(nowMs + 700_000), lon)).toBe(10);
  });

  test('sends away what was measured to lose least', () => {
    const build = world([1000, 93, 1000]);
    ask(build, 10);
    for (const [i, text] of cells.entries()) {
      const row = addCell(build, text);
      build.cells.setOwn(row, lon, measured(20, 30), nowMs / 1000);
      build.cells.setOwn(row, iad, measured(i === 4 ? 60 : 150, 30), nowMs / 1000);
    }
    const map = build.build(nowMs, true);
    expect(cells.filter((text) => firstOf(map, text) === iad)).toEqual([cells[4]]);
  });

  test('shares out anew what fits only for what those who move gain by it', () => {
    const build = world([1000, 93, 1000]);
    ask(build, 10);
    const to = (i: number, ms: number, atMs: number) => {
      const row = addCell(build, cells[i]!);
      build.cells.setOwn(row, lon, measured(20, 30), atMs / 1000);
      build.cells.setOwn(row, iad, measured(ms, 30), atMs / 1000);
    };
    const away = (map: SteeringMap) => cells.filter((text) => firstOf(map, text) === iad);
    for (const i of cells.keys()) to(i, i === 4 ? 60 : 150, nowMs);
    expect(away(build.build(nowMs, true))).toEqual([cells[4]]);
    // One that would now lose a little less than the one that is away.
    to(5, 57, nowMs + 700_000);
    expect(away(build.build(nowMs + 700_000, true))).toEqual([cells[4]]);
    to(5, 40, nowMs + 1_400_000);
    expect(away(build.build(nowMs + 1_400_000, true))).toEqual([cells[5]]);
  });

  test('leaves room for the loss of a PoP: second choices are spread over the others', () => {
    const build = world([73, 110, 73]);
    ask(build, 10);
    const map = build.build(nowMs, true);
    expect(at(map, lon)).toBe(10);
    const second = (pop: number) => cells.filter((text) => firstOf(map, text, 1) === pop).length;
    expect(second(iad)).toBe(7);
    expect(second(sin)).toBe(3);
  });

  test('sends on who goes to a PoP that carries more than it can take, as much as that is, and back after a while', () => {
    const build = world([1000, 100, 1000]);
    ask(build, 6);
    const map = build.build(nowMs, true);
    expect(at(map, lon)).toBe(10);
    build.sharing.overloaded(new Map([[lon, 120]]), map, 90_000, nowMs - 75_000);
    // Told 120, which is twice the average, and grows: 7 of 13 a second each fit.
    build.sharing.overloaded(new Map([[lon, 120]]), map, 90_000, nowMs + 15_000);
    expect(at(build.build(nowMs + 15_000), lon)).toBe(7);
    // Those who left are still counted there for a while.
    build.sharing.overloaded(new Map([[lon, 110]]), map, 90_000, nowMs + 30_000);
    expect(at(build.build(nowMs + 30_000), lon)).toBe(7);
    expect(at(build.build(nowMs + 40 * 60_000), lon)).toBe(10);
  });
});
