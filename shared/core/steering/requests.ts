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
  /** What a cell asks for beyond its average, as a factor, and until when that is taken to last. */
  #surge = new Float32Array(0);
  #surgeUntilMs = Number.NEGATIVE_INFINITY;

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
    this.perSecond[number] = perSecond;
  }

  /** Cells ask for so many times their average; by number, none below one. */
  surge(factors: ReadonlyMap<number, number>, untilMs: number, nowMs: number): void {
    if (nowMs >= this.#surgeUntilMs) this.#surge.fill(1);
    const known = this.#surge.length;
    this.#surge = widened(this.#surge, this.count);
    this.#surge.fill(1, known);
    for (const [number, factor] of factors) this.#surge[number] = Math.max(this.#surge[number]!, factor);
    this.#surgeUntilMs = untilMs;
  }

  /** Of one cell; 0 when it never asked. */
  rate(family: Family, hi: number, lo: number, nowMs: number): number {
    const number = this.find(family, hi, lo);
    if (number < 0) return 0;
    return this.perSecond[number]! * (nowMs >= this.#surgeUntilMs ? 1 : (this.#surge[number] ?? 1));
  }

  /** Requests a second by number, as of now. */
  demand(nowMs: number): Float32Array {
    const average = this.perSecond.subarray(0, this.count);
    if (nowMs >= this.#surgeUntilMs) return average;
    return average.map((perSecond, number) => perSecond * (this.#surge[number] ?? 1));
  }
}
