/**
 * Client prefixes of a world: how many a place and an AS have, and their addresses. Addresses of one AS in one place come
 * in short runs that lie scattered, as in the real table; one in five is a /48. An AS has a /32 of its own, of the
 * documentation block 3fff::/20 (RFC 9637): what is dealt by /32 is an AS and not all of IPv6.
 */
import { type Address, formatPrefix } from '@ufes/core/ip.ts';
import type { Rng } from '@ufes/core/ports.ts';
import { lognormal, pickWeighted } from './draw.ts';
import type { Place, User } from './world.ts';

const v6Share = 0.2;
const runLength = 8;
const isps = [0.5, 0.3, 0.2];

/** First octets without anything reserved in them. */
const octets = Array.from({ length: 223 }, (_, i) => i + 1).filter(
  (octet) => ![10, 100, 127, 169, 172, 192, 198, 203].includes(octet),
);

/** `asnOf`: the AS of a place's n-th operator; absent: three operators a country. At least one prefix a place. */
export function drawUsers(
  rng: Rng,
  places: readonly Place[],
  where: readonly number[],
  count: number,
  asnOf?: (place: number) => number,
): User[] {
  const weights = where.map((place) => places[place]!.population ** 0.7);
  const homes = [...where, ...Array.from({ length: Math.max(0, count - where.length) }, () => drawHome())];
  function drawHome(): number {
    return where[pickWeighted(rng, weights)]!;
  }
  const countries = [...new Set(places.map(({ country }) => country))].sort();
  const addresses = new Addresses(rng);
  return homes.slice(0, count).map((place) => {
    const asn = asnOf?.(place) ?? 64_512 + 4 * countries.indexOf(places[place]!.country) + pickWeighted(rng, isps);
    const prefix = addresses.next(asn, place);
    const length = prefix.family === 4 ? 24 : 48;
    return { prefix, text: formatPrefix({ ...prefix, length }), place, asn, demand: lognormal(rng, 1) };
  });
}

class Addresses {
  readonly #rng: Rng;
  readonly #runs = new Map<string, { next: number; left: number }>();
  readonly #taken = new Set<number>();
  /** In the order they came. */
  readonly #numbers = new Map<number, number>();
  readonly #blocks: { readonly hi: number; next: number }[] = [];

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  next(asn: number, place: number): Address {
    const owner = `${asn}/${place}`;
    const block = this.#blockOf(asn);
    if (this.#rng.next() < v6Share && block.next < 65_536) {
      // Steps of an odd number visit every /48 once, far from the one before.
      const number = Math.imul(block.next++, 40_503) & 0xffff;
      return { family: 6, hi: block.hi, lo: (number << 16) >>> 0 };
    }
    for (;;) {
      let run = this.#runs.get(owner);
      if (run === undefined || run.left === 0) {
        const octet = octets[Math.floor(this.#rng.next() * octets.length)]!;
        run = { next: octet * 65_536 + Math.floor(this.#rng.next() * 65_536), left: runLength };
        this.#runs.set(owner, run);
      }
      const cell = run.next++;
      run.left--;
      if (this.#taken.has(cell) || cell >>> 16 >= 224) continue;
      this.#taken.add(cell);
      return { family: 4, hi: (cell * 256) >>> 0, lo: 0 };
    }
  }
  /** Beyond 4,096 ASes they share. */
  #blockOf(asn: number): { readonly hi: number; next: number } {
    const number = this.#numbers.get(asn) ?? this.#numbers.size;
    this.#numbers.set(asn, number);
    let block = this.#blocks[number & 0xfff];
    if (block === undefined) {
      block = { hi: 0x3fff_0000 + (number & 0xfff), next: 0 };
      this.#blocks[number & 0xfff] = block;
    }
    return block;
  }
}
