/** VIP pools: prefixes down to single addresses, in both families. (ip.ts keeps 64 bits of an IPv6 address; a pool needs all.) */
import { addressBytes, type Family } from '../ip.ts';

export interface Pool {
  readonly family: Family;
  /** First address that may be given out, and how many there are. */
  readonly first: bigint;
  readonly count: bigint;
  /** Whole range, for overlaps. */
  readonly low: bigint;
  readonly high: bigint;
}

/** `192.0.2.16/28`, `2001:db8::10/124`; undefined when it is none, or when bits beyond the length are set. */
export function parsePool(text: string): Pool | undefined {
  const match = /^([0-9a-fA-F:.]+)\/(\d{1,3})$/.exec(text);
  const bytes = match ? addressBytes(match[1]!) : undefined;
  if (!match || !bytes) return undefined;
  const bits = bytes.length * 8;
  const length = Number(match[2]);
  const low = addressNumber(bytes);
  const size = 1n << BigInt(Math.max(0, bits - length));
  if (length > bits || low % size !== 0n) return undefined;
  // The subnet's own and broadcast address (v4) and its anycast address (v6, RFC 4291 §2.6.1) stay free.
  const skipLow = size > 2n ? 1n : 0n;
  const skipHigh = size > 2n && bits === 32 ? 1n : 0n;
  const family = bits === 32 ? 4 : 6;
  return { family, first: low + skipLow, count: size - skipLow - skipHigh, low, high: low + size - 1n };
}

export function addressNumber(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

export function poolHolds(pool: Pool, bytes: Uint8Array): boolean {
  const number = addressNumber(bytes);
  return bytes.length === (pool.family === 4 ? 4 : 16) && number >= pool.low && number <= pool.high;
}

export function poolsOverlap(a: Pool, b: Pool): boolean {
  return a.family === b.family && a.low <= b.high && b.low <= a.high;
}

/** Address `index` (from 0) of those that may be given out, in text (RFC 5952). */
export function poolAddress(pool: Pool, index: bigint): string {
  return numberText(pool.family, pool.first + index);
}

function numberText(family: Family, number: bigint): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (number >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((number >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return compress(groups);
}

/** RFC 5952 §4.2: the first longest run of two or more zero groups becomes `::`. */
function compress(groups: readonly string[]): string {
  let [start, length] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === '0') end++;
    if (end - i > length) [start, length] = [i, end - i];
  }
  if (length < 2) return groups.join(':');
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`;
}

/** One text for every spelling of an address, or undefined when it is none. v4-mapped IPv6 folds to IPv4. */
export function canonicalAddress(text: string): string | undefined {
  const bytes = addressBytes(text);
  if (bytes === undefined) return undefined;
  const number = addressNumber(bytes);
  if (bytes.length === 16 && number >> 32n === 0xffffn) return numberText(4, number & 0xffffffffn);
  return numberText(bytes.length === 4 ? 4 : 6, number);
}
