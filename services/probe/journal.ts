/**
 * The collector's journal: what makes an acknowledged beacon durable. Append-only segments of checksummed lines
 * (segment.ts) in STATE/probe/journal/, written by one process.
 *
 *     append ─▶ waiting ─▶ [ write · fdatasync ] ─▶ acknowledged ─▶ read by the forwarder
 *                          one batch at a time; what comes meanwhile is the next batch
 *
 * Opening reads the newest segment, cuts off a torn end and continues its numbering; nothing that was acknowledged is in
 * a torn end. A failed write is cut off again and its beacons are refused. Segments go by age and bytes, oldest first,
 * never one that holds what was not forwarded: at the byte bound beacons are refused instead.
 *
 * `id` names this journal in the stream. It lives and dies with the files, so that numbering which starts anew is never
 * mistaken for a repetition.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { type FileHandle, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { type Mark, type SampleRecord, shardOf } from '@ufes/core/samples.ts';
import { ensureKeyFile } from '@ufes/io/keys.ts';
import { rateLimited } from '@ufes/io/log.ts';
import { headLine, recordLine, scanSegment } from './segment.ts';

/** Bounds of limits.probe unless given. */
export interface JournalBounds {
  readonly segmentBytes: number;
  readonly bytes: number;
  readonly ageMs: number;
  readonly waiting: number;
}

export interface JournalOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly bounds?: Partial<JournalBounds>;
  /** After each fdatasync: how long write and sync took, milliseconds, and for how many records. */
  readonly onSync?: (ms: number, records: number) => void;
}

export interface Segment {
  /** From 1; the file is NUMBER.log. */
  readonly number: number;
  readonly path: string;
  /** Last sequence number per shard before it. */
  readonly head: readonly number[];
  /** Durable bytes. */
  bytes: number;
  /** Wall clock of the last write. */
  writtenAtMs: number;
}

export interface Journal {
  readonly id: string;
  /** Resolves when the record is on disk. Rejects with QUEUE_FULL at a bound, JOURNAL_FAILED when the disk fails. */
  append(record: SampleRecord): Promise<void>;
  /** Puts a mark (core/samples.ts) into every shard, and rejects as `append` does. */
  mark(passedMs: number): Promise<void>;
  /** Oldest first; the last one is written to. */
  segments(): readonly Segment[];
  /** Last durable sequence number per shard. */
  counts(): readonly number[];
  /** Numbering goes on after these, per shard: the stream holds more than we do, because our files are older than it. */
  raise(seqs: readonly number[]): void;
  waiting(): number;
  bytes(): number;
  /** Calls `fn` after each batch that became durable; the result stops. */
  onDurable(fn: () => void): () => void;
  /** Deletes segments past the bounds, of those before number `needed`. */
  prune(needed: number): Promise<void>;
  close(): Promise<void>;
}

interface Waiting {
  readonly shard: number;
  readonly json: string;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { folder, clock, log } = options;
  const bounds: JournalBounds = {
    segmentBytes: limits.probe.journalSegmentBytes,
    bytes: limits.probe.journalBytes,
    ageMs: limits.probe.journalMs,
    waiting: limits.probe.journalWaiting,
    ...options.bounds,
  };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const recovered = await recover(folder, log);
  const id = ensureKeyFile(join(folder, 'id'), () => Buffer.from(randomBytes(6).toString('hex'))).toString();
  const { segments } = recovered;
  let { counts } = recovered;
  let file = recovered.file ?? (await addSegment());
  let waiting: Waiting[] = [];
  let writing: Promise<void> | undefined;
  let inBatch = 0;
  let broken = false;
  let closed = false;
  const listeners = new Set<() => void>();
  const limit = rateLimited(10_000, () => clock.monotonicMs());
  const bytes = (): number => segments.reduce((sum, segment) => sum + segment.bytes, 0);

  async function addSegment(): Promise<FileHandle> {
    const number = (segments.at(-1)?.number ?? 0) + 1;
    const path = segmentPath(folder, number);
    const created = await open(path, 'w+', 0o600);
    const head = headLine(counts);
    await created.write(head);
    await created.datasync();
    await syncFolder(folder);
    segments.push({ number, path, head: counts, bytes: Buffer.byteLength(head), writtenAtMs: clock.nowMs() });
    return created;
  }

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, limits.probe.journalBatch);
      waiting = waiting.slice(batch.length);
      inBatch = batch.length;
      try {
        await writeBatch(batch);
        for (const one of batch) one.done();
        for (const fn of listeners) fn();
      } catch (cause) {
        broken = true;
        limit('write', (suppressed) =>
          log.error(
            { error: cause instanceof Error ? cause.message : String(cause), suppressed },
            'journal: write failed, beacons refused',
          ),
        );
        const error = new OperatingError('JOURNAL_FAILED', 'the journal cannot be written', { cause });
        for (const one of batch) one.failed(error);
      }
      inBatch = 0;
    }
    writing = undefined;
  }

  async function writeBatch(batch: readonly Waiting[]): Promise<void> {
    const startMs = clock.monotonicMs();
    // What a failed write left behind goes first, or its sequence numbers would be there twice.
    if (broken) await file.truncate(segments.at(-1)!.bytes);
    broken = false;
    if (segments.at(-1)!.bytes >= bounds.segmentBytes) {
      const full = file;
      file = await addSegment();
      await full.close();
    }
    const segment = segments.at(-1)!;
    const next = [...counts];
    const lines = batch.map(({ shard, json }) => {
      next[shard] = next[shard]! + 1;
      return recordLine(shard, next[shard]!, json);
    });
    const data = Buffer.from(lines.join(''));
    await writeFully(file, data, segment.bytes);
    await file.datasync();
    segment.bytes += data.length;
    segment.writtenAtMs = clock.nowMs();
    counts = next.map((seq, shard) => Math.max(seq, counts[shard]!));
    options.onSync?.(clock.monotonicMs() - startMs, batch.length);
  }

  function add(shard: number, record: SampleRecord | Mark): Promise<void> {
    if (closed) return Promise.reject(new OperatingError('NOT_RUNNING', 'the journal is closed'));
    if (waiting.length + inBatch >= bounds.waiting) {
      return Promise.reject(new OperatingError('QUEUE_FULL', `${bounds.waiting} beacons wait for the journal's disk`));
    }
    if (bytes() >= bounds.bytes) {
      return Promise.reject(new OperatingError('QUEUE_FULL', 'the journal is full of samples not yet forwarded'));
    }
    return new Promise((done, failed) => {
      waiting.push({ shard, json: JSON.stringify(record), done, failed });
      writing ??= writeAll();
    });
  }

  return {
    id,
    append: (record) => add(shardOf(record.prefix), record),
    async mark(passedMs) {
      await Promise.all(counts.map((_, shard) => add(shard, { passedMs })));
    },
    segments: () => segments,
    counts: () => counts,
    raise(seqs) {
      counts = counts.map((seq, shard) => Math.max(seq, seqs[shard]!));
    },
    waiting: () => waiting.length + inBatch,
    bytes,
    onDurable(fn) {
      listeners.add(fn);
      return () => listeners.delete(fn);
    },
    async prune(needed) {
      while (segments.length > 1 && segments[0]!.number < needed) {
        const old = clock.nowMs() - segments[0]!.writtenAtMs > bounds.ageMs;
        // One segment of room, or the journal would refuse beacons until the next one is full.
        if (!old && bytes() + bounds.segmentBytes <= bounds.bytes) return;
        await unlink(segments.shift()!.path);
      }
    },
    async close() {
      closed = true;
      await writing;
      await file.close();
    },
  };
}

/** Head lines are shorter: 16 numbers of at most 15 digits. */
const headBytesMax = 512;

function segmentPath(folder: string, number: number): string {
  return join(folder, `${String(number).padStart(10, '0')}.log`);
}

/** A positional write, so that one that fails half-way is overwritten by the next. */
async function writeFully(file: FileHandle, data: Buffer, position: number): Promise<void> {
  for (let at = 0; at < data.length; ) {
    at += (await file.write(data, at, data.length - at, position + at)).bytesWritten;
  }
}

/** A new file is durable only with its folder. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync();
  await handle.close();
}

interface Recovered {
  readonly segments: Segment[];
  readonly counts: number[];
  /** The newest segment, open for writing; undefined when there is none. */
  readonly file: FileHandle | undefined;
}

async function recover(folder: string, log: Log): Promise<Recovered> {
  const numbers = await segmentNumbers(folder);
  await dropUnborn(folder, numbers, log);
  const segments: Segment[] = [];
  let counts = Array<number>(limits.evidence.shards).fill(0);
  let file: FileHandle | undefined;
  for (const number of numbers) {
    const path = segmentPath(folder, number);
    const { size, mtimeMs } = await stat(path);
    const newest = number === numbers.at(-1);
    const { head, records, goodBytes } = scanSegment(await readStart(path, newest ? size : headBytesMax));
    if (head === undefined) return setAside(folder, path, log);
    segments.push({ number, path, head, bytes: newest ? goodBytes : size, writtenAtMs: mtimeMs });
    if (!newest) continue;
    counts = [...head];
    for (const { shard, seq } of records) counts[shard] = seq;
    file = await reopen(path, size - goodBytes, goodBytes, log);
  }
  return { segments, counts, file };
}

async function segmentNumbers(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  return names
    .flatMap((name) => /^(\d{10})\.log$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** A newest segment whose head was not finished never held a sample. */
async function dropUnborn(folder: string, numbers: number[], log: Log): Promise<void> {
  const newest = numbers.at(-1);
  if (newest === undefined) return;
  const path = segmentPath(folder, newest);
  if ((await readStart(path, headBytesMax)).includes('\n')) return;
  log.warn({ path }, 'journal: unfinished new segment removed');
  await unlink(path);
  numbers.pop();
}

/** The first `length` bytes, fewer when the file is shorter. */
async function readStart(path: string, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  const buffer = Buffer.alloc(length);
  let at = 0;
  for (let read = -1; read !== 0 && at < length; at += read) {
    read = (await file.read(buffer, at, length - at, at)).bytesRead;
  }
  await file.close();
  return buffer.subarray(0, at);
}

/** A damaged head means a damaged disk: the numbering cannot be continued, so a new journal begins beside the old one. */
async function setAside(folder: string, path: string, log: Log): Promise<Recovered> {
  const aside = join(folder, `damaged-${randomBytes(6).toString('hex')}`);
  log.error({ path, aside }, 'journal: damaged, set aside; samples in it that were not yet forwarded are lost');
  mkdirSync(aside);
  const names = (await readdir(folder)).filter((name) => name === 'id' || name.endsWith('.log'));
  for (const name of names) await rename(join(folder, name), join(aside, name));
  return { segments: [], counts: Array<number>(limits.evidence.shards).fill(0), file: undefined };
}

async function reopen(path: string, tornBytes: number, goodBytes: number, log: Log): Promise<FileHandle> {
  const file = await open(path, 'r+');
  if (tornBytes > 0) {
    log.warn({ path, tornBytes }, 'journal: torn end cut off; nothing in it was acknowledged');
    await file.truncate(goodBytes);
    await file.sync();
  }
  return file;
}
