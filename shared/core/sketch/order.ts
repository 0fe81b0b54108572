/**
 * Distribution-free bounds of a quantile: of n values in order, the r-th and the s-th enclose the true q-quantile with
 * 95% (David and Nagaraja, "Order Statistics", §7.1). The chance that fewer than r of n lie below it is binomial.
 */

export interface OrderRanks {
  /** 1-based; 0: n is too small for a lower bound. */
  readonly low: number;
  /** 1-based; n + 1: too small for an upper bound. */
  readonly high: number;
}

const tail = 0.025;
/** Exact up to here; beyond, the normal approximation is within one rank. */
const exactN = 1_000;
type Ranks = (OrderRanks | undefined)[];
const cache = new Map<number, Ranks>();
/** What was asked for last, as nearly always. */
let lastQuantile = Number.NaN;
let lastRanks: Ranks = [];

/** `n` is rounded. `quantile` strictly between 0 and 1. */
export function orderRanks(n: number, quantile: number): OrderRanks {
  const count = Math.max(0, Math.round(n));
  if (count > exactN) {
    const spread = 1.96 * Math.sqrt(count * quantile * (1 - quantile));
    return { low: Math.floor(count * quantile - spread), high: Math.ceil(count * quantile + spread) + 1 };
  }
  if (quantile !== lastQuantile) {
    lastRanks = cache.get(quantile) ?? [];
    lastQuantile = quantile;
    cache.set(quantile, lastRanks);
  }
  lastRanks[count] ??= exactRanks(count, quantile);
  return lastRanks[count];
}

/** low: largest r with P(X ≤ r − 1) ≤ 2.5%. high: smallest s with P(X ≤ s − 1) ≥ 97.5%. X is binomial (n, q). */
function exactRanks(n: number, quantile: number): OrderRanks {
  const odds = Math.log(quantile) - Math.log1p(-quantile);
  let logChance = n * Math.log1p(-quantile);
  let cumulative = 0;
  let low = 0;
  for (let x = 0; x <= n; x++) {
    cumulative += Math.exp(logChance);
    if (cumulative <= tail) low = x + 1;
    if (x < n && cumulative >= 1 - tail) return { low, high: x + 1 };
    logChance += Math.log((n - x) / (x + 1)) + odds;
  }
  return { low, high: n + 1 };
}
