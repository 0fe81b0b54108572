/** Whatever happens between journal and stream, the stream ends up with every record once and in order. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import type { SampleStream, StreamRecord } from '@ufes/core/ports.ts';
import { type SampleRecord, shardOf } from '@ufes/core/samples.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { testContext } from '@ufes/io/testing.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { createForwarder } from './forward.ts';
import { type Journal, openJournal } from './journal.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'ufes-forward-'));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
async function opened(path: string, segmentBytes = 4_000): Promise<Journal> {
  const journal = await openJournal({ folder: path, clock: systemClock, log: silentLog, bounds: { segmentBytes } });
  cleanups.push(() => journal.close().catch(() => {}));
  return journal;
}
const record = (n: number): SampleRecord => ({
  token: `t${n}`,
  tokenExpiresAtMs: 1,
  atMs: n,
  source: 'rum',
  kind: 'browser',
  prefix: `10.0.${n & 255}.0/24`,
  observations: [],
});
const append = (journal: Journal, from: number, to: number): Promise<unknown> =>
  Promise.all(Array.from({ length: to - from }, (_, i) => journal.append(record(from + i))));

/** A stream in memory that refuses when told, and forgets when told. */
function memory() {
  const held = new Map<number, StreamRecord[]>();
  const self = {
    held,
    refuse: undefined as string | undefined,
    calls: 0,
    all: () =>
      [...held.values()]
        .flat()
        .map(({ bytes }) =>
          bytes.length === 0 ? 'empty' : (JSON.parse(Buffer.from(bytes).toString()) as SampleRecord).token,
        ),
    stream: {
      async append(shard, _, records) {
        self.calls++;
        if (self.refuse !== undefined) throw new OperatingError('STORE_UNAVAILABLE', self.refuse);
        const list = held.get(shard) ?? [];
        held.set(shard, list);
        for (const one of records) {
          if (one.seq <= (list.at(-1)?.seq ?? 0)) continue;
          if (one.seq !== (list.at(-1)?.seq ?? 0) + 1) throw new Error('gap');
          list.push(one);
        }
      },
      async lastSeq(shard) {
        if (self.refuse !== undefined) throw new OperatingError('STORE_UNAVAILABLE', self.refuse);
        return held.get(shard)?.at(-1)?.seq ?? 0;
      },
    } as Pick<SampleStream, 'append' | 'lastSeq'>,
  };
  return self;
}

async function forwarding(journal: Journal, stream: Pick<SampleStream, 'append' | 'lastSeq'>) {
  const forwarder = createForwarder({ journal, collector: 'c', stream, clock: systemClock, log: silentLog });
  cleanups.push(() => forwarder.stop());
  await forwarder.start();
  return forwarder;
}
const expected = (count: number): string[] => Array.from({ length: count }, (_, n) => `t${n}`).sort();

it('forwards everything once and in order, over many segments, while more comes', async () => {
  const journal = await opened(folder());
  const { stream, held, all } = memory();
  await append(journal, 0, 100);
  const forwarder = await forwarding(journal, stream);
  for (let n = 100; n < 400; n += 20) await append(journal, n, n + 20);
  await vi.waitFor(() => expect(forwarder.lag()).toBe(0), { timeout: 5_000 });
  expect(all().sort()).toEqual(expected(400));
  for (const [shard, records] of held) {
    expect(records.map(({ seq }) => seq)).toEqual(records.map((_, i) => i + 1));
    for (const { bytes } of records)
      expect(shardOf((JSON.parse(Buffer.from(bytes).toString()) as SampleRecord).prefix)).toBe(shard);
  }
  expect(journal.segments().length).toBeGreaterThan(3);
});

it('replays what the stream lacks after a restart, and nothing else', async () => {
  const path = folder();
  const journal = await opened(path);
  const { stream, held, all } = memory();
  await append(journal, 0, 200);
  const first = await forwarding(journal, stream);
  await vi.waitFor(() => expect(first.lag()).toBe(0));
  await first.stop();
  await append(journal, 200, 260);
  await journal.close();
  // The store comes back older, too: the last three of each shard are gone.
  for (const records of held.values()) records.splice(-3);
  const again = await opened(path);
  const second = await forwarding(again, stream);
  await vi.waitFor(() => expect(second.lag()).toBe(0));
  expect(all().sort()).toEqual(expected(260));
  expect(second.lost()).toBe(0);
});

it('waits while the store is gone, and catches up', async () => {
  const journal = await opened(folder());
  const store = memory();
  store.refuse = 'gone';
  const forwarder = await forwarding(journal, store.stream);
  await append(journal, 0, 50);
  expect(forwarder.lag()).toBe(50);
  store.refuse = undefined;
  await vi.waitFor(() => expect(forwarder.lag()).toBe(0), { timeout: 3_000 });
  store.refuse = 'gone again';
  await append(journal, 50, 80);
  await vi.waitFor(() => expect(store.calls).toBeGreaterThan(10));
  store.refuse = undefined;
  await vi.waitFor(() => expect(store.all()).toHaveLength(80), { timeout: 3_000 });
  expect(store.all().sort()).toEqual(expected(80));
});

it('forwards the rest when stopped, and stops at once when the store is gone', async () => {
  const journal = await opened(folder());
  const store = memory();
  const forwarder = await forwarding(journal, store.stream);
  await append(journal, 0, 30);
  await forwarder.stop();
  expect(store.all()).toHaveLength(30);
  const gone = await forwarding(journal, { ...store.stream, lastSeq: () => Promise.reject(new Error('gone')) });
  await gone.stop();
});

it('puts empty records where the disk lost some, so that the shard goes on', async () => {
  const path = folder();
  const journal = await opened(path, 1_000);
  await append(journal, 0, 10);
  await append(journal, 10, 40);
  const name = readdirSync(path)
    .filter((one) => one.endsWith('.log'))
    .sort()[0]!;
  const bytes = readFileSync(join(path, name));
  bytes[bytes.indexOf('"t4"') + 1] = 0;
  writeFileSync(join(path, name), bytes);
  const store = memory();
  const forwarder = await forwarding(journal, store.stream);
  await vi.waitFor(() => expect(forwarder.lag()).toBe(0));
  const later = record(4).prefix;
  await Promise.all([
    journal.append({ ...record(40), prefix: later }),
    journal.append({ ...record(41), prefix: later }),
  ]);
  await vi.waitFor(() => expect(store.all()).toContain('t41'));
  expect(store.all().sort()).toEqual(['empty', ...expected(42).filter((token) => token !== 't4')].sort());
  expect(forwarder.lost()).toBe(1);
});

it('does not let new samples pass for repetitions when the journal is an old copy', async () => {
  const journal = await opened(folder());
  const store = memory();
  const shard = shardOf(record(0).prefix);
  store.held.set(
    shard,
    Array.from({ length: 7 }, (_, i) => ({ seq: i + 1, bytes: new Uint8Array() })),
  );
  const forwarder = await forwarding(journal, store.stream);
  await vi.waitFor(() => expect(journal.counts()[shard]).toBe(7));
  await journal.append(record(0));
  await vi.waitFor(() => expect(store.all()).toContain('t0'));
  expect(forwarder.lost()).toBe(0);
});

it('works with the embedded queue', async () => {
  const context = await testContext();
  cleanups.push(() => context.dispose());
  const journal = await opened(folder());
  const forwarder = await forwarding(journal, context.queue.samples);
  await append(journal, 0, 100);
  await vi.waitFor(() => expect(forwarder.lag()).toBe(0), { timeout: 3_000 });
  let found = 0;
  for (let shard = 0; shard < 16; shard++) found += (await context.queue.samples.read(shard, 'c', 0, 1000)).length;
  expect(found).toBe(100);
});
