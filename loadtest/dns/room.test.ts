import { describe, expect, it } from 'vitest';
import { jump, ramp, simulateRoom, summaryOf } from './room-world.ts';

describe('a PoP that is offered more than it can carry', () => {
  it.each(['a', 'b', 'c'])('settles at or under its hard limit as load rises from 75 to 120 percent (%s)', (seed) => {
    const { step, reversals, settled } = summaryOf(simulateRoom({ seed, offered: ramp, seconds: 3_600 }));
    expect(settled).toBeLessThanOrEqual(0.95);
    expect(settled).toBeGreaterThan(0.88);
    expect(step).toBeLessThanOrEqual(0.1 + 1e-9);
    expect(reversals).toBeLessThanOrEqual(1);
  });
  it.each(['a', 'b', 'c'])('and when it jumps (%s)', (seed) => {
    const { step, reversals, settled } = summaryOf(simulateRoom({ seed, offered: jump, seconds: 3_600 }));
    expect(settled).toBeLessThanOrEqual(0.95);
    expect(settled).toBeGreaterThan(0.88);
    expect(step).toBeLessThanOrEqual(0.1 + 1e-9);
    expect(reversals).toBeLessThanOrEqual(1);
  });
  it('takes everybody back once there is room', () => {
    const offered = (second: number) => (second < 1_800 ? 1.2 : 0.7);
    const points = simulateRoom({ seed: 'a', offered, seconds: 3_600 });
    expect(points.at(-1)!.share).toBe(1);
    expect(summaryOf(points).step).toBeLessThanOrEqual(0.1 + 1e-9);
  });
});
