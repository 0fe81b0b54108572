/** Hysteresis against a model. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Check, type CheckSettings, checkSettings, createCheck, fullCredit, holdMs, observe } from './health.ts';

const settings: CheckSettings = { intervalMs: 500, failures: 3, successes: 5, forgive: 3 };

function play(results: string, check: Check = createCheck(settings)): Check {
  let nowMs = check.atMs;
  for (const result of results) {
    nowMs += settings.intervalMs;
    observe(check, result === '+', nowMs);
  }
  return check;
}

describe('check', () => {
  it.each([
    ['', 'unknown', 500],
    ['+', 'up', 1500],
    ['-', 'down', 2500],
    ['+++', 'up', 0],
    ['---', 'down', 0],
    ['+++-', 'up', 1000],
    ['+++--', 'up', 500],
    ['+++---', 'down', 2500],
    ['+++-+-+-', 'down', 2500],
    ['+++--+++', 'up', 0],
    ['+++--+++--', 'up', 500],
    ['---++++', 'down', 500],
    ['---++++-++++', 'down', 500],
    ['---+++++', 'up', 1500],
    ['---+++++++', 'up', 0],
  ])('after %j is %s, sure for %d ms', (results, state, ms) => {
    const check = play(results);
    expect(check.state).toBe(state);
    expect(holdMs(check)).toBe(ms);
    expect(fullCredit(check)).toBe(ms === 0);
  });

  it('takes settings of the configuration', () => {
    expect(checkSettings({ intervalMs: 200, failures: 2, successes: 4 })).toEqual({
      intervalMs: 200,
      failures: 2,
      successes: 4,
      forgive: 2,
    });
  });

  const anySettings = fc.record({
    intervalMs: fc.integer({ min: 100, max: 5000 }),
    failures: fc.integer({ min: 1, max: 6 }),
    successes: fc.integer({ min: 1, max: 6 }),
    forgive: fc.integer({ min: 1, max: 6 }),
  });

  it('never flips before what holdMs promised', () => {
    fc.assert(
      fc.property(anySettings, fc.array(fc.boolean(), { maxLength: 60 }), (chosen, results) => {
        const check = createCheck(chosen);
        let sureUntil = 0;
        for (const [index, ok] of results.entries()) {
          const nowMs = index * chosen.intervalMs;
          const known = check.state !== 'unknown';
          if (observe(check, ok, nowMs) && known) expect(nowMs).toBeGreaterThanOrEqual(sureUntil);
          sureUntil = nowMs + holdMs(check);
          expect(holdMs(check)).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });

  it('flips after enough equal results from any history, and is settled after enough more', () => {
    fc.assert(
      fc.property(anySettings, fc.array(fc.boolean(), { maxLength: 60 }), fc.boolean(), (chosen, results, end) => {
        const check = createCheck(chosen);
        for (const ok of results) observe(check, ok, 0);
        for (let i = 0; i < (end ? chosen.successes : chosen.failures); i++) observe(check, end, 1);
        expect(check.state).toBe(end ? 'up' : 'down');
        for (let i = 0; i < chosen.forgive; i++) observe(check, end, 2);
        expect(holdMs(check)).toBe(0);
      }),
    );
  });
});
