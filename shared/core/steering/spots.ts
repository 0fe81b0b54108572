/**
 * Spots: a place that GeoIP knows, and the AS that has the addresses there. What steering can tell apart without
 * measurements of a client itself.
 *
 *     ranges of places   ├──────── 7 ────────┼── 9 ──┤
 *     ranges of ASes     ├─ 64500 ─┼────── 64501 ────┤
 *     ranges of spots    ├── 0 ────┼─── 1 ───┼── 2 ──┤      spot → place 7 7 9, AS 64500 64501 64501
 *
 * Places less than some 50 km apart are one metro; metros are what measurements are carried over between.
 */
import { IntervalList, type PlaceRanges, type Vectors } from './base.ts';
import { widened } from './cell-index.ts';

/** Side of the squares that make a metro, degrees of latitude: about 50 km. */
const metroDegrees = 0.45;

export interface Spots {
  readonly place: Int32Array;
  readonly asn: Uint32Array;
}

export interface Metros {
  /** Place → metro, -1 for one without coordinates. */
  readonly ofPlace: Int32Array;
  readonly count: number;
  /** Unit vectors by metro: that of the first place in it. */
  readonly vectors: Vectors;
  readonly country: Uint16Array;
  /** Places of a metro: `places[first[metro]]` up to, not with, `places[first[metro + 1]]`. */
  readonly first: Uint32Array;
  readonly places: Uint32Array;
}

/** Numbers of pairs (place, AS), given in the order in which they are first seen. A million of them: no object each. */
export class SpotNumbers {
  #count = 0;
  #place = new Int32Array(64);
  #asn = new Uint32Array(64);
  /** Open addressing; number + 1, 0 is free. */
  #slots = new Uint32Array(128);

  of(place: number, asn: number): number {
    const slot = this.#slot(place, asn);
    if (this.#slots[slot]! > 0) return this.#slots[slot]! - 1;
    const number = this.#count++;
    this.#place = widened(this.#place, this.#count);
    this.#asn = widened(this.#asn, this.#count);
    this.#place[number] = place;
    this.#asn[number] = asn;
    this.#slots[slot] = this.#count;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
    return number;
  }

  #slot(place: number, asn: number): number {
    const mask = this.#slots.length - 1;
    const hash = Math.imul(place ^ Math.imul(asn, 0x9e37_79b1), 0x85eb_ca6b);
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (let held = this.#slots[slot]!; held > 0; slot = (slot + 1) & mask, held = this.#slots[slot]!) {
      if (this.#place[held - 1] === place && this.#asn[held - 1] === asn) break;
    }
    return slot;
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let number = 0; number < this.#count; number++) {
      this.#slots[this.#slot(this.#place[number]!, this.#asn[number]!)] = number + 1;
    }
  }

  spots(): Spots {
    return { place: this.#place.slice(0, this.#count), asn: this.#asn.slice(0, this.#count) };
  }
}

/** Cuts places by AS. Without ASes (`undefined`) every AS is 0. Values below zero stay: there is no place. */
export function spotRanges(places: PlaceRanges, asns: PlaceRanges | undefined, numbers: SpotNumbers): PlaceRanges {
  const { family } = places;
  const list = new IntervalList(family, places.hi.length + (asns?.hi.length ?? 0));
  let as = 0;
  const before = (ranges: PlaceRanges, at: number, hi: number, lo: number): boolean =>
    ranges.hi[at]! < hi || (ranges.hi[at] === hi && (ranges.lo[at] ?? 0) <= lo);
  const push = (hi: number, lo: number, place: number): void => {
    list.push(hi, lo, place < 0 ? place : numbers.of(place, asns?.value[as] ?? 0));
  };
  for (let i = 0; i < places.hi.length; i++) {
    const [hi, lo, place] = [places.hi[i]!, places.lo[i] ?? 0, places.value[i]!];
    if (asns !== undefined) while (as + 1 < asns.hi.length && before(asns, as + 1, hi, lo)) as++;
    push(hi, lo, place);
    if (asns === undefined) continue;
    const last = i + 1 === places.hi.length;
    while (as + 1 < asns.hi.length && (last || !before(places, i + 1, asns.hi[as + 1]!, asns.lo[as + 1] ?? 0))) {
      as++;
      push(asns.hi[as]!, asns.lo[as] ?? 0, place);
    }
  }
  return list.ranges();
}

/** Squares of equal height, about as wide as high, each within one country. */
export function metrosOf(
  latitude: ArrayLike<number>,
  longitude: ArrayLike<number>,
  country: ArrayLike<number> | undefined,
  vectors: Vectors,
): Metros {
  const ofPlace = new Int32Array(latitude.length).fill(-1);
  const numbers = new Map<string, number>();
  const firsts: number[] = [];
  for (let place = 0; place < ofPlace.length; place++) {
    if (Number.isNaN(vectors[3 * place]!)) continue;
    const row = Math.round(latitude[place]! / metroDegrees);
    const width = metroDegrees / Math.max(0.05, Math.cos((row * metroDegrees * Math.PI) / 180));
    const key = `${country?.[place] ?? 0}|${row}|${Math.round(longitude[place]! / width)}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = firsts.length;
      numbers.set(key, number);
      firsts.push(place);
    }
    ofPlace[place] = number;
  }
  const count = firsts.length;
  const { first, items } = groupBy(ofPlace, count);
  return {
    ofPlace,
    count,
    vectors: Float32Array.from({ length: 3 * count }, (_, i) => vectors[3 * firsts[Math.floor(i / 3)]! + (i % 3)]!),
    country: Uint16Array.from(firsts, (place) => country?.[place] ?? 0),
    first,
    places: items,
  };
}

/** Indexes by the group that each is of (below zero: none): items[first[g]] up to items[first[g + 1]] are those of g. */
export function groupBy(
  group: Int32Array,
  count: number,
): { readonly first: Uint32Array; readonly items: Uint32Array } {
  const first = new Uint32Array(count + 1);
  for (const g of group) if (g >= 0) first[g + 1]!++;
  for (let g = 0; g < count; g++) first[g + 1]! += first[g]!;
  const next = first.slice();
  const items = new Uint32Array(first[count]!);
  for (let i = 0; i < group.length; i++) if (group[i]! >= 0) items[next[group[i]!]!++] = i;
  return { first, items };
}
