/**
 * Sorted buckets of a DDSketch: bucket i holds the values in (γ^(i−1), γ^i], γ = 1.01 / 0.99, so that its middle is
 * within 1% of all of them (Masson, Rim, Lee: "DDSketch", VLDB 2019, §2).
 *
 *     index    412   413   415   …     int16, rising
 *     weight   2.0   7.5   1.0   …     float32, above zero
 */

const relativeAccuracy = 0.01;
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

/** The value of a bucket, milliseconds: within 1% of everything in it. */
export function bucketMs(index: number): number {
  return (2 * gamma ** index) / (1 + gamma);
}

export class Buckets {
  index: Int16Array;
  weight: Float32Array;
  size: number;

  constructor(index = new Int16Array(0), weight = new Float32Array(0)) {
    this.index = index;
    this.weight = weight;
    this.size = index.length;
  }

  add(index: number, weight: number): void {
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
    if (this.size === this.index.length) this.#grow(Math.max(8, this.size + (this.size >> 1)));
    this.index.copyWithin(low + 1, low, this.size);
    this.weight.copyWithin(low + 1, low, this.size);
    this.index[low] = index;
    this.weight[low] = weight;
    this.size++;
  }

  /** The sum of both, each multiplied by its factor first. Entries that fall below `weightMin` are left out. */
  static sum(a: Buckets, factorA: number, b: Buckets, factorB: number, weightMin: number): Buckets {
    const index = new Int16Array(a.size + b.size);
    const weight = new Float32Array(a.size + b.size);
    let size = 0;
    for (let i = 0, j = 0; i < a.size || j < b.size; ) {
      const indexA = i < a.size ? a.index[i]! : 32_767;
      const indexB = j < b.size ? b.index[j]! : 32_767;
      const at = Math.min(indexA, indexB);
      let sum = 0;
      if (indexA === at) sum += Math.fround(a.weight[i++]! * factorA);
      if (indexB === at) sum += Math.fround(b.weight[j++]! * factorB);
      if (sum < weightMin) continue;
      index[size] = at;
      weight[size++] = sum;
    }
    return new Buckets(index.subarray(0, size), weight.subarray(0, size));
  }

  total(): number {
    let total = 0;
    for (let i = 0; i < this.size; i++) total += this.weight[i]!;
    return total;
  }

  /** Value of the lowest bucket at which the running weight exceeds `rank` of `total`, milliseconds; NaN when empty. */
  at(rank: number, total: number): number {
    // Weights are sums of floats: a running sum that should equal the rank must not pass for more.
    const above = rank + 1e-6 * total;
    let running = 0;
    for (let i = 0; i < this.size; i++) {
      running += this.weight[i]!;
      if (running > above) return bucketMs(this.index[i]!);
    }
    return this.size === 0 ? Number.NaN : bucketMs(this.index[this.size - 1]!);
  }

  #grow(capacity: number): void {
    const index = new Int16Array(capacity);
    const weight = new Float32Array(capacity);
    index.set(this.index.subarray(0, this.size));
    weight.set(this.weight.subarray(0, this.size));
    this.index = index;
    this.weight = weight;
  }
}
