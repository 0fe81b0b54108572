/**
 * Shares PoPs out among all who ask (capacity.ts): measured cells and others, group by group, on top of their rankings.
 *
 *     requests   cell → requests a second           a unit each
 *     choice     unit → own ranking, or its spot's
 *     fitted     unit → ranking that fits            a unit that has none of its own becomes a row of the cells
 */
import { isLoopback, type Prefix } from '../ip.ts';
import { type Base, distanceKm, type GroupPlan } from './base.ts';
import { type Asking, fitting, type PopLimits } from './capacity.ts';
import type { Cells } from './cells.ts';
import { type Beyond, CellTimes } from './estimate.ts';
import type { Fitted } from './fitted.ts';
import { type Ground, spotOf } from './ground.ts';
import type { SteeringMap } from './map.ts';
import type { PlaceRankings } from './places.ts';
import type { RankStates } from './rank.ts';
import { refitted } from './refit.ts';
import { Requests } from './requests.ts';
import type { Tiers } from './tiers.ts';

export interface SharedGroup {
  readonly plan: GroupPlan;
  readonly base: Base;
  readonly places: PlaceRankings | undefined;
  readonly states: RankStates;
  readonly fitted: Fitted;
}

export class Sharing {
  readonly requests = new Requests();
  readonly #cells: Cells;
  readonly #ground: Ground;
  readonly #popVectors: Float32Array;
  readonly #groups: readonly SharedGroup[];
  readonly #times: CellTimes;
  /** By PoP, when it was last taken to be asked for more. */
  readonly #surgedAtMs = new Map<number, number>();

  constructor(cells: Cells, tiers: Tiers, ground: Ground, popVectors: Float32Array, groups: readonly SharedGroup[]) {
    this.#cells = cells;
    this.#ground = ground;
    this.#popVectors = popVectors;
    this.#groups = groups.filter(({ plan }) => plan.policy !== 'geo');
    this.#times = new CellTimes(cells, tiers);
  }

  /** What a cell asks for, requests a second; `hi` and `lo` are those of its prefix. */
  setRequests(family: 4 | 6, hi: number, lo: number, perSecond: number): void {
    this.requests.put(family, hi, lo, perSecond, () => ({
      row: this.#cells.rowOf(family, hi, lo),
      spot: spotOf(this.#ground, family, hi, lo),
    }));
  }

  /** A cell has become this row. */
  placeRow(row: number): void {
    const { family, hi, lo } = this.#cells;
    const unit = this.requests.find(family[row] === 4 ? 4 : 6, hi[row]!, lo[row]!);
    if (unit >= 0) this.requests.row[unit] = row;
  }

  /** PoPs (numbers) that carry more than they can take: all who go there are taken to ask for as many times more, for a while. */
  overloaded(told: ReadonlyMap<number, number>, nowMs: number): void {
    const { requests } = this;
    if (told.size === 0) return;
    const demand = requests.demand(nowMs);
    for (const [pop, load] of told) {
      if (nowMs - (this.#surgedAtMs.get(pop) ?? Number.NEGATIVE_INFINITY) < fitting.surgeAgainMs) continue;
      const there = new Set<number>();
      let expected = 0;
      for (const group of this.#groups) {
        const place = group.plan.pops.indexOf(pop);
        const choice = this.#choiceIn(group);
        for (let unit = 0; unit < requests.count; unit++) {
          const row = requests.row[unit]!;
          const first = (row < 0 ? undefined : group.fitted.ranking(row)?.[0]) ?? choice(unit, 0);
          if (first !== place) continue;
          there.add(unit);
          expected += demand[unit]! / this.#groups.length;
        }
      }
      const factor = Math.min(fitting.surgeMax, (fitting.surgeGrowth * load) / expected);
      if (!(factor > 1)) continue;
      this.#surgedAtMs.set(pop, nowMs);
      const factors = new Map([...there].map((unit) => [unit, (factor * demand[unit]!) / requests.perSecond[unit]!]));
      requests.surge(factors, nowMs + fitting.surgeMs, nowMs);
    }
  }

  /** Gives PoPs no more than they can take. Rows that may be ranked otherwise now; `added` is called when one is new. */
  share(nowMs: number, beyond: Beyond | undefined, added: () => void): Set<number> {
    const changed = new Set<number>();
    if (this.requests.count === 0) return changed;
    this.#times.clear();
    for (const group of this.#groups) {
      const { limits } = group.plan;
      if (limits === undefined) continue;
      const asking = this.#asking(group, nowMs, beyond);
      const now = limitsNow(group.plan, limits, asking, beyond);
      const rows = group.fitted.update(asking, now, nowMs, (unit) => this.#rowFor(unit, added));
      for (const row of rows) changed.add(row);
    }
    return changed;
  }

  /** A map of these PoPs (ids) that is not quite what was built, with second choices that fit; itself where they do. */
  refit(map: SteeringMap, nowMs: number, beyond: Beyond | undefined): SteeringMap {
    if (this.requests.count === 0) return map;
    this.#times.clear();
    const groups = map.groups.map((group) => {
      const own = this.#groups.find(({ plan }) => plan.key === group.key);
      const limits = own?.plan.limits;
      if (own === undefined || limits === undefined) return group;
      const asking = this.#asking(own, nowMs, beyond);
      return refitted(group, own.plan.pops, asking, limitsNow(own.plan, limits, asking, beyond), this.requests);
    });
    return groups.some((group, i) => group !== map.groups[i]) ? { ...map, groups } : map;
  }

  #asking(group: SharedGroup, nowMs: number, beyond: Beyond | undefined): Omit<Asking, 'kept'> {
    const { requests } = this;
    const { plan, places } = group;
    return {
      demand: requests.demand(nowMs),
      width: plan.pops.length,
      choice: this.#choiceIn(group),
      cost: (unit, place) => {
        const row = requests.row[unit]!;
        const spot = requests.spot[unit]!;
        if (row >= 0) {
          const ms = this.#times.ms(row, plan.pops[place]!, nowMs, beyond);
          return plan.k * ms + plan.backboneMs[place]!;
        }
        return spot < 0 ? Number.NaN : places!.cost(spot, place);
      },
    };
  }

  #choiceIn({ base, places, states }: SharedGroup): (unit: number, step: number) => number {
    const { row: rows, spot: spots } = this.requests;
    const { defaults } = base;
    return (unit, step) => {
      const row = rows[unit]!;
      if (row >= 0 && states.owned[row] === 1) return states.at(row, step);
      const spot = spots[unit]!;
      return spot < 0 ? defaults[step]! : places!.at(spot, step);
    };
  }

  #rowFor(unit: number, added: () => void): number {
    const { requests } = this;
    const known = requests.row[unit]!;
    if (known >= 0) return known;
    const { places, spots } = this.#ground;
    const [family, hi, lo] = [requests.family[unit] === 4 ? 4 : 6, requests.hi[unit]!, requests.lo[unit]!] as const;
    const prefix: Prefix = { family, hi, lo, length: family === 4 ? 24 : 48 };
    const spot = requests.spot[unit]!;
    const location = spots.place[spot] ?? -1;
    const km = Float32Array.from({ length: this.#cells.pops }, (_, pop) =>
      distanceKm(places, location, this.#popVectors, pop),
    );
    const votes = (spots.asn[spot] ?? 0) !== 0 && !isLoopback(prefix);
    const row = this.#cells.add({ prefix, location, km, votes });
    added();
    return row;
  }
}

/** A degraded PoP takes those who are best off there even so, and nobody whom others have no room for. */
function limitsNow(
  { pops }: GroupPlan,
  limits: PopLimits,
  { demand, choice }: Omit<Asking, 'kept'>,
  beyond: Beyond | undefined,
): PopLimits {
  if (beyond === undefined) return limits;
  const own = new Float64Array(pops.length);
  for (let unit = 0; unit < demand.length; unit++) own[choice(unit, 0)]! += demand[unit]!;
  const now = (of: ArrayLike<number>) =>
    Float64Array.from(of, (limit, place) => (beyond[pops[place]!]! > 0 ? Math.min(limit, own[place]!) : limit));
  return { soft: now(limits.soft), hard: now(limits.hard) };
}
