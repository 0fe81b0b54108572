/** Forces and drains over the admin socket: with the store, without it, over restarts, and to their end. */
import type { DesiredState } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { LiveState, type LiveView, liveState, rowForce, rowStates } from '@ufes/core/live.ts';
import type { Store } from '@ufes/core/ports.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { createLiveFeed, type LiveFeed } from './live-feed.ts';
import { addOrderRoutes } from './order-routes.ts';
import { desiredState, service } from './testing.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const desired: DesiredState = {
  ...desiredState({
    services: [service(), service({ id: 'api', name: 'api.shop.example.' })],
    pops: desiredState().pops.map((pop) => ({ ...pop, httpsPort: 1 })),
  }),
};

interface Node {
  readonly context: TestContext;
  readonly feed: LiveFeed;
  readonly view: LiveView;
  post(path: string, body: object): Promise<{ status: number; body: Record<string, never> }>;
  get(path: string): Promise<Record<string, never>>;
}

/** A store that can be cut off. */
function cuttable(store: Store): { store: Store; cut: { is: boolean } } {
  const cut = { is: false };
  const wrap = <T extends object>(part: T): T =>
    new Proxy(part, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown =>
          cut.is ? Promise.reject(new OperatingError('STORE_UNAVAILABLE', 'cut')) : value.apply(target, args);
      },
    });
  return { store: { ...store, live: wrap(store.live), audit: wrap(store.audit), close: async () => {} }, cut };
}

async function startNode(clock: ManualClock, name: string, shared?: TestContext, store?: Store): Promise<Node> {
  const own = await testContext({
    node: name,
    ...(shared === undefined ? {} : { state: shared.state, bus: shared.bus }),
  });
  if (shared === undefined) cleanups.push(() => own.dispose());
  const context = { ...own, clock, ...(store === undefined ? {} : { store }) };
  const feed = createLiveFeed(context, () => ({ done: Promise.resolve({ ok: true, ms: 1 }), cancel() {} }));
  addOrderRoutes({ ...context, feed, desired: () => desired });
  const view = feed.follow(desired);
  await feed.start();
  cleanups.push(() => feed.stop());
  return {
    ...{ context: own, feed, view },
    async post(path, body) {
      const answer = await context.admin.inject({ method: 'POST', url: path, payload: body });
      return { status: answer.statusCode, body: answer.json() };
    },
    async get(path) {
      return (await context.admin.inject({ method: 'GET', url: path })).json();
    },
  };
}

const order = { glob: 'www.*', pop: 'iad', forMs: 60_000, reason: 'rehearsal', by: 'ann' };
const forced = ({ view }: Node): number[] => [0, 1].map((row) => rowForce(view, row));

describe('forces', () => {
  it('are in the very next answer, listed, shared, told to the audit log, and taken back', async () => {
    const clock = new ManualClock();
    const node = await startNode(clock, 'dns');
    const given = await node.post('/forces', order);
    expect(given).toMatchObject({ status: 200, body: { shared: true, names: ['www.shop.example.'] } });
    expect(forced(node)).toEqual([1, 0]);
    expect(await node.get('/forces')).toMatchObject({ forces: [{ glob: 'www.*', pop: 'iad', by: 'ann' }] });
    expect(await node.context.store.live.list('force/')).toHaveLength(1);
    expect(await node.context.store.audit.list(5)).toMatchObject([{ action: 'force', actor: 'ann', subject: 'www.*' }]);
    await node.post('/forces', { ...order, glob: '*', state: 'down' });
    expect(rowStates(node.view, 1)).not.toBe(0);
    expect((await node.post('/forces/undo', { glob: 'www.*', by: 'bob' })).status).toBe(200);
    expect(forced(node)).toEqual([0, 0]);
    expect((await node.post('/forces/undo', { glob: 'www.*' })).status).toBe(404);
  });

  it('outlive the store and a restart, end when they are to, and are told to the store that comes back', async () => {
    const clock = new ManualClock();
    const base = await testContext({ node: 'base' });
    cleanups.push(() => base.dispose());
    const { store, cut } = cuttable(base.store);
    const first = await startNode(clock, 'dns', base, store);
    cut.is = true;
    expect((await first.post('/forces', order)).body).toMatchObject({ shared: false });
    expect(forced(first)).toEqual([1, 0]);
    await first.feed.stop();

    const second = await startNode(clock, 'dns', base, store);
    expect(forced(second)).toEqual([1, 0]);
    cut.is = false;
    second.context.bus.wake('live');
    await expect.poll(() => base.store.live.list('force/')).toHaveLength(1);
    await expect.poll(() => base.store.audit.list(5)).toMatchObject([{ action: 'force', subject: 'www.*' }]);
    cut.is = true;
    clock.advance(59_000);
    expect(forced(second)).toEqual([1, 0]);
    clock.advance(1_500);
    expect(forced(second)).toEqual([0, 0]);
  });

  it('one that was taken back while nodes were apart stays so', async () => {
    const clock = new ManualClock();
    const base = await testContext({ node: 'base' });
    cleanups.push(() => base.dispose());
    const { store, cut } = cuttable(base.store);
    const [one, two] = [await startNode(clock, 'dns', base), await startNode(clock, 'dns2', base, store)];
    await one.post('/forces', order);
    await expect.poll(() => forced(two)).toEqual([1, 0]);
    cut.is = true;
    clock.advance(1_000);
    await one.post('/forces/undo', { glob: 'www.*' });
    expect(forced(two)).toEqual([1, 0]);
    cut.is = false;
    two.context.bus.wake('live');
    await expect.poll(() => forced(two)).toEqual([0, 0]);
    one.context.bus.wake('live');
    await expect.poll(() => one.get('/forces')).toEqual({ forces: [] });
  });

  it.each([
    [{ glob: '' }, 400, 'glob'],
    [{ glob: 'nothing.*' }, 404, 'matches no steered name'],
    [{ pop: 'lom' }, 404, 'there are lon, iad, sin-2'],
    [{ state: 'sideways' }, 400, 'up, down or draining'],
    [{ state: 'down', pin: true }, 400, '"pin" goes with'],
    [{ forMs: 1 }, 400, 'every order has an end'],
    [{ reason: ' ' }, 400, 'say why'],
  ])('refuse %j', async (over, status, message) => {
    const node = await startNode(new ManualClock(), 'dns');
    const answer = await node.post('/forces', { ...order, ...over });
    expect(answer.status).toBe(status);
    expect((answer.body as { message?: string }).message).toContain(message);
    expect(forced(node)).toEqual([0, 0]);
  });
});

describe('drains', () => {
  it('hold on every node to their end, and are taken back', async () => {
    const clock = new ManualClock();
    const base = await testContext({ node: 'base' });
    cleanups.push(() => base.dispose());
    const one = await startNode(clock, 'dns', base);
    const two = await startNode(clock, 'dns2', base);
    const drains = ({ view }: Node) => [0, 1, 2].map((pop) => liveState(view, pop) === LiveState.draining);
    await one.post('/drain', { pop: 'lon', forMs: 60_000, reason: 'works' });
    expect(drains(one)).toEqual([true, false, false]);
    await expect.poll(() => drains(two)).toEqual([true, false, false]);
    expect(await two.get('/drains')).toMatchObject({ drains: [{ pop: 'lon', reason: 'works' }] });
    clock.advance(1_000);
    await two.post('/undrain', { pop: 'lon' });
    expect(drains(two)).toEqual([false, false, false]);
    await expect.poll(() => drains(one)).toEqual([false, false, false]);
    await one.post('/drain', { pop: 'lon', forMs: 5_000, reason: 'works again' });
    expect(drains(one)).toEqual([true, false, false]);
    clock.advance(6_000);
    expect(drains(one)).toEqual([false, false, false]);
  });
});
