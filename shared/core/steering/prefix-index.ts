/**
 * Where in a sorted list of interval starts to look for an address: a trie of buckets over the leading bits, in one
 * array of 32-bit words (which may be shared by threads), so that the cost of a look-up does not grow with the list.
 *
 *     root    bits, then its node
 *     node    [ E[0],  E[1],  …  E[2^bits] ]
 *     E[j]    ≥ 0: number of the interval that holds the first address of bucket j
 *             < 0: bucket j is crowded and has a node of its own: 1 | bits of it (5) | where it begins (26)
 *
 * An address in bucket j lies in one of the intervals E[j] … E[j + 1], at most `crowded` of them: a short binary search.
 * How many bits a node covers follows how many starts it holds, so the trie is as fine as the population is dense: v4 is
 * cut by its top 16 bits, v6 deep inside the few blocks in use and nowhere else. What a step needs to know of the next
 * node stands in the entry that leads there: a step is one word read from memory.
 *
 * Building reads every start once a level; two or three levels for v4 and v6 as they are.
 */
import type { Family } from '../ip.ts';

/** Intervals of a bucket that are left to the binary search: two cache lines of starts. */
const crowded = 16;
const bitsMax = 16;
const child = 0x80000000 | 0;
const bitsAt = 26;
/** Words of an index: sixty million are those of forty million intervals. */
const place = (1 << bitsAt) - 1;

/** Sorted first addresses of intervals; [0] is 0. v4: `hi` alone. */
export interface Starts {
  readonly family: Family;
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
}

/** Lists this short are searched as they are. */
export function isWorthIndexing(index: Starts): boolean {
  return index.hi.length > crowded;
}

export function buildPrefixIndex(index: Starts): Int32Array {
  return runThrough(buildPrefixIndexInSlices(index)).slice();
}

/** All of it, now. */
export function runThrough<T>(work: Generator<undefined, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/** The same in slices of less than a millisecond; in a buffer that may be larger. */
export function* buildPrefixIndexInSlices(index: Starts): Generator<undefined, Int32Array> {
  const builder = new Builder(index);
  const root = yield* builder.node(0, 0, 0, 0, index.hi.length - 1);
  builder.words[0] = root >>> bitsAt;
  return builder.words.subarray(0, builder.used);
}

class Builder {
  words = new Int32Array(1 << 10);
  used = 1;
  readonly #starts: Starts;
  readonly #width: number;

  constructor(starts: Starts) {
    this.#starts = starts;
    this.#width = starts.family === 4 ? 32 : 64;
  }

  /**
   * The node of the block that starts at (hi, lo) and has `bit` bits; `first` holds its first address, `last` its last.
   * Returns its bits and place, as in an entry.
   */
  *node(hi: number, lo: number, bit: number, first: number, last: number): Generator<undefined, number> {
    const bits = this.#bitsFor(bit, last - first + 1);
    const size = 2 ** bits;
    const at = this.used;
    this.#reserve(size + 1);
    const step = 2 ** ((bit < 32 ? 32 : 64) - bit - bits);
    let from = first;
    for (let j = 0; j < size; j++) {
      if (j % 4096 === 4095) yield;
      const bucketHi = bit < 32 ? hi + j * step : hi;
      const bucketLo = bit < 32 ? 0 : lo + j * step;
      const to = j + 1 === size ? last : this.#lastBefore(bucketHi, bucketLo, bit, step, from, last);
      const deeper = bit + bits;
      const isCrowded = to - from >= crowded && deeper < this.#width;
      const entry = isCrowded ? child | (yield* this.node(bucketHi, bucketLo, deeper, from, to)) : from;
      this.words[at + j] = entry;
      from = this.#holdsNext(bucketHi, bucketLo, bit, step, to) ? to + 1 : to;
    }
    this.words[at + size] = last;
    yield;
    return (bits << bitsAt) | at;
  }

  #bitsFor(bit: number, count: number): number {
    const wanted = Math.max(2, Math.ceil(Math.log2(count)) - 2);
    return Math.min(wanted, bitsMax, (bit < 32 ? 32 : 64) - bit);
  }

  /** Number of the interval that holds the last address of the bucket. */
  #lastBefore(hi: number, lo: number, bit: number, step: number, from: number, last: number): number {
    const endHi = bit < 32 ? hi + step : hi;
    const endLo = bit < 32 ? 0 : lo + step;
    let to = from;
    while (to < last && this.#isBefore(to + 1, endHi, endLo)) to++;
    return to;
  }

  /** Whether interval `to + 1` starts exactly where the next bucket does. */
  #holdsNext(hi: number, lo: number, bit: number, step: number, to: number): boolean {
    const { hi: starts, lo: starts2, family } = this.#starts;
    if (to + 1 >= starts.length) return false;
    const endHi = bit < 32 ? hi + step : hi;
    const endLo = bit < 32 ? 0 : lo + step;
    return starts[to + 1] === endHi && (family === 4 || starts2[to + 1] === endLo);
  }

  #isBefore(at: number, hi: number, lo: number): boolean {
    const { hi: starts, lo: starts2, family } = this.#starts;
    const start = starts[at]!;
    return start < hi || (start === hi && family === 6 && starts2[at]! < lo);
  }

  #reserve(words: number): void {
    this.used += words;
    if (this.used > place) throw new RangeError(`prefix index: more than ${place} words`);
    if (this.used <= this.words.length) return;
    const grown = new Int32Array(Math.max(this.used, this.words.length * 2));
    grown.set(this.words);
    this.words = grown;
  }
}

/**
 * Number of the interval that holds the address. `hi` and `lo` are unsigned. No allocation.
 */
export function findByPrefix(words: Int32Array, index: Starts, hi: number, lo: number): number {
  let bits = words[0]!;
  let at = 1;
  let bit = 0;
  let low: number;
  for (;;) {
    at += (bit < 32 ? hi << bit : lo << (bit - 32)) >>> (32 - bits);
    low = words[at]!;
    if (low >= 0) break;
    bit += bits;
    bits = (low >>> bitsAt) & 31;
    at = low & place;
  }
  // What a crowded neighbour begins with is not worth reading.
  let high = words[at + 1]!;
  if (high < 0) high = Math.min(low + crowded, index.hi.length - 1);
  const { hi: starts, lo: starts2, family } = index;
  if (family === 4) {
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (starts[middle]! <= hi) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    const start = starts[middle]!;
    if (start < hi || (start === hi && starts2[middle]! <= lo)) low = middle;
    else high = middle - 1;
  }
  return low;
}
