/**
 * From evidence to estimates: the round trip of a client to each PoP, with an interval, n, and the tier it rests on.
 *
 * Evidence is blended from fine to coarse by shrinkage, at every n:
 *
 *     θ = (n · x + κ · θ of the next coarser tier) / (n + κ)
 *
 *     1 prefix        own p25 of the cell
 *     2 asn-metro     ⎫
 *     3 spatial       ⎬ tiers.ts
 *     5 prior         ⎭ by distance
 */
import { fade, type QuantileBounds, type Sketch } from '../sketch/sketch.ts';
import type { Cells, OwnRow } from './cells.ts';
import { type Estimates, estimation, shrunkMedian } from './estimation.ts';
import { Tier } from './map.ts';
import type { Belief, Tiers } from './tiers.ts';

/**
 * The statistic of a key: p25 of the decayed sketch, or that of the last quarter of an hour when its own interval lies
 * wholly above: what is new can only demote.
 */
export function statistic(
  sketch: Pick<Sketch, 'ranked' | 'recent'>,
  nowMs: number,
): { readonly own: QuantileBounds; readonly demoted: boolean; readonly speaks: boolean } {
  const whole = sketch.ranked();
  const recent = sketch.recent(nowMs);
  const speaks = Math.round(recent.n) >= estimation.recentN;
  const demoted = speaks && recent.lowMs > whole.ms;
  return { own: demoted ? recent : whole, demoted, speaks };
}

/** By PoP: what its being degraded adds, milliseconds. */
export type Beyond = Float32Array;

/** What a PoP's being degraded adds to a cell's own measurements there: nothing where the last quarter of an hour speaks. */
export function beyondOf(cells: Cells, row: number, pop: number, beyond: Beyond | undefined): number {
  const ms = beyond?.[pop] ?? 0;
  return ms === 0 || cells.speaking.has(row * 256 + pop) ? 0 : ms;
}

/** Estimates of a measured cell into `out`. */
export function estimateCell(
  cells: Cells,
  row: number,
  tiers: Tiers,
  nowMs: number,
  out: Estimates,
  beyond?: Beyond,
): void {
  const { pops } = cells;
  const own = cells.ownOf(row);
  const isDisputed = tiers.isDisputed(row);
  const km = isDisputed ? tiers.kmByNearest(own) : cells.km;
  const from = isDisputed ? 0 : cells.kmFrom(row);
  const belief = tiers.beliefOf(isDisputed ? -1 : tiers.metroOf(row), tiers.asnOf(row));
  const line = lineOf(own, tiers, belief, km, from);
  for (let pop = 0; pop < pops; pop++) {
    tiers.estimate(belief, km[from + pop]!, pop, line, out);
    const samples = own.n[pop]! > 0 ? own.n[pop]! * fade(own.last[pop]!, nowMs) : 0;
    out.n[pop] = samples;
    // Faded to nothing: what is left says no more than the coarser tiers.
    if (samples >= 0.5) blend(out, pop, samples, own.p25[pop]!, own.low[pop]!, own.high[pop]!);
    raise(out, pop, beyondOf(cells, row, pop, beyond));
  }
}

/** What a cell's round trips to all PoPs have in common beyond what is believed of its place. Undefined below two PoPs. */
function lineOf({ n, p25 }: OwnRow, tiers: Tiers, belief: Belief, km: Float32Array, from: number): number | undefined {
  let count = 0;
  for (let pop = 0; pop < n.length; pop++) {
    if (Math.round(n[pop]!) < estimation.voteN) continue;
    const believedMs = tiers.expectedMs(km[from + pop]!, belief.ms[pop]!);
    if (!Number.isNaN(believedMs)) differences[count++] = p25[pop]! - believedMs;
  }
  return count < 2 ? undefined : shrunkMedian(differences, count);
}

/** Scratch, by PoP. */
const differences = new Float64Array(256);

/** Estimates of a place without evidence of its own. `km` by PoP; `metro` -1 and `asn` 0 for none. */
export function estimatePlace(
  km: Float32Array,
  metro: number,
  asn: number,
  tiers: Tiers,
  out: Estimates,
  beyond?: Beyond,
): void {
  const belief = tiers.beliefOf(metro, asn);
  for (let pop = 0; pop < km.length; pop++) {
    tiers.estimate(belief, km[pop]!, pop, undefined, out);
    raise(out, pop, beyond?.[pop] ?? 0);
  }
}

function raise(out: Estimates, pop: number, ms: number): void {
  if (ms === 0) return;
  out.ms[pop]! += ms;
  out.lowMs[pop]! += ms;
  out.highMs[pop]! += ms;
}

/** Takes a cell's own evidence into the estimate. A bound that few samples cannot give is drawn from the coarser one. */
function blend(out: Estimates, pop: number, n: number, ms: number, lowMs: number, highMs: number): void {
  const parent = out.ms[pop]!;
  const theta = Number.isNaN(parent) ? ms : (n * ms + estimation.shrinkage * parent) / (n + estimation.shrinkage);
  // p25 of few samples: how far below it the true one may lie falls with their number. One alone may be a stray.
  const below = ms - (estimation.fewMs + estimation.fewShare * ms) / Math.sqrt(Math.max(1, n));
  const fewLow = Math.max(0, n < 1.5 && !Number.isNaN(parent) ? Math.min(below, out.lowMs[pop]!) : below);
  out.ms[pop] = theta;
  out.lowMs[pop] = Math.min(theta, lowMs > 0 ? lowMs : fewLow);
  out.highMs[pop] = Math.max(theta, highMs < Number.POSITIVE_INFINITY ? highMs : Math.max(ms, out.highMs[pop]!));
  out.tier[pop] = Tier.prefix;
}
