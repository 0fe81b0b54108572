/** The short way to what is ordinary says what the search does. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findInterval, type IntervalIndex, leafLength } from '../steering/map.ts';
import { Kind, ordinary4, ordinary6, v4Blocks, v6Blocks } from './blocks.ts';

const word = fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.constantFrom(0, 0xffffffff));

describe('what is ordinary by its first bits', () => {
  const holds = (index: IntervalIndex, table: Uint8Array, shift: number, hi: number, lo: number): void => {
    const short = table[hi >>> shift]!;
    if (short === 0) return;
    const at = findInterval(index, hi, lo);
    expect(index.ranking[at]).toBe(Kind.ordinary);
    expect(short - 1).toBe(leafLength(index, at, hi, lo));
  };

  it('v4', () => {
    fc.assert(
      fc.property(word, (hi) => holds(v4Blocks, ordinary4, 24, hi, 0)),
      { numRuns: 20_000 },
    );
    expect(ordinary4.filter((one) => one === 0)).toHaveLength(40);
  });

  it('v6, at each block of 16 bits', () => {
    fc.assert(
      fc.property(word, word, (hi, lo) => holds(v6Blocks, ordinary6, 16, hi, lo)),
      { numRuns: 20_000 },
    );
    for (let block = 0; block < 65_536; block++) {
      for (const [hi, lo] of [
        [block * 65_536, 0],
        [block * 65_536 + 0xffff, 0xffffffff],
      ] as const) {
        holds(v6Blocks, ordinary6, 16, hi, lo);
      }
    }
    for (const block of [0x2400, 0x2600, 0x2a02, 0x2804, 0x2c0f]) expect(ordinary6[block]).not.toBe(0);
    expect(ordinary6[0x2001]).toBe(0);
  });
});
