/**
 * The steered names by themselves, for the fast path (fast.ts): one hash of the whole lower-cased name, made in the same
 * pass that copies the question, finds the service or tells that the name is something else.
 */

/** FNV-1a over the bytes of the lower-cased wire name, left to right. */
export const hashStart = 0x811c9dc5 | 0;
export const hashPrime = 0x01000193;

export class SteeredNames {
  readonly #mask: number;
  /** Entry numbers, -1: free. Open addressing. */
  readonly #slots: Int32Array;
  readonly #hashes: Int32Array;
  /** Names one after the other: entry i is at offsets[i] … offsets[i + 1]. */
  readonly #names: Uint8Array;
  readonly #offsets: Int32Array;
  readonly #services: Int32Array;

  constructor(entries: readonly { readonly name: Uint8Array; readonly service: number }[]) {
    const size = 2 ** Math.ceil(Math.log2(2 * entries.length + 2));
    this.#mask = size - 1;
    this.#slots = new Int32Array(size).fill(-1);
    this.#hashes = new Int32Array(entries.length);
    this.#offsets = new Int32Array(entries.length + 1);
    this.#services = new Int32Array(entries.length);
    this.#names = new Uint8Array(entries.reduce((sum, { name }) => sum + name.length, 0));
    let offset = 0;
    for (const [i, { name, service }] of entries.entries()) {
      const hash = hashOf(name);
      this.#names.set(name, offset);
      this.#offsets[i] = offset;
      this.#hashes[i] = hash;
      this.#services[i] = service;
      offset += name.length;
      let slot = placeOf(hash) & this.#mask;
      while (this.#slots[slot]! >= 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot] = i;
    }
    this.#offsets[entries.length] = offset;
  }

  /** Number of the service at the lower-cased name of `length` bytes in `bytes`, -1: none. */
  find(hash: number, bytes: Uint8Array, length: number): number {
    const names = this.#names;
    for (let slot = placeOf(hash) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = this.#slots[slot]!;
      if (entry < 0) return -1;
      if (this.#hashes[entry] !== hash) continue;
      const start = this.#offsets[entry]!;
      if (this.#offsets[entry + 1]! - start !== length) continue;
      let i = 0;
      while (i < length && names[start + i] === bytes[i]) i++;
      if (i === length) return this.#services[entry]!;
    }
  }
}

function placeOf(hash: number): number {
  return hash ^ (hash >>> 15);
}

function hashOf(name: Uint8Array): number {
  let hash = hashStart;
  for (const byte of name) hash = Math.imul(hash ^ byte, hashPrime);
  return hash;
}
