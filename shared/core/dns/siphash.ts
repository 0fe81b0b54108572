/**
 * SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash of 64 bits, fast on short messages. 64-bit words are pairs of
 * 32-bit halves, low first, in locals: nothing is allocated.
 */

/**
 * Hashes the first `bytes` bytes of `words` (little-endian, zero after the end, room for the last block: 2·⌊bytes/8⌋+2
 * words) under the four little-endian words of `key` at `at`. The result goes to out[0] (low) and out[1] (high).
 */
export function sipHash24(key: Int32Array, at: number, words: Int32Array, bytes: number, out: Int32Array): void {
  let v0 = key[at]! ^ 0x70736575;
  let w0 = key[at + 1]! ^ 0x736f6d65;
  let v1 = key[at + 2]! ^ 0x6e646f6d;
  let w1 = key[at + 3]! ^ 0x646f7261;
  let v2 = key[at]! ^ 0x6e657261;
  let w2 = key[at + 1]! ^ 0x6c796765;
  let v3 = key[at + 2]! ^ 0x79746573;
  let w3 = key[at + 3]! ^ 0x74656462;
  const blocks = bytes >>> 3;
  for (let block = 0; block <= blocks + 1; block++) {
    const final = block > blocks;
    const low = final ? 0 : words[2 * block]!;
    const high = final ? 0 : block === blocks ? words[2 * block + 1]! | (bytes << 24) : words[2 * block + 1]!;
    if (final) v2 ^= 0xff;
    v3 ^= low;
    w3 ^= high;
    for (let round = final ? 4 : 2; round > 0; round--) {
      // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
      let sum = (v0 + v1) | 0;
      let top = (w0 + w1 + (sum >>> 0 < v0 >>> 0 ? 1 : 0)) | 0;
      let turned = (v1 << 13) | (w1 >>> 19);
      w1 = ((w1 << 13) | (v1 >>> 19)) ^ top;
      v1 = turned ^ sum;
      v0 = top;
      w0 = sum;
      // v2 += v3; v3 = rotl(v3, 16) ^ v2
      sum = (v2 + v3) | 0;
      w2 = (w2 + w3 + (sum >>> 0 < v2 >>> 0 ? 1 : 0)) | 0;
      v2 = sum;
      turned = (v3 << 16) | (w3 >>> 16);
      w3 = ((w3 << 16) | (v3 >>> 16)) ^ w2;
      v3 = turned ^ v2;
      // v0 += v3; v3 = rotl(v3, 21) ^ v0
      sum = (v0 + v3) | 0;
      w0 = (w0 + w3 + (sum >>> 0 < v0 >>> 0 ? 1 : 0)) | 0;
      v0 = sum;
      turned = (v3 << 21) | (w3 >>> 11);
      w3 = ((w3 << 21) | (v3 >>> 11)) ^ w0;
      v3 = turned ^ v0;
      // v2 += v1; v1 = rotl(v1, 17) ^ v2; v2 = rotl(v2, 32)
      sum = (v2 + v1) | 0;
      top = (w2 + w1 + (sum >>> 0 < v2 >>> 0 ? 1 : 0)) | 0;
      turned = (v1 << 17) | (w1 >>> 15);
      w1 = ((w1 << 17) | (v1 >>> 15)) ^ top;
      v1 = turned ^ sum;
      v2 = top;
      w2 = sum;
    }
    v0 ^= low;
    w0 ^= high;
  }
  out[0] = v0 ^ v1 ^ v2 ^ v3;
  out[1] = w0 ^ w1 ^ w2 ^ w3;
}
