/**
 * What changed from one run of bytes to another, as copies from the old and literals: how versions of the past are kept.
 *
 *     "UFDLT\0"  u16 format   then, as varints: length of the old, length of the new, and operations until the end
 *     copy       length · 2       signed distance from where the last copy ended
 *     literal    length · 2 + 1   the bytes
 *
 * Most changes leave bytes where they were or shift them: after a difference the same shift is tried first, then blocks
 * of the old are looked up by a rolling hash (Tridgell, "Efficient Algorithms for Sorting and Synchronization", §3).
 * Pure.
 */
import { OperatingError } from './errors.ts';

const magic = [0x55, 0x46, 0x44, 0x4c, 0x54, 0, 1, 0] as const;
const blockBytes = 32;
/** Bytes that must agree for the same shift to go on. */
const againBytes = 16;
/** Differing bytes over which the same shift is looked for. */
const reachBytes = 64;
const prime = 0x01000193;

/** Turns `old` into `now` by `applyDelta`. About a second for a hundred megabytes that differ in many places. */
export function makeDelta(old: Uint8Array, now: Uint8Array): Uint8Array {
  const out = new Writer(Math.max(256, now.length >> 6));
  out.bytes(Uint8Array.from(magic));
  out.varint(old.length);
  out.varint(now.length);
  let blocks: Blocks | undefined;
  let shift = 0;
  let literal = 0;
  let copied = 0;
  let at = 0;
  const copy = (from: number, to: number, length: number): void => {
    if (to > literal) out.literal(now.subarray(literal, to));
    out.varint(length * 2);
    out.signed(from - copied);
    copied = from + length;
    shift = from - to;
    at = to + length;
    literal = at;
  };
  while (at < now.length) {
    const again = findAgain(old, now, at, shift);
    if (again >= 0) {
      copy(again + shift, again, same(old, again + shift, now, again));
      continue;
    }
    blocks ??= new Blocks(old);
    const found = blocks.find(now, at);
    if (found === undefined) break;
    let { from, to } = found;
    while (to > literal && from > 0 && old[from - 1] === now[to - 1]) {
      from--;
      to--;
    }
    copy(from, to, same(old, from, now, to));
  }
  if (literal < now.length) out.literal(now.subarray(literal));
  return out.take();
}

/** The new bytes, at the start of a buffer of their own. Throws ARTEFACT_CORRUPT when `delta` is none of `old`. */
export function applyDelta(old: Uint8Array, delta: Uint8Array): Uint8Array {
  const read = new Reader(delta);
  for (const byte of magic) if (read.byte() !== byte) throw corrupt('it does not begin as one');
  const oldLength = read.varint();
  if (oldLength !== old.length) throw corrupt(`it is of ${oldLength} bytes, these are ${old.length}`);
  const length = read.varint();
  if (length > maximum) throw corrupt('it makes more bytes than there can be');
  const now = new Uint8Array(length);
  let to = 0;
  let copied = 0;
  while (!read.isAtEnd()) {
    const word = read.varint();
    const count = Math.floor(word / 2);
    if (to + count > length) throw corrupt('it makes more bytes than it says');
    if (word % 2 === 1) now.set(read.take(count), to);
    else {
      const from = copied + read.signed();
      if (from < 0 || from + count > old.length) throw corrupt('it copies what is not there');
      now.set(old.subarray(from, from + count), to);
      copied = from + count;
    }
    to += count;
  }
  if (to !== length) throw corrupt('it ends too soon');
  return now;
}

const maximum = 2 ** 31 - 1;

function corrupt(why: string): OperatingError {
  return new OperatingError('ARTEFACT_CORRUPT', `kept change: ${why}`);
}

/** Length of the run that agrees. */
function same(old: Uint8Array, from: number, now: Uint8Array, to: number): number {
  const most = Math.min(old.length - from, now.length - to);
  let length = 0;
  const isEven = (old.byteOffset + from) % 4 === (now.byteOffset + to) % 4;
  if (isEven && most > 64) {
    while ((old.byteOffset + from + length) % 4 !== 0 && old[from + length] === now[to + length]) length++;
    if ((old.byteOffset + from + length) % 4 === 0)
      length += sameWords(old, from + length, now, to + length, most - length);
  }
  while (length < most && old[from + length] === now[to + length]) length++;
  return length;
}

/** The same from multiples of four on, in steps of four: most of a long run. */
function sameWords(old: Uint8Array, from: number, now: Uint8Array, to: number, most: number): number {
  const count = most >> 2;
  const a = new Uint32Array(old.buffer, old.byteOffset + from, count);
  const b = new Uint32Array(now.buffer, now.byteOffset + to, count);
  let i = 0;
  while (i < count && a[i] === b[i]) i++;
  return 4 * i;
}

/** Where the shift of the last copy holds again, -1: not within reach. */
function findAgain(old: Uint8Array, now: Uint8Array, at: number, shift: number): number {
  const end = Math.min(now.length, old.length - shift, at + reachBytes + againBytes);
  let run = 0;
  for (let to = Math.max(at, -shift); to < end; to++) {
    run = old[to + shift] === now[to] ? run + 1 : 0;
    if (run === againBytes) return to - againBytes + 1;
  }
  // A tail that agrees to the end is worth it however short.
  return run > 0 && end === now.length && end === old.length - shift ? end - run : -1;
}

/** Blocks of the old bytes by hash. */
class Blocks {
  readonly #old: Uint8Array;
  readonly #table: Int32Array;
  readonly #mask: number;

  constructor(old: Uint8Array) {
    this.#old = old;
    const count = Math.floor(old.length / blockBytes);
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, 2 * count)));
    this.#mask = size - 1;
    this.#table = new Int32Array(size).fill(-1);
    for (let block = 0; block < count; block++) {
      const at = block * blockBytes;
      const slot = this.#slot(hashOf(old, at));
      // Of equal blocks the first: runs of one value would fill the table otherwise.
      if (this.#table[slot] === -1) this.#table[slot] = at;
    }
  }

  /** The next place of `now` from `at` on that holds a block of the old. */
  find(now: Uint8Array, at: number): { from: number; to: number } | undefined {
    const end = now.length - blockBytes;
    if (at > end) return undefined;
    let hash = hashOf(now, at);
    for (let to = at; ; to++) {
      const from = this.#table[this.#slot(hash)]!;
      if (from >= 0 && isBlock(this.#old, from, now, to)) return { from, to };
      if (to === end) return undefined;
      hash = (Math.imul(hash - Math.imul(now[to]!, leaving), prime) + now[to + blockBytes]!) | 0;
    }
  }

  #slot(hash: number): number {
    return (Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 3) & this.#mask;
  }
}

/** prime^(blockBytes − 1). */
const leaving = (() => {
  let power = 1;
  for (let i = 1; i < blockBytes; i++) power = Math.imul(power, prime);
  return power;
})();

function hashOf(bytes: Uint8Array, at: number): number {
  let hash = 0;
  for (let i = at; i < at + blockBytes; i++) hash = (Math.imul(hash, prime) + bytes[i]!) | 0;
  return hash;
}

function isBlock(old: Uint8Array, from: number, now: Uint8Array, to: number): boolean {
  for (let i = 0; i < blockBytes; i++) if (old[from + i] !== now[to + i]) return false;
  return true;
}

class Writer {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  literal(bytes: Uint8Array): void {
    this.varint(bytes.length * 2 + 1);
    this.bytes(bytes);
  }

  /** Of a whole number below 2^52. */
  varint(value: number): void {
    this.#reserve(8);
    let left = value;
    while (left >= 128) {
      this.#bytes[this.#length++] = (left % 128) | 128;
      left = Math.floor(left / 128);
    }
    this.#bytes[this.#length++] = left;
  }

  signed(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const wider = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count));
    wider.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = wider;
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw corrupt('it ends too soon');
    return byte;
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 50; factor *= 128) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw corrupt('a number in it has no end');
  }

  signed(): number {
    const value = this.varint();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  take(count: number): Uint8Array {
    if (this.#at + count > this.#bytes.length) throw corrupt('it ends too soon');
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
}
