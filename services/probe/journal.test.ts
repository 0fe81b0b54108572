/** The journal keeps what it acknowledged, wherever a crash cuts it. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import { type SampleRecord, shardOf } from '@ufes/core/samples.ts';
import { ManualClock, systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { type Journal, type JournalBounds, openJournal } from './journal.ts';
import { headLine, type JournalRecord, recordLine, scanSegment } from './segment.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'ufes-journal-'));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function opened(
  path: string,
  bounds: Partial<JournalBounds> = {},
  clock = systemClock as typeof systemClock | ManualClock,
) {
  const journal = await openJournal({ folder: path, clock, log: silentLog, bounds });
  cleanups.push(() => journal.close().catch(() => {}));
  return journal;
}

const record = (n: number): SampleRecord => ({
  token: `token-${n}`,
  tokenExpiresAtMs: 1,
  atMs: n,
  source: 'rum',
  kind: 'browser',
  prefix: `10.${(n >> 8) & 255}.${n & 255}.0/24`,
  observations: [{ target: 'pop:lön', ok: true, rttMs: 12.5, weight: 1 }],
});

/** Everything in the files, in order. */
function onDisk(path: string): JournalRecord[] {
  return readdirSync(path)
    .filter((name) => name.endsWith('.log'))
    .sort()
    .flatMap((name) => scanSegment(readFileSync(join(path, name))).records);
}
const tokens = (records: readonly JournalRecord[]): string[] =>
  records.map(({ json }) => (JSON.parse(Buffer.from(json).toString()) as SampleRecord).token);

function expectDense(records: readonly JournalRecord[]): number[] {
  const counts = Array<number>(limits.evidence.shards).fill(0);
  for (const { shard, seq } of records) {
    counts[shard] = counts[shard]! + 1;
    expect(seq).toBe(counts[shard]);
  }
  return counts;
}

const append = (journal: Journal, from: number, to: number): Promise<unknown> =>
  Promise.all(Array.from({ length: to - from }, (_, i) => journal.append(record(from + i))));

it('numbers densely per shard, goes on after a restart, and keeps its name', async () => {
  const path = folder();
  const first = await opened(path);
  await append(first, 0, 300);
  await first.close();
  const second = await opened(path);
  expect(second.id).toBe(first.id);
  expect(second.counts()).toEqual(first.counts());
  await append(second, 300, 500);
  const records = onDisk(path);
  expect(tokens(records)).toEqual(Array.from({ length: 500 }, (_, n) => `token-${n}`));
  expect(expectDense(records)).toEqual(second.counts());
  for (const { shard, json } of records) {
    expect(shardOf((JSON.parse(Buffer.from(json).toString()) as SampleRecord).prefix)).toBe(shard);
  }
});

it('has written what it acknowledges, many in one sync', async () => {
  const path = folder();
  const syncs: number[] = [];
  const journal = await openJournal({
    folder: path,
    clock: systemClock,
    log: silentLog,
    onSync: (_, n) => syncs.push(n),
  });
  cleanups.push(() => journal.close());
  let acknowledged = 0;
  await Promise.all(
    Array.from({ length: 1000 }, async (_, n) => {
      await journal.append(record(n));
      acknowledged++;
      if (n % 100 === 0) expect(tokens(onDisk(path))).toContain(`token-${n}`);
    }),
  );
  expect(acknowledged).toBe(1000);
  expect(syncs.reduce((sum, n) => sum + n, 0)).toBe(1000);
  expect(syncs.length).toBeLessThan(10);
});

it('recovers from a cut at every byte: whole records stay, and numbering goes on from them', async () => {
  const source = folder();
  const journal = await opened(source);
  await append(journal, 0, 6);
  await journal.close();
  const name = readdirSync(source).find((one) => one.endsWith('.log'))!;
  const whole = readFileSync(join(source, name));
  for (let cut = 0; cut < whole.length; cut++) {
    const path = folder();
    cpSync(source, path, { recursive: true });
    truncateSync(join(path, name), cut);
    const kept = scanSegment(whole.subarray(0, cut)).records.length;
    const again = await opened(path);
    await again.append(record(99));
    const found = onDisk(path);
    expect(tokens(found)).toEqual([...tokens(scanSegment(whole).records).slice(0, kept), 'token-99']);
    expectDense(found);
    await again.close();
  }
});

it('recovers from any bytes at the end', async () => {
  const source = folder();
  const journal = await opened(source);
  await append(journal, 0, 3);
  await journal.close();
  const name = readdirSync(source).find((one) => one.endsWith('.log'))!;
  const whole = readFileSync(join(source, name));
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (torn) => {
      writeFileSync(join(source, name), Buffer.concat([whole, torn]));
      const again = await opened(source);
      await again.close();
      expect(readFileSync(join(source, name))).toEqual(whole);
    }),
    { numRuns: 30 },
  );
});

it('reads no line that was changed', () => {
  const good = Buffer.from(
    headLine(Array<number>(limits.evidence.shards).fill(0)) + recordLine(3, 1, '{"a":"b"}') + recordLine(3, 2, '{}'),
  );
  expect(scanSegment(good).records).toHaveLength(2);
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bad = Buffer.from(good);
      bad[at] = bad[at]! ^ change;
      const { records, goodBytes } = scanSegment(bad);
      expect(goodBytes).toBeLessThanOrEqual(at);
      expect(records.length).toBeLessThan(2);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void scanSegment(Buffer.from(bytes))));
});

it('turns over to a new segment, and forgets only what is past its bounds and not needed', async () => {
  const path = folder();
  const clock = new ManualClock();
  const journal = await opened(path, { segmentBytes: 2_000, bytes: 12_000, ageMs: 1_000 }, clock);
  for (let n = 0; journal.segments().length < 4; n++) await journal.append(record(n));
  const counts = journal.counts();
  await journal.prune(99);
  expect(journal.segments().map((one) => one.number)).toEqual([1, 2, 3, 4]);
  clock.advance(1_001);
  await journal.prune(3);
  expect(journal.segments().map((one) => one.number)).toEqual([3, 4]);
  await journal.close();
  const again = await opened(path, { segmentBytes: 2_000, bytes: 12_000, ageMs: 1_000 }, clock);
  expect(again.counts()).toEqual(counts);
});

it('refuses when too much waits, when it is full of what was not forwarded, and takes more once that is gone', async () => {
  const busy = await opened(folder(), { waiting: 3 });
  const results = await Promise.allSettled(Array.from({ length: 5 }, (_, n) => busy.append(record(n))));
  expect(results.map((one) => one.status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
  expect(results[4]).toMatchObject({ reason: { code: 'QUEUE_FULL' } });

  const full = await opened(folder(), { segmentBytes: 1_000, bytes: 6_000 });
  const fill = async (): Promise<void> => {
    for (let n = 0; n < 1_000; n++) await full.append(record(n));
  };
  await expect(fill()).rejects.toMatchObject({ code: 'QUEUE_FULL' });
  await full.prune(1);
  await expect(full.append(record(1))).rejects.toMatchObject({ code: 'QUEUE_FULL' });
  await full.prune(full.segments().at(-1)!.number);
  await full.append(record(2));
});

it('begins anew under another name, beside the old files, when a head is damaged', async () => {
  const path = folder();
  const first = await opened(path);
  await append(first, 0, 20);
  await first.close();
  const name = readdirSync(path).find((one) => one.endsWith('.log'))!;
  const bytes = readFileSync(join(path, name));
  bytes[12] = 0;
  writeFileSync(join(path, name), bytes);
  const second = await opened(path);
  expect(second.id).not.toBe(first.id);
  await second.append(record(7));
  expect(tokens(onDisk(path))).toEqual(['token-7']);
  const aside = readdirSync(path).find((one) => one.startsWith('damaged-'))!;
  expect(readFileSync(join(path, aside, name))).toEqual(bytes);
});

it('goes on after numbers that the stream already holds', async () => {
  const path = folder();
  const journal = await opened(path);
  journal.raise(Array<number>(limits.evidence.shards).fill(41));
  await journal.append(record(1));
  expect(onDisk(path)[0]!.seq).toBe(42);
});

it('says once, not for each write, that the disk fails, and how often that was since', async () => {
  const path = folder();
  const said: object[] = [];
  const log = { ...silentLog, error: (fields: object) => void said.push(fields) };
  const clock = new ManualClock();
  const journal = await openJournal({ folder: path, clock, log, bounds: { segmentBytes: 1 } });
  cleanups.push(() => journal.close());
  rmSync(path, { recursive: true });
  const fail = (): Promise<void> => expect(journal.append(record(1))).rejects.toMatchObject({ code: 'JOURNAL_FAILED' });
  for (let n = 0; n < 5; n++) await fail();
  expect(said).toMatchObject([{ suppressed: 0 }]);
  clock.advance(10_000);
  await fail();
  expect(said).toMatchObject([{ suppressed: 0 }, { suppressed: 4 }]);
});
