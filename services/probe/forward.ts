/**
 * Journal → stream. Reads the journal's segments in order and appends to the stream what it does not hold yet; where that
 * is, only the stream knows, so nothing is kept here. After a restart, a lost store or a store that came back older it
 * asks again and replays from there.
 *
 *     learn what the stream holds ─▶ find the segment ─▶ read ─▶ append ─┐
 *               ▲                                         ▲──────────────┤ more
 *               └── refused, gone, or idle for a while ◀─────────────────┘
 *
 * A record that the disk lost leaves a hole in the numbering that would stop its shard for ever; an empty record takes
 * its place, which the fold sets aside and counts.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, Log, SampleStream, StreamRecord } from '@ufes/core/ports.ts';
import { rateLimited } from '@ufes/io/log.ts';
import type { Journal, Segment } from './journal.ts';
import { type JournalRecord, scanRecords } from './segment.ts';

export interface ForwarderOptions {
  readonly journal: Journal;
  /** Name of the journal in the stream. */
  readonly collector: string;
  readonly stream: Pick<SampleStream, 'append' | 'lastSeq'>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Forwarder extends Component {
  /** Durable samples that the stream is not known to hold. */
  lag(): number;
  /** Records that the journal's disk lost. */
  lost(): number;
}

const chunkBytes = 1 << 20;

interface Cursor {
  readonly segment: Segment;
  /** The file, opened for reading. */
  readonly file: FileHandle;
  at: number;
}

export function createForwarder({ journal, collector, stream, clock, log }: ForwarderOptions): Forwarder {
  const shards = Array.from({ length: limits.evidence.shards }, (_, shard) => shard);
  /** Last sequence number the stream holds, per shard, as far as it said. */
  let held = shards.map(() => 0);
  let lost = 0;
  let stopping = false;
  let fresh = true;
  let wake = (): void => {};
  let running: Promise<void> | undefined;
  const limit = rateLimited(10_000, () => clock.monotonicMs());
  let wakeIdle = (): void => {};
  const unlisten = journal.onDurable(() => {
    fresh = true;
    wakeIdle();
  });

  async function run(): Promise<void> {
    for (;;) {
      try {
        await forwardFrom(await learn());
        if (stopping) return;
      } catch (error) {
        limit('stream', (suppressed) =>
          log.warn(
            { error: describeError(error), suppressed, lag: lag() },
            'samples not forwarded, the journal holds them',
          ),
        );
        if (stopping) return;
        await pause(limits.store.pollMs);
      }
    }
  }

  /** Asks the stream what it holds and opens the last segment before whose end nothing is missing there. */
  async function learn(): Promise<Cursor> {
    held = await Promise.all(shards.map((shard) => stream.lastSeq(shard, collector)));
    const ahead = shards.filter((shard) => held[shard]! > journal.counts()[shard]!);
    if (ahead.length > 0) {
      log.error(
        { shards: ahead },
        'journal: files are older than what was forwarded from them; numbering goes on after that',
      );
      journal.raise(held);
    }
    const start = journal.segments().findLast(({ head }) => shards.every((shard) => head[shard]! <= held[shard]!));
    return openAt(start ?? journal.segments()[0]!);
  }

  /** Until idle for a while, or stopping and done. Rejects when the stream does. */
  async function forwardFrom(start: Cursor): Promise<void> {
    let cursor = start;
    try {
      for (;;) {
        fresh = false;
        const records = await readSome(cursor);
        if (records.length > 0) {
          const startMs = clock.monotonicMs();
          await append(records);
          // The store's writes share this thread with the beacons: at most a third of it.
          if (!stopping) await pause(Math.max(limits.probe.forwardMs, 2 * (clock.monotonicMs() - startMs)));
          continue;
        }
        const next = journal.segments().find(({ number }) => number > cursor.segment.number);
        if (cursor.at >= cursor.segment.bytes && next !== undefined) {
          await cursor.file.close();
          cursor = await openAt(next);
          await journal.prune(next.number);
          continue;
        }
        if (stopping || (!fresh && !(await durableWithin(limits.probe.forwardCheckMs)))) return;
      }
    } finally {
      await cursor.file.close();
    }
  }

  async function openAt(segment: Segment): Promise<Cursor> {
    return { segment, file: await open(segment.path, 'r'), at: 0 };
  }

  /** The next records of the segment, none at its durable end. Moves the cursor behind them. */
  async function readSome(cursor: Cursor): Promise<JournalRecord[]> {
    for (;;) {
      const length = Math.min(chunkBytes, cursor.segment.bytes - cursor.at);
      if (length <= 0) return [];
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await cursor.file.read(buffer, 0, length, cursor.at);
      if (bytesRead === 0) throw new Error(`${cursor.segment.path} is shorter than it was`);
      const bytes = buffer.subarray(0, bytesRead);
      const { records, goodBytes } = scanRecords(bytes, 0);
      cursor.at += goodBytes;
      if (records.length > 0) return records;
      // Nothing good at the beginning of a line: the head of the segment, or damage. Either way on to the next line.
      const end = bytes.indexOf(0x0a);
      if (cursor.at > 0) {
        log.error({ path: cursor.segment.path, at: cursor.at }, 'journal: damaged line skipped, its sample is lost');
      }
      cursor.at += end < 0 ? bytesRead : end + 1;
    }
  }

  async function append(records: readonly JournalRecord[]): Promise<void> {
    for (const shard of shards) {
      let batch: StreamRecord[] = [];
      const add = async (record: StreamRecord): Promise<void> => {
        if (batch.push(record) >= limits.probe.forwardRecords) batch = await send(shard, batch);
      };
      let last = held[shard]!;
      for (const record of records) {
        if (record.shard !== shard || record.seq <= last) continue;
        if (record.seq > last + 1) {
          lost += record.seq - last - 1;
          log.error({ shard, from: last + 1, to: record.seq - 1 }, 'journal: samples are missing, empty ones stand in');
        }
        while (last < record.seq - 1) await add({ seq: ++last, bytes: new Uint8Array() });
        await add({ seq: ++last, bytes: record.json });
      }
      await send(shard, batch);
    }
  }

  async function send(shard: number, batch: readonly StreamRecord[]): Promise<StreamRecord[]> {
    if (batch.length > 0) {
      await stream.append(shard, collector, batch);
      held[shard] = batch.at(-1)!.seq;
    }
    return [];
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = clock.after(ms, resolve);
      wake = () => {
        cancel();
        resolve();
      };
    });
  }

  /** True when something became durable, or we are to stop, within `ms`. */
  function durableWithin(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = clock.after(ms, () => resolve(false));
      wakeIdle = () => {
        cancel();
        resolve(true);
      };
    });
  }

  function lag(): number {
    const counts = journal.counts();
    return shards.reduce((sum, shard) => sum + Math.max(0, counts[shard]! - held[shard]!), 0);
  }

  return {
    async start() {
      running = run();
    },
    /** Forwards what is left, unless the stream refuses it. */
    async stop() {
      stopping = true;
      wake();
      wakeIdle();
      await running;
      unlisten();
    },
    lag,
    lost: () => lost,
  };
}
