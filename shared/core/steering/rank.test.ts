import { describe, expect, test } from 'vitest';
import { type CellCosts, createCosts, RankStates, stabilisation } from './rank.ts';

const nowMs = 1_764_000_000_000;
const base = Uint8Array.of(0, 1, 2);

function costs(values: readonly (number | undefined)[], { n = 30, spread = 1 } = {}): CellCosts {
  const out = createCosts(values.length);
  for (const [i, value] of values.entries()) {
    out.cost[i] = value ?? Number.NaN;
    out.low[i] = (value ?? 0) - spread;
    out.high[i] = (value ?? Number.POSITIVE_INFINITY) + spread;
    out.n[i] = value === undefined ? 0 : n;
  }
  return out;
}

function states(): RankStates {
  const made = new RankStates(3);
  made.reserve(1);
  return made;
}

const ranking = (made: RankStates) => (made.owned[0] === 1 ? [...made.ranking(0)] : 'base');

describe('the first decision', () => {
  test('is taken at once when own evidence decides with 95%', () => {
    const made = states();
    made.rank(0, base, costs([180, 75, 300]), 20, nowMs);
    expect(ranking(made)).toEqual([1, 0, 2]);
  });

  test('waits while the bound of the gain reaches zero', () => {
    const made = states();
    made.rank(0, base, costs([180, 75, 300], { spread: 60 }), 20, nowMs);
    expect(ranking(made)).toBe('base');
  });

  test('takes 13 samples, rounded', () => {
    const made = states();
    made.rank(0, base, costs([180, 75, 300], { n: 12 }), 20, nowMs);
    expect(ranking(made)).toBe('base');
    made.rank(0, base, costs([180, 75, 300], { n: 13 }), 20, nowMs);
    expect(ranking(made)).toEqual([1, 0, 2]);
  });

  test('may confirm the base, and the rest is then put in order', () => {
    const made = states();
    made.rank(0, base, costs([50, 90, 80]), 20, nowMs);
    expect(ranking(made)).toEqual([0, 2, 1]);
  });

  test('never goes to a PoP that is not known', () => {
    const made = states();
    made.rank(0, base, costs([500, undefined, undefined]), 20, nowMs);
    expect(ranking(made)).toBe('base');
  });
});

describe('a ranking of its own', () => {
  function owned(): RankStates {
    const made = states();
    made.rank(0, base, costs([180, 75, 300]), 20, nowMs);
    return made;
  }
  const laterMs = nowMs + stabilisation.dwellMs;

  test('moves on two builds with fresh samples after the dwell', () => {
    const made = owned();
    made.rank(0, base, costs([40, 75, 300]), 30, laterMs);
    expect(ranking(made)).toEqual([1, 0, 2]);
    made.rank(0, base, costs([40, 75, 300]), 31, laterMs + 1_000);
    expect(ranking(made)).toEqual([0, 1, 2]);
  });

  test('does not count builds without fresh samples', () => {
    const made = owned();
    for (let i = 0; i < 5; i++) made.rank(0, base, costs([40, 75, 300]), 30, laterMs + i);
    expect(ranking(made)).toEqual([1, 0, 2]);
  });

  test('stays before the dwell is over', () => {
    const made = owned();
    for (let i = 0; i < 5; i++) made.rank(0, base, costs([40, 75, 300]), 30 + i, laterMs - 10 + i);
    expect(ranking(made)).toEqual([1, 0, 2]);
    made.rank(0, base, costs([40, 75, 300]), 35, laterMs);
    expect(ranking(made)).toEqual([0, 1, 2]);
  });

  test('stays for a gain below 5 ms or 10%, or one that is not sure', () => {
    const made = owned();
    for (let i = 0; i < 5; i++) made.rank(0, base, costs([70, 75, 300]), 30 + i, laterMs + i);
    for (let i = 0; i < 5; i++) made.rank(0, base, costs([281, 300, 900]), 40 + i, laterMs + i);
    for (let i = 0; i < 5; i++) made.rank(0, base, costs([40, 75, 300], { spread: 20 }), 50 + i, laterMs + i);
    expect(ranking(made)).toEqual([1, 0, 2]);
  });

  test('forgets a challenger that lost a build between', () => {
    const made = owned();
    made.rank(0, base, costs([40, 75, 300]), 30, laterMs);
    made.rank(0, base, costs([74, 75, 300]), 31, laterMs);
    made.rank(0, base, costs([40, 75, 300]), 32, laterMs);
    expect(ranking(made)).toEqual([1, 0, 2]);
  });

  test('goes back to the base when its evidence has faded', () => {
    const made = owned();
    made.rank(0, base, costs([180, 75, 300], { n: 9 }), 30, laterMs);
    expect(ranking(made)).toBe('base');
  });
});
