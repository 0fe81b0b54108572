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
 *     4 prior         ⎭ by distance
 */
import { fade, type QuantileBounds, type Sketch } from '../sketch/sketch.ts';
import type { Cells } from './cells.ts';
import { type Estimates, estimation, shrunkMedian } from './estimation.ts';
import { Tier } from './map.ts';
import type { Belief } from './residuals.ts';
import type { Tiers } from './tiers.ts';

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

/** What the estimates of a measured cell rest on, one cell at a time. */
class CellGround {
  belief!: Belief;
  /** Distances are `km[from + pop]`. */
  km!: Float32Array;
  from = 0;
  line: number | undefined;
  /** By PoP, 1: the estimate at hand has its bounds. */
  readonly isBounded = new Uint8Array(256);

  look(cells: Cells, row: number, tiers: Tiers): void {
    const isDisputed = tiers.isDisputed(row);
    this.km = isDisputed ? tiers.kmByNearest(cells.ownOf(row)) : cells.km;
    this.from = isDisputed ? 0 : cells.kmFrom(row);
    this.belief = tiers.beliefOf(isDisputed ? -1 : tiers.metroOf(row), tiers.asnOf(row));
    this.line = lineOf(cells, row, tiers, this);
  }
}
const ground = new CellGround();

/** Estimates of a measured cell into `out`. */
export function estimateCell(
  cells: Cells,
  row: number,
  tiers: Tiers,
  nowMs: number,
  out: Estimates,
  beyond?: Beyond,
): void {
  estimateTimes(cells, row, tiers, nowMs, out, beyond);
  for (let pop = 0; pop < cells.pops; pop++) boundTime(cells, row, pop, tiers, out, beyond);
}

/** The same without the bounds of what was not measured, which few ask for: `boundTime` adds them. */
export function estimateTimes(
  cells: Cells,
  row: number,
  tiers: Tiers,
  nowMs: number,
  out: Estimates,
  beyond: Beyond | undefined,
): void {
  const { pops, entryKind, entryPop, p25, low, high } = cells;
  ground.look(cells, row, tiers);
  const { belief, km, from, line, isBounded } = ground;
  isBounded.fill(0, 0, pops);
  for (let pop = 0; pop < pops; pop++) tiers.estimate(belief, km[from + pop]!, pop, line, out);
  const kind = cells.kind[row]!;
  const end = cells.first[row]! + cells.entries[row]!;
  for (let at = cells.first[row]!; at < end; at++) {
    if (entryKind[at] !== kind) continue;
    const pop = entryPop[at]!;
    const samples = samplesAt(cells, at, nowMs);
    out.n[pop] = samples;
    if (samples < leastN) continue;
    tiers.bound(belief, km[from + pop]!, pop, line, out);
    isBounded[pop] = 1;
    blend(out, pop, samples, p25[at]!, low[at]!, high[at]!);
  }
  if (beyond === undefined) return;
  for (let pop = 0; pop < pops; pop++) raise(out, pop, beyondOf(cells, row, pop, beyond));
}

/** Bounds of one estimate of the cell that was estimated last. */
export function boundTime(
  cells: Cells,
  row: number,
  pop: number,
  tiers: Tiers,
  out: Estimates,
  beyond: Beyond | undefined,
): void {
  const { belief, km, from, line, isBounded } = ground;
  if (isBounded[pop] === 1) return;
  isBounded[pop] = 1;
  tiers.bound(belief, km[from + pop]!, pop, line, out);
  const ms = beyondOf(cells, row, pop, beyond);
  out.lowMs[pop]! += ms;
  out.highMs[pop]! += ms;
}

/** The round trips alone of `estimateCell`, to some PoPs of one cell after the other. */
export class CellTimes {
  readonly #cells: Cells;
  readonly #tiers: Tiers;
  readonly #ground = new CellGround();
  #row = -1;

  constructor(cells: Cells, tiers: Tiers) {
    this.#cells = cells;
    this.#tiers = tiers;
  }

  /** Something changed of cells or of what is believed. */
  clear(): void {
    this.#row = -1;
  }

  ms(row: number, pop: number, nowMs: number, beyond: Beyond | undefined): number {
    const cells = this.#cells;
    const own = this.#ground;
    if (this.#row !== row) own.look(cells, row, this.#tiers);
    this.#row = row;
    const believed = Math.fround(this.#tiers.estimateMs(own.belief, own.km[own.from + pop]!, pop, own.line));
    const kind = cells.kind[row]!;
    const end = cells.first[row]! + cells.entries[row]!;
    let ms = believed;
    for (let at = cells.first[row]!; at < end; at++) {
      if (cells.entryKind[at] !== kind || cells.entryPop[at] !== pop) continue;
      const samples = samplesAt(cells, at, nowMs);
      if (samples >= leastN) ms = Math.fround(blended(samples, cells.p25[at]!, believed));
    }
    return beyond === undefined ? ms : Math.fround(ms + beyondOf(cells, row, pop, beyond));
  }
}

/** Faded to less, what is left says no more than the coarser tiers. */
const leastN = 0.5;

function samplesAt({ n, last }: Cells, at: number, nowMs: number): number {
  return n[at]! > 0 ? n[at]! * fade(last[at]!, nowMs) : 0;
}

/** What a cell's round trips to all PoPs have in common beyond what is believed of its place. Undefined below two PoPs. */
function lineOf(cells: Cells, row: number, tiers: Tiers, { belief, km, from }: CellGround): number | undefined {
  const { entryKind, entryPop, n, p25 } = cells;
  const kind = cells.kind[row]!;
  const end = cells.first[row]! + cells.entries[row]!;
  let count = 0;
  for (let at = cells.first[row]!; at < end; at++) {
    if (entryKind[at] !== kind || Math.round(n[at]!) < estimation.voteN) continue;
    const pop = entryPop[at]!;
    const believedMs = tiers.expectedMs(km[from + pop]!, belief.ms(pop));
    if (!Number.isNaN(believedMs)) differences[count++] = p25[at]! - believedMs;
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
    tiers.bound(belief, km[pop]!, pop, undefined, out);
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
  const theta = blended(n, ms, parent);
  // p25 of few samples: how far below it the true one may lie falls with their number. One alone may be a stray.
  const below = ms - (estimation.fewMs + estimation.fewShare * ms) / Math.sqrt(Math.max(1, n));
  const fewLow = Math.max(0, n < 1.5 && !Number.isNaN(parent) ? Math.min(below, out.lowMs[pop]!) : below);
  out.ms[pop] = theta;
  out.lowMs[pop] = Math.min(theta, lowMs > 0 ? lowMs : fewLow);
  out.highMs[pop] = Math.max(theta, highMs < Number.POSITIVE_INFINITY ? highMs : Math.max(ms, out.highMs[pop]!));
  out.tier[pop] = Tier.prefix;
}

function blended(n: number, ms: number, parentMs: number): number {
  return Number.isNaN(parentMs) ? ms : (n * ms + estimation.shrinkage * parentMs) / (n + estimation.shrinkage);
}
