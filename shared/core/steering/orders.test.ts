import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createLive, forcePop, LiveState, liveBuffer, rowForce, rowStates } from '../live.ts';
import { forceOn } from './decide.ts';
import { ForceSlots, matchesGlob, mergeOrders, type Order, orderOf } from './orders.ts';

const force = (over: Partial<Order> = {}): Order => ({
  ...{ key: 'force/01', writtenMs: 1_000, untilMs: 100_000, undone: false, pop: 'lon', reason: 'test', by: 'me' },
  ...{ glob: 'www.shop.example', pin: false },
  ...over,
});

describe('globs', () => {
  it.each([
    ['www.shop.example', 'www.shop.example', true],
    ['*.shop.example', 'www.shop.example', true],
    ['*.shop.example', 'a.b.shop.example', true],
    ['*.shop.example', 'shop.example', false],
    ['*', 'anything', true],
    ['w?w.*', 'www.shop.example', true],
    ['w?w.*', 'ww.shop.example', false],
    ['*shop*', 'www.shop.example', true],
    ['', 'x', false],
    ['a*b*c', 'axxbxxbxxc', true],
  ])('%s and %s: %s', (glob, name, expected) => {
    expect(matchesGlob(glob, name)).toBe(expected);
  });
  it('agree with regular expressions', () => {
    const part = fc.constantFrom('a', 'b', '.', '*', '?');
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }),
        fc.array(fc.constantFrom('a', 'b', '.'), { maxLength: 10 }),
        (g, n) => {
          const pattern = g.map((one) => (one === '*' ? '.*' : one === '?' ? '.' : one === '.' ? '\\.' : one)).join('');
          expect(matchesGlob(g.join(''), n.join(''))).toBe(new RegExp(`^${pattern}$`).test(n.join('')));
        },
      ),
      { numRuns: 3_000 },
    );
  });
});

describe('merging', () => {
  const order = fc
    .record({
      key: fc.constantFrom('force/1', 'force/2', 'drain/lon'),
      writtenMs: fc.nat(5),
      untilMs: fc.nat(20),
      undone: fc.boolean(),
    })
    .map((over) => force({ ...over, pop: `${over.key}${over.writtenMs}` }));
  // One word has one content.
  const orders = fc.array(order).map((list) => {
    const byWord = new Map(list.map((one) => [`${one.key} ${one.writtenMs}`, one]));
    return [...byWord.values()];
  });
  it('comes to the same in any order, and again', () => {
    fc.assert(
      fc.property(orders, fc.nat(20), fc.nat(20), (all, cut, nowMs) => {
        const [a, b] = [all.slice(0, cut), all.slice(cut)];
        const sorted = (map: Map<string, Order>) => [...map.values()].toSorted((x, y) => (x.key < y.key ? -1 : 1));
        const one = mergeOrders(a, b, nowMs);
        expect(sorted(mergeOrders(b, a, nowMs))).toEqual(sorted(one));
        expect(sorted(mergeOrders(one.values(), a, nowMs))).toEqual(sorted(one));
      }),
    );
  });
  it('one that was taken back does not come back from a node that missed it', () => {
    const merged = mergeOrders([force()], [force({ writtenMs: 2_000, undone: true })], 5_000);
    expect(mergeOrders(merged.values(), [force()], 6_000).get('force/01')!.undone).toBe(true);
  });
  it('reads what other nodes wrote, and nothing else', () => {
    expect(orderOf({ key: 'force/01', value: force() })).toEqual(force());
    for (const value of [
      null,
      7,
      {},
      { ...force(), state: 'sideways' },
      { ...force(), pop: 3 },
      { ...force(), glob: 1 },
    ]) {
      expect(orderOf({ key: 'force/01', value })).toBeUndefined();
    }
    expect(orderOf({ key: 'drain/lon', value: { atMs: 0 } })).toBeUndefined();
  });
});

describe('in live state', () => {
  const names = ['www.shop.example.', 'api.shop.example.', 'other.example.'];
  const pops = ['lon', 'iad'];
  it('the newest that matches names the PoP; states add up; slots stay', () => {
    const live = createLive(liveBuffer(3));
    const slots = new ForceSlots();
    const old = force({ glob: '*.shop.example', pop: 'lon' });
    slots.write(live, [old], pops, names, 2_000);
    expect([0, 1, 2].map((row) => rowForce(live, row))).toEqual([1, 1, 0]);
    const next = force({ key: 'force/02', writtenMs: 3_000, glob: 'api.*', pop: 'iad' });
    const { pin: _, ...bare } = force({ key: 'force/03', writtenMs: 4_000, glob: '*', pop: 'iad' });
    slots.write(live, [old, next, { ...bare, state: 'down' }], pops, names, 4_000);
    expect([0, 1, 2].map((row) => forcePop(live, rowForce(live, row) - 1) % 2)).toEqual([0, 1, 0]);
    expect(rowForce(live, 0)).toBe(1);
    expect(rowForce(live, 2)).toBe(0);
    const slot = forceOn(live, rowStates(live, 2), 1);
    expect(slots.at(slot)!.key).toBe('force/03');
    expect(forceOn(live, rowStates(live, 2), 0)).toBe(-1);
    slots.write(live, [next, { ...old, undone: true }], pops, names, 5_000);
    expect([0, 1, 2].map((row) => rowForce(live, row))).toEqual([0, rowForce(live, 1), 0]);
    expect(forcePop(live, rowForce(live, 1) - 1)).toBe(1);
    slots.write(live, [], pops, names, 6_000);
    expect([0, 1, 2].map((row) => rowForce(live, row) + rowStates(live, row))).toEqual([0, 0, 0]);
  });
  it('of two on one PoP’s state the newer counts; one on an unknown PoP says nothing', () => {
    const live = createLive(liveBuffer(3));
    const slots = new ForceSlots();
    const { pin: _, ...bare } = force({ glob: '*' });
    const down: Order = { ...bare, state: 'down' };
    const up: Order = { ...bare, key: 'force/02', writtenMs: 2_000, state: 'up' };
    slots.write(live, [down, up, { ...down, key: 'force/03', pop: 'nowhere' }], pops, names, 3_000);
    const slot = forceOn(live, rowStates(live, 0), 0);
    expect(slots.at(slot)!.key).toBe('force/02');
    expect(LiveState.up).toBe(1);
  });
});
