/**
 * A segment of the journal: text lines, each with its own checksum, so that a torn end is seen for what it is.
 *
 *     CRC32 head [COUNT, COUNT, …]        last sequence number of each shard before this segment
 *     CRC32 SHARD SEQ {"token":…}         one sample record
 *
 * CRC32: 8 hexadecimal digits over the rest of the line, without the line end.
 */
import { crc32 } from 'node:zlib';
import { limits } from '@ufes/core/limits.ts';

export interface JournalRecord {
  readonly shard: number;
  /** Dense per shard, from 1. */
  readonly seq: number;
  /** SampleRecord as JSON. */
  readonly json: Uint8Array;
}

export function headLine(counts: readonly number[]): string {
  return line(`head ${JSON.stringify(counts)}`);
}

export function recordLine(shard: number, seq: number, json: string): string {
  return line(`${shard} ${seq} ${json}`);
}

function line(text: string): string {
  return `${crc32(text).toString(16).padStart(8, '0')} ${text}\n`;
}

export interface Scan {
  /** Undefined when the bytes do not begin with a good head. */
  readonly head: number[] | undefined;
  readonly records: JournalRecord[];
  /** Bytes up to the first line that is not good. */
  readonly goodBytes: number;
}

/** Reads a segment from its start up to the first line that is torn or damaged. */
export function scanSegment(bytes: Buffer): Scan {
  const first = goodLine(bytes, 0);
  const head = first === undefined ? undefined : parseHead(first.text);
  if (first === undefined || head === undefined) return { head: undefined, records: [], goodBytes: 0 };
  return { head, ...scanRecords(bytes, first.end) };
}

/** Reads records from `start`, which is the beginning of a line. */
export function scanRecords(bytes: Buffer, start: number): { records: JournalRecord[]; goodBytes: number } {
  const records: JournalRecord[] = [];
  let at = start;
  for (;;) {
    const next = goodLine(bytes, at);
    const record = next === undefined ? undefined : parseRecord(next.text);
    if (next === undefined || record === undefined) return { records, goodBytes: at };
    records.push(record);
    at = next.end;
  }
}

function goodLine(bytes: Buffer, start: number): { text: Buffer; end: number } | undefined {
  const end = bytes.indexOf(0x0a, start);
  if (end < start + 9 || bytes[start + 8] !== 0x20) return undefined;
  const text = bytes.subarray(start + 9, end);
  const given = bytes.toString('latin1', start, start + 8);
  return crc32(text).toString(16).padStart(8, '0') === given ? { text, end: end + 1 } : undefined;
}

function parseHead(text: Buffer): number[] | undefined {
  const match = /^head (\[[0-9,]*\])$/.exec(text.toString());
  const counts = match === null ? undefined : (JSON.parse(match[1]!) as number[]);
  return counts?.length === limits.evidence.shards ? counts : undefined;
}

function parseRecord(text: Buffer): JournalRecord | undefined {
  const match = /^(\d{1,3}) (\d{1,15}) /.exec(text.toString('latin1', 0, 24));
  if (match === null || Number(match[1]) >= limits.evidence.shards) return undefined;
  return { shard: Number(match[1]), seq: Number(match[2]), json: text.subarray(match[0].length) };
}
