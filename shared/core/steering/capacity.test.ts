import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Asking, assign, fit, type PopLimits } from './capacity.ts';
import { noPop } from './map.ts';

const pops = 4;

/** Units by their costs at each PoP; each ranks by them. */
function asks(costs: readonly (readonly number[])[], demand: readonly number[] = costs.map(() => 1)): Asking {
  const rankings = costs.map((of) => Uint8Array.from(of.keys()).sort((a, b) => of[a]! - of[b]! || a - b));
  return {
    demand: Float64Array.from(demand),
    width: costs[0]!.length,
    choice: (unit, step) => rankings[unit]![step]!,
    cost: (unit, pop) => costs[unit]![pop]!,
  };
}

/** One request a second each, so that nothing is lost by their size. */
const anyAsking = fc
  .array(fc.array(fc.integer({ min: 10, max: 200 }), { minLength: pops, maxLength: pops }), {
    minLength: 1,
    maxLength: 60,
  })
  .map((costs) => asks(costs));

function loads({ demand, choice, width }: Asking, stepOf: (unit: number) => number): number[] {
  const load = new Array<number>(width).fill(0);
  for (let unit = 0; unit < demand.length; unit++) load[choice(unit, stepOf(unit))]! += demand[unit]!;
  return load;
}

/** Room for all of them, shared out by chance. */
const anyRoom = (units: number, spare: number) =>
  fc.array(fc.integer({ min: 1, max: 9 }), { minLength: pops, maxLength: pops }).map((parts) => {
    const sum = parts.reduce((a, b) => a + b);
    return parts.map((part) => Math.ceil(((units * part) / sum) * spare));
  });

const withRoom = (spare: number) =>
  anyAsking.chain((asking) => fc.tuple(fc.constant(asking), anyRoom(asking.demand.length, spare)));

const hardOnly = (hard: readonly number[]): PopLimits => ({ soft: hard, hard });

/** The same with the rankings that fit. */
function fitted(asking: Asking, limits: PopLimits): Asking {
  const changed = fit(asking, limits);
  return { ...asking, choice: (unit, step) => changed.get(unit)?.[step] ?? asking.choice(unit, step) };
}

describe('deferred acceptance', () => {
  test('never goes over a limit when all that is asked for fits', () => {
    fc.assert(
      fc.property(withRoom(1), ([asking, limits]) => {
        const steps = assign(asking, hardOnly(limits));
        const load = loads(asking, (unit) => steps[unit]!);
        for (let pop = 0; pop < pops; pop++) expect(load[pop]).toBeLessThanOrEqual(limits[pop]!);
      }),
    );
  });

  test('is stable: no unit would rather be at a PoP that has room, or that holds one that would lose less', () => {
    fc.assert(
      fc.property(withRoom(1), ([asking, limits]) => {
        const steps = assign(asking, hardOnly(limits));
        const load = loads(asking, (unit) => steps[unit]!);
        const lossAt = (unit: number, step: number) =>
          step + 1 < pops
            ? asking.cost(unit, asking.choice(unit, step + 1)) - asking.cost(unit, asking.choice(unit, step))
            : Number.POSITIVE_INFINITY;
        for (let unit = 0; unit < asking.demand.length; unit++) {
          for (let step = 0; step < steps[unit]!; step++) {
            const pop = asking.choice(unit, step);
            expect(load[pop]! + 1).toBeGreaterThan(limits[pop]!);
            for (let other = 0; other < asking.demand.length; other++) {
              if (asking.choice(other, steps[other]!) !== pop) continue;
              const little = 0.1 * 200 + 5;
              expect(lossAt(other, steps[other]!) + little).toBeGreaterThanOrEqual(lossAt(unit, step));
            }
          }
        }
      }),
    );
  });

  test('sends away first those whose requests lose least, however many these are', () => {
    const asking = asks(
      [
        [10, 90],
        [10, 30],
        [10, 50],
      ],
      [1, 1.5, 1],
    );
    expect([...assign(asking, hardOnly([2, 5]))]).toEqual([0, 1, 0]);
  });

  test('between soft and hard only what loses next to nothing is sent away', () => {
    const asking = asks([
      [10, 90],
      [10, 12],
      [10, 60],
      [10, 40],
    ]);
    const steps = (soft: number, hard: number) => [...assign(asking, { soft: [soft, 9], hard: [hard, 9] })];
    expect(steps(4, 4)).toEqual([0, 0, 0, 0]);
    expect(steps(3, 4)).toEqual([0, 1, 0, 0]);
    expect(steps(2, 4)).toEqual([0, 1, 0, 0]);
    expect(steps(2, 3)).toEqual([0, 1, 0, 0]);
    expect(steps(2, 2)).toEqual([0, 1, 0, 1]);
  });

  test('a unit that is larger than a PoP drives nobody else away', () => {
    const asking = asks(
      [
        [10, 20, 300],
        [10, 90, 300],
      ],
      [5, 1],
    );
    expect([...assign(asking, hardOnly([4, 9, 9]))]).toEqual([1, 0]);
  });

  test('those who were sent away are sent away again before others that lose about as little', () => {
    const asking = asks([
      [10, 33],
      [10, 31],
    ]);
    const limits = hardOnly([1, 9]);
    expect([...assign(asking, limits)]).toEqual([0, 1]);
    expect([...assign({ ...asking, kept: (unit, step) => (unit === 0 ? 1 - step : noPop) }, limits)]).toEqual([1, 0]);
  });

  test('leaves everything as it is where there is room', () => {
    fc.assert(
      fc.property(anyAsking, (asking) => {
        expect(fit(asking, hardOnly(new Array(pops).fill(1_000))).size).toBe(0);
      }),
    );
  });

  test('keeps within limits whatever units ask for, when there is room for the largest everywhere', () => {
    const sized = fc.array(
      fc.tuple(
        fc.array(fc.integer({ min: 10, max: 200 }), { minLength: pops, maxLength: pops }),
        fc.integer({ min: 0, max: 10 }),
      ),
      { minLength: 1, maxLength: 60 },
    );
    fc.assert(
      fc.property(sized, (units) => {
        const demand = units.map(([, of]) => of);
        const asking = asks(
          units.map(([costs]) => costs),
          demand,
        );
        const limit = demand.reduce((a, b) => a + b, 0) / pops + 10;
        const load = loads(
          fitted(asking, { soft: new Array(pops).fill(0.8 * limit), hard: new Array(pops).fill(limit) }),
          () => 0,
        );
        for (const of of load) expect(of).toBeLessThanOrEqual(limit + 1e-6);
      }),
    );
  });

  test('after the loss of any one PoP the second choices fit, when the others have room for what it had', () => {
    fc.assert(
      fc.property(withRoom(1.2), ([asking, limits]) => {
        const fits = fitted(asking, hardOnly(limits));
        const first = loads(fits, () => 0);
        for (let lost = 0; lost < pops; lost++) {
          const left = limits.reduce((sum, limit, pop) => sum + (pop === lost ? 0 : limit - first[pop]!), 0);
          if (left < first[lost]!) continue;
          const load = loads(fits, (unit) => (fits.choice(unit, 0) === lost ? 1 : 0));
          for (let pop = 0; pop < pops; pop++) if (pop !== lost) expect(load[pop]).toBeLessThanOrEqual(limits[pop]!);
        }
      }),
    );
  });
});
