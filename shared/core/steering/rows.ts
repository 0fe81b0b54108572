/**
 * Distinct rankings of a group, numbered in the order in which they were first seen. A table with a `parent` goes on
 * where the parent ends and holds only what the parent does not.
 */
export class Rows {
  readonly width: number;
  readonly #parent: Rows | undefined;
  #bytes: Uint8Array;
  #count = 0;
  /** Open addressing; row + 1, 0 is free. */
  #slots = new Uint32Array(64);

  constructor(width: number, parent?: Rows) {
    this.width = width;
    this.#parent = parent;
    this.#bytes = new Uint8Array(16 * width);
  }

  get count(): number {
    return this.#base + this.#count;
  }

  get #base(): number {
    return this.#parent?.count ?? 0;
  }

  /** The number of a ranking, a new one when it is seen for the first time. */
  intern(row: Uint8Array): number {
    const inherited = this.#parent?.find(row) ?? -1;
    if (inherited >= 0) return inherited;
    const slot = this.#slot(row);
    if (this.#slots[slot]! > 0) return this.#base + this.#slots[slot]! - 1;
    if ((this.#count + 1) * this.width > this.#bytes.length) this.#grow();
    this.#bytes.set(row, this.#count * this.width);
    this.#slots[slot] = ++this.#count;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
    return this.#base + this.#count - 1;
  }

  /** Adds a ranking under the next number, whether or not it is there: to go on from a table that was read. */
  append(row: Uint8Array): void {
    if ((this.#count + 1) * this.width > this.#bytes.length) this.#grow();
    this.#bytes.set(row, this.#count * this.width);
    const slot = this.#slot(row);
    this.#count++;
    if (this.#slots[slot] === 0) this.#slots[slot] = this.#count;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
  }

  #grow(): void {
    const bytes = new Uint8Array(this.#bytes.length * 2);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }

  find(row: Uint8Array): number {
    const inherited = this.#parent?.find(row) ?? -1;
    if (inherited >= 0) return inherited;
    const found = this.#slots[this.#slot(row)]!;
    return found > 0 ? this.#base + found - 1 : -1;
  }

  /** A view of row `number`. */
  row(number: number): Uint8Array {
    if (this.#parent !== undefined && number < this.#base) return this.#parent.row(number);
    const at = (number - this.#base) * this.width;
    return this.#bytes.subarray(at, at + this.width);
  }

  /** All rows, those of the parent first. */
  bytes(): Uint8Array {
    const own = this.#bytes.subarray(0, this.#count * this.width);
    if (this.#parent === undefined) return own.slice();
    const parent = this.#parent.bytes();
    const all = new Uint8Array(parent.length + own.length);
    all.set(parent);
    all.set(own, parent.length);
    return all;
  }

  /** Where a row is, or would be put. */
  #slot(row: Uint8Array): number {
    let hash = 0x811c9dc5;
    for (let i = 0; i < this.width; i++) hash = Math.imul(hash ^ row[i]!, 0x01000193);
    const mask = this.#slots.length - 1;
    let slot = (hash ^ (hash >>> 15)) & mask;
    while (this.#slots[slot]! > 0 && !this.#equals(this.#slots[slot]! - 1, row)) slot = (slot + 1) & mask;
    return slot;
  }

  #equals(own: number, row: Uint8Array): boolean {
    const at = own * this.width;
    for (let i = 0; i < this.width; i++) if (this.#bytes[at + i] !== row[i]) return false;
    return true;
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let own = 0; own < this.#count; own++) {
      this.#slots[this.#slot(this.#bytes.subarray(own * this.width, (own + 1) * this.width))] = own + 1;
    }
  }
}
