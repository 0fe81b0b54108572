/**
 * Measured cells, the /24s and /48s that evidence is kept for, as columns: a row a cell, and of what was measured an
 * entry a (cell, kind, PoP). A cell is measured at a few PoPs of many, so entries are kept for those alone, a row's side
 * by side, in rising order of kind and PoP:
 *
 *     row   prefix         aggregate   first   entries     kind   pop    p25   low   high    n    last
 *      0    192.0.2.0/24       3         0        2          1      0    75.1  74.9  75.3   20   1764000000
 *                                                            1      4   180.2 178.1 183.0   31   1764000300
 *
 * Rows are given once and stay; `sorted` lists them by address. A cell's evidence changes only through `setOwn` and
 * `setRow`, which remember that it did. `ownOf` spreads a row over all PoPs.
 */
import type { Family, Prefix } from '../ip.ts';
import type { QuantileBounds } from '../sketch/sketch.ts';
import { CellIndex, cellKey, widened } from './cell-index.ts';

export { cellKey, widened } from './cell-index.ts';

/** What does not change about a cell while the GeoIP data stays. */
export interface CellPlace {
  readonly prefix: Prefix;
  /** Number of its location; negative: not known. */
  readonly location: number;
  /** Distance to each PoP, kilometres; NaN: not known. */
  readonly km: Float32Array;
  /** It speaks for others of its AS and metro; false: for itself alone (loopback, no AS, no location). */
  readonly votes: boolean;
}

/** Kinds of evidence that are kept apart: those of samples.ts, in its order. */
export const kinds = 3;

/** One row's evidence of one kind by PoP. n is 0 where there is none. */
export interface OwnRow {
  readonly p25: Float32Array;
  /** 0 where n is too small to say. */
  readonly low: Float32Array;
  /** Infinity where n is too small to say. */
  readonly high: Float32Array;
  /** Effective, as of the newest sample. */
  readonly n: Float32Array;
  /** When the newest sample came, whole seconds. */
  readonly last: Uint32Array;
  /** p75; NaN where it is not known. */
  readonly tail: Float32Array;
}

/** A row's evidence on its way in: `count` entries, in rising order of kind and PoP. */
export class OwnEntries {
  count = 0;
  kind = new Uint8Array(64);
  pop = new Uint8Array(64);
  p25 = new Float32Array(64);
  low = new Float32Array(64);
  high = new Float32Array(64);
  n = new Float32Array(64);
  last = new Uint32Array(64);
  tail = new Uint8Array(64);

  push(kind: number, pop: number, own: QuantileBounds, lastSeconds: number): void {
    const at = this.count++;
    if (at === this.kind.length) this.#grow();
    this.kind[at] = kind;
    this.pop[at] = pop;
    this.p25[at] = own.ms;
    this.low[at] = own.lowMs;
    this.high[at] = own.highMs;
    this.n[at] = own.n;
    this.last[at] = lastSeconds;
    this.tail[at] = tailCode(own.tailMs, own.ms);
  }

  #grow(): void {
    this.kind = widened(this.kind, this.count);
    this.pop = widened(this.pop, this.count);
    this.p25 = widened(this.p25, this.count);
    this.low = widened(this.low, this.count);
    this.high = widened(this.high, this.count);
    this.n = widened(this.n, this.count);
    this.last = widened(this.last, this.count);
    this.tail = widened(this.tail, this.count);
  }
}

/** p75 as a multiple of p25 in one byte, within 0.6%: 2^((code − 1) / 64), at most 15.7; 0: not known. */
function tailCode(tailMs: number | undefined, ms: number): number {
  if (tailMs === undefined || Number.isNaN(tailMs)) return 0;
  return 1 + Math.min(254, Math.max(0, Math.round(64 * Math.log2(tailMs / ms))));
}

const tailFactors = Float32Array.from({ length: 256 }, (_, code) => (code === 0 ? Number.NaN : 2 ** ((code - 1) / 64)));

/** Entries that a row has room for: the least of these that is enough. */
const rooms = Uint16Array.from([...Array(17).keys(), 20, 24, 32, 48, 64, 96, 128, 256, 768]);

export class Cells {
  readonly pops: number;
  location = new Int32Array(0);
  /** 1: it speaks for others of its AS and metro; 0: for itself alone. */
  votes = new Uint8Array(0);
  /** The kind it is estimated by. */
  kind = new Uint8Array(0);
  /** Samples ever, undecayed, of all PoPs together: tells fresh evidence from old. */
  samples = new Float64Array(0);
  /** Of a row, in the columns of entries. */
  first = new Uint32Array(0);
  entries = new Uint16Array(0);
  entryKind = new Uint8Array(0);
  entryPop = new Uint8Array(0);
  p25 = new Float32Array(0);
  low = new Float32Array(0);
  high = new Float32Array(0);
  n = new Float32Array(0);
  last = new Uint32Array(0);
  /** `tailCode` */
  tail = new Uint8Array(0);
  /** Distances by place · pops + pop; cells of one location share a place. */
  km = new Float32Array(0);
  place = new Uint32Array(0);
  /** row · 256 + PoP where samples of the last quarter of an hour are enough to speak for themselves. */
  readonly speaking = new Set<number>();
  readonly #index = new CellIndex();
  /** By location + 1, 0 for none: its place + 1. */
  #placeOfLocation = new Uint32Array(0);
  #placeCount = 0;
  /** Number in `rooms`, by row. */
  #room = new Uint8Array(0);
  #entryCount = 0;
  readonly #free: number[][] = Array.from(rooms, () => []);
  #isTouched = new Uint8Array(0);
  #touched: number[] = [];
  #sorted: Record<Family, Uint32Array> = { 4: new Uint32Array(0), 6: new Uint32Array(0) };
  readonly #own: OwnRow;
  readonly #one = new OwnEntries();

  constructor(pops: number) {
    this.pops = pops;
    const column = () => new Float32Array(pops);
    this.#own = {
      p25: column(),
      low: column(),
      high: column(),
      n: column(),
      last: new Uint32Array(pops),
      tail: column(),
    };
  }

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

  /** The row of a cell, -1 when it has none. `hi` and `lo` are those of its prefix. */
  rowOf(family: Family, hi: number, lo: number): number {
    return this.#index.find(family, hi, lo);
  }

  /** Makes room for so many rows and entries at once: growing by and by copies all columns again and again. */
  reserve(rows: number, entries: number): void {
    this.#index.reserve(rows);
    this.#widen(rows);
    this.#widenEntries(entries);
  }

  add(place: CellPlace): number {
    const { family, hi, lo } = place.prefix;
    const row = this.#index.add(family, hi, lo);
    this.#widen(this.count);
    this.location[row] = place.location;
    this.place[row] = this.#placeOf(place.location, place.km);
    this.votes[row] = place.votes ? 1 : 0;
    this.#touch(row);
    return row;
  }

  /** The evidence of one PoP; n = 0 takes it away. */
  setOwn(row: number, pop: number, own: QuantileBounds, lastSeconds: number, kind = 0): void {
    const one = this.#one;
    one.count = 0;
    const first = this.first[row]!;
    const end = first + this.entries[row]!;
    let isPut = own.n <= 0;
    for (let at = first; at <= end; at++) {
      const order = at === end ? 1 : (this.entryKind[at]! - kind) * 256 + this.entryPop[at]! - pop;
      if (order >= 0 && !isPut) {
        one.push(kind, pop, own, lastSeconds);
        isPut = true;
      }
      if (at === end || order === 0) continue;
      const { p25, low, high, n } = this;
      const tailMs = p25[at]! * tailFactors[this.tail[at]!]!;
      const kept = { ms: p25[at]!, lowMs: low[at]!, highMs: high[at]!, n: n[at]!, tailMs };
      one.push(this.entryKind[at]!, this.entryPop[at]!, kept, this.last[at]!);
    }
    this.setRow(row, one);
  }

  /** All evidence of a row at once. */
  setRow(row: number, own: OwnEntries): void {
    const { count } = own;
    this.#makeRoom(row, count);
    const first = this.first[row]!;
    for (let i = 0, at = first; i < count; i++, at++) {
      this.entryKind[at] = own.kind[i]!;
      this.entryPop[at] = own.pop[i]!;
      this.p25[at] = own.p25[i]!;
      this.low[at] = own.low[i]!;
      this.high[at] = own.high[i]!;
      this.n[at] = own.n[i]!;
      this.last[at] = own.last[i]!;
      this.tail[at] = own.tail[i]!;
    }
    this.entries[row] = count;
    this.#touch(row);
  }

  /** A row's evidence of one kind spread over all PoPs; valid until the next call. */
  ownOf(row: number, kind = this.kind[row]!): OwnRow {
    const own = this.#own;
    own.n.fill(0);
    const end = this.first[row]! + this.entries[row]!;
    for (let at = this.first[row]!; at < end; at++) {
      if (this.entryKind[at] !== kind) continue;
      const pop = this.entryPop[at]!;
      own.p25[pop] = this.p25[at]!;
      own.low[pop] = this.low[at]!;
      own.high[pop] = this.high[at]!;
      own.n[pop] = this.n[at]!;
      own.last[pop] = this.last[at]!;
      own.tail[pop] = this.p25[at]! * tailFactors[this.tail[at]!]!;
    }
    return own;
  }

  /** Distances from there are known: `add` asks for none. */
  hasPlace(location: number): boolean {
    return (this.#placeOfLocation[Math.max(location, -1) + 1] ?? 0) > 0;
  }

  /** Where the row's distances begin in `km`. */
  kmFrom(row: number): number {
    return this.place[row]! * this.pops;
  }

  setSamples(row: number, samples: number): void {
    this.samples[row] = samples;
  }

  /** Rows whose evidence changed since the last time, in no order. */
  takeTouched(): number[] {
    const touched = this.#touched;
    this.#touched = [];
    for (const row of touched) this.#isTouched[row] = 0;
    return touched;
  }

  /** The same, which then still counts as changed. */
  touchedRows(): readonly number[] {
    return this.#touched;
  }

  hasTouched(): boolean {
    return this.#touched.length > 0;
  }

  /** Rows of a family in the order of their addresses. */
  sorted(family: Family): Uint32Array {
    const { 4: v4, 6: v6 } = this.#sorted;
    if (v4.length + v6.length < this.count) this.#sort(v4.length + v6.length);
    return this.#sorted[family];
  }

  /** Rows from `from` on are new: they are sorted, and merged with those before. */
  #sort(from: number): void {
    this.#sorted = { 4: this.#merged(4, from), 6: this.#merged(6, from) };
  }

  #merged(family: Family, from: number): Uint32Array {
    const old = this.#sorted[family];
    const news = this.#index.inOrder(family, from);
    if (old.length === 0) return news;
    const keyOf = (row: number) => cellKey(family, this.hi[row]!, this.lo[row]!);
    const merged = new Uint32Array(old.length + news.length);
    let taken = 0;
    for (let to = 0, i = 0; to < merged.length; to++) {
      const isNew = i < news.length && (taken === old.length || keyOf(news[i]!) < keyOf(old[taken]!));
      merged[to] = isNew ? news[i++]! : old[taken++]!;
    }
    return merged;
  }

  #touch(row: number): void {
    if (this.#isTouched[row] === 1) return;
    this.#isTouched[row] = 1;
    this.#touched.push(row);
  }

  #placeOf(location: number, km: Float32Array): number {
    const at = Math.max(location, -1) + 1;
    this.#placeOfLocation = widened(this.#placeOfLocation, at + 1);
    const known = this.#placeOfLocation[at]!;
    if (known > 0) return known - 1;
    const place = this.#placeCount++;
    this.km = widened(this.km, this.#placeCount * this.pops);
    this.km.set(km, place * this.pops);
    this.#placeOfLocation[at] = this.#placeCount;
    return place;
  }

  /** What was there may be lost. */
  #makeRoom(row: number, count: number): void {
    const held = this.#room[row]!;
    if (rooms[held]! >= count) return;
    let room = held;
    while (rooms[room]! < count) room++;
    if (held > 0) this.#free[held]!.push(this.first[row]!);
    const free = this.#free[room]!.pop();
    this.first[row] = free ?? this.#entryCount;
    this.#room[row] = room;
    if (free !== undefined) return;
    this.#entryCount += rooms[room]!;
    this.#widenEntries(this.#entryCount);
  }

  #widenEntries(most: number): void {
    if (most <= this.entryKind.length) return;
    this.entryKind = widened(this.entryKind, most);
    this.entryPop = widened(this.entryPop, most);
    this.p25 = widened(this.p25, most);
    this.low = widened(this.low, most);
    this.high = widened(this.high, most);
    this.n = widened(this.n, most);
    this.last = widened(this.last, most);
    this.tail = widened(this.tail, most);
  }

  #widen(rows: number): void {
    if (rows <= this.location.length) return;
    this.location = widened(this.location, rows);
    this.place = widened(this.place, rows);
    this.votes = widened(this.votes, rows);
    this.kind = widened(this.kind, rows);
    this.samples = widened(this.samples, rows);
    this.first = widened(this.first, rows);
    this.entries = widened(this.entries, rows);
    this.#room = widened(this.#room, rows);
    this.#isTouched = widened(this.#isTouched, rows);
  }
}
