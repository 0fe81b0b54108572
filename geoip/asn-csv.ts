/**
 * AS ranges from CSV: `first,last,number,"name"` a line, addresses as decimal numbers, last inclusive, rising.
 * 515 k lines, so bytes are read as they stand and a name is decoded once for its AS.
 */
import { OperatingError } from '@ufes/core/errors.ts';
import type { IntervalBuilder } from './intervals.ts';

const newline = 10;
const comma = 44;
const quote = 34;

/** Fills `into` from 0 to the end of the space, and `names` by AS number. Throws GEOIP_CORRUPT with file and line. */
export function readAsnCsv(
  bytes: Buffer,
  file: string,
  into: IntervalBuilder,
  names: Map<number, string>,
  onProgress: (fraction: number) => void,
): void {
  const most = into.family === 4 ? 0xffff_ffffn : (1n << 64n) - 1n;
  /** First address that is free, as 32 (v4) or 64 (v6) bits. */
  let free = 0n;
  let line = 0;
  for (let at = 0; at < bytes.length; ) {
    let end = bytes.indexOf(newline, at);
    if (end < 0) end = bytes.length;
    line++;
    if ((line & 0x7fff) === 0) onProgress(at / bytes.length);
    if (end > at) {
      const row = readRow(bytes, at, end, into.family);
      if (row === undefined || row.last < row.first || row.last > most) {
        throw new OperatingError(
          'GEOIP_CORRUPT',
          `AS ranges ${file}:${line}: expected first,last,number,name with first ≤ last as decimal numbers`,
        );
      }
      // A /64 that several ranges share is the first one's.
      const start = row.first < free ? free : row.first;
      if (start <= row.last) {
        if (start > free) pushAt(into, free, 0);
        pushAt(into, start, row.asn);
        free = row.last + 1n;
      }
      if (!names.has(row.asn)) names.set(row.asn, readName(bytes, row.nameAt, end));
    }
    at = end + 1;
  }
  if (free <= most) pushAt(into, free, 0);
}

function readRow(
  bytes: Buffer,
  from: number,
  end: number,
  family: 4 | 6,
): { first: bigint; last: bigint; asn: number; nameAt: number } | undefined {
  const one = bytes.indexOf(comma, from);
  const two = one < 0 ? -1 : bytes.indexOf(comma, one + 1);
  let three = two < 0 ? -1 : bytes.indexOf(comma, two + 1);
  if (two < 0 || two > end) return undefined;
  if (three < 0 || three > end) three = end;
  const fields = bytes.toString('latin1', from, three);
  if (!/^\d{1,39},\d{1,39},\d{1,10}\r?$/.test(fields)) return undefined;
  const asn = Number(fields.slice(two + 1 - from));
  if (asn > 0xffff_ffff) return undefined;
  let first = BigInt(fields.slice(0, one - from));
  let last = BigInt(fields.slice(one + 1 - from, two - from));
  if (family === 6) {
    first >>= 64n;
    last >>= 64n;
  }
  return { first, last, asn, nameAt: three + 1 };
}

function readName(bytes: Buffer, from: number, end: number): string {
  const last = end > from && bytes[end - 1] === 13 ? end - 1 : end;
  if (from >= last) return '';
  if (bytes[from] === quote && last - from >= 2)
    return bytes.toString('utf8', from + 1, last - 1).replaceAll('""', '"');
  return bytes.toString('utf8', from, last);
}

function pushAt(into: IntervalBuilder, start: bigint, value: number): void {
  if (into.family === 4) into.push(Number(start), 0, value);
  else into.push(Number(start >> 32n), Number(start & 0xffff_ffffn), value);
}
