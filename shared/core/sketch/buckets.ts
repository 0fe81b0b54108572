/**
 * Sorted buckets of a DDSketch: bucket i holds the values in (γ^(i−1), γ^i], γ = 1.01 / 0.99, so that its middle is
 * within 1% of all of them (Masson, Rim, Lee: "DDSketch", VLDB 2019, §2).
 *
 *     index     412    413   415   …     int16, rising
 *     weight   4096  15360  2048   …     whole numbers above zero
 */

import type { Varints } from './varint.ts';

/** Half the width of a bucket, as a share of its middle. */
export const relativeAccuracy = 0.01;
const gamma = (1 + relativeAccuracy) / (1 - relativeAccuracy);
const perLogMs = 1 / Math.log(gamma);

/** Round trips below 10 µs are counted as 10 µs, above 100 s as 100 s: no more than 807 buckets. */
export const valueMsMin = 0.01;
export const valueMsMax = 100_000;
export const bucketMin = bucketOf(valueMsMin);
export const bucketMax = bucketOf(valueMsMax);

export function bucketOf(ms: number): number {
  return Math.ceil(Math.log(Math.min(valueMsMax, Math.max(valueMsMin, ms))) * perLogMs);
}

const middles = Float64Array.from(
  { length: bucketMax - bucketMin + 1 },
  (_, i) => (2 * gamma ** (bucketMin + i)) / (1 + gamma),
);

/** The value of a bucket, milliseconds: within 1% of everything in it. */
export function bucketMs(index: number): number {
  return middles[index - bucketMin]!;
}

const noIndexes = new Int16Array(0);
const noWeights = new Float64Array(0);

export class Buckets {
  index: Int16Array;
  weight: Float64Array;
  size = 0;
  /** Sum of the weights: exact, they are whole numbers. */
  total = 0;

  constructor(capacity = 0) {
    // Most slots are empty: those share arrays of no length.
    this.index = capacity === 0 ? noIndexes : new Int16Array(capacity);
    this.weight = capacity === 0 ? noWeights : new Float64Array(capacity);
  }

  add(index: number, weight: number): void {
    this.total += weight;
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.index[middle]! < index) low = middle + 1;
      else high = middle;
    }
    if (low < this.size && this.index[low] === index) {
      this.weight[low] = this.weight[low]! + weight;
      return;
    }
    this.reserve(this.size + 1);
    this.index.copyWithin(low + 1, low, this.size);
    this.weight.copyWithin(low + 1, low, this.size);
    this.index[low] = index;
    this.weight[low] = weight;
    this.size++;
  }

  /** The sum of both, each halved some times first, rounded down; what comes to nothing is left out. */
  static sum(a: Buckets, halvingsA: number, b: Buckets, halvingsB: number): Buckets {
    const sum = new Buckets(a.size + b.size);
    const [factorA, factorB] = [0.5 ** halvingsA, 0.5 ** halvingsB];
    for (let i = 0, j = 0; i < a.size || j < b.size; ) {
      const indexA = i < a.size ? a.index[i]! : 32_767;
      const indexB = j < b.size ? b.index[j]! : 32_767;
      const index = Math.min(indexA, indexB);
      let weight = 0;
      if (indexA === index) weight += Math.floor(a.weight[i++]! * factorA);
      if (indexB === index) weight += Math.floor(b.weight[j++]! * factorB);
      if (weight === 0) continue;
      sum.index[sum.size] = index;
      sum.weight[sum.size++] = weight;
      sum.total += weight;
    }
    return sum;
  }

  /** Value of the lowest bucket at which the running weight exceeds `rank` of the total, milliseconds; NaN when empty. */
  at(rank: number): number {
    // Ranks are quotients: a running sum that should equal one must not pass for more.
    const above = rank + 1e-6 * this.total;
    let running = 0;
    for (let i = 0; i < this.size; i++) {
      running += this.weight[i]!;
      if (running > above) return bucketMs(this.index[i]!);
    }
    return this.size === 0 ? Number.NaN : bucketMs(this.index[this.size - 1]!);
  }

  /** Becomes the `size` buckets that stand there (sketch.ts says how); false: they are none. */
  read(varints: Varints, size: number): boolean {
    this.size = 0;
    this.total = 0;
    if (!(size >= 0 && size <= bucketMax - bucketMin + 1)) return false;
    this.reserve(size);
    const { index, weight } = this;
    let last = bucketMin - 1;
    let total = 0;
    for (let i = 0; i < size; i++) {
      const step = varints.next();
      const value = varints.next();
      last += step;
      if (step <= 0 || last > bucketMax || value <= 0) return false;
      index[i] = last;
      weight[i] = value;
      total += value;
    }
    this.size = size;
    this.total = total;
    return true;
  }

  /** Room for `size` buckets, those that are there kept. */
  reserve(size: number): void {
    if (size <= this.index.length) return;
    const capacity = Math.max(8, size, 2 * this.size);
    const index = new Int16Array(capacity);
    const weight = new Float64Array(capacity);
    index.set(this.index.subarray(0, this.size));
    weight.set(this.weight.subarray(0, this.size));
    this.index = index;
    this.weight = weight;
  }
}
