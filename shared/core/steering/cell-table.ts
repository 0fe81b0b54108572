/**
 * The estimates of a map's cells from build to build: what a row says is put in when it changed, and a table is made of
 * the one before by copying what lies between changes.
 *
 *     table before   │ a │ b │ c │ d │ e │        in the order of addresses
 *     put            b′, x
 *     table now      │ a │ b′│ c │ d │ x │ e │
 */
import { type Cells, widened } from './cells.ts';
import type { Estimates } from './estimation.ts';
import { type CellTable, Tier } from './map.ts';

interface Columns {
  pop: Uint8Array;
  tier: Uint8Array;
  estimate: Uint16Array;
  low: Uint16Array;
  high: Uint16Array;
  n: Uint16Array;
}

function columnsFor(length: number): Columns {
  const words = () => new Uint16Array(length);
  const bytes = () => new Uint8Array(length);
  return { pop: bytes(), tier: bytes(), estimate: words(), low: words(), high: words(), n: words() };
}

function copy(from: Columns, start: number, end: number, to: Columns, at: number): void {
  to.pop.set(from.pop.subarray(start, end), at);
  to.tier.set(from.tier.subarray(start, end), at);
  to.estimate.set(from.estimate.subarray(start, end), at);
  to.low.set(from.low.subarray(start, end), at);
  to.high.set(from.high.subarray(start, end), at);
  to.n.set(from.n.subarray(start, end), at);
}

/** Of a row, mostly fewer: those measured, and those that come first. */
const expectedEntries = 10;

export class CellTables {
  readonly #cells: Cells;
  /** The table before, the rows of its cells in their order, and where each begins. */
  #columns = columnsFor(0);
  #rows: Uint32Array = new Uint32Array(0);
  #first = new Uint32Array(1);
  #weight = new Uint32Array(0);
  /** What was put in since: entries, and where a row's are; 0: nowhere. */
  #news = columnsFor(0);
  #newCount = 0;
  #newFrom = new Uint32Array(0);
  #newLength = new Uint8Array(0);

  constructor(cells: Cells) {
    this.#cells = cells;
  }

  /** So many rows are to be put: growing by and by copies all again and again, and room that stays empty takes none. */
  expect(rows: number): void {
    this.#reserve(this.#newCount + expectedEntries * rows);
  }

  /** Entries of the PoPs that were measured, or are `shown` (by PoP, 1). Of a row that was put before, this counts. */
  put(row: number, { ms, lowMs, highMs, n, tier }: Estimates, shown: Uint8Array): void {
    const pops = shown.length;
    this.#newFrom = widened(this.#newFrom, this.#cells.count);
    this.#newLength = widened(this.#newLength, this.#cells.count);
    this.#reserve(this.#newCount + pops);
    const news = this.#news;
    const from = this.#newCount;
    let at = from;
    for (let pop = 0; pop < pops; pop++) {
      if (tier[pop] !== Tier.prefix && shown[pop] === 0) continue;
      news.pop[at] = pop;
      news.tier[at] = tier[pop]!;
      news.estimate[at] = tenths(ms[pop]!);
      news.low[at] = tenths(lowMs[pop]!);
      news.high[at] = tenths(highMs[pop]!);
      news.n[at] = Math.min(65_535, Math.round(n[pop]!));
      at++;
    }
    this.#newCount = at;
    this.#newFrom[row] = from + 1;
    this.#newLength[row] = at - from;
  }

  /** Every cell has been put once. */
  make(): CellTable {
    const { hi, lo } = this.#cells;
    const [rows4, rows6] = [this.#cells.sorted(4), this.#cells.sorted(6)];
    const rows = new Uint32Array(rows4.length + rows6.length);
    rows.set(rows4);
    rows.set(rows6, rows4.length);
    if (this.#newCount > 0) this.#merge(rows);
    return {
      v4: rows4.map((row) => hi[row]!),
      v6hi: rows6.map((row) => hi[row]!),
      v6lo: rows6.map((row) => lo[row]!),
      weight: this.#weight,
      first: this.#first,
      ...this.#columns,
    };
  }

  #merge(rows: Uint32Array): void {
    const first = new Uint32Array(rows.length + 1);
    for (let cell = 0, before = 0; cell < rows.length; cell++) {
      const row = rows[cell]!;
      const kept = this.#rows[before] === row ? this.#first[before + 1]! - this.#first[before++]! : 0;
      first[cell + 1] = first[cell]! + (this.#newFrom[row]! > 0 ? this.#newLength[row]! : kept);
    }
    const news = this.#news;
    const weight = new Uint32Array(rows.length);
    const columns = columnsFor(first[rows.length]!);
    let before = 0;
    for (let cell = 0; cell < rows.length; ) {
      const row = rows[cell]!;
      const from = this.#newFrom[row]!;
      if (from > 0) {
        const end = from - 1 + this.#newLength[row]!;
        let to = first[cell]!;
        // A row is a few entries: views for bulk copies would take longer than these.
        for (let at = from - 1; at < end; at++, to++) {
          columns.pop[to] = news.pop[at]!;
          columns.tier[to] = news.tier[at]!;
          columns.estimate[to] = news.estimate[at]!;
          columns.low[to] = news.low[at]!;
          columns.high[to] = news.high[at]!;
          columns.n[to] = news.n[at]!;
          weight[cell]! += news.n[at]!;
        }
        if (this.#rows[before] === row) before++;
        cell++;
        continue;
      }
      const start = before;
      const to = first[cell]!;
      while (cell < rows.length && this.#newFrom[rows[cell]!] === 0) weight[cell++] = this.#weight[before++]!;
      copy(this.#columns, this.#first[start]!, this.#first[before]!, columns, to);
    }
    this.#rows = rows;
    this.#first = first;
    this.#weight = weight;
    this.#columns = columns;
    this.#newFrom.fill(0);
    this.#newCount = 0;
    // After a whole build this is as large as the table itself.
    if (this.#news.pop.length > 1 << 16) this.#news = columnsFor(0);
  }

  #reserve(length: number): void {
    const news = this.#news;
    if (news.pop.length >= length) return;
    news.pop = widened(news.pop, length);
    news.tier = widened(news.tier, length);
    news.estimate = widened(news.estimate, length);
    news.low = widened(news.low, length);
    news.high = widened(news.high, length);
    news.n = widened(news.n, length);
  }
}

/** Milliseconds → tenths in 16 bits; 65535 for none. */
function tenths(ms: number): number {
  return Number.isNaN(ms) || ms === Number.POSITIVE_INFINITY ? 65_535 : Math.min(65_534, Math.round(ms * 10));
}
