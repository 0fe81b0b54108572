/**
 * Votes of one metro on their way, as columns; those of a cell side by side:
 *
 *     cell     row   first
 *      0       17      0           vote   pop    ms
 *      1       93      2             0     0    12.5
 *                                    1     4     3.1
 *                                    2     0     9.8
 */
import { widened } from './cell-index.ts';
import { shrunkMedian } from './estimation.ts';
import { medianByPicking, medianOfPart, sortPart } from './medians.ts';

export interface Residuals {
  /** By PoP; NaN where too few voted. */
  readonly ms: Float32Array;
  readonly votes: Uint16Array;
  /** How far one vote alone can move `ms` at most. */
  readonly slackMs: Float32Array;
}

export function emptyResiduals(pops: number): Residuals {
  return { ms: new Float32Array(pops), votes: new Uint16Array(pops), slackMs: new Float32Array(pops) };
}

export class Votes {
  /** Cells that vote, and votes. */
  cells = 0;
  count = 0;
  row = new Uint32Array(64);
  first = new Uint32Array(64);
  pop = new Uint8Array(64);
  /** Beyond the prior. */
  ms = new Float64Array(64);
  /** What was counted by PoP: `values[start[pop]]` up to `values[start[pop + 1]]`. */
  values = new Float32Array(64);
  readonly start: Uint32Array;
  readonly #next: Uint32Array;
  readonly #differences = new Float64Array(256);

  constructor(pops: number) {
    this.start = new Uint32Array(pops + 1);
    this.#next = new Uint32Array(pops + 1);
  }

  clear(): void {
    this.cells = 0;
    this.count = 0;
    this.first[0] = 0;
  }

  add(pop: number, ms: number): void {
    const at = this.count++;
    this.pop = widened(this.pop, this.count);
    this.ms = widened(this.ms, this.count);
    this.pop[at] = pop;
    this.ms[at] = ms;
  }

  /** What was added since the last time is of this row; nothing may have been. */
  endCell(row: number): void {
    if (this.count === this.first[this.cells]!) return;
    const cell = this.cells++;
    this.row = widened(this.row, this.cells);
    this.first = widened(this.first, this.cells + 1);
    this.row[cell] = row;
    this.first[this.cells] = this.count;
  }

  votesOf(cell: number): number {
    return this.first[cell + 1]! - this.first[cell]!;
  }

  /** Of one cell's votes, what they have in common beyond the residuals; `except`: a PoP left out. */
  line(cell: number, residuals: Float32Array, except: number): number {
    const differences = this.#differences;
    let count = 0;
    for (let at = this.first[cell]!; at < this.first[cell + 1]!; at++) {
      const pop = this.pop[at]!;
      if (pop === except) continue;
      const residual = residuals[pop]!;
      differences[count++] = this.ms[at]! - (Number.isNaN(residual) ? 0 : residual);
    }
    return shrunkMedian(differences, count);
  }

  /** Votes less their cells' lines (by row) into `values`, PoP by PoP; `only`: of these cells. */
  spread(line: Float32Array, only?: readonly number[]): void {
    const { start } = this;
    const next = this.#next;
    const cells = only?.length ?? this.cells;
    start.fill(0);
    for (let i = 0; i < cells; i++) {
      const cell = only === undefined ? i : only[i]!;
      for (let at = this.first[cell]!; at < this.first[cell + 1]!; at++) start[this.pop[at]! + 1]!++;
    }
    for (let pop = 1; pop < start.length; pop++) start[pop]! += start[pop - 1]!;
    next.set(start);
    this.values = widened(this.values, this.count);
    for (let i = 0; i < cells; i++) {
      const cell = only === undefined ? i : only[i]!;
      const own = line[this.row[cell]!]!;
      for (let at = this.first[cell]!; at < this.first[cell + 1]!; at++) {
        this.values[next[this.pop[at]!]!++] = this.ms[at]! - own;
      }
    }
  }

  /** Sorts what was spread, PoP by PoP. */
  sort(): void {
    for (let pop = 0; pop + 1 < this.start.length; pop++) sortPart(this.values, this.start[pop]!, this.start[pop + 1]!);
  }

  /** Medians alone, of what was spread, which is out of order then. */
  roughMedians(): Residuals {
    const pops = this.start.length - 1;
    const residuals = emptyResiduals(pops);
    for (let pop = 0; pop < pops; pop++) {
      const [from, end] = [this.start[pop]!, this.start[pop + 1]!];
      residuals.ms[pop] = end > from ? medianByPicking(this.values, from, end) : Number.NaN;
    }
    return residuals;
  }

  /** Medians by PoP of what was spread, NaN where fewer than `least` voted. */
  medians(least: number): Residuals {
    const pops = this.start.length - 1;
    const residuals = emptyResiduals(pops);
    for (let pop = 0; pop < pops; pop++) {
      const [from, end] = [this.start[pop]!, this.start[pop + 1]!];
      residuals.votes[pop] = end - from;
      const isKnown = end > from && end - from >= least;
      residuals.ms[pop] = isKnown ? medianOfPart(this.values, from, end) : Number.NaN;
      residuals.slackMs[pop] = isKnown ? slackOf(this.values, from, end) : Number.NaN;
    }
    return residuals;
  }
}

/** How far the median of a part that is sorted goes when one of them says anything else. Infinity below three. */
function slackOf(sorted: Float32Array, from: number, end: number): number {
  const length = end - from;
  if (length < 3) return Number.POSITIVE_INFINITY;
  const [below, above] = [from + ((length - 1) >> 1), from + (length >> 1)];
  const ms = (sorted[below]! + sorted[above]!) / 2;
  // One vote taken from one side and put on the other shifts both middle ranks by one at most.
  const lowMs = below === above ? sorted[below - 1]! : (sorted[below - 1]! + sorted[below]!) / 2;
  const highMs = below === above ? sorted[above + 1]! : (sorted[above]! + sorted[above + 1]!) / 2;
  return Math.max(ms - lowMs, highMs - ms);
}
