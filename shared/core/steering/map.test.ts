import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OperatingError } from '../errors.ts';
import { type Address, cellOf, type Family } from '../ip.ts';
import {
  type CellTable,
  cellRow,
  findCell,
  findInterval,
  type IntervalIndex,
  leafLength,
  type MapGroup,
  type SteeringMap,
} from './map.ts';
import { decodeMap, encodeMap, mapHeadBytes } from './map-bytes.ts';

const uint32 = fc.nat(0xffffffff);
/** Addresses near one another, so that boundaries, leaves and queries meet. */
const word = fc.oneof(
  uint32,
  fc.nat(20),
  fc.nat(31).map((bit) => (1 << bit) >>> 0),
  fc.nat(20).map((below) => 0xffffffff - below),
);

type Position = readonly [hi: number, lo: number];
const position = (family: Family): fc.Arbitrary<Position> =>
  family === 4 ? word.map((hi) => [hi, 0] as const) : fc.tuple(fc.oneof(word, fc.constant(5)), word);
const compare = (a: Position, b: Position) => a[0] - b[0] || a[1] - b[1];

function indexArbitrary(family: Family): fc.Arbitrary<IntervalIndex> {
  return fc.uniqueArray(position(family), { maxLength: 40, selector: (p) => p.join() }).map((positions) => {
    const starts = [[0, 0] as Position, ...positions.filter((p) => p[0] !== 0 || p[1] !== 0)].sort(compare);
    return {
      family,
      hi: Uint32Array.from(starts, ([hi]) => hi),
      lo: Uint32Array.from(family === 6 ? starts : [], ([, lo]) => lo),
      ranking: Uint32Array.from(starts, (_, i) => i % 2),
    };
  });
}
const families: readonly Family[] = [4, 6];

const bits = { 4: 32n, 6: 64n };
const joined = (family: Family, [hi, lo]: Position) => (family === 4 ? BigInt(hi) : (BigInt(hi) << 32n) | BigInt(lo));
const parted = (family: Family, value: bigint): Position =>
  family === 4 ? [Number(value), 0] : [Number(value >> 32n), Number(value & 0xffffffffn)];
const rangeOf = (index: IntervalIndex, at: number): readonly [bigint, bigint] => {
  const start = (i: number) => joined(index.family, [index.hi[i]!, index.lo[i] ?? 0]);
  return [start(at), at + 1 < index.hi.length ? start(at + 1) : 1n << bits[index.family]];
};
/** First address of the leaf and the first one after it. */
const leafOf = (index: IntervalIndex, address: bigint) => {
  const [hi, lo] = parted(index.family, address);
  const at = findInterval(index, hi, lo);
  const length = leafLength(index, at, hi, lo);
  const size = 1n << (bits[index.family] - BigInt(length));
  const first = address - (address % size);
  return { at, length, size, first, end: first + size };
};

describe.each(families)('index of v%i', (family) => {
  test('an address is found in the interval that holds it', () => {
    fc.assert(
      fc.property(indexArbitrary(family), position(family), (index, address) => {
        const [start, end] = rangeOf(index, findInterval(index, address[0], address[1]));
        const value = joined(family, address);
        expect(start <= value && value < end).toBe(true);
      }),
    );
  });

  test('a leaf lies inside its interval, and its parent does not: what flipping its last bit reaches differs', () => {
    fc.assert(
      fc.property(indexArbitrary(family), position(family), (index, address) => {
        const { at, length, size, first, end } = leafOf(index, joined(family, address));
        const [start, stop] = rangeOf(index, at);
        expect(start <= first && end <= stop).toBe(true);
        if (length === 0) {
          expect(index.hi.length).toBe(1);
          return;
        }
        const sibling = first ^ size;
        // Intervals are contiguous and neighbours differ: leaving this one anywhere meets another ranking.
        const ends = [sibling, sibling + size - 1n].map((value) => parted(family, value));
        expect(ends.some(([hi, lo]) => findInterval(index, hi, lo) !== at)).toBe(true);
      }),
    );
  });

  test('leaves cover the whole space, each address once', () => {
    fc.assert(
      fc.property(indexArbitrary(family), (index) => {
        let next = 0n;
        for (let leaves = 0; next < 1n << bits[family]; leaves++) {
          const leaf = leafOf(index, next);
          expect(leaf.first).toBe(next);
          next = leaf.end;
          expect(leaves).toBeLessThan(index.hi.length * 130);
        }
        expect(next).toBe(1n << bits[family]);
      }),
    );
  });
});

const group = (key: string): fc.Arbitrary<MapGroup> =>
  fc.record({
    key: fc.constant(key),
    width: fc.constant(3),
    rankings: fc.constant(Uint8Array.of(0, 1, 2, 2, 1, 255)),
    v4: indexArbitrary(4),
    v6: indexArbitrary(6),
  });

const cellTable = fc
  .tuple(
    fc.uniqueArray(
      uint32.map((hi) => (hi & 0xffffff00) >>> 0),
      { maxLength: 20 },
    ),
    fc.uniqueArray(
      fc.tuple(
        uint32,
        uint32.map((lo) => (lo & 0xffff0000) >>> 0),
      ),
      {
        maxLength: 20,
        selector: (p) => p.join(),
      },
    ),
    fc.nat(1000),
  )
  .map(([v4, v6, seed]): CellTable => {
    const sorted6 = v6.toSorted(compare);
    const entries = 3 * (v4.length + v6.length);
    const column = (by: number) => Uint16Array.from({ length: entries }, (_, i) => (i * by + seed) & 0xffff);
    return {
      v4: Uint32Array.from(v4).sort(),
      v6hi: Uint32Array.from(sorted6, ([hi]) => hi),
      v6lo: Uint32Array.from(sorted6, ([, lo]) => lo),
      estimate: column(7),
      low: column(5),
      high: column(11),
      n: column(1),
      tier: Uint8Array.from({ length: entries }, (_, i) => i % 6),
    };
  });

const maps: fc.Arbitrary<SteeringMap> = fc.record({
  createdAtMs: fc.nat(),
  pops: fc.constant(['iad', 'lon', 'sin']),
  sources: fc.constant(['rum', 'größe']),
  geoip: fc.constant('Example city 2026-06-05'),
  groups: fc.tuple(group('iad,lon,sin|eu|3|latency'), group('iad,lon,sin|us|1|geo')),
  cells: cellTable,
});

describe('bytes of a map', () => {
  test('hold everything, wherever they lie in a buffer', () => {
    fc.assert(
      fc.property(maps, fc.nat(9), (map, shift) => {
        const bytes = encodeMap(map);
        const buffer = new Uint8Array(bytes.length + shift);
        buffer.set(bytes, shift);
        expect(decodeMap(buffer.subarray(shift))).toEqual(map);
      }),
    );
  });

  test('answers need the head alone; estimates are read from the rest a row at a time', () => {
    fc.assert(
      fc.property(maps, (map) => {
        const bytes = encodeMap(map);
        const head = bytes.slice(0, mapHeadBytes(bytes.subarray(0, 16)));
        const read = decodeMap(head, { rest: (offset, length) => bytes.subarray(offset, offset + length) });
        const { groups, cells } = read;
        expect(groups).toEqual(map.groups);
        expect([cells.v4, cells.v6hi, cells.v6lo]).toEqual([map.cells.v4, map.cells.v6hi, map.cells.v6lo]);
        for (let cell = 0; cell < cells.v4.length + cells.v6hi.length; cell++) {
          const row = cellRow(map, cell)!;
          expect(cellRow(read, cell)).toEqual(row);
          expect(cells.weight![cell]).toBe(row.n.reduce((sum, n) => sum + n, 0));
          expect(cellRow(decodeMap(head, { rest: () => undefined }), cell)).toBeUndefined();
        }
        expect(() => decodeMap(head.subarray(0, -8), { rest: () => undefined })).toThrow('does not fit');
      }),
    );
  });

  test('format 1, without head and weights, is read', () => {
    fc.assert(
      fc.property(maps, (map) => {
        const bytes = encodeMap(map);
        const length = new DataView(bytes.buffer).getUint32(8, true);
        const header = JSON.parse(new TextDecoder().decode(bytes.slice(16, 16 + length)));
        header.sections.splice(6 * map.groups.length + 9, 2);
        header.sections.splice(6 * map.groups.length + 3, 1);
        const json = new TextEncoder().encode(JSON.stringify(header));
        const body = bytes.subarray((16 + length + 7) & ~7);
        const old = new Uint8Array(((12 + json.length + 7) & ~7) + body.length);
        old.set(bytes.subarray(0, 6));
        new DataView(old.buffer).setUint16(6, 1, true);
        new DataView(old.buffer).setUint32(8, json.length, true);
        old.set(json, 12);
        old.set(body, old.length - body.length);
        expect(mapHeadBytes(old)).toBe(Number.POSITIVE_INFINITY);
        expect(decodeMap(old)).toEqual(map);
        expect(decodeMap(old, { rest: () => undefined })).toEqual(map);
      }),
    );
  });

  test('damaged ones are refused as corrupt, or are a map in which every address has a ranking', () => {
    const edits = fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(maps, edits, fc.boolean(), fc.nat(60), (map, changes, inHeader, cut) => {
        const bytes = encodeMap(map);
        const end = inHeader ? 700 : bytes.length;
        for (const [where, value] of changes) bytes[Math.floor(where * end)] = value;
        expectCorruptOrSound(bytes.slice(0, bytes.length - (cut > 50 ? cut : 0)));
      }),
      { numRuns: 3_000 },
    );
  });

  test('any header at all is refused as corrupt, or is a sound map', () => {
    const good = encodeMap(fc.sample(maps, 1)[0]!);
    const length = new DataView(good.buffer).getUint32(8, true);
    const header = JSON.parse(new TextDecoder().decode(good.slice(16, 16 + length)));
    const anything = fc.oneof(fc.jsonValue(), fc.constant({}), fc.integer(), fc.constant([[1, 0, 1.5]]));
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(header)), anything, fc.boolean(), (key, value, whole) => {
        const json = new TextEncoder().encode(JSON.stringify(whole ? value : { ...header, [key]: value }));
        const bytes = new Uint8Array(((16 + json.length + 7) & ~7) + good.length);
        bytes.set(good.subarray(0, 16));
        new DataView(bytes.buffer).setUint32(8, json.length, true);
        bytes.set(json, 16);
        bytes.set(good.subarray((16 + length + 7) & ~7), (16 + json.length + 7) & ~7);
        expectCorruptOrSound(bytes);
      }),
      { numRuns: 2_000 },
    );
  });

  test('arbitrary bytes are refused as corrupt', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => expectCorruptOrSound(bytes)));
  });
});

function expectCorruptOrSound(bytes: Uint8Array): void {
  let map: SteeringMap;
  try {
    map = decodeMap(bytes);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(OperatingError);
    expect((thrown as OperatingError).code).toBe('ARTEFACT_CORRUPT');
    return;
  }
  const addresses: Address[] = [
    { family: 4, hi: 0, lo: 0 },
    { family: 4, hi: 0xffffffff, lo: 0 },
    { family: 6, hi: 0x20010db8, lo: 7 },
  ];
  for (const { key, rankings, width, v4, v6 } of map.groups) {
    expect(typeof key).toBe('string');
    for (const { family, hi, lo } of addresses) {
      const index = family === 4 ? v4 : v6;
      const at = findInterval(index, hi, lo);
      const row = rankings.subarray(index.ranking[at]! * width, (index.ranking[at]! + 1) * width);
      expect(row.length).toBe(width);
      const length = leafLength(index, at, hi, lo);
      expect(length >= 0 && length <= 64).toBe(true);
    }
  }
  expect(findCell(map.cells, addresses[0]!)).toBeLessThan(map.cells.v4.length + map.cells.v6hi.length);
}

test('a cell is found by any address in it, and by no other', () => {
  fc.assert(
    fc.property(cellTable, uint32, uint32, fc.nat(255), (cells, hi, lo, host) => {
      for (const [row, start] of cells.v4.entries()) {
        expect(findCell(cells, { family: 4, hi: start + host, lo: 0 })).toBe(row);
      }
      for (const [row, start] of cells.v6hi.entries()) {
        const found = findCell(cells, { family: 6, hi: start, lo: cells.v6lo[row]! + host });
        expect(found).toBe(cells.v4.length + row);
      }
      const stranger = cellOf({ family: 6, hi, lo });
      const isIn = cells.v6hi.some((start, i) => start === stranger.hi && cells.v6lo[i] === stranger.lo);
      if (!isIn) expect(findCell(cells, { family: 6, hi, lo })).toBe(-1);
    }),
  );
});

test('a map may say where resolvers’ clients are; groups that share arrays write them once', () => {
  const none = new Uint32Array(0);
  const start = Uint32Array.of(0);
  const index = {
    v4: { family: 4 as const, hi: start, lo: none, ranking: start },
    v6: { family: 6 as const, hi: start, lo: start, ranking: start },
  };
  const short = new Uint16Array(0);
  const cells = {
    v4: none,
    v6hi: none,
    v6lo: none,
    estimate: short,
    low: short,
    high: short,
    n: short,
    tier: new Uint8Array(0),
  };
  const group = (key: string): MapGroup => ({ key, width: 1, rankings: Uint8Array.of(0), ...index });
  const population = {
    v4: {
      family: 4 as const,
      hi: Uint32Array.of(0, 0xcb007100, 0xcb007200),
      lo: none,
      ranking: Uint32Array.of(0, 1, 0),
    },
    v6: index.v6,
    ...{ family: Uint8Array.of(4, 6), hi: Uint32Array.of(0, 0x20010db8), lo: Uint32Array.of(0, 0) },
  };
  const map: SteeringMap = {
    createdAtMs: 1,
    pops: ['lon'],
    sources: [],
    geoip: '',
    groups: [group('a'), group('b')],
    cells,
    population,
  };
  const bytes = encodeMap(map);
  expect(decodeMap(bytes)).toEqual(map);
  const apart = encodeMap({ ...map, groups: [group('a'), structuredClone(group('b'))] });
  expect(bytes.length).toBeLessThan(apart.length);
  const { population: _, ...without } = map;
  expect(decodeMap(encodeMap(without))).toEqual(without);
  const wrong = { ...population, v4: { ...population.v4, ranking: Uint32Array.of(0, 2, 0) } };
  expect(() => decodeMap(encodeMap({ ...map, population: wrong }))).toThrow('population: ranking 2 of 2');
});
