/** The laws of voting. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CheckSettings } from './health.ts';
import { doubtedTargets, tally, type Verdict, type Vote } from './votes.ts';

const nowMs = 1_764_000_000_000;
const settings: CheckSettings = { intervalMs: 500, failures: 3, successes: 5, forgive: 3 };
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
  ['lon', 'iad', 'sin'].map((target) => [target, { state: 'up', holdMs: 0, sinceMs: 5, counted: 1, flippedAtMs: 0 }]),
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
    expect(states(tally(votes.flat(), [], allUp, settings, nowMs))).toEqual({ lon, iad, sin });
  });

  it('lets a lone node with one target keep the last state', () => {
    const last = new Map<string, Verdict>([
      ['lon', { state: 'up', holdMs: 0, sinceMs: 5, counted: 1, flippedAtMs: 0 }],
    ]);
    expect(states(tally([], see('dns', 'lon-'), last, settings, nowMs))).toEqual({ lon: 'up' });
    expect(states(tally([], see('dns', 'lon-'), new Map(), settings, nowMs))).toEqual({ lon: 'unknown' });
  });

  it('prefers own checks to what the store still has of them', () => {
    expect(states(tally(see('dns', 'lon+ iad+'), see('dns', 'lon- iad+'), new Map(), settings, nowMs))).toEqual({
      lon: 'down',
      iad: 'up',
    });
  });

  it('forgets votes after three intervals, then own checks decide alone', () => {
    const others = [...see('a', 'lon+ iad+'), ...see('b', 'lon+ iad+')];
    const own = (atMs: number) => see('dns', 'lon- iad+').map((one) => ({ ...one, atMs }));
    expect(states(tally(others, own(nowMs + 1500), new Map(), settings, nowMs + 1500)).lon).toBe('up');
    expect(states(tally(others, own(nowMs + 1501), new Map(), settings, nowMs + 1501)).lon).toBe('down');
  });

  it('keeps the last verdict, promised for one interval, when nobody is left', () => {
    expect(tally([], [], allUp, settings, nowMs).get('lon')).toEqual({
      state: 'up',
      holdMs: 500,
      sinceMs: 5,
      counted: 0,
      flippedAtMs: 0,
    });
  });

  it('promises no longer than any vote that counted, and dates the change', () => {
    const votes = [
      vote('a', 'lon', 'up', { holdMs: 1500, atMs: nowMs - 200 }),
      vote('b', 'lon', 'up', { holdMs: 500, atMs: nowMs - 900 }),
      vote('c', 'lon', 'up'),
    ];
    const verdictOf = (of: readonly Vote[], last = allUp) => tally(of, [], last, settings, nowMs).get('lon');
    expect(verdictOf(votes, new Map())).toEqual({ state: 'up', holdMs: 1, sinceMs: nowMs, counted: 3, flippedAtMs: 0 });
    expect(verdictOf(votes.slice(0, 1))).toEqual({ state: 'up', holdMs: 1300, sinceMs: 5, counted: 1, flippedAtMs: 0 });
  });

  it('is quiet while all have full credit, even where they disagree; not when a dissenter is about to expire', () => {
    const votes = [...see('a', 'lon- iad+ sin+'), ...see('b', 'lon+ iad+ sin+'), ...see('c', 'lon+ iad+ sin+')];
    const hold = (changed: readonly Vote[]) => tally(changed, [], allUp, settings, nowMs).get('lon')!.holdMs;
    expect(hold(votes)).toBe(0);
    const late = (vantage: string) =>
      votes.map((one) => (one.vantage === vantage ? { ...one, atMs: nowMs - 1100 } : one));
    expect(hold(late('b'))).toBe(400);
    // Those that agree flip nothing by leaving.
    expect(hold(late('b').filter(({ vantage }) => vantage !== 'a'))).toBe(0);
  });

  it('wants a majority of three where three could vote, and keeps the last verdict until then', () => {
    const others = ['a', 'b', 'c', 'd'].flatMap((vantage) => see(vantage, 'iad+ sin+'));
    const lon = (votes: readonly Vote[]) => tally([...others, ...votes], [], allUp, settings, nowMs).get('lon');
    expect(lon(see('a', 'lon-'))).toMatchObject({ state: 'up', counted: 0, holdMs: 500 });
    expect(lon([...see('a', 'lon-'), ...see('b', 'lon-')])).toMatchObject({ state: 'down', counted: 2 });
    expect(lon([...see('a', 'lon-'), ...see('b', 'lon+')])).toMatchObject({ state: 'up', counted: 0, flippedAtMs: 0 });
    // A PoP's own edge has no vote on it: of three vantages it leaves two, and the two are enough.
    const three = ['a', 'b', 'edge-lon'].flatMap((vantage) => see(vantage, 'iad+ sin+'));
    expect(tally([...three, ...see('a', 'lon-')], [], allUp, settings, nowMs).get('lon')!.state).toBe('up');
    const alone = see('a', 'lon- iad+ sin+');
    const self = see('edge-lon', 'iad+ sin+');
    expect(tally([...alone, ...self], [], allUp, settings, nowMs).get('lon')!.state).toBe('down');
  });

  it('believes those that suspect themselves about a PoP that nobody else can see', () => {
    // Four of seven dead. The edges left see at most half of their neighbours down, but nobody of them checks nrt.
    const all = 'lon- iad- fra- nrt- sin+ syd+ gru+';
    const votes = [...see('dns', all), ...see('probe', all), ...see('edge-sin', 'syd+ lon-')];
    const found = states(tally(votes, [], new Map(), settings, nowMs));
    expect(found).toMatchObject({ nrt: 'down', lon: 'down', syd: 'up' });
  });

  it('does not flip back sooner than a check could', () => {
    let last: ReadonlyMap<string, Verdict> = allUp;
    const at = (ms: number, sign: '+' | '-') => {
      const votes = ['a', 'b', 'c'].flatMap((vantage) => see(vantage, `lon${sign} iad+ sin+`));
      last = tally(
        votes.map((one) => ({ ...one, atMs: nowMs + ms })),
        [],
        last,
        settings,
        nowMs + ms,
      );
      const { state, holdMs } = last.get('lon')!;
      return [state, holdMs];
    };
    expect(at(0, '-')).toEqual(['down', 0]);
    expect(at(100, '+')).toEqual(['down', 2400]);
    expect(at(2400, '+')).toEqual(['down', 100]);
    expect(at(2500, '+')).toEqual(['up', 0]);
    expect(at(2600, '-')).toEqual(['up', 1400]);
    expect(at(4000, '-')).toEqual(['down', 0]);
    expect(at(60_000, '+')).toEqual(['up', 0]);
  });

  it('judges a service at a PoP by the votes on it, and no vantage by its checks of services', () => {
    const votes = ['a', 'b', 'c'].flatMap((vantage) => see(vantage, 'lon+ iad+ lon/shop- iad/shop- lon/x/y- iad/x/y+'));
    expect(states(tally(votes, [], new Map(), settings, nowMs))).toEqual({
      lon: 'up',
      iad: 'up',
      'lon/shop': 'down',
      'iad/shop': 'down',
      'lon/x/y': 'down',
      'iad/x/y': 'up',
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
    .map(
      (seen) =>
        new Map<string, Verdict>(
          targets.map((t, i) => [t, { state: seen[i]!, holdMs: 0, sinceMs: 1, counted: 1, flippedAtMs: 0 }]),
        ),
    );
  const down = (votes: readonly Vote[]) => votes.filter((one) => one.state === 'down').length;

  it('one vantage of three moves nothing that the two others agree on', () => {
    fc.assert(
      fc.property(ballot('a'), ballot('b'), anyLast, (truth, stray, last) => {
        const again = truth.map((one) => ({ ...one, vantage: 'c' }));
        const together = states(tally([...truth, ...again], [], last, settings, nowMs));
        // When most is down, a stray that sees otherwise disagrees: it is then the only one that does not suspect itself.
        fc.pre(down(truth) * 2 <= targets.length || down(stray) * 2 > targets.length);
        expect(states(tally([...truth, ...again, ...stray], [], last, settings, nowMs))).toEqual(together);
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
        expect(states(tally(votes, [], last, settings, nowMs))).toEqual(expected);
      }),
    );
  });

  it('order, repeats and expired votes change nothing; a second tally finds the same', () => {
    fc.assert(
      fc.property(ballot('a'), ballot('b'), ballot('c'), ballot('b'), anyLast, (a, b, c, old, last) => {
        const votes = [...a, ...b, ...c];
        const plain = tally(votes, [], last, settings, nowMs);
        const stale = old.map((one) => ({ ...one, atMs: nowMs - 1400 }));
        const gone = old.map((one) => ({ ...one, vantage: 'gone', atMs: nowMs - 1501 }));
        expect(tally([...gone, ...votes.toReversed(), ...stale], [], last, settings, nowMs)).toEqual(plain);
        expect(tally(votes, [], plain, settings, nowMs)).toEqual(plain);
      }),
    );
  });

  it('a node alone follows its own checks while at most half of its targets are down, else keeps what it had', () => {
    fc.assert(
      fc.property(ballot('dns'), anyLast, (own, last) => {
        const expected =
          down(own) * 2 > targets.length ? states(last) : Object.fromEntries(own.map((one) => [one.target, one.state]));
        expect(states(tally([], own, last, settings, nowMs))).toEqual(expected);
      }),
    );
  });
});

describe('what a check fails of', () => {
  it.each([
    ['one of several is enough', [see('a', 'lon- iad+ sin+'), see('b', 'lon+ iad+ sin+')], ['lon']],
    ['one that suspects itself is not', [see('a', 'lon- iad- sin+'), see('b', 'lon+ iad+ sin+')], []],
    ['nor one that is too old', [[vote('a', 'lon', 'down', { atMs: nowMs - 2_000 }), ...see('a', 'iad+ sin+')]], []],
  ])('%s', (_, votes, expected) => {
    expect([...doubtedTargets(votes.flat(), settings.intervalMs, nowMs)]).toEqual(expected);
  });
});
