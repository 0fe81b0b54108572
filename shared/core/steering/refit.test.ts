import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Asking, fits, fitting } from './capacity.ts';
import { findInterval, type MapGroup } from './map.ts';
import { refitted } from './refit.ts';

const pops = [3, 1, 0, 2];
const width = pops.length;
const hiOf = (unit: number) => 0x0a000000 + 256 * unit;

/** A group of adjacent /24s, each with a ranking of its own (places in `pops`). */
function groupOf(rankings: readonly (readonly number[])[]): MapGroup {
  return {
    key: 'k',
    width,
    rankings: Uint8Array.from(rankings.flatMap((ranking) => ranking.map((place) => pops[place]!))),
    v4: {
      family: 4,
      hi: Uint32Array.from([0, ...rankings.map((_, unit) => hiOf(unit)), hiOf(rankings.length)]),
      lo: new Uint32Array(0),
      ranking: Uint32Array.from([0, ...rankings.keys(), 0]),
    },
    v6: { family: 6, hi: Uint32Array.of(0), lo: Uint32Array.of(0), ranking: Uint32Array.of(0) },
  };
}

function rankingOf({ v4, rankings }: MapGroup, unit: number): Uint8Array {
  const row = v4.ranking[findInterval(v4, hiOf(unit), 0)]!;
  return rankings.subarray(row * width, (row + 1) * width).map((pop) => pops.indexOf(pop));
}

const order = fc.shuffledSubarray([0, 1, 2, 3], { minLength: width });
const costs = Float64Array.of(10, 20, 30, 40);

test('second choices fit at the loss of any one PoP, first ones stay, and what fits is left alone', () => {
  fc.assert(
    fc.property(fc.array(order, { minLength: 4, maxLength: 60 }), (rankings) => {
      const units = {
        count: rankings.length,
        family: new Uint8Array(rankings.length).fill(4),
        hi: Uint32Array.from(rankings, (_, unit) => hiOf(unit)),
        lo: new Uint32Array(rankings.length),
      };
      const group = groupOf(rankings);
      const demand = new Float64Array(rankings.length).fill(1);
      // As it was built, it had other rankings.
      const asking: Asking = { demand, width, choice: (_, step) => step, cost: (_, place) => costs[place]! };
      const load = pops.map((_, place) => rankings.filter(([first]) => first === place).length);
      // Room for what any one has, when it is shared out among the others.
      const free = Math.ceil(Math.max(...load) / (width - 1)) + 1;
      const hard = load.map((of) => (of + free) / fitting.share);
      const after = refitted(group, pops, asking, { soft: hard, hard }, units);
      const then = { ...asking, choice: (unit: number, step: number) => rankingOf(after, unit)[step]! };
      expect(fits(then, { soft: hard, hard })).toEqual({ first: true, second: true });
      for (const [unit, ranking] of rankings.entries()) {
        const now = rankingOf(after, unit);
        expect(now[0]).toBe(ranking[0]);
        expect([...now].sort()).toEqual([0, 1, 2, 3]);
      }
      expect(refitted(after, pops, asking, { soft: hard, hard }, units)).toBe(after);
      // Addresses around stay as they were.
      expect([...rankingOf(after, -1)]).toEqual(rankings[0]);
    }),
  );
});
