/**
 * Blocks of the address space that are not as other addresses: those nobody on the Internet can route to (RFC 6890 and
 * the registries after it), whose clients are answered by their resolver's address, and those of IPv6 that carry IPv4
 * addresses inside, which are answered as those. As an index of intervals, so that they and the leaves of a map together
 * partition the space.
 *
 * Documentation prefixes are not among them: nobody sends them, and examples and rehearsals steer by them.
 */
import { addressBytes, be32, type Family } from '../ip.ts';
import { findInterval, type IntervalIndex, leafLength } from '../steering/map.ts';

/** In `ranking` of the indexes below. */
export const Kind = {
  ordinary: 0,
  special: 1,
  /** ::/64: special, but for ::ffff:0:0/96. */
  mapped: 2,
  /** 64:ff9b::/64: special, but for 64:ff9b::/96 (RFC 6052). */
  nat64: 3,
  /** 2002::/16 (RFC 3056): the IPv4 address is in bits 16–47. */
  sixToFour: 4,
  /** 2001::/32 (RFC 4380): the client's IPv4 address, inverted, is in bits 96–127. */
  teredo: 5,
} as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

export const v4Blocks = blocks(4, [
  ['0.0.0.0', 8, Kind.special],
  ['10.0.0.0', 8, Kind.special],
  ['100.64.0.0', 10, Kind.special],
  ['127.0.0.0', 8, Kind.special],
  ['169.254.0.0', 16, Kind.special],
  ['172.16.0.0', 12, Kind.special],
  ['192.0.0.0', 24, Kind.special],
  ['192.168.0.0', 16, Kind.special],
  ['198.18.0.0', 15, Kind.special],
  ['224.0.0.0', 3, Kind.special],
]);

export const v6Blocks = blocks(6, [
  ['::', 64, Kind.mapped],
  ['64:ff9b::', 64, Kind.nat64],
  ['64:ff9b:1::', 48, Kind.special],
  ['100::', 64, Kind.special],
  ['2001::', 32, Kind.teredo],
  ['2001:2::', 48, Kind.special],
  ['2001:10::', 28, Kind.special],
  ['2001:20::', 28, Kind.special],
  ['2002::', 16, Kind.sixToFour],
  ['5f00::', 16, Kind.special],
  ['fc00::', 7, Kind.special],
  ['fe80::', 9, Kind.special],
  ['ff00::', 8, Kind.special],
]);

/**
 * The common case without a search, by the first 8 bits (v4) or 16 (v6) of an address: 1 + the length of the ordinary leaf
 * around it, which is the same for all of a block that is ordinary as a whole; 0: look it up.
 */
export const ordinary4 = ordinaryBy(v4Blocks, 8);
export const ordinary6 = ordinaryBy(v6Blocks, 16);

function ordinaryBy(index: IntervalIndex, bits: number): Uint8Array {
  const step = 2 ** (32 - bits);
  return Uint8Array.from({ length: 2 ** bits }, (_, block) => {
    const hi = block * step;
    const at = findInterval(index, hi, 0);
    const next = index.hi[at + 1] ?? 2 ** 32;
    if (index.ranking[at] !== Kind.ordinary || next < hi + step) return 0;
    return 1 + leafLength(index, at, hi, 0);
  });
}

/** `list` in the order of addresses. */
function blocks(family: Family, list: readonly (readonly [string, number, Kind])[]): IntervalIndex {
  const starts: [hi: number, lo: number, kind: Kind][] = [[0, 0, Kind.ordinary]];
  const add = (hi: number, lo: number, kind: Kind) => {
    const last = starts.at(-1);
    if (last?.[0] === hi && last[1] === lo) starts.pop();
    if (starts.at(-1)?.[2] !== kind) starts.push([hi, lo, kind]);
  };
  for (const [text, length, kind] of list) {
    const bytes = addressBytes(text)!;
    const hi = be32(bytes, 0);
    const lo = family === 4 ? 0 : be32(bytes, 4);
    add(hi, lo, kind);
    // The block after: none past the end of the address space.
    const nextHi = length <= 32 ? hi + 2 ** (32 - length) : hi;
    if (nextHi <= 0xffffffff) add(nextHi, length <= 32 ? 0 : lo + 2 ** (64 - length), Kind.ordinary);
  }
  return {
    family,
    hi: Uint32Array.from(starts, ([hi]) => hi),
    lo: family === 4 ? new Uint32Array(0) : Uint32Array.from(starts, ([, lo]) => lo),
    ranking: Uint32Array.from(starts, ([, , kind]) => kind),
  };
}
