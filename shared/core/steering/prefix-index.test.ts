import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildPrefixIndex, findByPrefix, type Starts } from './prefix-index.ts';

/** The definition: the last start at or before the address. */
function oracle({ hi, lo, family }: Starts, h: number, l: number): number {
  let at = 0;
  for (let i = 0; i < hi.length; i++) if (hi[i]! < h || (hi[i] === h && (family === 4 || lo[i]! <= l))) at = i;
  return at;
}

function startsOf(family: 4 | 6, pairs: readonly (readonly [number, number])[]): Starts {
  const keys = new Set([0n, ...pairs.map(([hi, lo]) => (BigInt(hi) << 32n) | BigInt(family === 4 ? 0 : lo))]);
  const sorted = [...keys].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return {
    family,
    hi: Uint32Array.from(sorted, (key) => Number(key >> 32n)),
    lo: family === 4 ? new Uint32Array(0) : Uint32Array.from(sorted, (key) => Number(key & 0xffffffffn)),
  };
}

const word = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xffffffff),
);
/** Starts crowd in a few blocks, at several depths, as real prefixes do. */
const crowd = fc.record({
  hi: word,
  lo: word,
  hiBits: fc.integer({ min: 0, max: 32 }),
  loBits: fc.integer({ min: 0, max: 32 }),
  offsets: fc.array(fc.tuple(word, word), { maxLength: 120 }),
});
const keep = (value: number, bits: number, offset: number) =>
  (bits === 0 ? offset : bits === 32 ? value : ((value >>> (32 - bits)) << (32 - bits)) | (offset >>> bits)) >>> 0;
const pairs = fc
  .array(crowd, { minLength: 1, maxLength: 4 })
  .map((crowds) =>
    crowds.flatMap(({ hi, lo, hiBits, loBits, offsets }) =>
      offsets.map(([h, l]): [number, number] => [keep(hi, hiBits, h), keep(lo, loBits, l)]),
    ),
  );

describe('the prefix index', () => {
  test.each([4, 6] as const)('of family %i finds what a search of the whole list finds', (family) => {
    fc.assert(
      fc.property(pairs, fc.array(fc.tuple(word, word), { maxLength: 30 }), (list, others) => {
        const starts = startsOf(family, list);
        const words = buildPrefixIndex(starts);
        const near = list.flatMap(([hi, lo]): [number, number][] => [
          [hi, lo],
          [hi, (lo - 1) >>> 0],
          [(hi - 1) >>> 0, 0xffffffff],
        ]);
        for (const [hi, lo] of [...near, ...others]) {
          const l = family === 4 ? 0 : lo;
          expect(findByPrefix(words, starts, hi, l)).toBe(oracle(starts, hi, l));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('stays small: about a word a start', () => {
    const starts = startsOf(
      6,
      Array.from({ length: 50_000 }, (_, i) => [
        0x2a000000 + (i >> 4),
        Math.imul(i, 0x9e3779b1) & 0xffff0000 & 0x7fffffff,
      ]),
    );
    expect(buildPrefixIndex(starts).length).toBeLessThan(1.5 * starts.hi.length);
  });
});
