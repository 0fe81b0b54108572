/** Mappers and collectors that share shards: who folds what, what is asked for again, and when a token is forgotten. */
import { limits } from '@ufes/core/limits.ts';
import { shardOf } from '@ufes/core/samples.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { afterEach, describe, expect, test } from 'vitest';
import { forgetMs, left, notePassed } from './progress.ts';
import { beacon, clockOf, createMapper, type Mapper, send, startMapper, stopMapper } from './testing.ts';

const ours = '192.0.2.0/24';
const shard = shardOf(ours);
const key = `${ours}|pop:lon|browser|rum`;

const running: Mapper[] = [];
afterEach(async () => {
  for (const mapper of running.splice(0).reverse()) await stopMapper(mapper);
});

async function started(): Promise<Mapper> {
  const mapper = await createMapper();
  running.push(mapper);
  await startMapper(mapper);
  return mapper;
}

async function another(first: Mapper, node: string): Promise<Mapper> {
  const mapper = await createMapper({ state: first.context.state, clock: clockOf(first), node });
  running.push(mapper);
  return mapper;
}

const countOf = ({ folder }: Mapper): number => {
  const bytes = folder.table.get(key);
  return bytes === undefined ? 0 : Sketch.decode(bytes).count;
};
const one = (mapper: Mapper) => beacon(clockOf(mapper).nowMs(), ours, { 'pop:lon': 180 });
const mark = (passedMs: number) => ({ shard, bytes: new TextEncoder().encode(JSON.stringify({ passedMs })) });

/** Time in which leases are renewed and taken, each mapper in turn. */
async function pass(mappers: readonly Mapper[], rounds = 4): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    clockOf(mappers[0]!).advance(limits.evidence.leaseMs / 3 + 1);
    for (const { folder } of mappers) await folder.step();
  }
}

describe('mappers', () => {
  test('share the shards, and take over those of one that leaves', async () => {
    const first = await started();
    expect(first.folder.shardsHeld()).toBe(16);
    const [second, third] = [await another(first, 'mapper-2'), await another(first, 'mapper-3')];
    await second.folder.start();
    await pass([first, second]);
    expect([first, second].map(({ folder }) => folder.shardsHeld())).toEqual([8, 8]);
    await third.folder.start();
    await pass([first, second, third]);
    const held = [first, second, third].map(({ folder }) => folder.shardsHeld());
    expect(held.reduce((sum, count) => sum + count)).toBe(16);
    expect(Math.max(...held)).toBeLessThanOrEqual(6);
    await third.folder.stop();
    await pass([first, second]);
    expect([first, second].map(({ folder }) => folder.shardsHeld())).toEqual([8, 8]);
    await second.folder.stop();
    await pass([first]);
    expect(first.folder.shardsHeld()).toBe(16);
  });
});

describe('a store that came back older', () => {
  test('asks for what its stream no longer has, and folds it once when it is sent again', async () => {
    const mapper = await started();
    const records = Array.from({ length: 6 }, () => one(mapper));
    await send(mapper, records.slice(0, 4));
    await mapper.folder.step();
    // Of the stream more was trimmed than this store remembers to have folded.
    await mapper.context.queue.samples.trim(shard, 'probe-1', 5);
    await send(mapper, records.slice(5));
    await mapper.folder.step();
    expect([countOf(mapper), mapper.folder.gaps]).toEqual([4, 1]);
    expect(await mapper.context.queue.samples.lastSeq(shard, 'probe-1')).toBe(4);
    await send(mapper, records.slice(4));
    await mapper.folder.step();
    expect(countOf(mapper)).toBe(6);
    expect(await mapper.folder.lag()).toBe(0);
  });

  test('is noticed while no record comes, and what memory had beyond it is dropped', async () => {
    const mapper = await started();
    const { store } = mapper.context;
    await send(mapper, [one(mapper), one(mapper)]);
    await mapper.folder.step();
    const lease = await store.leases.acquire(`fold/${shard}`, 'nobody', 1);
    expect(lease).toBeUndefined();
    const [row] = (await store.evidence.rows(shard)).filter((found) => found.key === key);
    const before = await store.evidence.offsets(shard);
    // As if another history had been restored: other numbers, other rows, the same lease.
    clockOf(mapper).advance(limits.evidence.leaseMs + 1);
    const theirs = (await store.leases.acquire(`fold/${shard}`, 'restorer', 60_000))!;
    const sketch = new Sketch();
    sketch.add(180, clockOf(mapper).nowMs());
    const to = { ...before, 'probe-1': 1 };
    const rows = [{ key: row!.key, bytes: sketch.encode() }];
    expect(await store.evidence.fold({ shard, lease: theirs, from: before, to, rows, tokens: [] }, 0)).toBe('ok');
    await store.leases.release(theirs);
    await pass([mapper]);
    expect(countOf(mapper)).toBe(1);
  });

  test('goes on behind what is folded when only its streams were lost', async () => {
    const mapper = await started();
    await send(mapper, [one(mapper), one(mapper), one(mapper)]);
    await mapper.folder.step();
    await mapper.folder.stop();
    await mapper.context.queue.samples.restart(shard, 'probe-1', 0);
    const second = await another(mapper, 'mapper-2');
    await second.folder.start();
    expect(await mapper.context.queue.samples.lastSeq(shard, 'probe-1')).toBe(3);
  });
});

describe('a token', () => {
  test('is remembered for as long as one collector may still bring it', async () => {
    const mapper = await started();
    const record = one(mapper);
    await send(mapper, [record], 'probe-1');
    await send(mapper, [one(mapper)], 'probe-2');
    await mapper.folder.step();
    // probe-2 was cut off for half an hour; probe-1 went on.
    clockOf(mapper).advance(30 * 60_000);
    await send(mapper, [mark(clockOf(mapper).nowMs()), one(mapper)], 'probe-1');
    await mapper.folder.step();
    await send(mapper, [record], 'probe-2');
    await mapper.folder.step();
    expect(mapper.folder.rejected.map(({ why }) => why)).toEqual(['token-repeated']);
    expect(countOf(mapper)).toBe(3);
  });

  test('is forgotten when all have passed its expiry, and those that left hold none', () => {
    const nowMs = 1_764_000_000_000;
    const progress = {};
    notePassed(progress, 'probe-1', nowMs);
    expect(forgetMs(progress, nowMs)).toBe(nowMs - limits.evidence.tokenGraceMs);
    notePassed(progress, 'probe-2', nowMs - 600_000);
    expect(forgetMs(progress, nowMs)).toBe(nowMs - 600_000 - limits.evidence.passedMarginMs);
    notePassed(progress, 'probe-2', nowMs - 700_000);
    expect(forgetMs(progress, nowMs)).toBe(nowMs - 600_000 - limits.evidence.passedMarginMs);
    notePassed(progress, 'probe-2', left);
    expect(forgetMs(progress, nowMs)).toBe(nowMs - limits.evidence.tokenGraceMs);
    notePassed(progress, 'probe-3', nowMs - limits.evidence.silentMs - 1);
    expect(forgetMs(progress, nowMs)).toBe(nowMs - limits.evidence.tokenGraceMs);
  });
});

test('marks count for nothing, and one of a time to come is set aside', async () => {
  const mapper = await started();
  const nowMs = clockOf(mapper).nowMs();
  await send(mapper, [mark(nowMs), mark(left), mark(nowMs + 3_600_000), mark(-1), one(mapper)]);
  await mapper.folder.step();
  expect(mapper.folder.rejected.map(({ why }) => why).sort()).toEqual(['future', 'shape']);
  expect([countOf(mapper), await mapper.folder.lag()]).toEqual([1, 0]);
});

test('a record that breaks the fold is found, set aside and shown; those beside it count', async () => {
  const mapper = await started();
  const poison = one(mapper);
  mapper.folder.floorOf = (_, target) => {
    if (target === 'pop:iad') throw new Error('a fault');
    return 0;
  };
  await send(mapper, [one(mapper), { ...poison, observations: [{ ...poison.observations[0]!, target: 'pop:iad' }] }]);
  await send(mapper, [one(mapper)]);
  await mapper.folder.step();
  expect(mapper.folder.rejected).toMatchObject([{ why: 'unfoldable', collector: 'probe-1', seq: 2 }]);
  expect([countOf(mapper), await mapper.folder.lag()]).toEqual([2, 0]);
});
