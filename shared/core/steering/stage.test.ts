import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Stage } from './stage.ts';

const windowMs = 600_000;
const always = () => true;
const move = (share: number, fits = always) => ({ share, fits });
const sum = (list: readonly { share: number }[]) => list.reduce((total, { share }) => total + share, 0);

const shares = fc.array(fc.double({ min: 0.0001, max: 0.2, noNaN: true }), { minLength: 1, maxLength: 40 });
const steps = fc.array(fc.record({ afterMs: fc.integer({ min: 1, max: 400_000 }), shares }), {
  minLength: 1,
  maxLength: 30,
});

describe('staging', () => {
  test('no window has more than the budget, or one move that is larger alone', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const stage = new Stage({ windowMs, share: 0.05, units: 0 });
        const went: { atMs: number; share: number }[] = [];
        let nowMs = 0;
        for (const { afterMs, shares: wanted } of list) {
          nowMs += afterMs;
          for (const { share } of stage.admit(
            wanted.map((share) => move(share)),
            nowMs,
          ))
            went.push({ atMs: nowMs, share });
          const window = went.filter(({ atMs }) => atMs > nowMs - windowMs);
          if (window.length !== 1) expect(sum(window)).toBeLessThanOrEqual(0.05 + 1e-9);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('something goes at once when nothing went, and the smallest is never stalled for longer than a window', () => {
    fc.assert(
      fc.property(shares, (wanted) => {
        const stage = new Stage({ windowMs, share: 0.05, units: 0 });
        expect(
          stage.admit(
            wanted.map((share) => move(share)),
            0,
          ).length,
        ).toBeGreaterThan(0);
        // Asked again and again: all of it goes in the end.
        let left = wanted.map((share) => move(share));
        let nowMs = windowMs;
        for (; left.length > 0; nowMs += 1_000) {
          const gone = stage.admit(left, nowMs);
          left = left.filter((one) => !gone.includes(one));
          expect(nowMs).toBeLessThan(3 * windowMs * (wanted.length + 1));
          // In between nothing is asked: steps of a second would take long.
          if (gone.length === 0) nowMs += windowMs / 10;
        }
      }),
      { numRuns: 200 },
    );
  });

  test('a large one is made room for, however many small ones come', () => {
    const stage = new Stage({ windowMs, share: 0.05, units: 0 });
    const large = move(0.3);
    let wentAtMs: number | undefined;
    for (let nowMs = 0; nowMs < 6 * windowMs && wentAtMs === undefined; nowMs += 10_000) {
      const gone = stage.admit([move(0.01), move(0.01), large], nowMs);
      if (gone.includes(large)) {
        wentAtMs = nowMs;
        expect(gone).toEqual([large]);
      }
    }
    expect(wentAtMs).toBeLessThanOrEqual(3 * windowMs);
  });

  test('what has no room waits, and others go before it', () => {
    const stage = new Stage({ windowMs, share: 0.05, units: 0 });
    const full = move(0.001, () => false);
    const other = move(0.04);
    expect(stage.admit([full, other], 0)).toEqual([other]);
    expect(stage.admit([full], windowMs)).toEqual([]);
  });

  test('so many units go whatever their share', () => {
    const stage = new Stage({ windowMs: 15_000, share: 0.05, units: 3 });
    const wanted = [0.2, 0.2, 0.2, 0.2].map((share) => move(share));
    expect(stage.admit(wanted, 0)).toHaveLength(3);
    expect(stage.admit(wanted.slice(3), 1)).toHaveLength(0);
    expect(stage.admit(wanted.slice(3), 15_000)).toHaveLength(1);
  });

  test('a restart is no way around it', () => {
    const stage = new Stage({ windowMs, share: 0.05, units: 0 });
    stage.adopt(100, 0.04, 0);
    expect(sum(stage.admit([move(0.02), move(0.01)], 200))).toBeCloseTo(0.01);
    expect(stage.spent(100 + windowMs)).toBeCloseTo(0.01);
  });
});
