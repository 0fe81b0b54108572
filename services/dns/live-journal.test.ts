import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import {
  createLive,
  LiveState,
  liveBuffer,
  liveHoldMs,
  liveLoad,
  liveState,
  setForce,
  setLive,
  setRowForces,
} from '@ufes/core/live.ts';
import { viewOf } from '@ufes/core/live-facts.ts';
import type { Order } from '@ufes/core/steering/orders.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { openHistory } from '@ufes/io/history.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createJournalKeeper, type Decisive } from './live-journal.ts';

let context: TestContext;
let clock: ManualClock;
beforeEach(async () => {
  clock = new ManualClock();
  context = await testContext({ node: 'dns', clock });
});
afterEach(() => context.dispose());

const numbered = { pops: [{ id: 'lon' }, { id: 'iad' }], services: [{ id: 'shop', ttlSecondsMax: 60 }] };
const force: Order = {
  ...{
    key: 'force/0a1b2c3d',
    writtenMs: 1,
    untilMs: 2,
    undone: false,
    pop: 'iad',
    reason: 'works',
    by: 'ann',
    glob: 'www.*',
  },
};

function scene() {
  const view = createLive(liveBuffer(1));
  const decisive: Decisive = {
    view,
    numbered,
    cells: [],
    verdicts: new Map([['lon', { state: 'up', holdMs: 0, sinceMs: 5, counted: 3, flippedAtMs: 0 }]]),
    own: [{ vantage: 'dns', target: 'lon', state: 'up', holdMs: 0, atMs: 1 }],
    orders: { at: (slot) => (slot === 0 ? force : undefined), inForce: () => [] },
    external: [{ target: 'lon', state: 'down', reason: 'a flood', by: 'ann', atMs: 1, untilMs: 9e12 }],
    applied: { map: '1-a', desired: '2-b' },
  };
  const set = (state: LiveState, holdMs: number, loadPerMille = 0) =>
    setLive(view, 0, { state, holdMs, loadPerMille, sinceSeconds: 7 });
  return { view, decisive, set };
}

test('what answers were decided by comes back, with votes, orders and versions', async () => {
  const { view, decisive, set } = scene();
  const keeper = createJournalKeeper(context);
  set(LiveState.up, 0, 300);
  keeper.note(decisive);
  const firstMs = clock.nowMs();
  clock.advance(10_000);
  set(LiveState.down, 5_500);
  setForce(view, 0, { pop: 1, state: 0, pin: true, endsMs: 30_000 });
  setRowForces(view, 0, 1, 0);
  keeper.note(decisive);
  await keeper.flush();
  const history = openHistory(context);
  const first = (await history.liveAt('dns', firstMs))!;
  expect(first.facts.get('said/lon')).toEqual(['down', 9e12, 'ann', 'a flood']);
  const live = viewOf(first.facts, numbered);
  expect([liveState(live, 0), liveHoldMs(live, 0), liveLoad(live, 0)]).toEqual([LiveState.up, 0, 300]);
  expect(first.applied).toEqual({ map: '1-a', desired: '2-b' });
  expect(first.facts.get('own/lon')).toEqual(['up']);
  expect(first.facts.get('votes/lon')).toEqual(['up', 3, 5]);
  const second = (await history.liveAt('dns', clock.nowMs()))!;
  expect(liveHoldMs(viewOf(second.facts, numbered), 0)).toBe(5_000);
  expect(second.facts.get('force/0')).toEqual(['iad', 0, 1, 30_000, '0a1b2c3d', 'www.*', 'ann', 'works']);
});

test('waits while the store is gone, and loses nothing', async () => {
  const { decisive, set } = scene();
  let isGone = true;
  const { history } = context.store;
  const append: typeof history.append = (...args) =>
    isGone ? Promise.reject(new OperatingError('STORE_UNAVAILABLE', 'gone')) : history.append(...args);
  const keeper = createJournalKeeper({ ...context, store: { ...context.store, history: { ...history, append } } });
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    set(i % 2 === 0 ? LiveState.up : LiveState.down, 0);
    keeper.note(decisive);
    times.push(clock.nowMs());
    await keeper.flush();
    clock.advance(limits.history.liveMs);
  }
  isGone = false;
  await keeper.flush();
  for (const [i, atMs] of times.entries()) {
    const then = (await openHistory(context).liveAt('dns', atMs))!;
    expect(then.facts.get('pop/lon')![0]).toBe(i % 2 === 0 ? LiveState.up : LiveState.down);
  }
});
