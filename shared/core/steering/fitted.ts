/**
 * Rankings of one group that were changed so that PoPs have room (capacity.ts), kept from build to build. While they go on
 * to fit, they stay for a while, and who was sent away is the first to be sent away again: a little more or less demand
 * moves nobody to and fro.
 */
import { type Asking, fit, fits, fitting, type PopLimits } from './capacity.ts';

interface Changed {
  /** What it was before, and is now. */
  readonly own: Uint8Array;
  readonly ranking: Uint8Array;
}

export class Fitted {
  /** By cell row: places in the group's candidates, best first. */
  rows: ReadonlyMap<number, Uint8Array> = new Map();
  /** By unit. */
  #changed = new Map<number, Changed>();
  #atMs = Number.NEGATIVE_INFINITY;

  /** Rows whose ranking is another than before; `rowFor` gives units a row that have none. */
  update(
    asking: Omit<Asking, 'kept'>,
    limits: PopLimits,
    nowMs: number,
    rowFor: (unit: number) => number,
  ): Set<number> {
    for (const [unit, { own }] of this.#changed) {
      if (!startsAlike(own, asking.ranking(unit))) this.#changed.delete(unit);
    }
    const kept = this.#changed;
    const held: Asking = { ...asking, ranking: (unit) => kept.get(unit)?.ranking ?? asking.ranking(unit) };
    const { first, second } = fits(held, limits);
    if (!first || nowMs - this.#atMs >= (second ? fitting.keepMs : fitting.secondMs)) {
      this.#atMs = nowMs;
      const less = { soft: scaled(limits.soft), hard: scaled(limits.hard) };
      const fitted = fit({ ...asking, kept: (unit) => kept.get(unit)?.ranking }, less);
      this.#changed = new Map();
      for (const [unit, ranking] of fitted) {
        this.#changed.set(unit, { own: asking.ranking(unit).slice(), ranking });
      }
    }
    return this.#put(rowFor);
  }

  #put(rowFor: (unit: number) => number): Set<number> {
    const rows = new Map<number, Uint8Array>();
    for (const [unit, { ranking }] of this.#changed) rows.set(rowFor(unit), ranking);
    const news = new Set<number>();
    for (const [row, ranking] of rows) if (!isSame(this.rows.get(row), ranking)) news.add(row);
    for (const row of this.rows.keys()) if (!rows.has(row)) news.add(row);
    this.rows = rows;
    return news;
  }
}

function scaled(limits: ArrayLike<number>): Float64Array {
  return Float64Array.from(limits, (limit) => fitting.share * limit);
}

/** The same first and second choice. */
function startsAlike(a: Uint8Array, b: Uint8Array): boolean {
  return a[0] === b[0] && a[1] === b[1];
}

function isSame(a: Uint8Array | undefined, b: Uint8Array): boolean {
  if (a === undefined) return false;
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
