/** Demand over round trips: its mean and quantiles. */
import { bucketMax, bucketMin, bucketMs, bucketOf } from '../sketch/buckets.ts';

/** Demand-weighted round trips, to 1%. */
export class Spread {
  readonly #weights = new Float64Array(bucketMax - bucketMin + 1);
  weight = 0;
  #sum = 0;

  add(ms: number, weight: number): void {
    const at = bucketOf(ms) - bucketMin;
    this.#weights[at] = this.#weights[at]! + weight;
    this.weight += weight;
    this.#sum += ms * weight;
  }

  mean(): number {
    return this.weight === 0 ? 0 : this.#sum / this.weight;
  }

  quantile(quantile: number): number {
    let left = quantile * this.weight;
    for (const [at, weight] of this.#weights.entries()) {
      left -= weight;
      if (weight > 0 && left <= 0) return bucketMs(at + bucketMin);
    }
    return 0;
  }
}
