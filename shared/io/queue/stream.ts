/**
 * Samples on their way from a collector's journal to the fold of their shard. Numbers are dense, so a stream's length is
 * `last - trimmed` and a repeat or a gap shows at once. Trimming beyond the last record moves the stream on: a stream
 * that was lost is taken up again where the fold's offset stands.
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Bus, SampleStream, StreamRecord } from '@ufes/core/ports.ts';
import type { Database, Statements } from '../store/database.ts';

interface Ends {
  readonly last: number;
  readonly trimmed: number;
}

export function sampleStream(
  database: Database,
  bus: Bus,
  streamRecords: number = limits.queue.streamRecords,
): SampleStream {
  return {
    append: async (shard, collector, records) => {
      const added = await database.write((statements) => {
        const ends = readEnds(statements, shard, collector);
        const fresh = newRecords(records, ends.last, `shard ${shard} of ${collector}`);
        if (fresh.length === 0) return 0;
        const last = ends.last + fresh.length;
        if (last - ends.trimmed > streamRecords) {
          const waiting = ends.last - ends.trimmed;
          const message = `${waiting} samples of ${collector} wait in shard ${shard}; at most ${streamRecords} may. Is a mapper running?`;
          throw new OperatingError('QUEUE_FULL', message);
        }
        const sql = 'INSERT INTO sample (shard, collector, seq, bytes) VALUES (?, ?, ?, ?)';
        for (const { seq, bytes } of fresh) statements.run(sql, shard, collector, seq, bytes);
        writeEnds(statements, shard, collector, { last, trimmed: ends.trimmed });
        return fresh.length;
      });
      if (added > 0) bus.wake('samples');
    },
    lastSeq: (shard, collector) => database.read((statements) => readEnds(statements, shard, collector).last),
    collectors: (shard) =>
      database.read((statements) =>
        statements
          .all('SELECT collector FROM sample_stream WHERE shard = ? ORDER BY collector', shard)
          .map((row) => String(row['collector'])),
      ),
    read: (shard, collector, afterSeq, limit) =>
      database.read((statements) => {
        const sql = 'SELECT seq, bytes FROM sample WHERE shard = ? AND collector = ? AND seq > ? ORDER BY seq LIMIT ?';
        return statements
          .all(sql, shard, collector, afterSeq, limit)
          .map((row) => ({ seq: Number(row['seq']), bytes: row['bytes'] as Uint8Array }));
      }),
    trim: (shard, collector, seq) =>
      database.write((statements) => {
        const ends = readEnds(statements, shard, collector);
        if (seq <= ends.trimmed) return;
        statements.run('DELETE FROM sample WHERE shard = ? AND collector = ? AND seq <= ?', shard, collector, seq);
        writeEnds(statements, shard, collector, { last: Math.max(ends.last, seq), trimmed: seq });
      }),
    restart: (shard, collector, seq) =>
      database.write((statements) => {
        statements.run('DELETE FROM sample WHERE shard = ? AND collector = ?', shard, collector);
        writeEnds(statements, shard, collector, { last: seq, trimmed: seq });
      }),
  };
}

function readEnds(statements: Statements, shard: number, collector: string): Ends {
  const row = statements.get(
    'SELECT last, trimmed FROM sample_stream WHERE shard = ? AND collector = ?',
    shard,
    collector,
  );
  return { last: Number(row?.['last'] ?? 0), trimmed: Number(row?.['trimmed'] ?? 0) };
}

function writeEnds(statements: Statements, shard: number, collector: string, { last, trimmed }: Ends): void {
  const sql = 'INSERT OR REPLACE INTO sample_stream (shard, collector, last, trimmed) VALUES (?, ?, ?, ?)';
  statements.run(sql, shard, collector, last, trimmed);
}

/** Those after `last`; throws SEQUENCE_GAP unless they continue it without a hole. */
function newRecords(records: readonly StreamRecord[], last: number, of: string): StreamRecord[] {
  const fresh = records.filter((record) => record.seq > last);
  fresh.forEach((record, i) => {
    if (record.seq !== last + 1 + i) {
      throw new OperatingError('SEQUENCE_GAP', `${of}: record ${last + 1 + i} is wanted next, not ${record.seq}`);
    }
  });
  return fresh;
}
