/**
 * EDNS Client Subnet (RFC 7871): the option in and out, which address a query is answered by, and the scope of the answer.
 *
 * Two choices are nested and the scope is the longer of both: is the subnet in a special block (then the resolver's own
 * address decides, §10 and §11.3), and which leaf of the steering map holds it. So special blocks and leaves together
 * partition the address space, and no cache can serve one with the answer of the other. IPv6 addresses that carry an
 * IPv4 address (blocks.ts) are answered as that one, with a scope that counts the bits before it.
 */
import { type Address, be32, type Family, mask32, type Peer } from '../ip.ts';
import { findInterval, type IntervalIndex, leafLength } from '../steering/map.ts';
import { Kind, ordinary4, ordinary6, v4Blocks, v6Blocks } from './blocks.ts';
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
  // Not fill(): it leaves compiled code, and this is on every query's way.
  for (let i = 0; i < 16; i++) out.address[i] = i < bytes ? packet[at + 4 + i]! : 0;
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
  /** Bits of the option's address before the client's: 96 for a v4-mapped one, 16 for one of 6to4. */
  scopeBase: number;
  /** Leading bits of the client that the option tells. */
  length: number;
}

export function createClientChoice(): ClientChoice {
  return {
    client: { family: 4, hi: 0, lo: 0 },
    bySubnet: false,
    special: false,
    scopeFloor: 0,
    scopeBase: 0,
    length: 0,
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
  out.length = 0;
  if (!subnet.present || subnet.source === 0) return;
  const { address, source } = subnet;
  if (subnet.family === EcsFamily.v4) chooseIn(v4Blocks, be32(address, 0), 0, source, out);
  else chooseV6(address, source, out);
}

function chooseV6(address: Uint8Array, source: number, out: ClientChoice): void {
  const hi = be32(address, 0);
  const lo = be32(address, 4);
  if (ordinary6[hi >>> 16] !== 0) {
    chooseIn(v6Blocks, hi, lo, source, out);
    return;
  }
  const kind = v6Blocks.ranking[findInterval(v6Blocks, hi, lo)]!;
  if (kind === Kind.sixToFour && source >= 16) {
    fold(16, ((hi << 16) | (lo >>> 16)) >>> 0, source, out);
  } else if (kind === Kind.teredo && source >= 32) {
    const length = Math.max(0, source - 96);
    fold(96, (~be32(address, 12) & mask32(length)) >>> 0, source, out);
  } else if ((kind === Kind.mapped || kind === Kind.nat64) && source >= 64) {
    // Of such a /64 one /96 holds IPv4 addresses; what the source leaves open may be it.
    const differs = (be32(address, 8) ^ (kind === Kind.mapped ? 0xffff : 0)) & mask32(source - 64);
    if (differs === 0) fold(96, be32(address, 12), source, out);
    else {
      out.special = true;
      out.scopeFloor = 65 + Math.clz32(differs);
    }
  } else chooseIn(v6Blocks, hi, lo, source, out);
}

/** The client is the IPv4 address inside the IPv6 one, from bit `base` on. */
function fold(base: number, hi: number, source: number, out: ClientChoice): void {
  out.scopeBase = base;
  chooseIn(v4Blocks, hi, 0, Math.min(32, Math.max(0, source - base)), out);
}

function chooseIn(blocks: IntervalIndex, hi: number, lo: number, length: number, out: ClientChoice): void {
  const { hi: starts, lo: starts2, family } = blocks;
  const ordinary = family === 4 ? ordinary4[hi >>> 24]! : ordinary6[hi >>> 16]!;
  out.length = length;
  if (ordinary !== 0) {
    out.scopeFloor = ordinary - 1;
    takeClient(family, hi, lo, out);
    return;
  }
  let at = findInterval(blocks, hi, lo);
  // A source shorter than the special block it starts with: the first ordinary address inside it, when there is one.
  while (blocks.ranking[at] !== Kind.ordinary && at + 1 < starts.length) {
    const nextHi = starts[at + 1]!;
    const nextLo = family === 4 ? 0 : starts2[at + 1]!;
    if (!sharesPrefix(hi, lo, nextHi, nextLo, length)) break;
    hi = nextHi;
    lo = nextLo;
    at++;
  }
  out.scopeFloor = leafLength(blocks, at, hi, lo);
  if (blocks.ranking[at] === Kind.ordinary) takeClient(family, hi, lo, out);
  else out.special = true;
}

function takeClient(family: Family, hi: number, lo: number, out: ClientChoice): void {
  out.bySubnet = true;
  out.client.family = family;
  out.client.hi = hi;
  out.client.lo = lo;
}

/** The address that a resolver is placed by: the IPv4 one inside its IPv6 one, written to `out`, or its own. */
export function foldPeer(peer: Peer, out: Address): Address {
  if (peer.family === 4) return peer;
  const { hi, lo, tailHi, tailLo } = peer;
  out.family = 4;
  out.lo = 0;
  if (hi >>> 16 === 0x2002) out.hi = ((hi << 16) | (lo >>> 16)) >>> 0;
  else if (hi === 0x0064ff9b && lo === 0 && tailHi === 0) out.hi = tailLo;
  else if (hi === 0x20010000) out.hi = ~tailLo >>> 0;
  else return peer;
  return out;
}

/** Moves a client to another ordinary address of the same source. */
export function moveClient(choice: ClientChoice, hi: number, lo: number): void {
  const { client } = choice;
  const blocks = client.family === 4 ? v4Blocks : v6Blocks;
  client.hi = hi;
  client.lo = lo;
  choice.scopeFloor = leafLength(blocks, findInterval(blocks, hi, lo), hi, lo);
}

/** An answer with this scope holds for a part of the source only: which part was meant is open. */
export function isShort(choice: ClientChoice, decided: number): boolean {
  return choice.bySubnet && (decided > choice.length || choice.scopeFloor > choice.length);
}

/** Scope of an answer that the ranking (or nothing) decided, in the family of the option. */
export function scopeOf(subnet: ClientSubnet, choice: ClientChoice, decided: number, ranked: boolean): number {
  if (subnet.source === 0 || !ranked) return 0;
  const own = choice.special || decided < choice.scopeFloor ? choice.scopeFloor : decided;
  return choice.scopeBase + own;
}

function sharesPrefix(hiA: number, loA: number, hiB: number, loB: number, length: number): boolean {
  return ((hiA ^ hiB) & mask32(length)) === 0 && ((loA ^ loB) & mask32(length - 32)) === 0;
}
