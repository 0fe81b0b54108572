/** Look-ups in intervals against a plain scan, on random cuts of the address space. */
import { formatPrefix, parseAddress, prefixOf } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { enclosingLength, findInterval, IntervalBuilder, type Intervals, indexIntervals } from './intervals.ts';

/** Numbers near the edges where look-ups go wrong: multiples of 2^16 and their neighbours, and any. */
const word = fc.oneof(
  fc.integer({ min: 0, max: 0xffff }).map((top) => top * 65_536),
  fc.integer({ min: 1, max: 0xffff }).map((top) => top * 65_536 - 1),
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constant(0xffff_ffff),
);

function cut(family: 4 | 6, starts: readonly (readonly [number, number])[]): Intervals<Int32Array> {
  const sorted = [...starts, [0, 0] as const].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const builder = new IntervalBuilder(family);
  let last = '';
  for (const [i, [hi, lo]] of sorted.entries()) {
    if (`${hi}/${lo}` !== last) builder.push(hi, lo, i);
    last = `${hi}/${lo}`;
  }
  return builder.finish();
}

function scan({ hi: starts, lo: startsLo }: Intervals<Int32Array>, hi: number, lo: number): number {
  let at = 0;
  while (at + 1 < starts.length && (starts[at + 1]! < hi || (starts[at + 1] === hi && (startsLo[at + 1] ?? 0) <= lo)))
    at++;
  return at;
}

test.each([4, 6] as const)('v%i: finds what a scan finds', (family) => {
  const pair = fc.tuple(word, family === 4 ? fc.constant(0) : word);
  fc.assert(
    fc.property(fc.array(pair, { maxLength: 200 }), fc.array(pair, { maxLength: 50 }), (starts, asked) => {
      const intervals = indexIntervals(cut(family, starts))!;
      for (const [hi, lo] of [...starts, ...asked]) {
        expect(findInterval(intervals, hi, lo)).toBe(scan(intervals, hi, lo));
      }
    }),
  );
});

test('v6: thousands of starts that share their first 32 bits', () => {
  const starts = Array.from({ length: 5_000 }, (_, i) => [0x20010db8, i * 7_919] as const);
  const intervals = indexIntervals(cut(6, starts))!;
  const { next } = seededRng('same hi');
  for (let i = 0; i < 2_000; i++) {
    const lo = Math.floor(next() * 5_000 * 7_919);
    expect(findInterval(intervals, 0x20010db8, lo)).toBe(scan(intervals, 0x20010db8, lo));
  }
});

test('neighbours of one value become one interval', () => {
  const builder = new IntervalBuilder(4);
  for (const [start, value] of [
    [0, 5],
    [10, 5],
    [20, 6],
    [30, 6],
    [40, 5],
  ] as const)
    builder.push(start, 0, value);
  expect([...builder.finish().hi]).toEqual([0, 20, 40]);
  expect([...builder.finish().value]).toEqual([5, 6, 5]);
});

test('more intervals than the builder starts with', () => {
  const builder = new IntervalBuilder(6);
  for (let i = 0; i < 200_000; i++) builder.push(i, i, i);
  const { hi, lo, value } = builder.finish();
  expect([hi.length, hi[199_999], lo[150_000], value[70_000]]).toEqual([200_000, 199_999, 150_000, 70_000]);
});

test.each([
  ['empty', { hi: [], value: [] }],
  ['not from 0', { hi: [1, 2], value: [0, 1] }],
  ['falling', { hi: [0, 9, 3], value: [0, 1, 2] }],
  ['the same twice', { hi: [0, 9, 9], value: [0, 1, 2] }],
  ['uneven', { hi: [0, 9], value: [0] }],
])('no index over intervals that are %s', (_, { hi, value }) => {
  const lo = new Uint32Array(0);
  expect(indexIntervals({ family: 4, hi: Uint32Array.from(hi), lo, value: Int32Array.from(value) })).toBeUndefined();
});

test('the prefix around an address is the largest block inside its interval', () => {
  const from = parseAddress('81.2.69.0')!.hi;
  const intervals = cut(4, [
    [from, 0],
    [from + 256, 0],
    [from + 256 + 160, 0],
  ]);
  const around = (text: string) => {
    const address = parseAddress(text)!;
    const length = enclosingLength(intervals, scan(intervals, address.hi, 0), address);
    return formatPrefix(prefixOf(address, length));
  };
  expect(around('81.2.69.160')).toBe('81.2.69.0/24');
  expect(around('81.2.70.5')).toBe('81.2.70.0/25');
  expect(around('81.2.70.130')).toBe('81.2.70.128/27');
  expect(around('81.2.70.160')).toBe('81.2.70.160/27');
  expect(around('81.2.68.255')).toBe('81.2.68.0/24');
  expect(around('0.0.0.0')).toBe('0.0.0.0/2');
  expect(enclosingLength(cut(4, []), 0, parseAddress('192.0.2.1')!)).toBe(0);
});

test.each([4, 6] as const)('v%i: the prefix lies inside, and one bit shorter does not', (family) => {
  const pair = fc.tuple(word, family === 4 ? fc.constant(0) : word);
  fc.assert(
    fc.property(fc.array(pair, { minLength: 1, maxLength: 30 }), pair, (starts, [hi, lo]) => {
      const intervals = cut(family, starts);
      const inside = (address: { hi: number; lo: number }) => scan(intervals, address.hi, address.lo);
      const at = inside({ hi, lo });
      const length = enclosingLength(intervals, at, { family, hi, lo });
      const ends = (bits: number) => {
        const first = prefixOf({ family, hi, lo }, bits);
        const last = {
          hi: bits >= 32 ? first.hi : (first.hi | (0xffff_ffff >>> bits)) >>> 0,
          lo: family === 4 ? 0 : bits <= 32 ? 0xffff_ffff : (first.lo | (2 ** (64 - bits) - 1)) >>> 0,
        };
        return [inside(first), inside(last)];
      };
      expect(ends(length)).toEqual([at, at]);
      if (length > 0) expect(ends(length - 1)).not.toEqual([at, at]);
    }),
  );
});
