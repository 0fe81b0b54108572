import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Address, cellOf, type Family } from '../ip.ts';
import { distanceKm, exactPlaces, foldRanges, type GroupPlan, type PlaceRanges, vectorsOf, withTail } from './base.ts';
import { type SteeringBuild, sameRankings } from './build.ts';
import { cellKey } from './cells.ts';
import { locationOf } from './ground.ts';
import { findCell, findInterval, leafLength, type SteeringMap, Tier } from './map.ts';
import { decodeMap, encodeMap } from './map-bytes.ts';
import {
  addCell,
  documentation4,
  documentation6,
  geoGroup,
  latencyGroup,
  measured,
  places,
  popVectors,
  prefix,
  prior,
  ranges4,
  ranges6,
  worldBuild,
} from './testing.ts';

const nowMs = 1_764_000_000_000;
const nowSeconds = nowMs / 1000;

function rankingOf(map: SteeringMap, address: Address, group = 0): number[] {
  const { v4, v6, rankings, width } = map.groups[group]!;
  const index = address.family === 4 ? v4 : v6;
  const row = index.ranking[findInterval(index, address.hi, address.lo)]!;
  return [...rankings.subarray(row * width, (row + 1) * width)];
}

/** Ranking by place alone, the long way. */
function bruteForce(plan: GroupPlan, vectors: Float32Array, location: number): number[] {
  if (location < 0 || Number.isNaN(places.latitude[location]!))
    return plan.defaultOrder.map((place) => plan.pops[place]!);
  const at = vectorsOf(places.latitude, places.longitude);
  const cost = (place: number) =>
    plan.k * prior.expectedMs(distanceKm(at, location, vectors, plan.pops[place]!)) + plan.backboneMs[place]!;
  return plan.pops
    .map((_, place) => place)
    .sort((a, b) => cost(a) - cost(b))
    .map((place) => plan.pops[place]!);
}

/** Location of a cell by counting its addresses one by one (v4) or block by block of /64 boundaries (v6). */
function bruteLocation(ranges: PlaceRanges, address: Address): number {
  const cell = cellOf(address);
  const size = address.family === 4 ? 256 : 65_536;
  const votes = new Map<number, number>();
  const index = { ...ranges, ranking: new Uint32Array(0) };
  for (let i = 0; i < size; i++) {
    const [hi, lo] = address.family === 4 ? [cell.hi + i, 0] : [cell.hi, cell.lo + i];
    const value = ranges.value[findInterval(index, hi, lo)]!;
    votes.set(value, (votes.get(value) ?? 0) + 1);
  }
  let best = -1;
  for (const [value, count] of votes) if (value >= 0 && (best < 0 || count > votes.get(best)!)) best = value;
  return best;
}

const location = fc.integer({ min: -1, max: places.latitude.length - 1 });
/** Boundaries crowd in a few cells, so that cells hold several ranges. */
const near = fc.tuple(fc.constantFrom(0, 0xc0000200, 0xc0000300, 0xffffff00), fc.nat(255)).map(([a, b]) => a + b);
const v4Ranges = fc
  .uniqueArray(fc.tuple(fc.oneof(near, fc.nat(0xffffffff)), location), { maxLength: 30, selector: ([start]) => start })
  .map((entries) => ranges4([[0, 0] as const, ...entries.filter(([at]) => at > 0).sort((a, b) => a[0] - b[0])]));
const v6Start = fc.tuple(
  fc.constantFrom(0x20010db8, 0x20010db9, 0xffffffff),
  fc.oneof(
    fc.tuple(fc.constantFrom(0, 0x10000, 0xffff0000), fc.nat(65_535)).map(([a, b]) => a + b),
    fc.nat(0xffffffff),
  ),
);
const v6Ranges = fc
  .uniqueArray(fc.tuple(v6Start, location), { maxLength: 20, selector: ([start]) => start.join() })
  .map((entries) =>
    ranges6([
      [0, 0, -1] as const,
      ...entries.map(([[hi, lo], value]) => [hi, lo, value] as const).sort((a, b) => a[0] - b[0] || a[1] - b[1]),
    ]),
  );
const address4 = fc.oneof(near, fc.nat(0xffffffff)).map((hi): Address => ({ family: 4, hi, lo: 0 }));
const address6 = v6Start.map(([hi, lo]): Address => ({ family: 6, hi, lo }));

describe('base', () => {
  test('ranges are folded to whole cells by count of addresses', () => {
    const check = (ranges: PlaceRanges, address: Address) => {
      const folded = foldRanges(ranges);
      const size = address.family === 4 ? 256 : 65_536;
      const last = address.family === 4 ? folded.hi : folded.lo;
      expect([...last].every((start) => start % size === 0)).toBe(true);
      expect([...folded.value].every((value, i) => i === 0 || value !== folded.value[i - 1])).toBe(true);
      const at = findInterval({ ...folded, ranking: new Uint32Array(0) }, address.hi, address.lo);
      const [found, counted] = [folded.value[at]!, bruteLocation(ranges, address)];
      // Ties go to the first; both answers are right then.
      if (found !== counted) expect(tied(ranges, address, found, counted)).toBe(true);
    };
    fc.assert(fc.property(v4Ranges, address4, check));
    fc.assert(fc.property(v6Ranges, address6, check), { numRuns: 15 });
  });

  test('an address is ranked by its place, and a place that is not known by the default order', () => {
    fc.assert(
      fc.property(v4Ranges, v6Ranges, address4, address6, (v4, v6, a4, a6) => {
        const build = worldBuild(v4, v6);
        const map = build.build(nowMs);
        for (const address of [a4, a6]) {
          const at = locationOf(build.input.ground, address.family, address.hi, address.lo);
          expect(rankingOf(map, address)).toEqual(bruteForce(latencyGroup, popVectors, at));
        }
      }),
    );
  });

  test('behind the exact places, PoPs come in the order seen from the first', () => {
    const reversed = Uint8Array.of(7, 6, 5, 4, 3, 2, 1, 0);
    const tails = Array.from({ length: 8 }, () => reversed);
    const ranking = withTail(Uint8Array.of(3, 0, 6, 1, 2, 4, 5, 7), tails);
    expect(exactPlaces).toBe(5);
    expect([...ranking]).toEqual([3, 0, 6, 1, 2, 7, 5, 4]);
  });
});

function tied(ranges: PlaceRanges, address: Address, a: number, b: number): boolean {
  const cell = cellOf(address);
  const size = address.family === 4 ? 256 : 65_536;
  const index = { ...ranges, ranking: new Uint32Array(0) };
  let balance = 0;
  for (let i = 0; i < size; i++) {
    const at = address.family === 4 ? findInterval(index, cell.hi + i, 0) : findInterval(index, cell.hi, cell.lo + i);
    const value = ranges.value[at]!;
    balance += value === a ? 1 : value === b ? -1 : 0;
  }
  return balance === 0;
}

describe('map', () => {
  /** Cells with evidence for London or Virginia, next to one another and apart. */
  const cells = fc.uniqueArray(
    fc.tuple(fc.oneof(address4, address6), fc.constantFrom<'iad' | 'lon' | 'few'>('iad', 'lon', 'few')),
    { maxLength: 12, selector: ([address]) => cellKey(address.family, cellOf(address).hi, cellOf(address).lo) },
  );

  function withEvidence(build: SteeringBuild, address: Address, which: 'iad' | 'lon' | 'few'): void {
    const cell = cellOf(address);
    const km = new Float32Array(3).fill(800);
    const place = locationOf(build.input.ground, cell.family, cell.hi, cell.lo);
    const row = build.cells.add({ prefix: cell, location: place, km, votes: false });
    const [iad, lon] = which === 'lon' ? [300, 10] : [10, 300];
    for (const [pop, ms] of [iad, lon, 400].entries()) {
      build.cells.setOwn(row, pop, measured(ms, which === 'few' ? 12 : 20), nowSeconds);
    }
  }

  test('equals brute force for any address, neighbours differ, and every leaf is as large as can be', () => {
    fc.assert(
      fc.property(v4Ranges, v6Ranges, cells, fc.array(fc.oneof(address4, address6)), (v4, v6, evidence, asked) => {
        const build = worldBuild(v4, v6);
        for (const [address, which] of evidence) withEvidence(build, address, which);
        const map = decodeMap(encodeMap(build.build(nowMs)));
        const own = new Map(
          evidence.map(([address, which]) => [
            `${address.family} ${cellKey(address.family, address.hi, address.lo)}`,
            which,
          ]),
        );
        for (const address of [...asked, ...evidence.map(([one]) => one)]) {
          const which = own.get(`${address.family} ${cellKey(address.family, address.hi, address.lo)}`);
          const at = locationOf(build.input.ground, address.family, address.hi, address.lo);
          const ranking = rankingOf(map, address);
          if (which === 'iad' || which === 'lon') expect(ranking[0]).toBe(which === 'iad' ? 0 : 1);
          else expect(ranking).toEqual(bruteForce(latencyGroup, popVectors, at));
          expectMinimalLeaf(map, address);
        }
        for (const { ranking } of [map.groups[0]!.v4, map.groups[0]!.v6]) {
          expect(ranking.every((row, i) => i === 0 || row !== ranking[i - 1])).toBe(true);
        }
        const { rankings, width } = map.groups[0]!;
        const rows = Array.from({ length: rankings.length / width }, (_, i) =>
          rankings.slice(i * width, (i + 1) * width).join(),
        );
        expect(new Set(rows).size).toBe(rows.length);
      }),
    );
  });

  function expectMinimalLeaf(map: SteeringMap, address: Address): void {
    const { v4, v6 } = map.groups[0]!;
    const index = address.family === 4 ? v4 : v6;
    const at = findInterval(index, address.hi, address.lo);
    const length = leafLength(index, at, address.hi, address.lo);
    if (length === 0) return;
    // Ends of the sibling block: one of them has left the interval, and neighbouring intervals rank differently.
    const ends = siblingEnds(address, length);
    expect(ends.some(({ hi, lo }) => findInterval(index, hi, lo) !== at)).toBe(true);
  }

  function siblingEnds({ family, hi, lo }: Address, length: number): { hi: number; lo: number }[] {
    const width = family === 4 ? 32n : 64n;
    const value = family === 4 ? BigInt(hi) : (BigInt(hi) << 32n) | BigInt(lo);
    const size = 1n << (width - BigInt(length));
    const first = (value - (value % size)) ^ size;
    return [first, first + size - 1n].map((end) =>
      family === 4 ? { hi: Number(end), lo: 0 } : { hi: Number(end >> 32n), lo: Number(end & 0xffffffffn) },
    );
  }

  test('own evidence changes its cell and no other, in latency groups alone', () => {
    const build = worldBuild(documentation4, documentation6, [latencyGroup, geoGroup]);
    const before = build.build(nowMs);
    const row = addCell(build, '192.0.2.0/24');
    build.cells.setOwn(row, 1, measured(180, 20), nowSeconds);
    build.cells.setOwn(row, 0, measured(75, 20), nowSeconds);
    const after = build.build(nowMs);
    expect(rankingOf(before, prefix('192.0.2.0/24'))[0]).toBe(1);
    expect(rankingOf(after, prefix('192.0.2.0/24'))[0]).toBe(0);
    expect(rankingOf(after, prefix('192.0.2.0/24'), 1)[0]).toBe(1);
    for (const other of ['192.0.3.0/24', '192.0.1.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/48']) {
      expect(rankingOf(after, prefix(other))).toEqual(rankingOf(before, prefix(other)));
    }
    const { v4 } = after.groups[0]!;
    const at = findInterval(v4, 0xc0000205, 0);
    expect(leafLength(v4, at, 0xc0000205, 0)).toBe(24);
    expect(sameRankings(before, after)).toBe(false);
    const cell = findCell(after.cells, prefix('192.0.2.0/24'));
    expect(after.cells.n[cell * 3]).toBe(20);
    expect(after.cells.tier[cell * 3]).toBe(Tier.prefix);
    expect(after.cells.tier[cell * 3 + 2]).toBe(Tier.prior);
  });

  test('12 samples do not', () => {
    const build = worldBuild();
    const before = build.build(nowMs);
    const row = addCell(build, '192.0.2.0/24');
    build.cells.setOwn(row, 1, measured(180, 12.4), nowSeconds);
    build.cells.setOwn(row, 0, measured(75, 12.4), nowSeconds);
    expect(sameRankings(before, build.build(nowMs))).toBe(true);
  });

  test('evidence of one prefix, however much, moves no other of its AS and metro', () => {
    const build = worldBuild();
    const own = ['192.0.2.0/24', '192.0.3.0/24', '198.51.100.0/24'].map((text) => addCell(build, text, true));
    for (const row of own) {
      build.cells.setOwn(row, 1, measured(12, 40), nowSeconds);
      build.cells.setOwn(row, 0, measured(90, 40), nowSeconds);
    }
    build.build(nowMs);
    build.cells.setOwn(own[0]!, 1, measured(900, 50_000), nowSeconds);
    build.cells.setOwn(own[0]!, 0, measured(1, 50_000), nowSeconds);
    let map = build.build(nowMs + 1);
    for (let i = 0; i < 5; i++) {
      for (const row of own) build.cells.setSamples(row, 1000 * i);
      map = build.build(nowMs + i * 600_000, true);
    }
    expect(rankingOf(map, prefix('192.0.3.0/24'))[0]).toBe(1);
    expect(rankingOf(map, prefix('198.51.100.0/24'))[0]).toBe(1);
  });

  test('a restart goes on with the rankings of the map in service', () => {
    const evidence = (build: SteeringBuild, iadMs: number) => {
      const row = addCell(build, '192.0.2.0/24');
      build.cells.setOwn(row, 1, measured(180, 20), nowSeconds);
      build.cells.setOwn(row, 0, measured(iadMs, 20), nowSeconds);
    };
    const first = worldBuild();
    evidence(first, 75);
    const inService = decodeMap(encodeMap(first.build(nowMs)));
    // Meanwhile the gain is gone, but London gains less than the margin: without the map, London would be first.
    const resumed = worldBuild();
    evidence(resumed, 165);
    resumed.resume(inService);
    expect(rankingOf(resumed.build(nowMs + 1_000), prefix('192.0.2.0/24'))[0]).toBe(0);
    const fresh = worldBuild();
    evidence(fresh, 165);
    expect(rankingOf(fresh.build(nowMs + 1_000), prefix('192.0.2.0/24'))[0]).toBe(1);
  });

  test('building again without news gives the same map', () => {
    const build = worldBuild();
    evidenceFor(build);
    const map = build.build(nowMs);
    expect(encodeMap(build.build(nowMs))).toEqual(encodeMap(map));
    expect(sameRankings(map, build.build(nowMs, true))).toBe(true);
  });

  function evidenceFor(build: SteeringBuild): void {
    const row = addCell(build, '192.0.2.0/24');
    build.cells.setOwn(row, 1, measured(180, 20), nowSeconds);
    build.cells.setOwn(row, 0, measured(75, 20), nowSeconds);
  }
});

const families: readonly Family[] = [4, 6];
test.each(families)('the whole of v%i is one interval when nothing is known', (family) => {
  const build = worldBuild(ranges4([[0, -1]]), ranges6([[0, 0, -1]]));
  const index = build.build(nowMs).groups[0]![family === 4 ? 'v4' : 'v6'];
  expect(index.hi.length).toBe(1);
  expect(leafLength(index, 0, 0xcb007107, 0)).toBe(0);
});
