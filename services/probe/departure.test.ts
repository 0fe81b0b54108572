/** Collectors that leave for good lose nothing, and say that nothing follows. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Plan, SampleRecord } from '@ufes/core/samples.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { testContext } from '@ufes/io/testing.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { openJournal } from './journal.ts';
import { call, type Probe, startProbe } from './probe.fixture.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const shards = Array.from({ length: 16 }, (_, shard) => shard);
const journalOf = async ({ context }: Pick<Probe, 'context'>): Promise<{ id: string; seq: number; lag: number }> =>
  (await context.admin.inject('/state')).json().journal;

/** What a mapper does to offsets. */
async function foldAll({ context }: Pick<Probe, 'context'>): Promise<void> {
  const { store, queue } = context;
  for (const shard of shards) {
    const from = await store.evidence.offsets(shard);
    const to = { ...from };
    for (const collector of await queue.samples.collectors(shard)) {
      to[collector] = await queue.samples.lastSeq(shard, collector);
    }
    const lease = (await store.leases.acquire(`fold/${shard}`, 'mapper', 60_000))!;
    await store.evidence.fold({ shard, lease, from, to, rows: [], tokens: [] }, 0);
  }
}

async function texts({ context }: Pick<Probe, 'context'>, collector: string): Promise<string[]> {
  const found = await Promise.all(shards.map((shard) => context.queue.samples.read(shard, collector, 0, 100)));
  return found.flat().map(({ bytes }) => Buffer.from(bytes).toString());
}

it('one that leaves takes no more, waits until all is folded, and marks every shard', async () => {
  const probe = await startProbe();
  cleanups.push(() => probe.stop());
  const at = probe.addresses[0]!;
  const plan = JSON.parse((await call(at, '/rum/plan')).text) as Plan;
  const results = plan.targets.map(({ id }) => ({ target: id, ok: true, rttMs: [10] }));
  const body = JSON.stringify({ token: plan.token, results });
  expect((await call(at, '/rum/beacon', { method: 'POST', body })).status).toBe(204);

  const leave = async () => (await probe.context.admin.inject({ method: 'POST', url: '/leave' })).json();
  expect(await leave()).toEqual({ waiting: 17 });
  await expect(call(at, '/healthz')).rejects.toThrow('ECONNREFUSED');
  await vi.waitFor(async () => expect((await journalOf(probe)).lag).toBe(0));
  await foldAll(probe);
  expect(await leave()).toEqual({ waiting: 0 });
  const { id } = await journalOf(probe);
  const marks = (await texts(probe, `probe-${id}`)).filter((text) => text === '{"passedMs":9007199254740991}');
  expect(marks).toHaveLength(16);
});

it('a journal that was handed over is forwarded under its own name, and removed when it is folded', async () => {
  const context = await testContext({ node: 'test' });
  cleanups.push(() => context.dispose());
  const folder = join(context.state, 'probe', 'handed', 'of-another-host');
  const journal = await openJournal({ folder, clock: systemClock, log: silentLog });
  const record: SampleRecord = {
    token: 'handed',
    tokenExpiresAtMs: 1,
    atMs: 1,
    source: 'rum',
    kind: 'browser',
    prefix: '192.0.2.0/24',
    observations: [],
  };
  await journal.append(record);
  await journal.close();

  const probe = await startProbe(undefined, { state: context.state });
  cleanups.push(() => probe.stop());
  const sent = () => texts(probe, `probe-${journal.id}`);
  await vi.waitFor(async () => expect(await sent()).toHaveLength(17), { timeout: 5_000 });
  expect((await sent()).filter((text) => text.includes('handed'))).toHaveLength(1);
  expect(existsSync(folder)).toBe(true);
  await foldAll(probe);
  await vi.waitFor(() => expect(existsSync(folder)).toBe(false), { timeout: 8_000, interval: 100 });
}, 15_000);
