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
import { Middles, medianByPicking } from './medians.ts';
import { Residuals } from './residuals.ts';

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
  /** By PoP; no residuals at all, and those of `roughMedians`. */
  readonly nothing: Float32Array;
  readonly #rough: Float32Array;

  constructor(pops: number) {
    this.start = new Uint32Array(pops + 1);
    this.#next = new Uint32Array(pops + 1);
    this.nothing = new Float32Array(pops);
    this.#rough = new Float32Array(pops);
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

  /** What is in the middle of what was spread, which is out of order then. */
  middles(): Middles {
    const middles = new Middles(this.start.length - 1);
    for (let pop = 0; pop + 1 < this.start.length; pop++) {
      middles.put(pop, this.values, this.start[pop]!, this.start[pop + 1]!);
    }
    return middles;
  }

  /** Medians alone, of what was spread, which is out of order then; valid until the next call. */
  roughMedians(): Float32Array {
    for (let pop = 0; pop + 1 < this.start.length; pop++) {
      const [from, end] = [this.start[pop]!, this.start[pop + 1]!];
      this.#rough[pop] = end > from ? medianByPicking(this.values, from, end) : Number.NaN;
    }
    return this.#rough;
  }

  /** Medians by PoP of what was spread, which is out of order then; NaN where fewer than `least` voted. */
  medians(least: number): Residuals {
    const pops = this.start.length - 1;
    const residuals = new Residuals(pops);
    const middles = this.middles();
    for (let pop = 0; pop < pops; pop++) {
      const count = middles.counts[pop]!;
      if (count > 0 && count >= least) residuals.put(pop, middles.median(pop), middles.slack(pop), count);
      else residuals.put(pop, Number.NaN, Number.NaN, count);
    }
    return residuals;
  }
}
