/**
 * Domain names on the wire (RFC 1035 §3.1, §4.1.4): length-prefixed labels ended by the root label, at most 255 bytes.
 * Text form is that of master files: `\.` and `\DDD` escapes, final dot when absolute.
 */

export const nameBytesMax = 255;
const labelBytesMax = 63;
/** A name of one-byte labels has at most 127 of them. */
const labelsMax = 127;

export const rootName: Uint8Array = Uint8Array.of(0);

/** Byte → the same in ASCII lower case (RFC 4343). */
export const lowerCase = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte));

/**
 * A lower-cased name with what a look-up needs of it, reused from query to query.
 * Label i starts at `labelAt[i]`; `hash[i]` covers the suffix from there, so that one pass serves every ancestor.
 */
export interface NameKey {
  readonly bytes: Uint8Array;
  /** Bytes in use, root label included. */
  length: number;
  /** Labels without the root. */
  labels: number;
  readonly labelAt: Uint8Array;
  readonly hash: Int32Array;
}

export function createNameKey(): NameKey {
  return {
    bytes: new Uint8Array(nameBytesMax),
    length: 0,
    labels: 0,
    labelAt: new Uint8Array(labelsMax + 1),
    hash: new Int32Array(labelsMax + 1),
  };
}

/**
 * Reads an uncompressed name at `at` into `key`. Returns the offset after it, or -1 when it is none: a label over 63,
 * a compression pointer, over 255 bytes, or past `end`.
 */
export function readNameKey(packet: Uint8Array, at: number, end: number, key: NameKey): number {
  const { bytes, labelAt } = key;
  let length = 0;
  let labels = 0;
  for (;;) {
    if (at >= end) return -1;
    const size = packet[at]!;
    if (size > labelBytesMax || at + size >= end || length + size + 1 > nameBytesMax) return -1;
    labelAt[labels] = length;
    bytes[length++] = size;
    at++;
    if (size === 0) break;
    labels++;
    for (const stop = at + size; at < stop; at++) bytes[length++] = lowerCase[packet[at]!]!;
  }
  key.length = length;
  key.labels = labels;
  hashSuffixes(key);
  return at;
}

/** Sets `key` from a whole wire name. */
export function setNameKey(key: NameKey, wire: Uint8Array): void {
  readNameKey(wire, 0, wire.length, key);
}

/** FNV-1a over the labels from the root to the left. */
function hashSuffixes({ bytes, length, labels, labelAt, hash }: NameKey): void {
  let value = 0x811c9dc5 | 0;
  hash[labels] = value;
  let stop = length - 1;
  for (let label = labels - 1; label >= 0; label--) {
    const start = labelAt[label]!;
    for (let i = start; i < stop; i++) value = Math.imul(value ^ bytes[i]!, 0x01000193);
    hash[label] = value;
    stop = start;
  }
}

/** Offset after the name at `at`, compressed or not, without reading what it points to; -1 when it reaches past `end`. */
export function skipName(packet: Uint8Array, at: number, end: number): number {
  for (let length = 0; at < end; ) {
    const size = packet[at]!;
    if (size === 0) return at + 1;
    if (size >= 0xc0) return at + 2 <= end ? at + 2 : -1;
    if (size > labelBytesMax) return -1;
    length += size + 1;
    if (length >= nameBytesMax) return -1;
    at += size + 1;
  }
  return -1;
}

/**
 * Reads a name, following compression pointers, each of which must point before the label run it ends: so none can loop.
 * Returns undefined when it is malformed.
 */
export function readName(
  packet: Uint8Array,
  at: number,
  end = packet.length,
): { wire: Uint8Array; next: number } | undefined {
  const out: number[] = [];
  let next = -1;
  let runStart = at;
  while (at < end) {
    const size = packet[at]!;
    if (size >= 0xc0) {
      if (at + 1 >= end) return undefined;
      if (next < 0) next = at + 2;
      at = ((size & 0x3f) << 8) | packet[at + 1]!;
      if (at >= runStart) return undefined;
      runStart = at;
      continue;
    }
    if (size > labelBytesMax || at + size >= end || out.length + size + 1 > nameBytesMax) return undefined;
    for (let i = at; i <= at + size; i++) out.push(packet[i]!);
    at += size + 1;
    if (size === 0) return { wire: Uint8Array.from(out), next: next < 0 ? at : next };
  }
  return undefined;
}

/**
 * Text → wire. Relative names are completed with `origin`; without one they are absolute. `@` is the origin.
 * Returns what is wrong as a string.
 */
export function nameToWire(text: string, origin: Uint8Array = rootName): Uint8Array | string {
  if (text === '@') return origin;
  if (text === '.') return rootName;
  if (text === '') return 'empty name';
  const out: number[] = [0];
  let start = 0;
  let absolute = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 46) {
      const problem = closeLabel(out, start, text);
      if (problem !== undefined) return problem;
      start = out.length;
      out.push(0);
      absolute = i === text.length - 1;
      continue;
    }
    if (char !== 92) {
      if (char <= 32 || char > 126) {
        return `name ${JSON.stringify(text)}: character ${JSON.stringify(text[i])} must be written as \\DDD, international names in their xn-- form`;
      }
      out.push(char);
      continue;
    }
    const decimal = /^\d{3}/.exec(text.slice(i + 1))?.[0];
    const value = decimal === undefined ? text.charCodeAt(i + 1) : Number(decimal);
    if (Number.isNaN(value) || value > 255)
      return `name ${JSON.stringify(text)}: \\ must be followed by a character or by DDD up to 255`;
    out.push(value);
    i += decimal === undefined ? 1 : 3;
  }
  if (!absolute) {
    const problem = closeLabel(out, start, text);
    if (problem !== undefined) return problem;
    out.push(...origin);
  }
  if (out.length > nameBytesMax)
    return `name ${JSON.stringify(text)} is ${out.length} bytes long, at most ${nameBytesMax} are allowed`;
  return Uint8Array.from(out);
}

function closeLabel(out: number[], start: number, text: string): string | undefined {
  const size = out.length - start - 1;
  if (size === 0) return `name ${JSON.stringify(text)} has an empty label`;
  if (size > labelBytesMax)
    return `name ${JSON.stringify(text)} has a label of ${size} bytes, at most ${labelBytesMax} are allowed`;
  out[start] = size;
  return undefined;
}

/** Wire → absolute text with the final dot. */
export function nameToText(wire: Uint8Array): string {
  if (wire[0] === 0) return '.';
  let text = '';
  for (let at = 0; wire[at]! > 0; ) {
    const stop = at + 1 + wire[at]!;
    for (let i = at + 1; i < stop; i++) text += escapeByte(wire[i]!);
    text += '.';
    at = stop;
  }
  return text;
}

function escapeByte(byte: number): string {
  if (byte <= 32 || byte > 126) return `\\${String(byte).padStart(3, '0')}`;
  const char = String.fromCharCode(byte);
  return '."();@$\\'.includes(char) ? `\\${char}` : char;
}

/** A copy in lower case. */
export function lowerName(wire: Uint8Array): Uint8Array {
  return wire.map((byte) => lowerCase[byte]!);
}

/** `child` is `parent` or below it. Both are whole wire names; case does not matter. */
export function isWithin(child: Uint8Array, parent: Uint8Array): boolean {
  for (let at = 0; child.length - at >= parent.length; at += child[at]! + 1) {
    if (child.length - at === parent.length) {
      return parent.every((byte, i) => lowerCase[byte] === lowerCase[child[at + i]!]);
    }
  }
  return false;
}

/** The name without its first label; undefined for the root. */
export function parentName(wire: Uint8Array): Uint8Array | undefined {
  return wire[0] === 0 ? undefined : wire.subarray(wire[0]! + 1);
}
