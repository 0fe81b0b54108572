import { limits } from '@ufes/core/limits.ts';
import { afterEach, expect, test } from 'vitest';
import { mapperJobs } from './jobs.ts';
import { rolledUp } from './rollup.ts';
import { beacon, clockOf, createMapper, type Mapper, send, startMapper, stopMapper } from './testing.ts';

const running: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

async function started(): Promise<Mapper> {
  const mapper = await createMapper();
  running.push(() => stopMapper(mapper));
  await startMapper(mapper);
  return mapper;
}

async function startJobs({ context, builder, folder }: Mapper): Promise<void> {
  for (const job of mapperJobs(context, builder, folder.table)) {
    await job.start();
    running.push(() => job.stop());
  }
}

const doneOf = async ({ context }: Mapper, name: string) =>
  (await context.queue.jobs.summary()).find((one) => one.name === name)?.done;

test('a job builds, again after its time', async () => {
  const mapper = await started();
  await startJobs(mapper);
  await expect.poll(() => doneOf(mapper, 'build')).toBeDefined();
  const first = await doneOf(mapper, 'build');
  clockOf(mapper).advance(limits.mapper.buildJobMs);
  await expect.poll(async () => (await doneOf(mapper, 'build'))?.id).not.toBe(first!.id);
});

test('builds that fail lie dead with the reason; where another mapper publishes, that one is woken', async () => {
  const mapper = await started();
  const { context, folder } = mapper;
  const state = { failure: 'the store is full' as string | undefined, publishes: false, current: undefined };
  const [build] = mapperJobs(context, { ...state, step: async () => {} }, folder.table);
  await build!.start();
  const dead = () => context.queue.jobs.list({ name: 'build', state: 'dead', limit: 1 });
  await expect
    .poll(async () => {
      clockOf(mapper).advance(limits.queue.jobRetryMs);
      return (await dead())[0]?.reason;
    })
    .toBe('no map built: the store is full');
  await build!.stop();

  let woken = 0;
  context.bus.on('build', () => woken++);
  const [other] = mapperJobs(context, { ...state, failure: undefined, step: async () => {} }, folder.table);
  await other!.start();
  await context.queue.jobs.retry('build', (await dead())[0]!.id);
  await expect.poll(() => woken).toBeGreaterThan(0);
  await other!.stop();
});

test('an hour is rolled up by country and PoP, once however often the job runs', async () => {
  const mapper = await started();
  const { context, folder, builder } = mapper;
  const atMs = clockOf(mapper).nowMs();
  const rtts = { 'pop:lon': 20, 'pop:iad': 80 };
  await send(
    mapper,
    [1, 2, 3, 4].map((i) => beacon(atMs - 1_000 * i, '192.0.2.0/24', rtts)),
  );
  await send(mapper, [beacon(atMs, '192.0.3.0/24', { 'pop:lon': 24 })]);
  await folder.step();
  await builder.step();
  await startJobs(mapper);
  await expect.poll(() => doneOf(mapper, 'rollup')).toBeDefined();
  await context.queue.jobs.add('rollup', 'by hand', null);
  await expect.poll(async () => (await doneOf(mapper, 'rollup'))?.id).toBe('by hand');

  const hours = await rolledUp(context.store.history, 0, 10);
  expect(hours).toHaveLength(1);
  expect(hours[0]!.hourMs % 3_600_000).toBe(0);
  expect(hours[0]!.pairs).toMatchObject([
    { country: 'GB', pop: 'lon', samples: 5 },
    { country: 'GB', pop: 'iad', samples: 4 },
  ]);
  const [london, virginia] = hours[0]!.pairs;
  expect(london!.p50Ms).toBeGreaterThan(19);
  expect(london!.p95Ms).toBeLessThan(25);
  expect(virginia!.p50Ms).toBeCloseTo(80, -1);
  const paths = hours[0]!.paths.filter((one) => one.users > 0).map(({ path }) => path);
  expect(paths).toEqual(['direct', 'geo', 'steered']);

  clockOf(mapper).advance(3_600_000);
  await expect.poll(async () => (await rolledUp(context.store.history, 0, 10)).length).toBe(2);
});
