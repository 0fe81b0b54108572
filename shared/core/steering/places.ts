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
import { type Base, type GroupPlan, headOf, IntervalList, kmOf, type PlaceRanges, withTail } from './base.ts';
import type { Beyond } from './estimate.ts';
import type { HeldBeliefs } from './held.ts';
import type { IntervalIndex } from './map.ts';
import type { Belief } from './residuals.ts';
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
  readonly #tiers: Tiers;
  readonly #held: HeldBeliefs;
  readonly #base: Base;
  readonly #width: number;
  /** By place in the group's candidates, unit vectors. */
  readonly #popVectors: Float64Array;
  /** By location, the place in the group's candidates that comes first by distance. */
  readonly #nearest: Uint8Array;
  readonly #seatOfSpot: Int32Array;
  #seats: number;
  #rankings: Uint8Array;
  /** What is believed, of the metro and AS at hand. */
  #belief!: Belief;
  readonly #residualMs: Float64Array;
  readonly #costs: Float64Array;
  /** How far one measured cell alone could move each cost. */
  readonly #slack: Float64Array;
  readonly #ranking: Uint8Array;
  /** By PoP; set before `update` is called for all metros. */
  beyond: Beyond | undefined;
  #index: PlaceIndex | undefined;

  /** `base`: the rankings of places that evidence says nothing of. */
  constructor(
    ground: PlaceGround,
    plan: GroupPlan,
    popVectors: Float32Array,
    tiers: Tiers,
    held: HeldBeliefs,
    base: Base,
  ) {
    this.#ground = ground;
    this.#plan = plan;
    this.#tiers = tiers;
    this.#held = held;
    this.#base = base;
    this.#width = plan.pops.length;
    this.#popVectors = Float64Array.from(plan.pops.flatMap((pop) => [...popVectors.subarray(3 * pop, 3 * pop + 3)]));
    this.#seats = ground.places.length / 3;
    this.#rankings = new Uint8Array(this.#seats * this.#width);
    this.#nearest = new Uint8Array(this.#seats);
    for (let place = 0; place < this.#seats; place++) {
      const ranking = base.rows.row(base.rowOfPlace[place]!);
      this.#rankings.set(ranking, place * this.#width);
      this.#nearest[place] = ranking[0]!;
    }
    this.#seatOfSpot = ground.spots.place.slice();
    this.#residualMs = new Float64Array(this.#width);
    this.#costs = new Float64Array(this.#width);
    this.#slack = new Float64Array(this.#width);
    this.#ranking = new Uint8Array(this.#width);
  }

  /** Ranks what lies in these metros anew. True when a ranking changed. */
  update(metros: Iterable<number>): boolean {
    let changed = false;
    const { first, places } = this.#ground.metros;
    for (const metro of metros) {
      this.#believe(metro, 0);
      for (let i = first[metro]!; i < first[metro + 1]!; i++) changed = this.#rank(places[i]!, places[i]!) || changed;
      changed = this.#rankSpots(metro) || changed;
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
  index(): PlaceIndex {
    if (this.#index !== undefined) return this.#index;
    const rows = new Rows(this.#width, undefined, headOf(this.#width));
    const nowhere = rows.intern(this.#base.defaults);
    const rowOfSeat = new Int32Array(this.#seats).fill(-1);
    const rowOfSpot = Uint32Array.from(this.#seatOfSpot, (seat) => {
      if (rowOfSeat[seat]! < 0) rowOfSeat[seat] = rows.intern(this.#row(seat));
      return rowOfSeat[seat]!;
    });
    this.#index = {
      rows,
      v4: cutBy(this.#ground.v4, rowOfSpot, nowhere),
      v6: cutBy(this.#ground.v6, rowOfSpot, nowhere),
    };
    return this.#index;
  }

  /** What a request from there to a place in the group's candidates costs, milliseconds. */
  cost(spot: number, at: number): number {
    const { place, asn } = this.#ground.spots;
    this.#believe(this.#ground.metros.ofPlace[place[spot]!]!, asn[spot]!);
    return this.#cost(place[spot]!, at);
  }

  /** Takes up what is believed of an AS in a metro. */
  #believe(metro: number, asn: number): void {
    const belief = this.#held.of(metro, asn);
    if (belief === this.#belief) return;
    this.#belief = belief;
    const { pops, k } = this.#plan;
    for (let i = 0; i < pops.length; i++) {
      this.#residualMs[i] = belief.ms(pops[i]!);
      this.#slack[i] = placing.slackShare * k * belief.slackMs(pops[i]!);
    }
  }

  /** By what is believed at hand. */
  #cost(place: number, at: number): number {
    const { pops, k, backboneMs } = this.#plan;
    const { places } = this.#ground;
    const vectors = this.#popVectors;
    const dot =
      places[3 * place]! * vectors[3 * at]! +
      places[3 * place + 1]! * vectors[3 * at + 1]! +
      places[3 * place + 2]! * vectors[3 * at + 2]!;
    const ms = this.#tiers.expectedMs(Math.fround(kmOf(dot)), this.#residualMs[at]!);
    const { beyond } = this;
    return k * (beyond === undefined ? ms : Math.fround(ms + beyond[pops[at]!]!)) + backboneMs[at]!;
  }

  #row(seat: number): Uint8Array {
    return this.#rankings.subarray(seat * this.#width, (seat + 1) * this.#width);
  }

  /** Spots of a metro lie AS by AS. */
  #rankSpots(metro: number): boolean {
    const { place, asn } = this.#ground.spots;
    const { first, items } = this.#ground.spotsOfMetro;
    let changed = false;
    let before = -1;
    let isOwn = false;
    for (let i = first[metro]!; i < first[metro + 1]!; i++) {
      const spot = items[i]!;
      if (asn[spot] !== before) {
        before = asn[spot]!;
        isOwn = this.#held.has(metro, before);
        if (isOwn) this.#believe(metro, before);
      }
      if (!isOwn) continue;
      if (this.#seatOfSpot[spot]! < this.#nearest.length) {
        this.#seatOfSpot[spot] = this.#addSeat(place[spot]!);
        changed = true;
      }
      changed = this.#rank(this.#seatOfSpot[spot]!, place[spot]!) || changed;
    }
    return changed;
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

  /** Ranks a seat by what is believed at hand. True when its ranking changed. */
  #rank(seat: number, place: number): boolean {
    const ranking = this.#ranking;
    const width = this.#width;
    const from = seat * width;
    for (let i = 0; i < width; i++) {
      ranking[i] = this.#rankings[from + i]!;
      this.#costs[i] = this.#cost(place, i);
    }
    // What was in order stays as it was cut.
    if (!arrange(ranking, this.#costs, this.#nearest[place]!, this.#slack)) return false;
    withTail(ranking, this.#base.tails);
    let changed = false;
    for (let i = 0; i < width; i++) {
      if (this.#rankings[from + i] !== ranking[i]) changed = true;
      this.#rankings[from + i] = ranking[i]!;
    }
    return changed;
  }
}

interface PlaceIndex {
  readonly rows: Rows;
  readonly v4: IntervalIndex;
  readonly v6: IntervalIndex;
}

/** Ranges as intervals by row; neighbours of one row are joined. `nowhere`: the row of spots below zero. */
function cutBy({ family, hi, lo, value }: PlaceRanges, rowOfSpot: Uint32Array, nowhere: number): IntervalIndex {
  const list = new IntervalList(family, value.length);
  for (let i = 0; i < value.length; i++) {
    const spot = value[i]!;
    list.push(hi[i]!, family === 6 ? lo[i]! : 0, spot < 0 ? nowhere : rowOfSpot[spot]!);
  }
  return list.index();
}

/**
 * Puts a ranking in order where the gain is beyond the margin, and beyond what one measured cell alone could make of it
 * (`slack` of both costs): no cell moves another. One that left the nearest PoP goes back to that when it gains nothing
 * any more. In place; false: it was in order.
 */
export function arrange(ranking: Uint8Array, costs: Float64Array, nearest: number, slack: Float64Array): boolean {
  let moved = false;
  const first = ranking[0]!;
  if (first !== nearest && costs[first]! - costs[nearest]! >= slack[first]! + slack[nearest]!) {
    moved = moveUp(ranking, ranking.indexOf(nearest), 0);
  }
  // One between, of which little is known, protects no first choice.
  for (let at = 1; at < ranking.length; at++) {
    if (!beats(costs, slack, ranking[at]!, ranking[0]!)) continue;
    moved = moveUp(ranking, at, 0);
    at = 0;
  }
  for (let end = 2; end < ranking.length; end++) {
    let at = end;
    while (at > 1 && beats(costs, slack, ranking[end]!, ranking[at - 1]!)) at--;
    if (at < end) moved = moveUp(ranking, end, at);
  }
  return moved;
}

function beats(costs: Float64Array, slack: Float64Array, own: number, above: number): boolean {
  return beyondMargin(costs[above]! - costs[own]! - (slack[above]! + slack[own]!), costs[above]!);
}

function beyondMargin(gain: number, of: number): boolean {
  return gain > Math.max(placing.gainMs, placing.gainShare * of);
}

function moveUp(ranking: Uint8Array, from: number, to: number): true {
  const place = ranking[from]!;
  // A few bytes: a bulk copy would take longer.
  for (let at = from; at > to; at--) ranking[at] = ranking[at - 1]!;
  ranking[to] = place;
  return true;
}
