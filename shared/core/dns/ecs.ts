/**
 * EDNS Client Subnet (RFC 7871): the option in and out, which address a query is answered by, and the scope of the answer.
 *
 * Two choices are nested and the scope is the longer of both: is the subnet in a special block (then the resolver's own
 * address decides, §10 and §11.3), and which leaf of the steering map holds it. So special blocks and leaves together
 * partition the address space, and no cache can serve one with the answer of the other.
 */
import { type Address, addressBytes, mask32 } from '../ip.ts';
import { findInterval, type IntervalIndex, leafLength } from '../steering/map.ts';
import { Option } from './types.ts';

/** IANA address family numbers. 0 stands for "none" and comes with source 0. */
export const EcsFamily = { none: 0, v4: 1, v6: 2 } as const;

/** The option of a query, reused. `address` is valid when present, zero beyond the source length. */
export interface ClientSubnet {
  present: boolean;
  family: number;
  source: number;
  readonly address: Uint8Array;
}

export function createClientSubnet(): ClientSubnet {
  return { present: false, family: 0, source: 0, address: new Uint8Array(16) };
}

/** Reads the option's data; false means FORMERR (RFC 7871 §6, §7.1.2, §7.2.1). */
export function readClientSubnet(packet: Uint8Array, at: number, length: number, out: ClientSubnet): boolean {
  if (length < 4) return false;
  const family = (packet[at]! << 8) | packet[at + 1]!;
  const source = packet[at + 2]!;
  const scope = packet[at + 3]!;
  if (scope !== 0) return false;
  if (
    family === EcsFamily.none
      ? source !== 0
      : family === EcsFamily.v4
        ? source > 32
        : family !== EcsFamily.v6 || source > 128
  ) {
    return false;
  }
  const bytes = (source + 7) >> 3;
  if (length !== 4 + bytes) return false;
  if (source % 8 !== 0 && (packet[at + 3 + bytes]! & (0xff >> (source % 8))) !== 0) return false;
  out.present = true;
  out.family = family;
  out.source = source;
  out.address.fill(0);
  for (let i = 0; i < bytes; i++) out.address[i] = packet[at + 4 + i]!;
  return true;
}

/** Bytes of the whole option in an answer. */
export function clientSubnetBytes(subnet: ClientSubnet): number {
  return 8 + ((subnet.source + 7) >> 3);
}

/** Echoes family, source and address with our scope; returns the offset after it. */
export function writeClientSubnet(out: Uint8Array, at: number, subnet: ClientSubnet, scope: number): number {
  const bytes = (subnet.source + 7) >> 3;
  out[at] = 0;
  out[at + 1] = Option.clientSubnet;
  out[at + 2] = 0;
  out[at + 3] = 4 + bytes;
  out[at + 4] = 0;
  out[at + 5] = subnet.family;
  out[at + 6] = subnet.source;
  out[at + 7] = scope;
  for (let i = 0; i < bytes; i++) out[at + 8 + i] = subnet.address[i]!;
  return at + 8 + bytes;
}

/** By what a query is answered, reused from query to query; `chooseClient` sets every field. */
export interface ClientChoice {
  readonly client: Address;
  /** False: the resolver's own address decides. */
  bySubnet: boolean;
  /** In a special block: the scope is `scopeFloor`, whatever the map says. */
  special: boolean;
  /** Length of the block that `client` shares with no special block, or of the special block itself. */
  scopeFloor: number;
  /** Bits before the family the map was asked in: 96 for a v4-mapped subnet. */
  scopeBase: number;
}

export function createClientChoice(): ClientChoice {
  return { client: { family: 4, hi: 0, lo: 0 }, bySubnet: false, special: false, scopeFloor: 0, scopeBase: 0 };
}

/** In `ranking` of the two indexes below. */
const special = 1;
const v4Special = blocks(4, [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
]);
/** ::/64 holds ::, ::1 and the v4-mapped addresses, which fold before this is asked. */
const v6Special = blocks(6, [
  ['::', 64],
  ['fc00::', 7],
  ['fe80::', 9],
  ['ff00::', 8],
]);
/**
 * Blocks no resolver on the Internet can route to (RFC 6890), as an index of intervals. Documentation prefixes are not
 * among them: nobody sends them, and examples and rehearsals steer by them.
 */
function blocks(family: 4 | 6, list: readonly (readonly [string, number])[]): IntervalIndex {
  const starts: [hi: number, lo: number, kind: number][] = [];
  const add = (hi: number, lo: number, kind: number) => {
    const last = starts.at(-1);
    if (last?.[0] === hi && last[1] === lo) starts.pop();
    if (starts.at(-1)?.[2] !== kind) starts.push([hi, lo, kind]);
  };
  for (const [text, length] of list) {
    const bytes = addressBytes(text)!;
    const view = new DataView(bytes.buffer);
    const hi = view.getUint32(0);
    const lo = family === 4 ? 0 : view.getUint32(4);
    if (starts.length === 0 && hi !== 0) add(0, 0, 0);
    add(hi, lo, special);
    // The block after: none past the end of the address space.
    const next = length <= 32 ? hi + 2 ** (32 - length) : hi;
    if (next <= 0xffffffff) add(next, length <= 32 ? 0 : lo + 2 ** (64 - length), 0);
  }
  return {
    family,
    hi: Uint32Array.from(starts, ([hi]) => hi),
    lo: family === 4 ? new Uint32Array(0) : Uint32Array.from(starts, ([, lo]) => lo),
    ranking: Uint32Array.from(starts, ([, , kind]) => kind),
  };
}

/** Decides by what address a query is answered. No allocation. */
export function chooseClient(subnet: ClientSubnet, peer: Address, out: ClientChoice): void {
  const { client } = out;
  client.family = peer.family;
  client.hi = peer.hi;
  client.lo = peer.lo;
  out.bySubnet = false;
  out.special = false;
  out.scopeFloor = 0;
  out.scopeBase = 0;
  if (!subnet.present || subnet.source === 0) return;

  const { address, source } = subnet;
  const mapped = subnet.family === EcsFamily.v6 && source >= 96 && isMapped(address);
  const v4 = mapped || subnet.family === EcsFamily.v4;
  out.scopeBase = mapped ? 96 : 0;
  const length = mapped ? source - 96 : source;
  const index = v4 ? v4Special : v6Special;
  let hi = word(address, mapped ? 12 : 0);
  let lo = v4 ? 0 : word(address, 4);
  let at = findInterval(index, hi, lo);
  let floor = leafLength(index, at, hi, lo);
  if (index.ranking[at] === special && length < floor && at + 1 < index.hi.length) {
    // A source shorter than the special block it starts with: the first ordinary address inside it, when there is one.
    const nextHi = index.hi[at + 1]!;
    const nextLo = v4 ? 0 : index.lo[at + 1]!;
    if (sharesPrefix(hi, lo, nextHi, nextLo, length)) {
      hi = nextHi;
      lo = nextLo;
      at++;
      floor = leafLength(index, at, hi, lo);
    }
  }
  out.scopeFloor = !v4 && hi === 0 && lo === 0 ? besideMapped(address) : floor;
  if (index.ranking[at] === special) {
    out.special = true;
    return;
  }
  out.bySubnet = true;
  client.family = v4 ? 4 : 6;
  client.hi = hi;
  client.lo = lo;
}

/** Scope of an answer that the ranking (or nothing) decided, in the family of the option. */
export function scopeOf(subnet: ClientSubnet, choice: ClientChoice, decided: number, ranked: boolean): number {
  if (subnet.source === 0 || !ranked) return 0;
  const own = choice.special || decided < choice.scopeFloor ? choice.scopeFloor : decided;
  return choice.scopeBase + own;
}

/** Length of the largest block around an address of ::/64 that holds no v4-mapped address (::ffff:0:0/96). */
function besideMapped(address: Uint8Array): number {
  for (let bit = 64; bit < 96; bit++) {
    const wanted = bit < 80 ? 0 : 1;
    if (((address[bit >> 3]! >> (7 - (bit & 7))) & 1) !== wanted) return bit + 1;
  }
  return 96;
}

function isMapped(address: Uint8Array): boolean {
  return word(address, 0) === 0 && word(address, 4) === 0 && word(address, 8) === 0xffff;
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function sharesPrefix(hiA: number, loA: number, hiB: number, loB: number, length: number): boolean {
  return ((hiA ^ hiB) & mask32(length)) === 0 && ((loA ^ loB) & mask32(length - 32)) === 0;
}
