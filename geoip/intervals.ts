/**
 * The address space cut into intervals, each with a number (a location, an AS), and the look-up in them.
 *
 *     hi       0.0.0.0   1.0.0.0   1.0.4.0   …      first addresses, rising; [0] is 0; neighbours differ in value
 *     value      none       17        4      …
 *     sample   the first address of every 32nd interval: small enough to stay in the processor's cache
 *     bucket   for each value of the top 16 bits: the sample at or before its first address
 *
 * A look-up jumps to the bucket, searches the samples between it and the next, then the 32 intervals behind the sample:
 * no allocation, and two or three cache misses where a plain binary search has ten. Addresses of v6 are their first 64
 * bits, (hi, lo).
 */
import type { Address } from '@ufes/core/ip.ts';
import { lastAtOrBefore32, lastAtOrBefore64 } from '@ufes/core/search.ts';

export interface Intervals<V extends Int32Array | Uint32Array> {
  readonly family: 4 | 6;
  readonly hi: Uint32Array;
  /** Empty for v4. */
  readonly lo: Uint32Array;
  readonly value: V;
}

export interface IndexedIntervals<V extends Int32Array | Uint32Array> extends Intervals<V> {
  readonly sampleHi: Uint32Array;
  readonly sampleLo: Uint32Array;
  /** 65,537 entries. */
  readonly bucket: Uint32Array;
}

const sampleShift = 5;

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

/** Adds samples and buckets. Returns undefined unless the intervals start at 0 and rise. */
export function indexIntervals<V extends Int32Array | Uint32Array>(
  intervals: Intervals<V>,
): IndexedIntervals<V> | undefined {
  const { family, hi, lo, value } = intervals;
  if (hi.length === 0 || hi.length !== value.length || lo.length !== (family === 6 ? hi.length : 0)) return undefined;
  if (hi[0] !== 0 || (family === 6 && lo[0] !== 0)) return undefined;
  for (let i = 1; i < hi.length; i++) {
    const start = hi[i]!;
    const before = hi[i - 1]!;
    if (start < before || (start === before && (family === 4 || lo[i]! <= lo[i - 1]!))) return undefined;
  }
  const sampleHi = everySample(hi);
  const sampleLo = everySample(lo);
  return { ...intervals, sampleHi, sampleLo, bucket: bucketsOf(sampleHi, sampleLo) };
}

function everySample(starts: Uint32Array): Uint32Array {
  return Uint32Array.from(
    { length: Math.ceil(starts.length / (1 << sampleShift)) },
    (_, i) => starts[i << sampleShift]!,
  );
}

/** For each value of the top 16 bits, and one more: the last start at or before the first address with it. */
function bucketsOf(hi: Uint32Array, lo: Uint32Array): Uint32Array {
  const bucket = new Uint32Array(65_537);
  let at = 0;
  for (let top = 0; top < 65_536; top++) {
    const first = top * 65_536;
    while (at + 1 < hi.length && (hi[at + 1]! < first || (hi[at + 1] === first && (lo[at + 1] ?? 0) === 0))) at++;
    bucket[top] = at;
  }
  bucket[65_536] = hi.length - 1;
  return bucket;
}

/** Number of the interval that holds the address. No allocation. */
export function findInterval(intervals: IndexedIntervals<Int32Array | Uint32Array>, hi: number, lo: number): number {
  const { bucket } = intervals;
  const top = hi >>> 16;
  const isV4 = intervals.family === 4;
  const sample = isV4
    ? lastAtOrBefore32(intervals.sampleHi, bucket[top]!, bucket[top + 1]!, hi)
    : lastAtOrBefore64(intervals.sampleHi, intervals.sampleLo, bucket[top]!, bucket[top + 1]!, hi, lo);
  const low = sample << sampleShift;
  const high = Math.min(low + (1 << sampleShift), intervals.hi.length) - 1;
  return isV4
    ? lastAtOrBefore32(intervals.hi, low, high, hi)
    : lastAtOrBefore64(intervals.hi, intervals.lo, low, high, hi, lo);
}

/** Length of the largest aligned block around the address that lies inside interval `at`. No allocation. */
export function enclosingLength(intervals: Intervals<Int32Array | Uint32Array>, at: number, address: Address): number {
  const { family, hi, lo } = intervals;
  let length = 0;
  if (at > 0) {
    // Must leave out the last address before the interval.
    const startLo = lo[at] ?? 0;
    const borrow = family === 4 || startLo === 0;
    const beforeHi = borrow ? hi[at]! - 1 : hi[at]!;
    length = 1 + commonBits(address.hi ^ beforeHi, address.lo ^ (family === 4 ? 0 : (startLo - 1) >>> 0));
  }
  if (at + 1 < hi.length) {
    length = Math.max(length, 1 + commonBits(address.hi ^ hi[at + 1]!, address.lo ^ (lo[at + 1] ?? 0)));
  }
  return length;
}

/** Equal leading bits, given the differing ones. */
function commonBits(hi: number, lo: number): number {
  return hi !== 0 ? Math.clz32(hi) : 32 + Math.clz32(lo);
}
