/**
 * Measured cells, the /24s and /48s that evidence is kept for, as columns: a row a cell, an entry a (cell, PoP).
 *
 *     row        prefix          aggregate   entry row · pops + pop:   p25   low   high   n    last
 *      0         192.0.2.0/24        3                                 75.1  74.9  75.3   20   1764000000
 *
 * Rows are given once and stay; `sorted` lists them by address. A cell's evidence changes only through `setOwn`, which
 * remembers that it did.
 */
import type { Family, Prefix } from '../ip.ts';
import type { QuantileBounds } from '../sketch/sketch.ts';

/** What does not change about a cell while the GeoIP data stays. */
export interface CellPlace {
  readonly prefix: Prefix;
  /** Number of its location; negative: not known. */
  readonly location: number;
  /** Distance to each PoP, kilometres; NaN: not known. */
  readonly km: Float32Array;
  /** Cells of one AS in one metro carry the same text; undefined: it votes nowhere (loopback, no AS, no location). */
  readonly aggregate: string | undefined;
}

type Column = Float32Array | Float64Array | Uint32Array | Int32Array | Uint8Array;

/** The column with room for `length` entries, its content kept. */
export function widened<T extends Column>(column: T, length: number): T {
  if (column.length >= length) return column;
  const wider = new (column.constructor as new (length: number) => T)(Math.max(length, column.length * 2, 64));
  wider.set(column);
  return wider;
}

export class Cells {
  readonly pops: number;
  count = 0;
  family = new Uint8Array(0);
  hi = new Uint32Array(0);
  lo = new Uint32Array(0);
  location = new Int32Array(0);
  /** Number of its aggregate, -1 for none. */
  aggregate = new Int32Array(0);
  /** Samples ever, undecayed, of all PoPs together: tells fresh evidence from old. */
  samples = new Float64Array(0);
  km = new Float32Array(0);
  /** Own evidence. n is 0 where there is none; low is 0 and high Infinity where n is too small to say. */
  p25 = new Float32Array(0);
  low = new Float32Array(0);
  high = new Float32Array(0);
  /** Effective, as of the newest sample. */
  n = new Float32Array(0);
  /** When the newest sample came, whole seconds. */
  last = new Uint32Array(0);
  /** Rows by aggregate number. */
  readonly members: number[][] = [];
  /** Rows whose evidence changed since the last `takeTouched`. */
  #touched = new Set<number>();
  #aggregates = new Map<string, number>();
  #rows = new Map<number, number>();
  #rows6 = new Map<number, number>();
  #sorted: Record<Family, Uint32Array> | undefined;

  constructor(pops: number) {
    this.pops = pops;
  }

  /** The row of a cell, -1 when it has none. `hi` and `lo` are those of its prefix. */
  rowOf(family: Family, hi: number, lo: number): number {
    return this.#mapOf(family).get(cellKey(family, hi, lo)) ?? -1;
  }

  add(place: CellPlace): number {
    const { family, hi, lo } = place.prefix;
    const row = this.count++;
    this.#widen(this.count);
    this.family[row] = family;
    this.hi[row] = hi;
    this.lo[row] = lo;
    this.location[row] = place.location;
    this.km.set(place.km, row * this.pops);
    this.aggregate[row] = place.aggregate === undefined ? -1 : this.#join(place.aggregate, row);
    this.#mapOf(family).set(cellKey(family, hi, lo), row);
    this.#touched.add(row);
    this.#sorted = undefined;
    return row;
  }

  /** The evidence of one PoP; n = 0 takes it away. */
  setOwn(row: number, pop: number, own: QuantileBounds, lastSeconds: number): void {
    const at = row * this.pops + pop;
    this.p25[at] = own.ms;
    this.low[at] = own.lowMs;
    this.high[at] = own.highMs;
    this.n[at] = own.n;
    this.last[at] = lastSeconds;
    this.#touched.add(row);
  }

  setSamples(row: number, samples: number): void {
    this.samples[row] = samples;
  }

  takeTouched(): Set<number> {
    const touched = this.#touched;
    this.#touched = new Set();
    return touched;
  }

  hasTouched(): boolean {
    return this.#touched.size > 0;
  }

  /** Number of an aggregate by its text, -1 when no cell is in it. */
  aggregateOf(text: string | undefined): number {
    return (text === undefined ? undefined : this.#aggregates.get(text)) ?? -1;
  }

  /** Rows of a family in the order of their addresses. */
  sorted(family: Family): Uint32Array {
    this.#sorted ??= { 4: this.#sort(4), 6: this.#sort(6) };
    return this.#sorted[family];
  }

  #sort(family: Family): Uint32Array {
    const keys = Float64Array.from(this.#mapOf(family).keys()).sort();
    const rows = this.#mapOf(family);
    return Uint32Array.from(keys, (key) => rows.get(key)!);
  }

  #mapOf(family: Family): Map<number, number> {
    return family === 4 ? this.#rows : this.#rows6;
  }

  #join(aggregate: string, row: number): number {
    let number = this.#aggregates.get(aggregate);
    if (number === undefined) {
      number = this.#aggregates.size;
      this.#aggregates.set(aggregate, number);
      this.members.push([]);
    }
    this.members[number]!.push(row);
    return number;
  }

  #widen(rows: number): void {
    this.family = widened(this.family, rows);
    this.hi = widened(this.hi, rows);
    this.lo = widened(this.lo, rows);
    this.location = widened(this.location, rows);
    this.aggregate = widened(this.aggregate, rows);
    this.samples = widened(this.samples, rows);
    const entries = rows * this.pops;
    this.km = widened(this.km, entries);
    this.p25 = widened(this.p25, entries);
    this.low = widened(this.low, entries);
    this.high = widened(this.high, entries);
    this.n = widened(this.n, entries);
    this.last = widened(this.last, entries);
  }
}

/** A /24 or /48 as one exact number that sorts like its address. */
export function cellKey(family: Family, hi: number, lo: number): number {
  return family === 4 ? hi >>> 8 : hi * 65_536 + (lo >>> 16);
}
