/** Whole numbers in as few bytes as they need: seven bits a byte, the lowest first, the eighth says that more follow. */

/** Of 49 bits. */
const longest = 7;
export const varintMax = 2 ** (7 * longest) - 1;

/** Where the next byte goes. */
export function putVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 128) {
    bytes[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  bytes[at++] = rest;
  return at;
}

/** Reads numbers one after the other, from `at` up to `end`. */
export class Varints {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;

  /** The next number; -1: there is none, or it is too long. */
  next(): number {
    const { bytes, end } = this;
    if (this.at >= end) return -1;
    let byte = bytes[this.at++]!;
    if (byte < 128) return byte;
    let value = byte & 127;
    if (this.at < end) {
      byte = bytes[this.at++]!;
      value += (byte & 127) << 7;
      if (byte < 128) return value;
    }
    for (let i = 2, scale = 128 * 128; i < longest && this.at < end; i++, scale *= 128) {
      byte = bytes[this.at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return -1;
  }
}
