/**
 * Cells (/24s and /48s) by their address: a number each, given once, and back. Columns and one table of open addressing,
 * some 20 bytes a cell; a Map of the same takes four times as much.
 */
import type { Family } from '../ip.ts';

type Column = Float32Array | Float64Array | Uint32Array | Int32Array | Uint16Array | Uint8Array | Int8Array;

/** The column with room for `length` entries, its content kept. Large ones grow by a quarter, so that little lies idle. */
export function widened<T extends Column>(column: T, length: number): T {
  if (column.length >= length) return column;
  const factor = column.length < 1 << 16 ? 2 : 1.25;
  const room = Math.max(length, Math.ceil(column.length * factor), 64);
  const wider = new (column.constructor as new (length: number) => T)(room);
  wider.set(column);
  return wider;
}

/** A /24 or /48 as one exact number that sorts like its address. */
export function cellKey(family: Family, hi: number, lo: number): number {
  return family === 4 ? hi >>> 8 : hi * 65_536 + (lo >>> 16);
}

/** 24 bits of a v4 key and 29 of a number are a whole number still. */
const numbersMax = 2 ** 29;

export class CellIndex {
  count = 0;
  family = new Uint8Array(0);
  hi = new Uint32Array(0);
  lo = new Uint32Array(0);
  /** Number + 1; 0 is free. */
  #slots = new Uint32Array(64);

  /** Makes room for so many cells. */
  reserve(count: number): void {
    this.family = widened(this.family, count);
    this.hi = widened(this.hi, count);
    this.lo = widened(this.lo, count);
    if (count * 2 > this.#slots.length) this.#rehash(2 ** Math.ceil(Math.log2(count * 2)));
  }

  /** The number of a cell, -1 when it has none. `hi` and `lo` are those of its prefix. */
  find(family: Family, hi: number, lo: number): number {
    return this.#slots[this.#slot(family, hi >>> 0, lo >>> 0)]! - 1;
  }

  /** Gives a cell that has none its number. */
  add(family: Family, hi: number, lo: number): number {
    const number = this.count++;
    this.family = widened(this.family, this.count);
    this.hi = widened(this.hi, this.count);
    this.lo = widened(this.lo, this.count);
    this.family[number] = family;
    this.hi[number] = hi;
    this.lo[number] = lo;
    if (this.count * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    else this.#slots[this.#slot(family, hi >>> 0, lo >>> 0)] = this.count;
    return number;
  }

  /** Numbers of one family from `from` on, in the order of their addresses. */
  inOrder(family: Family, from = 0): Uint32Array {
    const numbers = new Uint32Array(this.count - from);
    let length = 0;
    let isInOrder = true;
    let before = -1;
    for (let number = from; number < this.count; number++) {
      if (this.family[number] !== family) continue;
      const key = cellKey(family, this.hi[number]!, this.lo[number]!);
      isInOrder &&= key > before;
      before = key;
      numbers[length++] = number;
    }
    const own = numbers.subarray(0, length);
    return isInOrder ? own : this.#inOrder(family, own);
  }

  #inOrder(family: Family, numbers: Uint32Array): Uint32Array {
    const keys = new Float64Array(numbers.length);
    // A v4 key leaves room for its number; that of a v6 cell is looked up again.
    for (let i = 0; i < keys.length; i++) {
      const number = numbers[i]!;
      const key = cellKey(family, this.hi[number]!, this.lo[number]!);
      keys[i] = family === 4 ? key * numbersMax + number : key;
    }
    keys.sort();
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      numbers[i] =
        family === 4 ? key % numbersMax : this.find(6, Math.floor(key / 65_536), ((key % 65_536) << 16) >>> 0);
    }
    return numbers;
  }

  /** Where a cell is, or would be put. */
  #slot(family: number, hi: number, lo: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hash = Math.imul(hi ^ Math.imul(lo + family, 0x9e37_79b1), 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2_ae35);
    let slot = (hash ^ (hash >>> 13)) & mask;
    for (let held = slots[slot]!; held > 0; slot = (slot + 1) & mask, held = slots[slot]!) {
      if (this.hi[held - 1] === hi && this.lo[held - 1] === lo && this.family[held - 1] === family) break;
    }
    return slot;
  }

  #rehash(slots: number): void {
    this.#slots = new Uint32Array(slots);
    for (let number = 0; number < this.count; number++) {
      this.#slots[this.#slot(this.family[number]!, this.hi[number]!, this.lo[number]!)] = number + 1;
    }
  }
}
