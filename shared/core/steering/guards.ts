/**
 * Guards: what keeps a PoP from being first for a cell though its p25 is the lowest.
 *
 *     slow         every fourth request takes 1.5 times what it takes at the best for that, and 5 ms more
 *     unreachable  of the cell's network less than 95% reach it (availability.ts)
 *
 * No client fires one alone. A cell is kept from a PoP only when it says so itself, and 20 cells with it, one vote each,
 * another one of its AS among them, all of it timed by edges. What clients time themselves is such a vote only while a
 * check of the PoP fails too.
 */
import type { CellCosts } from './rank.ts';

export const guarding = {
  /** Beyond the least p75 of the cell: of that cost, and milliseconds. */
  tailShare: 0.5,
  tailMs: 5,
  /** Cells that say so, all networks together. */
  sources: 20,
  /** Of those, other cells of the same AS. */
  sameAsn: 1,
};

export type PopGuard = 'slow' | 'unreachable';

const none: readonly number[] = [];

/** Places (in the group's candidates) that would be first but for every fourth request there. */
export function slowPlaces({ cost, tail }: CellCosts, incumbent: number): readonly number[] {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < tail.length; i++) if (tail[i]! < best) best = tail[i]!;
  if (best === Number.POSITIVE_INFINITY) return none;
  const limit = best + Math.max(guarding.tailMs, guarding.tailShare * best);
  const isSlow = (place: number) => tail[place]! > limit;
  let found = none;
  for (;;) {
    let cheapest = -1;
    for (let i = 0; i < cost.length; i++) {
      if (Number.isNaN(cost[i]!) || found.includes(i)) continue;
      if (cheapest < 0 || cost[i]! < cost[cheapest]!) cheapest = i;
    }
    if (cheapest < 0 || !isSlow(cheapest)) break;
    found = [...found, cheapest];
  }
  return isSlow(incumbent) && !found.includes(incumbent) ? [...found, incumbent] : found;
}

interface Said {
  readonly asn: number;
  readonly byEdge: boolean;
  readonly places: readonly number[];
}

/** Votes on what is slow, of one group: one a cell. */
export class SlowVotes {
  readonly #said = new Map<number, Said>();
  /** By place, and by AS · 256 + place; votes of edges, and those of clients. */
  readonly #edge = new Tally();
  readonly #clients = new Tally();

  /** What a cell (by row) says now, in place of what it said. */
  say(row: number, asn: number, places: readonly number[], byEdge: boolean): void {
    const before = this.#said.get(row);
    if (before === undefined && places.length === 0) return;
    if (before !== undefined) this.#count(before, -1);
    if (places.length === 0) {
      this.#said.delete(row);
      return;
    }
    const said = { asn, byEdge, places };
    this.#said.set(row, said);
    this.#count(said, 1);
  }

  /** `isDoubted`: a check of the PoP fails. */
  bars(row: number, place: number, isDoubted: boolean): boolean {
    const own = this.#said.get(row);
    if (own?.places.includes(place) !== true) return false;
    const { all, same } = this.#edge.of(own.asn, place);
    const clients = isDoubted ? this.#clients.of(own.asn, place) : nobody;
    const isCounted = own.byEdge || isDoubted;
    const others = same + clients.same - (isCounted ? 1 : 0);
    return all + clients.all >= guarding.sources && others >= guarding.sameAsn;
  }

  #count({ asn, byEdge, places }: Said, by: number): void {
    const tally = byEdge ? this.#edge : this.#clients;
    for (const place of places) tally.add(asn, place, by);
  }
}

const nobody = { all: 0, same: 0 };

class Tally {
  readonly #all = new Map<number, number>();
  readonly #byAsn = new Map<number, number>();

  add(asn: number, place: number, by: number): void {
    this.#all.set(place, (this.#all.get(place) ?? 0) + by);
    const key = asn * 256 + place;
    const count = (this.#byAsn.get(key) ?? 0) + by;
    if (count === 0) this.#byAsn.delete(key);
    else this.#byAsn.set(key, count);
  }

  of(asn: number, place: number): { readonly all: number; readonly same: number } {
    return { all: this.#all.get(place) ?? 0, same: this.#byAsn.get(asn * 256 + place) ?? 0 };
  }
}
