import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Asking, assign, fit } from './capacity.ts';

const pops = 4;
/** Cells of one request a second each, so that nothing is lost by their size. */
const anyAsking = fc
  .array(fc.array(fc.integer({ min: 10, max: 200 }), { minLength: pops, maxLength: pops }), {
    minLength: 1,
    maxLength: 60,
  })
  .map((costs): Asking => {
    const rankings = costs.flatMap((of) => of.map((_, pop) => pop).sort((a, b) => of[a]! - of[b]! || a - b));
    return {
      demand: new Float64Array(costs.length).fill(1),
      rankings: Uint8Array.from(rankings),
      width: pops,
      costs: Float32Array.from(costs.flat()),
      pops,
    };
  });

function loads({ demand, rankings, width }: Asking, choice: (cell: number) => number): number[] {
  const load = new Array<number>(pops).fill(0);
  for (let cell = 0; cell < demand.length; cell++) load[rankings[cell * width + choice(cell)]!]! += demand[cell]!;
  return load;
}

/** Room for all of them, shared out by chance. */
const anyRoom = (cells: number, spare: number) =>
  fc.array(fc.integer({ min: 1, max: 9 }), { minLength: pops, maxLength: pops }).map((parts) => {
    const sum = parts.reduce((a, b) => a + b);
    return parts.map((part) => Math.ceil(((cells * part) / sum) * spare));
  });

describe('deferred acceptance', () => {
  test('never goes over a limit when all that is asked for fits', () => {
    fc.assert(
      fc.property(
        anyAsking.chain((asking) => fc.tuple(fc.constant(asking), anyRoom(asking.demand.length, 1))),
        ([asking, limits]) => {
          const steps = assign(asking, limits);
          const load = loads(asking, (cell) => steps[cell]!);
          for (let pop = 0; pop < pops; pop++) expect(load[pop]).toBeLessThanOrEqual(limits[pop]!);
        },
      ),
    );
  });

  test('is stable: no cell would rather be at a PoP that has room', () => {
    fc.assert(
      fc.property(
        anyAsking.chain((asking) => fc.tuple(fc.constant(asking), anyRoom(asking.demand.length, 1))),
        ([asking, limits]) => {
          const steps = assign(asking, limits);
          const load = loads(asking, (cell) => steps[cell]!);
          for (let cell = 0; cell < asking.demand.length; cell++) {
            for (let step = 0; step < steps[cell]!; step++) {
              const pop = asking.rankings[cell * pops + step]!;
              expect(load[pop]! + 1).toBeGreaterThan(limits[pop]!);
            }
          }
        },
      ),
    );
  });

  test('sends away first what loses least', () => {
    const asking: Asking = {
      demand: Float64Array.of(1, 1, 1),
      rankings: Uint8Array.of(0, 1, 0, 1, 0, 1),
      width: 2,
      costs: Float32Array.of(10, 90, 10, 12, 10, 50),
      pops: 2,
    };
    expect([...assign(asking, [2, 5])]).toEqual([0, 1, 0]);
  });

  test('leaves everything as it is where there is room', () => {
    fc.assert(
      fc.property(anyAsking, (asking) => {
        const before = asking.rankings.slice();
        expect(fit(asking, new Array(pops).fill(1_000))).toBe(false);
        expect(asking.rankings).toEqual(before);
      }),
    );
  });

  test('after the loss of any one PoP the second choices fit, when the others have room for what it had', () => {
    fc.assert(
      fc.property(
        anyAsking.chain((asking) => fc.tuple(fc.constant(asking), anyRoom(asking.demand.length, 1.2))),
        ([asking, limits]) => {
          fit(asking, limits);
          const first = loads(asking, () => 0);
          for (let lost = 0; lost < pops; lost++) {
            const left = limits.reduce((sum, limit, pop) => sum + (pop === lost ? 0 : limit - first[pop]!), 0);
            if (left < first[lost]!) continue;
            const load = loads(asking, (cell) => (asking.rankings[cell * pops] === lost ? 1 : 0));
            for (let pop = 0; pop < pops; pop++) if (pop !== lost) expect(load[pop]).toBeLessThanOrEqual(limits[pop]!);
          }
        },
      ),
    );
  });
});
