/**
 * Requests a second by cell (/24, /48), as edges count them: what PoPs must have room for. A cell that asks need not be
 * measured; then it follows its spot.
 */
import type { Family } from '../ip.ts';
import { CellIndex, widened } from './cell-index.ts';

export class Requests {
  readonly #index = new CellIndex();
  perSecond = new Float32Array(0);
  /** Row in the measured cells, -1 for none. */
  row = new Int32Array(0);
  /** Spot that GeoIP has it at, -1 for none. */
  spot = new Int32Array(0);
  /** Something changed since `isNew` was taken back. */
  isNew = false;

  get count(): number {
    return this.#index.count;
  }

  get family(): Uint8Array {
    return this.#index.family;
  }

  get hi(): Uint32Array {
    return this.#index.hi;
  }

  get lo(): Uint32Array {
    return this.#index.lo;
  }

  /** Number of a cell, -1: it never asked. */
  find(family: Family, hi: number, lo: number): number {
    return this.#index.find(family, hi, lo);
  }

  /** `where` is asked once a cell. */
  put(family: Family, hi: number, lo: number, perSecond: number, where: () => { row: number; spot: number }): void {
    let number = this.find(family, hi, lo);
    if (number < 0) {
      number = this.#index.add(family, hi, lo);
      this.perSecond = widened(this.perSecond, number + 1);
      this.row = widened(this.row, number + 1);
      this.spot = widened(this.spot, number + 1);
      const { row, spot } = where();
      this.row[number] = row;
      this.spot[number] = spot;
    }
    if (this.perSecond[number] === Math.fround(perSecond)) return;
    this.perSecond[number] = perSecond;
    this.isNew = true;
  }
}
