import { parseAddress } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { describe, expect, it } from 'vitest';
import { Admitted, createRateTable, RateLimiter } from './rrl.ts';

const limiter = (answersPerSecond: number, slip = 2, table = createRateTable(7)) =>
  new RateLimiter(table, { answersPerSecond, slip });
const startMs = 1_764_000_000_000;
const admitted = (one: RateLimiter, address: string, nowMs: number, count: number): number => {
  const peer = parseAddress(address)!;
  let yes = 0;
  for (let i = 0; i < count; i++) if (one.admit(peer, 40, nowMs) === Admitted.yes) yes++;
  return yes;
};

describe('a network’s rate', () => {
  it.each([1, 3, 10, 333, 1_000, 50_000])(
    'of %i a second: a second’s worth at once, then that many a second',
    (limit) => {
      const one = limiter(limit);
      const first = admitted(one, '192.0.2.1', startMs, 2 * limit);
      expect(Math.abs(first - limit)).toBeLessThanOrEqual(1 + limit / 100);
      let after = 0;
      for (let ms = 1; ms <= 10_000; ms++)
        after += admitted(one, '192.0.2.1', startMs + ms, Math.ceil(limit / 500) + 1);
      expect(after / 10).toBeGreaterThan(0.95 * limit);
      expect(after / 10).toBeLessThan(1.05 * limit);
    },
  );
  it('0 is no limit', () => {
    expect(admitted(limiter(0), '192.0.2.1', startMs, 10_000)).toBe(10_000);
  });
  it('is of the /24 and the /56', () => {
    const one = limiter(10);
    expect(admitted(one, '192.0.2.1', startMs, 20)).toBe(10);
    expect(admitted(one, '192.0.2.255', startMs, 20)).toBe(0);
    expect(admitted(one, '192.0.3.0', startMs, 20)).toBe(10);
    expect(admitted(one, '2001:db8:1:2ff::1', startMs, 20)).toBe(10);
    expect(admitted(one, '2001:db8:1:200::9', startMs, 20)).toBe(0);
    expect(admitted(one, '2001:db8:1:300::9', startMs, 20)).toBe(10);
  });
  it('is forgotten after idling, for ages, and when the clock steps back', () => {
    const one = limiter(10);
    for (const ms of [0, 2_000, 4_294_967, 2 * 4_294_967 + 500_000, 30 * 86_400_000, -86_400_000]) {
      expect(admitted(one, '192.0.2.1', startMs + ms, 20)).toBe(10);
    }
  });
  it('is one over all threads', () => {
    const table = createRateTable(3);
    const [a, b] = [limiter(100, 2, table), limiter(100, 2, table)];
    expect(admitted(a, '192.0.2.1', startMs, 60) + admitted(b, '192.0.2.1', startMs, 60)).toBe(100);
  });
  it('stays over its limit while a flood from everywhere passes through the table', () => {
    const one = limiter(100);
    admitted(one, '192.0.2.1', startMs, 1_000);
    const rng = seededRng('flood');
    let through = 0;
    let strangers = 0;
    for (let i = 0; i < 500_000; i++) {
      const nowMs = startMs + Math.floor(i / 500);
      const peer = { family: 4, hi: Math.floor(rng.next() * 2 ** 32), lo: 0 } as const;
      if (one.admit(peer, 40, nowMs) === Admitted.yes) strangers++;
      if (i % 50 === 0) through += admitted(one, '192.0.2.1', nowMs, 1);
    }
    // A second passed: it gets what it may have in that, not more.
    expect(through).toBeLessThan(110);
    // And nobody else pays.
    expect(strangers).toBe(500_000);
  });
});

describe('slips', () => {
  it('one in so many, with no more bytes than came', () => {
    const one = limiter(10, 3);
    const peer = parseAddress('192.0.2.1')!;
    admitted(one, '192.0.2.1', startMs, 10);
    const all = Array.from({ length: 9 }, () => one.admit(peer, 40, startMs));
    const { no, slipped } = Admitted;
    expect(all).toEqual([no, no, slipped, no, no, slipped, no, no, slipped]);
    expect([one.afford(300), one.afford(61), one.afford(1)]).toEqual([true, false, true]);
  });
  it('credit is bounded', () => {
    const one = limiter(10, 1);
    admitted(one, '192.0.2.1', startMs, 10_000);
    expect([one.afford(4_096), one.afford(1)]).toEqual([true, false]);
  });
});
