/**
 * The steered world that every server under test is given: names, PoPs, and prefixes with a PoP of their own, drawn from
 * a seed. What lies in no such prefix goes to PoP 0.
 *
 * IPv4 overrides are uniform /24s outside special blocks. IPv6 ones are /48s clustered as in the real table: inside few
 * blocks of the five registries, in allocations of which some hold thousands and most hold a handful.
 */
import type { Rng } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';

export const zoneName = 'shop.example';
export const ttlSeconds = 60;

export interface World {
  readonly seed: string;
  /** Below the zone. */
  readonly names: readonly string[];
  readonly pops: number;
  /** Sorted /24s: first address. */
  readonly v4: Uint32Array;
  readonly v4Pop: Uint8Array;
  /** Sorted /48s: first 32 bits, then 16 bits in the upper half of a word. */
  readonly v6hi: Uint32Array;
  readonly v6lo: Uint32Array;
  readonly v6Pop: Uint8Array;
  /** Allocations that IPv6 clients come from. */
  readonly v6Blocks: Uint32Array;
}

export interface WorldSize {
  readonly names: number;
  readonly pops: number;
  readonly v4: number;
  readonly v6: number;
}

export function makeWorld(seed: string, size: WorldSize): World {
  const rng = seededRng(`${seed}/world`);
  const v4 = drawV4(rng, size.v4);
  const v6Blocks = drawBlocks(rng);
  const [v6hi, v6lo] = drawV6(rng, size.v6, v6Blocks);
  // Never PoP 0, so that a missed override shows.
  const pops = (count: number) =>
    Uint8Array.from({ length: count }, () => 1 + Math.floor(rng.next() * (size.pops - 1)));
  return {
    seed,
    names: Array.from({ length: size.names }, (_, i) => `w${i}`),
    pops: size.pops,
    v4,
    v4Pop: pops(v4.length),
    v6hi,
    v6lo,
    v6Pop: pops(v6hi.length),
    v6Blocks,
  };
}

/** PoPs in the loopback block, so that their health can be checked; the documentation block for what only DNS sees. */
export const popId = (pop: number): string => `p${pop}`;
export const vip4 = (pop: number): string => `127.70.${pop}.1`;
export const vip6 = (pop: number): string => `2001:db8:70:${pop.toString(16)}::1`;

/** First octets without anything reserved in them. */
const octets = Array.from({ length: 223 }, (_, i) => i + 1).filter(
  (octet) => ![10, 100, 127, 169, 172, 192, 198, 203].includes(octet),
);

export function randomV4(rng: Rng): number {
  const octet = octets[Math.floor(rng.next() * octets.length)]!;
  return octet * 2 ** 24 + Math.floor(rng.next() * 65_536) * 256;
}

function drawV4(rng: Rng, count: number): Uint32Array {
  const seen = new Uint8Array(1 << 24);
  const drawn = new Uint32Array(count);
  for (let i = 0; i < count; ) {
    const prefix = randomV4(rng);
    if (seen[prefix >>> 8] === 1) continue;
    seen[prefix >>> 8] = 1;
    drawn[i++] = prefix;
  }
  return drawn.sort();
}

/** Registry blocks with their share of what is announced, roughly: RIPE NCC, ARIN, APNIC, LACNIC, AfriNIC, older ones. */
const registryBlocks = [
  { first: 0x2a000000, bits: 12, share: 0.38 },
  { first: 0x26000000, bits: 12, share: 0.22 },
  { first: 0x24000000, bits: 12, share: 0.2 },
  { first: 0x28000000, bits: 12, share: 0.12 },
  { first: 0x2c000000, bits: 12, share: 0.03 },
  { first: 0x20010400, bits: 22, share: 0.05 },
] as const;

function drawRegistry(at: number): (typeof registryBlocks)[number] {
  let upTo = 0;
  for (const registry of registryBlocks) {
    upTo += registry.share;
    if (at < upTo) return registry;
  }
  return registryBlocks[0];
}

function drawBlocks(rng: Rng): Uint32Array {
  const blocks = new Set<number>();
  while (blocks.size < 8_000) {
    const registry = drawRegistry(rng.next());
    // The lower three quarters of a /12 are still unassigned.
    const room = 2 ** (32 - registry.bits) * (registry.bits === 12 ? 0.25 : 1);
    blocks.add(registry.first + Math.floor(rng.next() * room));
  }
  return Uint32Array.from(blocks);
}

/** [hi, lo] of a /48. A few allocations hold most of them, and in one they start from its beginning. */
export function randomV6(rng: Rng, blocks: Uint32Array, out: [number, number]): void {
  out[0] = blocks[Math.floor(blocks.length * rng.next() ** 3)]!;
  out[1] = Math.floor(65_536 * rng.next() ** 2) * 65_536;
}

function drawV6(rng: Rng, count: number, blocks: Uint32Array): [Uint32Array, Uint32Array] {
  const seen = new Set<number>();
  const one: [number, number] = [0, 0];
  while (seen.size < count) {
    randomV6(rng, blocks, one);
    seen.add(one[0] * 65_536 + (one[1] >>> 16));
  }
  const sorted = Float64Array.from(seen).sort();
  return [
    Uint32Array.from(sorted, (key) => Math.floor(key / 65_536)),
    Uint32Array.from(sorted, (key) => (key % 65_536) * 65_536),
  ];
}

/** PoP of a client, its /24 or /48 given by first bits. `shift`: of the other map of a pair (mapOf). */
export function popOf(world: World, family: 4 | 6, hi: number, lo: number): number {
  const [his, pops] = family === 4 ? [world.v4, world.v4Pop] : [world.v6hi, world.v6Pop];
  let low = 0;
  let high = his.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (his[middle]! < hi || (his[middle] === hi && family === 6 && world.v6lo[middle]! < lo)) low = middle + 1;
    else high = middle;
  }
  if (his[low] !== hi || (family === 6 && world.v6lo[low] !== lo)) return 0;
  return pops[low]!;
}
