/**
 * How many beacons of each address and each prefix were taken in its hour. A table of fixed size, however many ask: each
 * key has one set of eight places, and takes there the place of whoever had fewest in this hour or is of one before.
 *
 *     key ─ keyed hash ─▶ set: │ hi │ lo │ hour, family │ count │ × 8
 *
 * Who floods with ever new addresses pushes out newcomers like itself, never one that has beacons; it gains counts that
 * begin anew, and each of its addresses speaks for its own prefix alone. Hours begin at another minute for each key, so
 * that nobody knows when.
 */
import type { Address } from '@ufes/core/ip.ts';

const ways = 8;
const hourMs = 3_600_000;
const longest = 2 ** 32 - 1;

export class HourlyCounts {
  /** Keys that were pushed out within their hour. */
  evicted = 0;
  readonly #sets: number;
  readonly #seed: Uint32Array;
  readonly #hi: Uint32Array;
  readonly #lo: Uint32Array;
  /** Hour since 1970, twice, and 1 for IPv6; 0: free. */
  readonly #hour: Uint32Array;
  readonly #count: Uint32Array;

  /** `keys`: a power of two, at least 8. `seed`: 8 random bytes. */
  constructor(keys: number, seed: Uint8Array) {
    this.#sets = keys / ways;
    const view = new DataView(seed.buffer, seed.byteOffset);
    this.#seed = Uint32Array.of(view.getUint32(0), view.getUint32(4));
    this.#hi = new Uint32Array(keys);
    this.#lo = new Uint32Array(keys);
    this.#hour = new Uint32Array(keys);
    this.#count = new Uint32Array(keys);
  }

  get bytes(): number {
    return 4 * this.#hi.byteLength;
  }

  /** Counts one and tells how many it is in its hour. */
  add({ family, hi, lo }: Address, nowMs: number): number {
    const hash = this.#hash(hi, lo, family);
    const hour = 2 * Math.floor((nowMs + (hash % hourMs)) / hourMs) + (family === 6 ? 1 : 0);
    const at = this.#placeOf((hash & (this.#sets - 1)) * ways, hi, lo, hour);
    if (this.#count[at]! < longest) this.#count[at]!++;
    return this.#count[at]!;
  }

  #placeOf(first: number, hi: number, lo: number, hour: number): number {
    let least = first;
    for (let at = first; at < first + ways; at++) {
      if (this.#hour[at] === hour && this.#hi[at] === hi && this.#lo[at] === lo) return at;
      if (this.#rank(at, hour) < this.#rank(least, hour)) least = at;
    }
    if (this.#rank(least, hour) > 0) this.evicted++;
    this.#hi[least] = hi;
    this.#lo[least] = lo;
    this.#hour[least] = hour;
    this.#count[least] = 0;
    return least;
  }

  /** 0: free, or of an hour that is over; of this one, by count. Hours of keys differ by one at most. */
  #rank(at: number, hour: number): number {
    return this.#hour[at]! < hour - 3 ? 0 : this.#count[at]!;
  }

  #hash(hi: number, lo: number, family: number): number {
    let hash = this.#seed[0]! ^ family;
    for (const word of [hi, this.#seed[1]!, lo]) {
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
      hash = Math.imul(hash, 0x85ebca77);
      hash ^= hash >>> 13;
    }
    return hash >>> 0;
  }
}
