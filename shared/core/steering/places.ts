/**
 * Rankings of what was not measured itself, place by place, and by AS where an AS has residuals of its own in a metro.
 *
 *     seat 0 … places − 1     a place                   what all spots of it follow
 *     seat places …           a spot of an AS with residuals
 *
 * A seat begins with the ranking by distance. It leaves that when what others measured predicts a gain beyond a margin,
 * and keeps what it has until another is better by the margin: what is unsure moves nobody to and fro.
 * Only the seats of metros of which something else is believed are ranked anew.
 */
import { distanceKm, type GroupPlan, IntervalList, type PlaceRanges, withTail } from './base.ts';
import type { Beyond } from './estimate.ts';
import type { IntervalIndex } from './map.ts';
import { Rows } from './rows.ts';
import type { Metros, Spots } from './spots.ts';
import type { Tiers } from './tiers.ts';

export const placing = {
  /** A seat leaves its first choice for a gain beyond both, of that one's cost. */
  gainMs: 5,
  gainShare: 0.1,
  /** Share of what one measured cell alone could move two costs by that a gain must be beyond. */
  slackShare: 1,
};

export interface PlaceGround {
  readonly v4: PlaceRanges;
  readonly v6: PlaceRanges;
  readonly places: Float32Array;
  readonly spots: Spots;
  readonly metros: Metros;
  readonly spotsOfMetro: { readonly first: Uint32Array; readonly items: Uint32Array };
}

export class PlaceRankings {
  readonly #ground: PlaceGround;
  readonly #plan: GroupPlan;
  readonly #popVectors: Float32Array;
  readonly #tiers: Tiers;
  readonly #tails: readonly Uint8Array[];
  readonly #width: number;
  readonly #byDistance: (place: number) => Uint8Array;
  readonly #seatOfSpot: Int32Array;
  #seats: number;
  #rankings: Uint8Array;
  /** By place · pops + pop, where measured. */
  readonly #km: Float32Array;
  readonly #isMeasured: Uint8Array;
  readonly #costs: Float64Array;
  /** How far one measured cell alone could move each cost. */
  readonly #slack: Float64Array;
  readonly #before: Uint8Array;
  /** By PoP; set before `update` is called for all metros. */
  beyond: Beyond | undefined;
  #index: { readonly rows: Rows; readonly v4: IntervalIndex; readonly v6: IntervalIndex } | undefined;

  /** `byDistance`: the ranking of a place that evidence says nothing of. */
  constructor(
    ground: PlaceGround,
    plan: GroupPlan,
    popVectors: Float32Array,
    tiers: Tiers,
    tails: readonly Uint8Array[],
    byDistance: (place: number) => Uint8Array,
  ) {
    this.#ground = ground;
    this.#plan = plan;
    this.#popVectors = popVectors;
    this.#tiers = tiers;
    this.#tails = tails;
    this.#byDistance = byDistance;
    this.#width = plan.pops.length;
    this.#seats = ground.places.length / 3;
    this.#rankings = new Uint8Array(this.#seats * this.#width);
    for (let place = 0; place < this.#seats; place++) this.#rankings.set(byDistance(place), place * this.#width);
    this.#seatOfSpot = ground.spots.place.slice();
    const pops = popVectors.length / 3;
    this.#isMeasured = new Uint8Array(this.#seats);
    this.#km = new Float32Array(this.#seats * pops);
    this.#costs = new Float64Array(this.#width);
    this.#slack = new Float64Array(this.#width);
    this.#before = new Uint8Array(this.#width);
  }

  /** Ranks what lies in these metros anew. True when a ranking changed. */
  update(metros: Iterable<number>): boolean {
    let changed = false;
    for (const metro of metros) {
      const { first, places } = this.#ground.metros;
      for (let i = first[metro]!; i < first[metro + 1]!; i++)
        changed = this.#rank(places[i]!, places[i]!, 0) || changed;
      const asns = new Set(this.#tiers.asnsOf(metro));
      const spots = this.#ground.spotsOfMetro;
      for (let i = spots.first[metro]!; i < spots.first[metro + 1]!; i++) {
        changed = this.#rankSpot(spots.items[i]!, asns) || changed;
      }
    }
    if (changed) this.#index = undefined;
    return changed;
  }

  /** The place in the group's candidates at a step of a spot's ranking. */
  at(spot: number, step: number): number {
    return this.#rankings[this.#seatOfSpot[spot]! * this.#width + step]!;
  }

  /** Places in the group's candidates, best first. */
  ranking(spot: number): Uint8Array {
    return this.#row(this.#seatOfSpot[spot]!);
  }

  /** The address space by ranking; spots below zero follow `defaultOrder`. */
  index(): { readonly rows: Rows; readonly v4: IntervalIndex; readonly v6: IntervalIndex } {
    if (this.#index !== undefined) return this.#index;
    const rows = new Rows(this.#width);
    const nowhere = rows.intern(Uint8Array.from(this.#plan.defaultOrder));
    const rowOfSeat = new Int32Array(this.#seats).fill(-1);
    const cut = (ranges: PlaceRanges): IntervalIndex => {
      const list = new IntervalList(ranges.family, 1 << 16);
      for (let i = 0; i < ranges.hi.length; i++) {
        const spot = ranges.value[i]!;
        let row = nowhere;
        if (spot >= 0) {
          const seat = this.#seatOfSpot[spot]!;
          if (rowOfSeat[seat]! < 0) rowOfSeat[seat] = rows.intern(this.#row(seat));
          row = rowOfSeat[seat]!;
        }
        list.push(ranges.hi[i]!, ranges.lo[i] ?? 0, row);
      }
      return list.index();
    };
    this.#index = { rows, v4: cut(this.#ground.v4), v6: cut(this.#ground.v6) };
    return this.#index;
  }

  /** What a request from there to a place in the group's candidates costs, milliseconds. */
  cost(spot: number, at: number): number {
    const { place, asn } = this.#ground.spots;
    this.#fillCosts(place[spot]!, asn[spot]!);
    return this.#costs[at]!;
  }

  #fillCosts(place: number, asn: number): void {
    const { pops, k, backboneMs } = this.#plan;
    const km = this.#kmFrom(place);
    const belief = this.#tiers.beliefOf(this.#ground.metros.ofPlace[place]!, asn);
    for (let i = 0; i < pops.length; i++) {
      const pop = pops[i]!;
      const ms = this.#tiers.expectedMs(km[pop]!, belief.ms[pop]!);
      this.#costs[i] = k * Math.fround(ms + (this.beyond?.[pop] ?? 0)) + backboneMs[i]!;
      this.#slack[i] = placing.slackShare * k * belief.slackMs[pop]!;
    }
  }

  #row(seat: number): Uint8Array {
    return this.#rankings.subarray(seat * this.#width, (seat + 1) * this.#width);
  }

  #rankSpot(spot: number, asns: ReadonlySet<number>): boolean {
    const { place, asn } = this.#ground.spots;
    const seat = this.#seatOfSpot[spot]!;
    const isApart = seat >= this.#ground.places.length / 3;
    if (!asns.has(asn[spot]!)) {
      this.#seatOfSpot[spot] = place[spot]!;
      return isApart;
    }
    if (!isApart) this.#seatOfSpot[spot] = this.#addSeat(place[spot]!);
    return this.#rank(this.#seatOfSpot[spot]!, place[spot]!, asn[spot]!) || !isApart;
  }

  /** Distances from a place, kept: it is ranked again and again. */
  #kmFrom(place: number): Float32Array {
    const pops = this.#popVectors.length / 3;
    const from = place * pops;
    const km = this.#km.subarray(from, from + pops);
    if (this.#isMeasured[place] === 1) return km;
    this.#isMeasured[place] = 1;
    for (let pop = 0; pop < pops; pop++) km[pop] = distanceKm(this.#ground.places, place, this.#popVectors, pop);
    return km;
  }

  #addSeat(place: number): number {
    const seat = this.#seats++;
    const bytes = this.#seats * this.#width;
    if (bytes > this.#rankings.length) {
      const wider = new Uint8Array(Math.ceil(bytes * 1.25));
      wider.set(this.#rankings);
      this.#rankings = wider;
    }
    this.#row(seat).set(this.#row(place));
    return seat;
  }

  /** True when the seat's ranking changed. */
  #rank(seat: number, place: number, asn: number): boolean {
    this.#fillCosts(place, asn);
    const row = this.#row(seat);
    const before = this.#before;
    before.set(row);
    const nearest = this.#byDistance(place)[0]!;
    arrange(row, this.#costs, nearest, this.#slack);
    withTail(row, this.#tails);
    for (let i = 0; i < row.length; i++) if (row[i] !== before[i]) return true;
    return false;
  }
}

/**
 * Puts a ranking in order where the gain is beyond the margin, and beyond what one measured cell alone could make of it
 * (`slack` of both costs): no cell moves another. One that left the nearest PoP goes back to that when it gains nothing
 * any more. In place.
 */
export function arrange(ranking: Uint8Array, costs: Float64Array, nearest: number, slack?: Float64Array): void {
  const slackOf = (a: number, b: number) => (slack === undefined ? 0 : slack[a]! + slack[b]!);
  const first = ranking[0]!;
  const loss = costs[first]! - costs[nearest]!;
  if (first !== nearest && loss >= slackOf(first, nearest)) moveUp(ranking, ranking.indexOf(nearest), 0);
  const beats = (own: number, above: number) =>
    beyondMargin(costs[above]! - costs[own]! - slackOf(above, own), costs[above]!);
  // One between, of which little is known, protects no first choice.
  for (let at = 1; at < ranking.length; at++) {
    if (!beats(ranking[at]!, ranking[0]!)) continue;
    moveUp(ranking, at, 0);
    at = 0;
  }
  for (let end = 2; end < ranking.length; end++) {
    let at = end;
    while (at > 1 && beats(ranking[end]!, ranking[at - 1]!)) at--;
    moveUp(ranking, end, at);
  }
}

function beyondMargin(gain: number, of: number): boolean {
  return gain > Math.max(placing.gainMs, placing.gainShare * of);
}

function moveUp(ranking: Uint8Array, from: number, to: number): void {
  const place = ranking[from]!;
  // A few bytes: a bulk copy would take longer.
  for (let at = from; at > to; at--) ranking[at] = ranking[at - 1]!;
  ranking[to] = place;
}
