/**
 * The address space cut into intervals, each with a number (a location, an AS), and the look-up in them.
 *
 *     hi       0.0.0.0   1.0.0.0   1.0.4.0   …      first addresses, rising; [0] is 0; neighbours differ in value
 *     value      none       17        4      …
 *     bucket   for each value of the top 16 bits: the interval that holds its first address
 *
 * A look-up jumps to the bucket and searches between it and the next: no allocation, 2–20 steps. Addresses of v6 are
 * their first 64 bits, (hi, lo).
 */
import { type Address, formatPrefix, prefixOf } from '@ufes/core/ip.ts';

export interface Intervals<V extends Int32Array | Uint32Array> {
  readonly family: 4 | 6;
  readonly hi: Uint32Array;
  /** Empty for v4. */
  readonly lo: Uint32Array;
  readonly value: V;
}

export interface IndexedIntervals<V extends Int32Array | Uint32Array> extends Intervals<V> {
  /** 65,537 entries. */
  readonly bucket: Uint32Array;
}

/** Collects intervals in rising order and joins neighbours of one value. */
export class IntervalBuilder {
  readonly family: 4 | 6;
  #hi = new Uint32Array(1 << 16);
  #lo: Uint32Array;
  #value = new Int32Array(1 << 16);
  #length = 0;

  constructor(family: 4 | 6) {
    this.family = family;
    this.#lo = new Uint32Array(family === 6 ? 1 << 16 : 0);
  }

  /** (`hi`, `lo`) lies above all before. */
  push(hi: number, lo: number, value: number): void {
    const last = this.#length - 1;
    if (last >= 0 && this.#value[last] === value) return;
    if (this.#length === this.#hi.length) this.#grow();
    this.#hi[this.#length] = hi;
    if (this.family === 6) this.#lo[this.#length] = lo;
    this.#value[this.#length++] = value;
  }

  #grow(): void {
    const length = this.#hi.length * 2;
    const grown = <T extends Uint32Array | Int32Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    this.#hi = grown(this.#hi, new Uint32Array(length));
    if (this.family === 6) this.#lo = grown(this.#lo, new Uint32Array(length));
    this.#value = grown(this.#value, new Int32Array(length));
  }

  /** Values are as pushed, as signed 32 bits. */
  finish(): Intervals<Int32Array> {
    const { family } = this;
    return {
      family,
      hi: this.#hi.subarray(0, this.#length),
      lo: this.#lo.subarray(0, family === 6 ? this.#length : 0),
      value: this.#value.subarray(0, this.#length),
    };
  }
}

/** Adds the bucket index. Returns undefined unless the intervals start at 0 and rise. */
export function indexIntervals<V extends Int32Array | Uint32Array>(
  intervals: Intervals<V>,
): IndexedIntervals<V> | undefined {
  const { family, hi, lo, value } = intervals;
  if (hi.length === 0 || hi.length !== value.length || lo.length !== (family === 6 ? hi.length : 0)) return undefined;
  if (hi[0] !== 0 || (family === 6 && lo[0] !== 0)) return undefined;
  const bucket = new Uint32Array(65_537);
  let next = 1;
  for (let i = 1; i < hi.length; i++) {
    const start = hi[i]!;
    const before = hi[i - 1]!;
    if (start < before || (start === before && (family === 4 || lo[i]! <= lo[i - 1]!))) return undefined;
    const top = start >>> 16;
    if (next > top) continue;
    // Buckets up to the one of this start begin inside the interval before, unless this one begins right there.
    while (next < top) bucket[next++] = i - 1;
    const exact = (start & 0xffff) === 0 && (family === 4 || lo[i] === 0);
    bucket[next++] = exact ? i : i - 1;
  }
  while (next <= 65_536) bucket[next++] = hi.length - 1;
  return { ...intervals, bucket };
}

/** Number of the interval that holds the address. No allocation. */
export function findInterval(intervals: IndexedIntervals<Int32Array | Uint32Array>, hi: number, lo: number): number {
  const { bucket, hi: starts } = intervals;
  const top = hi >>> 16;
  let low = bucket[top]!;
  let high = bucket[top + 1]!;
  if (intervals.family === 4) {
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (starts[middle]! <= hi) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  const startsLo = intervals.lo;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    const start = starts[middle]!;
    if (start < hi || (start === hi && startsLo[middle]! <= lo)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The largest aligned block around the address that lies inside interval `at`, as text. */
export function enclosingPrefix(intervals: Intervals<Int32Array | Uint32Array>, at: number, address: Address): string {
  const { family, hi, lo } = intervals;
  const most = family === 4 ? 32 : 64;
  const next = at + 1 < hi.length ? join(hi[at + 1]!, lo[at + 1] ?? 0, family) : 1n << BigInt(most);
  const start = join(hi[at]!, lo[at] ?? 0, family);
  for (let length = 0; length < most; length++) {
    const prefix = prefixOf(address, length);
    const first = join(prefix.hi, prefix.lo, family);
    if (first >= start && first + (1n << BigInt(most - length)) <= next) return formatPrefix(prefix);
  }
  return formatPrefix(prefixOf(address, most));
}

function join(hi: number, lo: number, family: 4 | 6): bigint {
  return family === 4 ? BigInt(hi) : (BigInt(hi) << 32n) | BigInt(lo);
}
