/** How votes, external verdicts and drains are merged. */
import { describe, expect, it } from 'vitest';
import { believe, both, type ExternalVerdict, mergeExternal, readDrains, readExternal } from './belief.ts';
import { LiveState } from './live.ts';
import type { LiveEntry } from './ports.ts';
import type { Verdict } from './votes.ts';

const nowMs = 1_764_000_000_000;
const votes = (state: Verdict['state'], holdMs = 0): Verdict => ({
  state,
  holdMs,
  sinceMs: nowMs - 900,
  counted: 3,
  flippedAtMs: 0,
});
const said = (
  state: ExternalVerdict['state'],
  leftMs = 60_000,
  more: Partial<ExternalVerdict> = {},
): ExternalVerdict => ({
  target: 'lon',
  state,
  reason: 'fire drill',
  by: 'ops',
  atMs: nowMs - 500,
  untilMs: nowMs + leftMs,
  ...more,
});
const { up, down, draining, unknown } = LiveState;

describe('believe', () => {
  it.each([
    ['votes alone', votes('up'), undefined, undefined, up, 0],
    ['votes alone, a flip in sight', votes('down', 700), undefined, undefined, down, 700],
    ['nobody knows', votes('unknown', 500), undefined, undefined, unknown, 500],
    ['external down over votes', votes('up'), said('down'), undefined, down, 60_000],
    ['external up over votes', votes('down'), said('up'), undefined, up, 60_000],
    ['the same as the votes, and they are sure', votes('down'), said('down'), undefined, down, 0],
    ['the same, votes may flip once it has ended', votes('down', 500), said('down'), undefined, down, 60_000],
    ['… or later still', votes('down', 2_500), said('down', 1_000), undefined, down, 2_500],
    ['taken back', votes('up'), said('none'), undefined, up, 0],
    ['ended', votes('up'), said('down', 0), undefined, up, 0],
    ['drain in force', votes('up'), undefined, { pop: 'lon', atMs: 0 }, draining, 0],
    ['drain of one that is down', votes('down'), undefined, { pop: 'lon', atMs: 0 }, down, 0],
    ['drain announced', votes('up'), undefined, { pop: 'lon', atMs: nowMs + 8_000 }, up, 8_000],
    ['drain announced, a flip sooner', votes('up', 500), undefined, { pop: 'lon', atMs: nowMs + 8_000 }, up, 500],
    ['drain with an end', votes('up'), undefined, { pop: 'lon', atMs: 1, untilMs: nowMs + 4_000 }, draining, 4_000],
    ['drain that has ended', votes('up'), undefined, { pop: 'lon', atMs: 1, untilMs: nowMs }, up, 0],
    ['drain under an external up', votes('down'), said('up'), { pop: 'lon', atMs: 0 }, draining, 60_000],
  ])('%s', (_, given, external, drain, state, holdMs) => {
    expect(believe(given, external, drain, nowMs)).toMatchObject({ state, holdMs });
  });

  it('a service is down at a PoP when either is, and no surer than the less sure', () => {
    expect(both(votes('up', 900), undefined)).toEqual(votes('up', 900));
    expect(both(votes('up'), votes('down', 300))).toMatchObject({ state: 'down', holdMs: 300 });
    expect(both(votes('down', 700), votes('up'))).toMatchObject({ state: 'down', holdMs: 700 });
    expect(both(votes('up'), votes('unknown', 500))).toMatchObject({ state: 'unknown', holdMs: 500 });
    expect(both(votes('up', 900), votes('up', 400))).toMatchObject({ state: 'up', holdMs: 400 });
    expect(both(votes('up'), votes('up'))).toMatchObject({ state: 'up', holdMs: 0 });
  });
});

describe('external verdicts', () => {
  const entry = (key: string, value: unknown): LiveEntry => ({ key, value, writtenAtMs: 1, expiresAtMs: 2 });

  it('stay when the store has lost them, until they end or a later word', () => {
    const known = [said('down'), said('up', 100, { target: 'iad' })];
    expect([...mergeExternal(known, [], nowMs).keys()]).toEqual(['lon', 'iad']);
    expect([...mergeExternal(known, [], nowMs + 100).keys()]).toEqual(['lon']);
    const older = said('up', 60_000, { atMs: nowMs - 501 });
    const later = said('none', 60_000, { atMs: nowMs - 499 });
    expect(mergeExternal(known, [older], nowMs).get('lon')!.state).toBe('down');
    expect(mergeExternal(known, [later], nowMs).get('lon')!.state).toBe('none');
  });

  it('and drains are read from live entries; what is malformed is left out', () => {
    const { target: _, ...value } = said('down');
    const entries = [
      entry('verdict/lon', value),
      entry('verdict/lon/team/shop/a.example', { ...value, reason: undefined }),
      entry('verdict/', value),
      entry('verdict/iad', { ...value, state: 'sideways' }),
      entry('verdict/iad', { ...value, untilMs: '5' }),
      entry('verdict/iad', null),
      entry('drain/lon', { atMs: 7, untilMs: 9 }),
      entry('drain/iad', {}),
      entry('drain/sin', null),
      entry('load/lon', {}),
    ];
    expect(readExternal(entries)).toEqual([
      said('down'),
      said('down', 60_000, { target: 'lon/team/shop/a.example', reason: '' }),
    ]);
    expect([...readDrains(entries).values()]).toEqual([
      { pop: 'lon', atMs: 7, untilMs: 9 },
      { pop: 'iad', atMs: 0 },
      { pop: 'sin', atMs: 0 },
    ]);
  });
});
