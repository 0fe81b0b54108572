/** What `ufes explain` understands, and what it shows on a terminal. */
import type { Explanation, PopExplanation } from '@ufes/core/steering/explanation.ts';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../command.ts';
import { timeOf } from './explain.ts';
import { explanationText } from './explain-text.ts';

const atMs = Date.parse('2026-11-24T10:00:00Z');

describe('--at', () => {
  test.each([
    ['-90s', '2026-11-24T09:58:30.000Z'],
    ['-2h', '2026-11-24T08:00:00.000Z'],
    ['-1.5d', '2026-11-22T22:00:00.000Z'],
    ['2026-11-24T09:30:00Z', '2026-11-24T09:30:00.000Z'],
    ['2026-11-24T09:30', '2026-11-24T09:30:00.000Z'],
    ['2026-11-24 09:30:15.25', '2026-11-24T09:30:15.250Z'],
    ['2026-11-24T09:30:00+02:00', '2026-11-24T07:30:00.000Z'],
    ['2026-11-23', '2026-11-23T00:00:00.000Z'],
  ])('%s', (text, expected) => {
    expect(new Date(timeOf(text, atMs)).toISOString()).toBe(expected);
  });

  test.each(['yesterday', '2h', '-2', '-2hours', '2026-13-01', '10:00', '2026-11-24T11:00:00Z', '-'])(
    '%s is refused',
    (text) => {
      expect(() => timeOf(text, atMs)).toThrow(UsageError);
    },
  );
});

const pop = (number: number, over: Partial<PopExplanation> = {}): PopExplanation => ({
  pop: number === 3 ? 'europe-west-frankfurt-3' : `p${number}`,
  rank: number + 1,
  chosen: false,
  by: '',
  passed: '',
  loadPerMille: 500,
  keeps: 1,
  state: 'up',
  sinceSeconds: 1,
  vips: [],
  health: {
    state: 'up',
    sinceMs: atMs - 3_600_000,
    counted: 2,
    votes: [{ vantage: 'dns', state: 'up', atMs: atMs - 300 }],
  },
  estimate: { clientMs: 12.3, lowMs: 10, highMs: 10_000, n: 40, tier: 'prior', backboneMs: 20, costMs: 57 },
  ...over,
});

const said: Explanation = {
  atMs,
  node: 'dns',
  name: 'www.shop.example.',
  asked: 'www.shop.example.',
  zone: 'shop.example.',
  client: '192.0.2.0/24',
  resolver: '198.51.100.53',
  type: 'A',
  service: 'shop',
  owner: 'config',
  why: 'map',
  evidence: 'client subnet',
  placed: '192.0.2.0/24',
  control: false,
  map: { version: '1764000000000-a1b2c3', ageSeconds: 14, sources: ['rum'], geoip: 'test 2026-11' },
  desired: { version: '1763999000000-a1b2c3', ageSeconds: 7_000 },
  prefix: '192.0.0.0/22',
  scope: 24,
  cell: '192.0.2.0/24',
  ttlSeconds: 5,
  ttl: { minSeconds: 5, maxSeconds: 60, why: 'the state of a PoP can change', pop: 'p1', endsMs: atMs + 3_000 },
  answers: ['203.0.113.3'],
  message: { query: '', answer: Buffer.alloc(64).toString('base64'), rcode: 'NOERROR' },
  pops: Array.from({ length: 30 }, (_, i) =>
    i === 0
      ? pop(i, { state: 'down', passed: 'down' })
      : i === 1
        ? pop(i, {
            state: 'draining',
            passed: 'draining',
            drain: { untilMs: atMs + 60_000, by: 'ada', reason: 'a new switch' },
          })
        : i === 3
          ? pop(i, { chosen: true, by: 'map' })
          : pop(i),
  ),
};

describe('on a terminal', () => {
  test.each([80, 120])('of %d columns nothing runs over', (columns) => {
    const lines = explanationText(said, columns).split('\n');
    expect(lines.filter((line) => line.length > columns)).toEqual([]);
  });

  test('says who was passed over and why, what limits the TTL, and what the rest of 30 PoPs is', () => {
    const text = explanationText(said, 120);
    expect(text).toContain('map, ranked 4th; passed over: p0 (down), p1 (draining)');
    expect(text).toContain('5 s of 5–60 s: the state of a PoP can change (p1, in 3 s)');
    expect(text).toContain(
      'p1: drains until 2026-11-24T10:01:00Z, by ada: a new switch; checks: up for 60 min, 2 votes (dns up 0.3 s ago)',
    );
    expect(text).toContain('and 21 more below, not reached');
    expect(text).toContain('10.0–∞');
    expect(text).toContain('now, 2026-11-24T10:00:00Z, as dns answers');
  });

  test('says what keeps a PoP from being first, and what does not fit the place', () => {
    const pops = said.pops.map((one, i) => (i === 2 ? { ...one, guard: 'slow' as const } : one));
    const quarantined = { p4: { samples: 12, ms: 3.5, lastAtMs: atMs } };
    const text = explanationText({ ...said, pops, isDisputed: true, quarantined }, 200);
    expect(text).toContain('p2: not first: every fourth request takes more than 1.5 times as long');
    expect(text).toContain(
      'edges time it faster than light from its place: GeoIP counts for nothing; 12 round trips to p4',
    );
  });

  test('says when nothing is measured, of then and of now, and that there is no map', () => {
    const { map: _, cell: __, ...rest } = said;
    const bare = rest.pops.map(({ estimate: _, health: __, ...one }) => one);
    const now = explanationText({ ...rest, pops: bare }, 80);
    expect(now).toContain('no estimates');
    expect(now).toContain('none: the order of the configuration');
    const then = explanationText({ ...rest, pops: bare, past: { sinceMs: atMs - 1_000 } }, 80);
    expect(then).toContain('the map of then has no estimate of this client itself');
    expect(then).toContain('as dns answered');
  });
});
