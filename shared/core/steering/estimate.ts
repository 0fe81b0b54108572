/**
 * From evidence to estimates: the round trip of a client to each PoP, with an interval, n, and the tier it rests on.
 *
 * Evidence is blended from fine to coarse by shrinkage, at every n:
 *
 *     θ = (n · x + κ · θ of the next coarser tier) / (n + κ)
 *
 *     1 prefix        own p25 of the cell
 *     2 asn-metro     median of the per-prefix p25s of one AS in one metro, one vote a prefix
 *     3 spatial       ⎫ take their place between 2 and 5 in `coarse` below
 *     4 country       ⎭
 *     5 prior         by distance
 */
import { orderRanks } from '../sketch/order.ts';
import { fade, type QuantileBounds, type Sketch } from '../sketch/sketch.ts';
import type { Cells } from './cells.ts';
import { Tier } from './map.ts';

export const estimation = {
  /** κ: the prior counts as this many samples. */
  shrinkage: 10,
  /** Effective samples, rounded, from which a cell's own evidence may rank. */
  ownN: 20,
  /** Prefixes that an AS × metro estimate takes at least. */
  votes: 5,
  /** Effective samples, rounded, that a vote takes: one stray sample is none. */
  voteN: 5,
} as const;

/** Tier 5, by distance in kilometres. Milliseconds. */
export interface Prior {
  readonly expectedMs: (km: number) => number;
  /** No path is faster. */
  readonly floorMs: (km: number) => number;
  /** Few paths are slower. */
  readonly ceilingMs: (km: number) => number;
}

/** Estimates of one place, by PoP. NaN where nothing is known. */
export interface Estimates {
  readonly ms: Float32Array;
  readonly lowMs: Float32Array;
  readonly highMs: Float32Array;
  /** Own effective n, faded to now. */
  readonly n: Float32Array;
  readonly tier: Uint8Array;
}

export function createEstimates(pops: number): Estimates {
  const column = () => new Float32Array(pops);
  return { ms: column(), lowMs: column(), highMs: column(), n: column(), tier: new Uint8Array(pops) };
}

/**
 * The statistic of a key: p25 of the decayed sketch, or that of the last quarter of an hour when its own interval lies
 * wholly above: what is new can only demote.
 */
export function statistic(
  sketch: Pick<Sketch, 'ranked' | 'recent'>,
  nowMs: number,
): { readonly own: QuantileBounds; readonly demoted: boolean } {
  const whole = sketch.ranked();
  const recent = sketch.recent(nowMs);
  const demoted = Math.round(recent.n) >= estimation.ownN && recent.lowMs > whole.ms;
  return { own: demoted ? recent : whole, demoted };
}

/** Tier 2: medians by aggregate and PoP. */
export class Aggregates {
  readonly #cells: Cells;
  readonly #medians: (readonly Vote[])[] = [];

  constructor(cells: Cells) {
    this.#cells = cells;
  }

  /** Counts the votes of an aggregate again. True when a median moved. */
  update(aggregate: number): boolean {
    const before = this.#medians[aggregate];
    const after = this.#count(aggregate);
    this.#medians[aggregate] = after;
    return before === undefined
      ? after.some(({ votes }) => votes > 0)
      : after.some((vote, pop) => vote.ms !== before[pop]!.ms || vote.votes !== before[pop]!.votes);
  }

  /** Undefined when fewer than `estimation.votes` prefixes voted. */
  median(aggregate: number, pop: number): Vote | undefined {
    const vote = aggregate < 0 ? undefined : this.#medians[aggregate]?.[pop];
    return vote !== undefined && vote.votes > 0 ? vote : undefined;
  }

  #count(aggregate: number): Vote[] {
    const { first, entries, entryKind, entryPop, kind, p25, n, pops } = this.#cells;
    const values = Array.from({ length: pops }, (): number[] => []);
    for (const row of this.#cells.members[aggregate]!) {
      const end = first[row]! + entries[row]!;
      for (let at = first[row]!; at < end; at++) {
        if (entryKind[at] !== kind[row] || Math.round(n[at]!) < estimation.voteN) continue;
        values[entryPop[at]!]!.push(p25[at]!);
      }
    }
    return values.map(voteOf);
  }
}

function voteOf(values: readonly number[]): Vote {
  if (values.length < estimation.votes) return none;
  const sorted = Float32Array.from(values).sort();
  const votes = sorted.length;
  const ranks = orderRanks(votes, 0.5);
  return {
    votes,
    ms: (sorted[(votes - 1) >> 1]! + sorted[votes >> 1]!) / 2,
    lowMs: ranks.low < 1 ? 0 : sorted[ranks.low - 1]!,
    highMs: ranks.high > votes ? Number.POSITIVE_INFINITY : sorted[ranks.high - 1]!,
  };
}

interface Vote {
  readonly votes: number;
  readonly ms: number;
  readonly lowMs: number;
  readonly highMs: number;
}
const none: Vote = { votes: 0, ms: Number.NaN, lowMs: 0, highMs: Number.POSITIVE_INFINITY };

/** Estimates of a measured cell into `out`. */
export function estimateCell(
  cells: Cells,
  row: number,
  aggregates: Aggregates,
  prior: Prior,
  nowMs: number,
  out: Estimates,
): void {
  const { pops, aggregate, km } = cells;
  const { n, p25, low, high, last } = cells.ownOf(row);
  const place = cells.kmFrom(row);
  for (let pop = 0; pop < pops; pop++) {
    coarse(km[place + pop]!, aggregates.median(aggregate[row]!, pop), prior, out, pop);
    const samples = n[pop]! > 0 ? n[pop]! * fade(last[pop]!, nowMs) : 0;
    out.n[pop] = samples;
    // Faded to nothing: what is left says no more than the coarser tiers.
    if (samples >= 0.5) blend(out, pop, Tier.prefix, samples, p25[pop]!, low[pop]!, high[pop]!);
  }
}

/** Estimates of a place without evidence of its own. `km` by PoP; `aggregate` -1 for none. */
export function estimatePlace(
  km: Float32Array,
  aggregate: number,
  aggregates: Aggregates,
  prior: Prior,
  out: Estimates,
): void {
  for (let pop = 0; pop < km.length; pop++) {
    coarse(km[pop]!, aggregates.median(aggregate, pop), prior, out, pop);
    out.n[pop] = 0;
  }
}

function coarse(km: number, median: Vote | undefined, prior: Prior, out: Estimates, pop: number): void {
  const known = !Number.isNaN(km);
  out.tier[pop] = known ? Tier.prior : Tier.none;
  out.ms[pop] = known ? prior.expectedMs(km) : Number.NaN;
  out.lowMs[pop] = known ? prior.floorMs(km) : 0;
  out.highMs[pop] = known ? prior.ceilingMs(km) : Number.POSITIVE_INFINITY;
  if (median !== undefined) blend(out, pop, Tier.asnMetro, median.votes, median.ms, median.lowMs, median.highMs);
}

/** Takes finer evidence into the estimate. An interval that the finer evidence cannot give stays that of the coarser. */
function blend(out: Estimates, pop: number, tier: number, n: number, ms: number, lowMs: number, highMs: number): void {
  const parent = out.ms[pop]!;
  const theta = Number.isNaN(parent) ? ms : (n * ms + estimation.shrinkage * parent) / (n + estimation.shrinkage);
  out.ms[pop] = theta;
  out.lowMs[pop] = Math.min(theta, lowMs > 0 ? lowMs : Math.min(ms, out.lowMs[pop]!));
  out.highMs[pop] = Math.max(theta, highMs < Number.POSITIVE_INFINITY ? highMs : Math.max(ms, out.highMs[pop]!));
  out.tier[pop] = tier;
}
