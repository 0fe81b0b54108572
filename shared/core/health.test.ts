/** Hysteresis against a model, and the laws of voting. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Check,
  type CheckSettings,
  checkSettings,
  createCheck,
  fullCredit,
  holdMs,
  observe,
  tally,
  type Verdict,
  type Vote,
} from './health.ts';

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

const nowMs = 1_764_000_000_000;
const intervalMs = 500;
const vote = (vantage: string, target: string, state: 'up' | 'down', more: Partial<Vote> = {}): Vote => ({
  vantage,
  target,
  state,
  holdMs: 0,
  atMs: nowMs,
  ...more,
});
/** `see('probe', 'lon- iad+ sin+')` */
const see = (vantage: string, text: string): Vote[] =>
  text.split(' ').map((one) => vote(vantage, one.slice(0, -1), one.endsWith('+') ? 'up' : 'down'));
const states = (verdicts: Map<string, Verdict>): Record<string, string> =>
  Object.fromEntries([...verdicts].map(([target, verdict]) => [target, verdict.state]));
const allUp = new Map<string, Verdict>(
  ['lon', 'iad', 'sin'].map((target) => [target, { state: 'up', holdMs: 0, sinceMs: 5 }]),
);

describe('tally', () => {
  it.each([
    ['majority', [see('a', 'lon- iad+ sin+'), see('b', 'lon- iad+ sin+'), see('c', 'lon+ iad+ sin+')], 'down up up'],
    ['a tie is up', [see('a', 'lon- iad+ sin+'), see('b', 'lon+ iad+ sin+')], 'up up up'],
    ['one that is cut off abstains', [see('a', 'lon- iad- sin-'), see('b', 'lon+ iad+ sin+')], 'up up up'],
    ['it abstains on the one it sees too', [see('a', 'lon- iad- sin+'), see('b', 'lon+ iad+ sin-')], 'up up down'],
    [
      'two cut off do not outvote one that sees',
      [see('a', 'lon- iad- sin-'), see('b', 'lon- iad- sin-'), see('c', 'lon- iad+ sin+')],
      'down up up',
    ],
    [
      'two that suspect themselves are believed',
      [see('a', 'lon- iad- sin-'), see('b', 'lon- iad- sin-')],
      'down down down',
    ],
    ['… each target by their majority', [see('a', 'lon- iad- sin+'), see('b', 'lon- iad- sin-')], 'down down up'],
    ['a lone one that suspects itself keeps the last state', [see('a', 'lon- iad- sin-')], 'up up up'],
    ['a lone one decides alone', [see('a', 'lon- iad+ sin+')], 'down up up'],
  ])('%s', (_, votes, expected) => {
    const [lon, iad, sin] = expected.split(' ');
    expect(states(tally(votes.flat(), [], allUp, intervalMs, nowMs))).toEqual({ lon, iad, sin });
  });

  it('lets a lone node with one target keep the last state', () => {
    const last = new Map<string, Verdict>([['lon', { state: 'up', holdMs: 0, sinceMs: 5 }]]);
    expect(states(tally([], see('dns', 'lon-'), last, intervalMs, nowMs))).toEqual({ lon: 'up' });
    expect(states(tally([], see('dns', 'lon-'), new Map(), intervalMs, nowMs))).toEqual({ lon: 'unknown' });
  });

  it('prefers own checks to what the store still has of them', () => {
    expect(states(tally(see('dns', 'lon+ iad+'), see('dns', 'lon- iad+'), new Map(), intervalMs, nowMs))).toEqual({
      lon: 'down',
      iad: 'up',
    });
  });

  it('forgets votes after three intervals, then own checks decide alone', () => {
    const others = [...see('a', 'lon+ iad+'), ...see('b', 'lon+ iad+')];
    const own = (atMs: number) => see('dns', 'lon- iad+').map((one) => ({ ...one, atMs }));
    expect(states(tally(others, own(nowMs + 1500), new Map(), intervalMs, nowMs + 1500)).lon).toBe('up');
    expect(states(tally(others, own(nowMs + 1501), new Map(), intervalMs, nowMs + 1501)).lon).toBe('down');
  });

  it('keeps the last verdict, promised for one interval, when nobody is left', () => {
    expect(tally([], [], allUp, intervalMs, nowMs).get('lon')).toEqual({ state: 'up', holdMs: 500, sinceMs: 5 });
  });

  it('promises no longer than any vote that counted, and dates the change', () => {
    const votes = [
      vote('a', 'lon', 'up', { holdMs: 1500, atMs: nowMs - 200 }),
      vote('b', 'lon', 'up', { holdMs: 500, atMs: nowMs - 900 }),
      vote('c', 'lon', 'up'),
    ];
    expect(tally(votes, [], new Map(), intervalMs, nowMs).get('lon')).toEqual({
      state: 'up',
      holdMs: 1,
      sinceMs: nowMs,
    });
    expect(tally(votes.slice(0, 1), [], allUp, intervalMs, nowMs).get('lon')).toEqual({
      state: 'up',
      holdMs: 1300,
      sinceMs: 5,
    });
  });
});

describe('laws of voting', () => {
  const targets = ['lon', 'iad', 'sin', 'fra', 'nrt'];
  const state = fc.constantFrom<'up' | 'down'>('up', 'down');
  const ballot = (vantage: string) =>
    fc
      .array(state, { minLength: targets.length, maxLength: targets.length })
      .map((seen) => targets.map((target, i) => vote(vantage, target, seen[i]!)));
  const anyLast = fc
    .array(state, { minLength: targets.length, maxLength: targets.length })
    .map((seen) => new Map<string, Verdict>(targets.map((t, i) => [t, { state: seen[i]!, holdMs: 0, sinceMs: 1 }])));
  const down = (votes: readonly Vote[]) => votes.filter((one) => one.state === 'down').length;

  it('one vantage of three moves nothing that the two others agree on', () => {
    fc.assert(
      fc.property(ballot('a'), ballot('b'), anyLast, (truth, stray, last) => {
        const again = truth.map((one) => ({ ...one, vantage: 'c' }));
        const together = states(tally([...truth, ...again], [], last, intervalMs, nowMs));
        // When most is down, a stray that sees otherwise disagrees: it is then the only one that does not suspect itself.
        fc.pre(down(truth) * 2 <= targets.length || down(stray) * 2 > targets.length);
        expect(states(tally([...truth, ...again, ...stray], [], last, intervalMs, nowMs))).toEqual(together);
      }),
    );
  });

  it('what two or more vantages all see is so, even when everything is down', () => {
    fc.assert(
      fc.property(ballot('a'), fc.integer({ min: 2, max: 6 }), anyLast, (truth, count, last) => {
        const votes = Array.from({ length: count }, (_, i) =>
          truth.map((one) => ({ ...one, vantage: `v${i}` })),
        ).flat();
        const expected = Object.fromEntries(truth.map((one) => [one.target, one.state]));
        expect(states(tally(votes, [], last, intervalMs, nowMs))).toEqual(expected);
      }),
    );
  });

  it('order, repeats and expired votes change nothing; a second tally finds the same', () => {
    fc.assert(
      fc.property(ballot('a'), ballot('b'), ballot('c'), ballot('b'), anyLast, (a, b, c, old, last) => {
        const votes = [...a, ...b, ...c];
        const plain = tally(votes, [], last, intervalMs, nowMs);
        const stale = old.map((one) => ({ ...one, atMs: nowMs - 1400 }));
        const gone = old.map((one) => ({ ...one, vantage: 'gone', atMs: nowMs - 1501 }));
        expect(tally([...gone, ...votes.toReversed(), ...stale], [], last, intervalMs, nowMs)).toEqual(plain);
        expect(tally(votes, [], plain, intervalMs, nowMs)).toEqual(plain);
      }),
    );
  });

  it('a node alone follows its own checks while at most half of its targets are down, else keeps what it had', () => {
    fc.assert(
      fc.property(ballot('dns'), anyLast, (own, last) => {
        const expected =
          down(own) * 2 > targets.length ? states(last) : Object.fromEntries(own.map((one) => [one.target, one.state]));
        expect(states(tally([], own, last, intervalMs, nowMs))).toEqual(expected);
      }),
    );
  });
});
