/**
 * Rankings of some of many units, in columns: no object a ranking.
 *
 *     unit     0  1  2  3  …          row     0        1
 *     at       0  2  0  1             unit    3        1
 *              (row + 1, 0: none)     bytes   2 0 1    1 0 2
 */
import { widened } from './cell-index.ts';
import type { Rows } from './rows.ts';

export class UnitRankings {
  readonly #width: number;
  #at: Uint32Array;
  #unit = new Uint32Array(64);
  #bytes: Uint8Array;
  /** Rows that were ever given; some may have been dropped. */
  #rows = 0;
  size = 0;

  constructor(width: number, units: number) {
    this.#width = width;
    this.#at = new Uint32Array(units);
    this.#bytes = new Uint8Array(64 * width);
  }

  has(unit: number): boolean {
    return unit < this.#at.length && this.#at[unit]! > 0;
  }

  /** Of one that is there, the PoP at a step of its ranking. */
  at(unit: number, step: number): number {
    return this.#bytes[(this.#at[unit]! - 1) * this.#width + step]!;
  }

  /** Row of one that is there. */
  rowOf(unit: number): number {
    return this.#at[unit]! - 1;
  }

  /** A view of a row, valid until the next `add`. */
  row(row: number): Uint8Array {
    return this.#bytes.subarray(row * this.#width, (row + 1) * this.#width);
  }

  /** The number of the ranking in a row, -1: it is not among `rows`. */
  findIn(rows: Rows, row: number): number {
    return rows.find(this.#bytes, row * this.#width);
  }

  /** A view, valid until the next `add`. */
  get(unit: number): Uint8Array | undefined {
    if (!this.has(unit)) return undefined;
    const from = (this.#at[unit]! - 1) * this.#width;
    return this.#bytes.subarray(from, from + this.#width);
  }

  /** Room for the ranking of one that is not there; a view, valid until the next `add`. */
  add(unit: number): Uint8Array {
    const row = this.#rows++;
    this.#unit = widened(this.#unit, this.#rows);
    this.#bytes = widened(this.#bytes, this.#rows * this.#width);
    this.#unit[row] = unit;
    this.#at[unit] = this.#rows;
    this.size++;
    return this.#bytes.subarray(row * this.#width, this.#rows * this.#width);
  }

  /** For as many units. */
  copyFor(width: number, units: number): UnitRankings {
    const copy = new UnitRankings(width, units);
    this.forEach((unit) => {
      copy.add(unit).set(this.get(unit)!);
    });
    return copy;
  }

  drop(unit: number): void {
    this.#at[unit] = 0;
    this.size--;
  }

  /** In the order in which they were added. */
  forEach(visit: (unit: number) => void): void {
    for (let row = 0; row < this.#rows; row++) if (this.#at[this.#unit[row]!] === row + 1) visit(this.#unit[row]!);
  }
}
