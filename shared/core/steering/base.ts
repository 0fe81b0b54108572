/**
 * The ground of a steering map: where there is no evidence, a client's place decides, by prior and backbone leg.
 *
 * GeoIP ranges → cells (a /24 or /48 with several places takes the one of most addresses) → a ranking per place →
 * intervals of equal rankings. Depends on GeoIP, PoPs and the group alone, so it is made once and kept.
 */
import type { Family } from '../ip.ts';
import type { PopLimits } from './capacity.ts';
import type { Prior } from './estimation.ts';
import type { IntervalIndex } from './map.ts';
import { Rows } from './rows.ts';
import type { RulingPlan } from './ruling.ts';

/** Sorted first addresses, the first of them 0, each with a place; negative: none. geoip's intervals are such. */
export interface PlaceRanges {
  readonly family: Family;
  readonly hi: Uint32Array;
  /** Empty for v4. */
  readonly lo: Uint32Array;
  readonly value: Int32Array;
}

/** Unit vectors of places: 3 · place + axis. NaN where a place has no coordinates. */
export type Vectors = Float32Array;

export interface GroupPlan {
  /** groupKey() of its services. */
  readonly key: string;
  /** Map PoP numbers of the candidates; their positions here are the "places" of rankings under construction. */
  readonly pops: readonly number[];
  /** PoP → origin, milliseconds, by place. */
  readonly backboneMs: readonly number[];
  readonly k: number;
  readonly policy: 'latency' | 'geo';
  /** Places in the order to use where nothing is known of the client. */
  readonly defaultOrder: readonly number[];
  /** Requests a second by place, beside what all cells ask for; absent: there is room for everybody. */
  readonly limits?: PopLimits;
  /** What its names have of rules; absent: rankings decide for all. */
  readonly ruling?: RulingPlan;
}

/**
 * Places ranked exactly. Those behind them come in the order seen from the first choice's own location: it takes the
 * loss of all these to reach them, and a map of 30 PoPs has half the bytes and a twentieth of the rankings
 * (loadtest/map-build.ts).
 */
export const exactPlaces = 5;

/** First places of a group's rankings that say what comes behind them. */
export function headOf(width: number): number {
  return width <= exactPlaces + 1 ? width : exactPlaces;
}

export interface Base {
  /** Where nothing is known of the client. */
  readonly defaults: Uint8Array;
  readonly rows: Rows;
  /** Place → all places as seen from there. */
  readonly tails: readonly Uint8Array[];
  /** Place → row. */
  readonly rowOfPlace: Int32Array;
  readonly v4: IntervalIndex;
  readonly v6: IntervalIndex;
}

const earthKm = 6_371;

export function vectorsOf(latitude: ArrayLike<number>, longitude: ArrayLike<number>): Vectors {
  const vectors = new Float32Array(3 * latitude.length);
  for (let i = 0; i < latitude.length; i++) {
    const phi = (latitude[i]! * Math.PI) / 180;
    const lambda = (longitude[i]! * Math.PI) / 180;
    vectors[3 * i] = Math.cos(phi) * Math.cos(lambda);
    vectors[3 * i + 1] = Math.cos(phi) * Math.sin(lambda);
    vectors[3 * i + 2] = Math.sin(phi);
  }
  return vectors;
}

/** Great-circle distance; NaN when either place has no coordinates (or `a` is negative). */
export function distanceKm(vectorsA: Vectors, a: number, vectorsB: Vectors, b: number): number {
  if (a < 0) return Number.NaN;
  const dot =
    vectorsA[3 * a]! * vectorsB[3 * b]! +
    vectorsA[3 * a + 1]! * vectorsB[3 * b + 1]! +
    vectorsA[3 * a + 2]! * vectorsB[3 * b + 2]!;
  return kmOf(dot);
}

/** Of two unit vectors' product. */
export function kmOf(dot: number): number {
  return earthKm * arcCosine(Math.min(1, Math.max(-1, dot)));
}

/**
 * Within 2 · 10⁻⁸ (Abramowitz and Stegun 4.4.46), which is 13 cm on the ground: less than 32-bit floats tell apart, in a
 * quarter of the time. Every build asks for some ten million.
 */
function arcCosine(x: number): number {
  const a = Math.abs(x);
  const even = 1.570796305 + a * a * (0.0889789874 + a * a * (0.030891881 + a * a * 0.0066700901));
  const odd = -0.2145988016 + a * a * (-0.0501743046 + a * a * (-0.0170881256 + a * a * -0.0012624911));
  const acute = Math.sqrt(1 - a) * (even + a * odd);
  return x < 0 ? Math.PI - acute : acute;
}

/** Collects intervals in rising order; neighbours of one value are joined. */
export class IntervalList {
  readonly family: Family;
  hi: Uint32Array;
  lo: Uint32Array;
  value: Int32Array;
  length = 0;

  constructor(family: Family, capacity: number) {
    this.family = family;
    this.hi = new Uint32Array(capacity);
    this.lo = new Uint32Array(family === 6 ? capacity : 0);
    this.value = new Int32Array(capacity);
  }

  push(hi: number, lo: number, value: number): void {
    const at = this.length;
    if (at > 0 && this.value[at - 1] === value) return;
    if (at === this.hi.length) this.#grow();
    this.hi[at] = hi;
    if (this.family === 6) this.lo[at] = lo;
    this.value[at] = value;
    this.length++;
  }

  #grow(): void {
    const grow = <T extends Uint32Array | Int32Array>(from: T, to: T): T => {
      to.set(from);
      return to;
    };
    const capacity = Math.max(64, this.hi.length * 2);
    this.hi = grow(this.hi, new Uint32Array(capacity));
    if (this.family === 6) this.lo = grow(this.lo, new Uint32Array(capacity));
    this.value = grow(this.value, new Int32Array(capacity));
  }

  /** Views, unless much room would stay idle. */
  ranges(): PlaceRanges {
    const { family, length } = this;
    const own = <T extends Uint32Array | Int32Array>(column: T): T =>
      (length > 0.5 * column.length ? column.subarray(0, length) : column.slice(0, length)) as T;
    return { family, hi: own(this.hi), lo: own(this.lo), value: own(this.value) };
  }

  index(): IntervalIndex {
    const { family, hi, lo, value } = this.ranges();
    return { family, hi, lo, ranking: new Uint32Array(value.buffer, value.byteOffset, value.length) };
  }
}

/** Rounds ranges to whole cells, /24 and /48: the place with most addresses (v6: /64s) in a cell is the cell's. */
export function foldRanges(ranges: PlaceRanges): PlaceRanges {
  const { family } = ranges;
  const size = family === 4 ? 256 : 65_536;
  const cells = family === 4 ? 2 ** 24 : 2 ** 48;
  const list = new IntervalList(family, ranges.hi.length);
  const push = (cell: number, value: number): void => {
    if (family === 4) list.push(cell * 256, 0, value);
    else list.push(Math.floor(cell / 65_536), ((cell % 65_536) << 16) >>> 0, value);
  };
  const votes = new Map<number, number>();
  for (let i = 0; i < ranges.hi.length; i++) {
    const value = ranges.value[i]!;
    let [cell, offset] = split(ranges, i);
    const [endCell, endOffset] = i + 1 < ranges.hi.length ? split(ranges, i + 1) : [cells, 0];
    if (offset > 0 && cell < endCell) {
      vote(votes, value, size - offset);
      push(cell++, winner(votes));
      offset = 0;
    }
    if (cell < endCell) push(cell, value);
    if (endOffset > 0) vote(votes, value, endOffset - (cell < endCell ? 0 : offset));
  }
  return list.ranges();
}

function split({ family, hi, lo }: PlaceRanges, at: number): [cell: number, offset: number] {
  if (family === 4) return [hi[at]! >>> 8, hi[at]! & 255];
  return [hi[at]! * 65_536 + (lo[at]! >>> 16), lo[at]! & 65_535];
}

function vote(votes: Map<number, number>, value: number, count: number): void {
  votes.set(value, (votes.get(value) ?? 0) + count);
}

/** Ends the count. The first of equals wins; no place wins only when there is none. */
function winner(votes: Map<number, number>): number {
  let best = -1;
  let most = 0;
  for (const [value, count] of votes) {
    if (value >= 0 && count > most) {
      best = value;
      most = count;
    }
  }
  votes.clear();
  return best;
}

/** Ranks the group's candidates for every place and cuts the address space by it. */
export function buildBase(
  folded: { readonly v4: PlaceRanges; readonly v6: PlaceRanges; readonly spots: { readonly place: Int32Array } },
  places: Vectors,
  pops: Vectors,
  plan: GroupPlan,
  prior: Prior,
): Base {
  const rows = new Rows(plan.pops.length, undefined, headOf(plan.pops.length));
  const rowOfPlace = new Int32Array(places.length / 3);
  const ranking = new Uint8Array(plan.pops.length);
  const costs = new Float64Array(plan.pops.length);
  const tails = plan.pops.map((pop) => rankPlace(pops, pop, pops, plan, prior, costs, ranking).slice());
  const defaults = withTail(Uint8Array.from(plan.defaultOrder), tails);
  const defaultRow = rows.intern(defaults);
  for (let place = 0; place < rowOfPlace.length; place++) {
    rowOfPlace[place] = Number.isNaN(places[3 * place]!)
      ? defaultRow
      : rows.intern(withTail(rankPlace(places, place, pops, plan, prior, costs, ranking), tails));
  }
  const cut = (ranges: PlaceRanges): IntervalIndex => {
    const list = new IntervalList(ranges.family, 1 << 16);
    for (let i = 0; i < ranges.hi.length; i++) {
      const spot = ranges.value[i]!;
      const row = spot < 0 ? defaultRow : rowOfPlace[folded.spots.place[spot]!]!;
      list.push(ranges.hi[i]!, ranges.lo[i] ?? 0, row);
    }
    return list.index();
  };
  return { defaults, rows, tails, rowOfPlace, v4: cut(folded.v4), v6: cut(folded.v6) };
}

/** Puts what stands behind the exact places into the order of the first one's tail. In place. */
export function withTail(ranking: Uint8Array, tails: readonly Uint8Array[]): Uint8Array {
  if (ranking.length === headOf(ranking.length)) return ranking;
  let at = exactPlaces;
  for (const place of tails[ranking[0]!]!) {
    let exact = false;
    for (let i = 0; i < exactPlaces && !exact; i++) exact = ranking[i] === place;
    if (!exact) ranking[at++] = place;
  }
  return ranking;
}

/** Candidates by k · prior + backbone, equal ones by their place, into `ranking`. `costs` is scratch. */
function rankPlace(
  places: Vectors,
  place: number,
  pops: Vectors,
  plan: GroupPlan,
  prior: Prior,
  costs: Float64Array,
  ranking: Uint8Array,
): Uint8Array {
  for (let i = 0; i < ranking.length; i++) {
    const km = distanceKm(places, place, pops, plan.pops[i]!);
    const cost = plan.k * prior.expectedMs(km) + plan.backboneMs[i]!;
    costs[i] = cost;
    let at = i;
    for (; at > 0 && costs[ranking[at - 1]!]! > cost; at--) ranking[at] = ranking[at - 1]!;
    ranking[at] = i;
  }
  return ranking;
}
