/**
 * Whom to ask when more visitors could measure than is wanted. Of the beacons of a budget nine of ten go where
 * uncertainty × demand is greatest, one of ten to anybody. Within the budget everybody is asked.
 *
 *     asked of those who come = budget / rate = f        for sure: need in the top 0.9 f (ties by lot)
 *                                                        else: 0.1 f
 *
 * Each with the probability it had, so that samples can be weighed by 1/p. Pure: time comes in as a number.
 */
import type { Beliefs } from './targets.ts';

const anybody = 0.1;
/** The rate is that of about so long. */
const rateMs = 10_000;
/** Needs of the last that came: what the top of them is. */
const remembered = 1_024;
/** After so many more the top is found anew. */
const renewed = 64;

/** Of a client that was never measured: what geography alone gets wrong for one in twenty. */
export const unknownMs = 100;

/**
 * What could still be gained for a client, milliseconds: between the upper bound of where it goes and the lowest lower
 * bound of where it does not. `highMs` by PoP, NaN: not known.
 */
export function uncertaintyMs({ ranking, lowMs }: Beliefs, highMs: ArrayLike<number>): number {
  const first = ranking[0];
  const high = first === undefined ? Number.NaN : highMs[first]!;
  if (Number.isNaN(high)) return unknownMs;
  let low = Number.POSITIVE_INFINITY;
  for (let i = 1; i < ranking.length; i++) {
    const one = lowMs[ranking[i]!]!;
    if (one < low) low = one;
  }
  return Math.max(0, high - low);
}

export class BeaconBudget {
  readonly #perSecond: number;
  readonly #needs = new Float64Array(remembered);
  #count = 0;
  #sortedAt = 0;
  #sorted = new Float64Array(0);
  #rate = 0;
  #atMs: number | undefined;

  /** `perSecond`: beacons wanted. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** One came, with this need (uncertainty × demand): the probability with which it is to be asked. */
  chance(need: number, nowMs: number): number {
    const sinceMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#atMs = nowMs;
    this.#rate = this.#rate * Math.exp(-sinceMs / rateMs) + 1000 / rateMs;
    this.#needs[this.#count++ % remembered] = need;
    if (this.#rate <= this.#perSecond) return 1;
    const share = this.#perSecond / this.#rate;
    const floor = anybody * share;
    return floor + (1 - floor) * this.#topChance(need, ((1 - anybody) * share) / (1 - floor));
  }

  /** 1 within the top `share` of those who came lately, 0 below it, in between where it ends. */
  #topChance(need: number, share: number): number {
    if (this.#sorted.length === 0 || this.#count - this.#sortedAt >= renewed) {
      this.#sorted = this.#needs.slice(0, Math.min(this.#count, remembered)).sort().reverse();
      this.#sortedAt = this.#count;
    }
    const sorted = this.#sorted;
    const place = Math.min(sorted.length - 1, share * sorted.length);
    const least = sorted[Math.floor(place)]!;
    if (need !== least) return need > least ? 1 : 0;
    const above = sorted.findIndex((one) => one <= least);
    const equal = sorted.findLastIndex((one) => one >= least) + 1 - above;
    return Math.min(1, Math.max(0, (place - above) / equal));
  }
}
