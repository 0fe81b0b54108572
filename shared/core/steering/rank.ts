/**
 * From estimates to a ranking of one cell in one group, and what of it is remembered from build to build.
 *
 *     base ──(own evidence decides, 95%)──▶ owned ──(better one: margin, 95%, two builds, dwell)──▶ owned, moved
 *       ▲                                     │
 *       └────────(its evidence faded)─────────┘
 *
 * A cell follows the base (prior and backbone) until its own evidence decides between two PoPs, and takes that first
 * decision at once. From then on it is stabilised: the incumbent stays unless the challenger is better by a margin,
 * with 95%, in two consecutive builds on fresh samples, and some time has passed since the last change.
 */
import { widened } from './cells.ts';
import { estimation } from './estimation.ts';
import { noPop } from './map.ts';
import type { Rows } from './rows.ts';

export const stabilisation = {
  /** A move gains more than both, of the incumbent's cost. */
  gainMs: 5,
  gainShare: 0.1,
  /** Builds in a row, each on fresh samples, in which the gain's 95% bound is above zero. */
  builds: 2,
  /** Since the last move. */
  dwellMs: 10 * 60_000,
  /** Effective samples, rounded, below which (at every PoP) a cell no longer holds a ranking of its own. */
  leaveN: 10,
} as const;

/** Costs of one cell by place in the group's candidates: k · client leg + backbone leg, milliseconds. */
export interface CellCosts {
  /** NaN: not known. */
  readonly cost: Float64Array;
  /** 95% bounds; where `bound` is there, after it was called for the place. */
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** Own effective n, rounded. */
  readonly n: Float64Array;
  /** 1: the PoP is degraded, and that is in its cost. */
  readonly degraded: Uint8Array;
  /** The same with p75 of the client leg; NaN: not known. */
  readonly tail: Float64Array;
  /** 1: a guard keeps it from being first (guards.ts). */
  readonly barred: Uint8Array;
  /** Two of all places have their bounds looked at. */
  readonly bound: ((place: number) => void) | undefined;
}

export function createCosts(width: number, bound?: (place: number) => void): CellCosts {
  const column = () => new Float64Array(width);
  const flags = () => new Uint8Array(width);
  return {
    cost: column(),
    low: column(),
    high: column(),
    n: column(),
    degraded: flags(),
    tail: column(),
    barred: flags(),
    bound,
  };
}

/** Rankings that rest on own evidence, by cell row. Rankings list places in the group's candidates, best first. */
export class RankStates {
  readonly width: number;
  owned = new Uint8Array(0);
  #ranking = new Uint8Array(0);
  #sinceMs = new Float64Array(0);
  #challenger = new Uint8Array(0);
  #confirmed = new Uint8Array(0);
  #samples = new Float64Array(0);

  constructor(width: number) {
    this.width = width;
  }

  /** Rows up to `count` exist. */
  reserve(count: number): void {
    this.owned = widened(this.owned, count);
    this.#ranking = widened(this.#ranking, count * this.width);
    this.#sinceMs = widened(this.#sinceMs, count);
    this.#challenger = widened(this.#challenger, count);
    this.#confirmed = widened(this.#confirmed, count);
    this.#samples = widened(this.#samples, count);
  }

  /** The place at a step of the ranking of a cell that is owned. */
  at(row: number, step: number): number {
    return this.#ranking[row * this.width + step]!;
  }

  /** The number of that ranking, -1: it is not among the rows. */
  findIn(rows: Rows, row: number): number {
    return rows.find(this.#ranking, row * this.width);
  }

  /** A view; valid while the cell is owned and until the next `reserve`. */
  ranking(row: number): Uint8Array {
    return this.#ranking.subarray(row * this.width, (row + 1) * this.width);
  }

  /** Takes a ranking as the cell's own: decided now, or found in the map in service after a restart. */
  own(row: number, ranking: Uint8Array, sinceMs: number): void {
    this.#ranking.set(ranking, row * this.width);
    this.owned[row] = 1;
    this.#sinceMs[row] = sinceMs;
    this.#forget(row);
  }

  /**
   * Ranks a cell on its costs. `base` is the ranking without own evidence; `samples` only tells fresh from old;
   * `isDisputed`: the base ranks another place than the cell's, so anything measured is better.
   */
  rank(row: number, base: Uint8Array, costs: CellCosts, samples: number, nowMs: number, isDisputed = false): void {
    if (this.owned[row] === 1) this.#keepOrMove(row, costs, samples, nowMs);
    else if (isDisputed) this.#decideDisputed(row, base, costs, nowMs);
    else this.#decideFirst(row, base, costs, nowMs);
    this.#leaveBarred(row, base, costs, nowMs);
  }

  /** A first choice that a guard bars is left at once, for the best that none does. */
  #leaveBarred(row: number, base: Uint8Array, costs: CellCosts, nowMs: number): void {
    const isOwned = this.owned[row] === 1;
    if (costs.barred[isOwned ? this.ranking(row)[0]! : base[0]!] !== 1) return;
    const best = cheapest(costs, noPop);
    if (best === noPop) return;
    if (isOwned) this.#sinceMs[row] = nowMs;
    else this.own(row, base, nowMs);
    first(this.ranking(row), best);
    this.#forget(row);
  }

  #decideDisputed(row: number, base: Uint8Array, costs: CellCosts, nowMs: number): void {
    const ranking = Uint8Array.from(base);
    order(ranking, costs, (gain) => gain > 0);
    this.own(row, ranking, nowMs);
  }

  #decideFirst(row: number, base: Uint8Array, costs: CellCosts, nowMs: number): void {
    const best = cheapest(costs, noPop, estimation.ownN);
    if (best === noPop) return;
    const incumbent = base[0]!;
    // Against the incumbent when it gains; when the incumbent is the best, the runner-up must be worse for certain.
    const other = best === incumbent ? cheapest(costs, best, estimation.ownN) : incumbent;
    if (other === noPop) return;
    if (!surelyBetter(costs, best, other)) return;
    const ranking = Uint8Array.from(base);
    order(ranking, costs, (gain) => gain > 0);
    this.own(row, first(ranking, best), nowMs);
  }

  #keepOrMove(row: number, costs: CellCosts, samples: number, nowMs: number): void {
    if (costs.n.every((n) => n < stabilisation.leaveN)) {
      this.owned[row] = 0;
      this.#forget(row);
      return;
    }
    const ranking = this.ranking(row);
    const incumbent = ranking[0]!;
    if (this.#mayMove(row, incumbent, costs, samples, nowMs)) {
      first(ranking, this.#challenger[row]!);
      this.#sinceMs[row] = nowMs;
      this.#forget(row);
    }
    order(ranking.subarray(1), costs, beyondMargin);
  }

  /** Counts this build for or against the challenger. */
  #mayMove(row: number, incumbent: number, costs: CellCosts, samples: number, nowMs: number): boolean {
    if (this.#mustMove(row, cheapest(costs, noPop), incumbent, costs)) return true;
    const best = cheapest(costs, noPop, estimation.ownN);
    const wins =
      best !== noPop &&
      best !== incumbent &&
      beyondMargin(costs.cost[incumbent]! - costs.cost[best]!, costs.cost[incumbent]!) &&
      surelyBetter(costs, best, incumbent);
    if (!wins) {
      this.#forget(row);
      return false;
    }
    if (this.#challenger[row] !== best) {
      this.#challenger[row] = best;
      this.#confirmed[row] = 1;
      this.#samples[row] = samples;
    } else if (samples > this.#samples[row]!) {
      this.#confirmed[row] = Math.min(250, this.#confirmed[row]! + 1);
      this.#samples[row] = samples;
    }
    return this.#confirmed[row]! >= stabilisation.builds && nowMs - this.#sinceMs[row]! >= stabilisation.dwellMs;
  }

  /** What became slow for everybody is left at once, for the best that is known. */
  #mustMove(row: number, best: number, incumbent: number, { cost, degraded }: CellCosts): boolean {
    if (degraded[incumbent] !== 1 || best === noPop || best === incumbent) return false;
    this.#challenger[row] = best;
    return beyondMargin(cost[incumbent]! - cost[best]!, cost[incumbent]!);
  }

  #forget(row: number): void {
    this.#challenger[row] = noPop;
    this.#confirmed[row] = 0;
  }
}

/** The estimate says better, and so does the 95% bound of the gain. */
function surelyBetter(costs: CellCosts, better: number, worse: number): boolean {
  if (!(costs.cost[worse]! > costs.cost[better]!)) return false;
  costs.bound?.(worse);
  costs.bound?.(better);
  return costs.low[worse]! - costs.high[better]! > 0;
}

function beyondMargin(gain: number, of: number): boolean {
  return gain > Math.max(stabilisation.gainMs, stabilisation.gainShare * of);
}

/** Of those that may be first, and have so many own samples: what others say of one that is not measured decides nothing. */
function cheapest({ cost, barred, n }: CellCosts, except: number, leastN = 0): number {
  let best = noPop;
  for (let i = 0; i < cost.length; i++) {
    if (i === except || barred[i] === 1 || n[i]! < leastN || Number.isNaN(cost[i]!)) continue;
    if (best === noPop || cost[i]! < cost[best]!) best = i;
  }
  return best;
}

/** Puts `place` first, the others keeping their order. In place. */
function first(ranking: Uint8Array, place: number): Uint8Array {
  const at = ranking.indexOf(place);
  ranking.copyWithin(1, 0, at);
  ranking[0] = place;
  return ranking;
}

/** Swaps neighbours while the later one gains enough; those whose cost is not known sink to the end. In place. */
function order(ranking: Uint8Array, { cost }: CellCosts, enough: (gain: number, of: number) => boolean): void {
  for (let end = 1; end < ranking.length; end++) {
    const place = ranking[end]!;
    const own = cost[place]!;
    let at = end;
    for (; at > 0; at--) {
      const above = cost[ranking[at - 1]!]!;
      const rises = Number.isNaN(above) ? !Number.isNaN(own) : enough(above - own, above);
      if (!rises) break;
      ranking[at] = ranking[at - 1]!;
    }
    ranking[at] = place;
  }
}
