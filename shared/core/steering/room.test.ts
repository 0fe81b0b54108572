import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wholeShare } from '../live.ts';
import { defaultRoom, nextShare, RoomShares } from './room.ts';

const room = defaultRoom;

describe('the next share', () => {
  it.each([
    ['under the hard limit, with little to gain: stays', 0.7, 0.93, 0.7],
    ['at the hard limit: stays', 0.7, 0.95, 0.7],
    ['above: by as much as it is above', 0.8, 1, 0.752],
    ['far above: one step', 1, 1.3, 0.9],
    ['between the limits: back up towards the hard one', 0.7, 0.85, 0.7 * (0.94 / 0.85)],
    ['between the limits, whole: stays whole', 1, 0.85, 1],
    ['under the soft limit: a step back to all', 0.5, 0.4, 0.6],
    ['under the soft limit, nearly whole: whole', 0.95, 0.4, 1],
    ['no load at all', 0.2, 0, 0.3],
  ])('%s', (_, share, load, expected) => {
    expect(nextShare(share, load, room)).toBeCloseTo(expected, 10);
  });
  it('is between none and all, and a step away at most', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 50, noNaN: true }),
        (share, load) => {
          const next = nextShare(share, load, room);
          expect(next).toBeGreaterThanOrEqual(0);
          expect(next).toBeLessThanOrEqual(1);
          expect(Math.abs(next - share)).toBeLessThanOrEqual(0.1 + 1e-9);
        },
      ),
    );
  });
});

describe('shares of PoPs', () => {
  it('step every 30 s of the wall clock, on the mean of the last ten seconds', () => {
    const shares = new RoomShares();
    shares.step(1_000, room);
    for (let second = 1; second < 30; second++) shares.observe('lon', second < 20 ? 0 : 1.2, second * 1_000);
    expect(shares.step(29_999, room)).toBe(false);
    expect(shares.step(30_000, room)).toBe(true);
    expect(shares.share('lon')).toBeCloseTo(0.9, 10);
    expect(shares.step(31_000, room)).toBe(false);
    expect(shares.leftMs(31_000)).toBe(29_000);
    expect(shares.words('lon', room)).toEqual({ shed: wholeShare - Math.floor(0.9 * wholeShare), band: 6_554 });
  });
  it('hold while a PoP does not tell its load', () => {
    const shares = new RoomShares();
    shares.adopt({ lon: 0.6, iad: 'half', sin: 7 });
    shares.step(1_000, room);
    shares.step(31_000, room);
    expect(shares.shares()).toEqual({ lon: 0.6 });
    expect(shares.share('iad')).toBe(1);
  });
  it('no band while nothing moves', () => {
    const shares = new RoomShares();
    shares.observe('lon', 0.5, 1_000);
    expect(shares.words('lon', room)).toEqual({ shed: 0, band: 0 });
    shares.observe('iad', 0.9, 1_000);
    expect(shares.words('iad', room).band).toBeGreaterThan(0);
  });
});
