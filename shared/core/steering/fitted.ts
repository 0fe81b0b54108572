/**
 * Rankings of one group that were changed so that PoPs have room (capacity.ts), kept from build to build. While they go on
 * to fit, they stay for a while, and who was sent away is the first to be sent away again: a little more or less demand
 * moves nobody to and fro. What still fits is shared out anew only for what those who move gain by it.
 */
import { type Asking, fit, fitSeconds, fits, fitting, isWorthIt, type PopLimits } from './capacity.ts';
import { widened } from './cell-index.ts';
import { noPop } from './map.ts';
import type { Rows } from './rows.ts';
import { UnitRankings } from './unit-rankings.ts';

export class Fitted {
  #changed = new UnitRankings(0, 0);
  /** By unit, of those that are changed: first and second choice of its own then. */
  #own = new Uint8Array(0);
  /** By cell row, where its ranking is among these + 1; 0: it is not changed. */
  #entryOf = new Uint32Array(0);
  #atMs = Number.NEGATIVE_INFINITY;

  /** Cells that are changed. */
  get size(): number {
    return this.#changed.size;
  }

  has(row: number): boolean {
    return row < this.#entryOf.length && this.#entryOf[row]! > 0;
  }

  /** Of a cell that is changed: places in the group's candidates, best first. A view, valid until the next update. */
  ranking(row: number): Uint8Array | undefined {
    return this.has(row) ? this.#changed.row(this.#entryOf[row]! - 1) : undefined;
  }

  /** The number of that ranking, -1: it is not among the rows. */
  findIn(rows: Rows, row: number): number {
    return this.#changed.findIn(rows, this.#entryOf[row]! - 1);
  }

  /** Rows whose ranking may be another than before; `rowFor` gives units a row that have none. */
  update(
    asking: Omit<Asking, 'kept'>,
    limits: PopLimits,
    nowMs: number,
    rowFor: (unit: number) => number,
  ): Set<number> {
    const kept = this.#changed;
    const news = new Set<number>();
    kept.forEach((unit) => {
      const [first, second] = [this.#own[2 * unit], this.#own[2 * unit + 1]];
      if (first === asking.choice(unit, 0) && (asking.width < 2 || second === asking.choice(unit, 1))) return;
      const row = rowFor(unit);
      kept.drop(unit);
      this.#entryOf[row] = 0;
      news.add(row);
    });
    const choice = (unit: number, step: number) => (kept.has(unit) ? kept.at(unit, step) : asking.choice(unit, step));
    const { first, second } = fits({ ...asking, choice }, limits);
    if (first && nowMs - this.#atMs < (second ? fitting.keepMs : fitting.secondMs)) return news;
    this.#atMs = nowMs;
    const less = scaled(limits);
    const wasAt = (unit: number, step: number) => (kept.has(unit) ? kept.at(unit, step) : noPop);
    let fitted = fit({ ...asking, kept: wasAt }, less);
    const then = (unit: number, step: number) => (fitted.has(unit) ? fitted.at(unit, step) : asking.choice(unit, step));
    if (first && !isWorthIt(asking, less, choice, then)) {
      if (second) return news;
      fitted = kept.copyFor(asking.width, asking.demand.length);
      fitSeconds(asking, less, fitted);
    }
    this.#changed = fitted;
    this.#entryOf.fill(0);
    kept.forEach((unit) => {
      if (!fitted.has(unit)) news.add(rowFor(unit));
    });
    fitted.forEach((unit) => {
      const row = rowFor(unit);
      if (!isSame(kept.get(unit), fitted.get(unit)!)) news.add(row);
      this.#note(unit, row, asking);
    });
    return news;
  }

  #note(unit: number, row: number, asking: Omit<Asking, 'kept'>): void {
    this.#own = widened(this.#own, 2 * unit + 2);
    this.#own[2 * unit] = asking.choice(unit, 0);
    if (asking.width > 1) this.#own[2 * unit + 1] = asking.choice(unit, 1);
    this.#entryOf = widened(this.#entryOf, row + 1);
    this.#entryOf[row] = this.#changed.rowOf(unit) + 1;
  }
}

/** What rankings are fitted to. */
export function scaled({ soft, hard }: PopLimits): PopLimits {
  const of = (limits: ArrayLike<number>) => Float64Array.from(limits, (limit) => fitting.share * limit);
  return { soft: of(soft), hard: of(hard) };
}

function isSame(a: Uint8Array | undefined, b: Uint8Array): boolean {
  if (a === undefined) return false;
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
