import { describe, expect, test } from 'vitest';
import type { DesiredPop, DesiredService } from '../desired.ts';
import { LiveState } from '../live.ts';
import { predict } from './plan.ts';
import { changesOf } from './plan-changes.ts';
import type { PlanClients, PlanInput, PlanSide, PlanState } from './plan-input.ts';

const pop = (id: string, requestsPerSecond = 1_000): DesiredPop => ({
  ...{ id, title: id, latitude: 0, longitude: 0, vips: {}, httpsPort: 443, httpPort: 80 },
  ...{ requestsPerSecond, backboneRttMs: {} },
});

const service = (over: Partial<DesiredService> = {}): DesiredService => ({
  ...{ id: 'shop', name: 'www.shop.example.', owner: 'config', answered: true, policy: 'latency' },
  ...{ candidates: [0, 1].map((number) => ({ pop: number })), origin: 'eu', k: 1, answers: 1 },
  ...{ ttlSecondsMin: 5, ttlSecondsMax: 60, allDown: { rule: 'serve-preferred' } },
  ...over,
});

const state = (over: Partial<PlanState> = {}): PlanState => ({
  ...{ pops: [pop('lon'), pop('iad')], origins: [], services: [service()], probe: { sources: ['rum'] } },
  ...over,
});

/** Cells far apart, so that each is a unit of its own. Odd ones are of the US and near iad. */
const clients = (count = 1_000): PlanClients => ({
  count,
  family: new Uint8Array(count).fill(4),
  hi: Uint32Array.from({ length: count }, (_, i) => ((((i + 1) * 3_000_000) >>> 8) << 8) >>> 0),
  lo: new Uint32Array(count),
  demand: new Float64Array(count).fill(2),
  country: (client) => (client % 2 === 0 ? 'GB' : 'US'),
  clientMs: (client, id) => ((client % 2 === 0) === (id === 'lon') ? 10 : 90),
});

const side = (desired: PlanState, closed: readonly string[] = []): PlanSide => ({
  ...{ desired, map: undefined, costs: new Map() },
  states: new Map(closed.map((id) => [id, LiveState.draining])),
});

const planned = (after: PlanSide, over: Partial<PlanInput> = {}) =>
  predict({
    ...{ before: side(state()), after, clients: clients(), nowMs: 0, keeps: {} },
    ...{ requestsPerSecond: new Map([['lon', 400]]) },
    ...over,
  });

describe('predict', () => {
  test('of what changes nothing says nothing', () => {
    const { moved, harmed, helped, countries, pops, response } = planned(side(state()));
    expect([moved, harmed.share, helped.share, countries]).toEqual([0, 0, 0, []]);
    expect(pops.map(({ shareBefore, shareAfter }) => [shareBefore, shareAfter])).toEqual([
      [expect.closeTo(1), expect.closeTo(1)],
      [0, 0],
    ]);
    expect(response.meanBeforeMs).toBeCloseTo(50);
    expect(response.known).toBeCloseTo(1);
  });

  test('a drained PoP loses all, and those near it are harmed', () => {
    const { moved, pops, harmed, helped, countries, response } = planned(side(state(), ['lon']));
    expect(moved).toBeCloseTo(1);
    expect(pops[1]).toMatchObject({ pop: 'iad', shareAfter: expect.closeTo(1), loadAfter: expect.closeTo(0.4) });
    expect(harmed).toMatchObject({ share: expect.closeTo(0.5), meanMs: expect.closeTo(80) });
    expect(harmed.worst[0]).toMatchObject({ country: 'GB', from: 'lon', to: 'iad', beforeMs: 10, afterMs: 90 });
    expect(helped.share).toBeCloseTo(0.5);
    expect(countries.map(({ country }) => country).sort()).toEqual(['GB', 'US']);
    expect(response.meanAfterMs).toBeCloseTo(response.meanBeforeMs);
  });

  test('a share takes its share', () => {
    const shares = [{ pop: 1, share: 0.3 }];
    const { moved, pops } = planned(side(state({ services: [service({ shares })] })));
    expect(moved).toBeGreaterThan(0.2);
    expect(moved).toBeLessThan(0.4);
    expect(pops[1]!.gained).toBeCloseTo(moved);
  });

  test('a PoP that would be too full lets go of what others have room for', () => {
    const small = state({ pops: [pop('lon', 300), pop('iad')] });
    const { pops, moved } = planned(side(small));
    expect(pops[0]!.loadAfter).toBeLessThan(1);
    expect(pops[0]!.loadAfter).toBeGreaterThan(0.7);
    expect(pops[0]!.keeps).toBeLessThan(1);
    expect(moved).toBeGreaterThan(0.2);
  });

  test('names that go take their demand with them; thousands that decide alike are one class', () => {
    const services = Array.from({ length: 2_000 }, (_, i) => service({ id: `s${i}`, name: `s${i}.shop.example.` }));
    const before = side(state({ services }));
    const after = side(state({ services: services.slice(0, 1_500) }));
    const { ended, moved } = planned(after, { before });
    expect(ended).toBeCloseTo(0.25);
    expect(moved).toBe(0);
  });
});

describe('changesOf', () => {
  test('tells what is added, removed and changed, by PoP id whatever its number', () => {
    const before = state({ zones: [{ origin: 'shop.example.' }] });
    const after = state({
      pops: [pop('iad', 500), pop('lon'), pop('sin')],
      services: [
        service({ candidates: [{ pop: 1 }, { pop: 0 }], only: [1], ttlSecondsMax: 300, policy: 'geo' }),
        service({ id: 'new', name: 'new.shop.example.', candidates: [{ pop: 2 }] }),
      ],
      zones: [],
    });
    expect(changesOf(before, after).map(({ kind, id, change, text }) => `${change} ${kind} ${id}: ${text}`)).toEqual([
      'changed pop iad: capacity: 1000 requests/s → 500 requests/s',
      'added pop sin: 1000 requests/s',
      'removed zone shop.example: ',
      'changed name www.shop.example: only: none → lon',
      'changed name www.shop.example: policy: latency → geo',
      'changed name www.shop.example: TTL: 60 s → 300 s: clients follow a move within that time; about 0.2 times the queries',
      'added name new.shop.example: sin',
    ]);
    expect(changesOf(before, before)).toEqual([]);
  });
});
