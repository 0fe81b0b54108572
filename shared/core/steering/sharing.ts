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
import { findInterval, type MapGroup, type SteeringMap } from './map.ts';
import type { PlaceRankings } from './places.ts';
import type { RankStates } from './rank.ts';
import { refitted } from './refit.ts';
import { Requests } from './requests.ts';
import type { Rules } from './rules.ts';
import type { Tiers } from './tiers.ts';

export interface SharedGroup {
  readonly plan: GroupPlan;
  readonly base: Base;
  readonly places: PlaceRankings | undefined;
  readonly states: RankStates;
  readonly fitted: Fitted;
  readonly rules: Rules | undefined;
}

/** Where cells are and PoPs; `pops`: ids. */
interface World {
  readonly ground: Ground;
  readonly popVectors: Float32Array;
  readonly pops: readonly string[];
}

export class Sharing {
  readonly requests = new Requests();
  readonly #cells: Cells;
  readonly #ground: Ground;
  readonly #popVectors: Float32Array;
  readonly #groups: readonly SharedGroup[];
  readonly #times: CellTimes;
  readonly #ids: readonly string[];
  #closed: ReadonlySet<string> = new Set();
  #beganMs: number | undefined;
  /** By PoP, when it was last taken to be asked for more. */
  readonly #surgedAtMs = new Map<number, number>();

  constructor(cells: Cells, tiers: Tiers, { ground, popVectors, pops }: World, groups: readonly SharedGroup[]) {
    this.#ids = pops;
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

  /** Ids of PoPs that take no clients now. */
  setClosed(closed: ReadonlySet<string>): void {
    this.#closed = closed;
  }

  /**
   * PoPs (numbers) that carry more than they can take, requests a second. Where that is more than who goes there asks for
   * in the mean, all of them are taken to ask for as many times more, for a while. `settleMs`: until clients have followed
   * what they were told last, that says nothing of what they ask for.
   */
  overloaded(told: ReadonlyMap<number, number>, inService: SteeringMap, settleMs: number, nowMs: number): void {
    const { requests } = this;
    this.#beganMs ??= nowMs;
    if (nowMs - this.#beganMs < settleMs) return;
    for (const [pop, load] of told) {
      if (nowMs - (this.#surgedAtMs.get(pop) ?? Number.NEGATIVE_INFINITY) < settleMs) continue;
      const demand = requests.demand(nowMs);
      const there = this.#goingTo(this.#ids[pop]!, inService, nowMs);
      if (there === undefined) continue;
      let expected = 0;
      for (const [unit, share] of there) expected += share * demand[unit]!;
      if (!(load > fitting.surgeLeast * expected)) continue;
      const factor = Math.min(fitting.surgeMax, (fitting.surgeGrowth * load) / expected);
      this.#surgedAtMs.set(pop, nowMs);
      const factors = new Map(
        [...there.keys()].map((unit) => [unit, (factor * demand[unit]!) / requests.perSecond[unit]!]),
      );
      requests.surge(factors, nowMs + fitting.surgeMs, nowMs);
    }
  }

  /**
   * Units that ask at a PoP (id), by the map in service or by rule, and the share of what they ask for that does, 0 to 1.
   * Undefined: that map is of another configuration.
   */
  #goingTo(id: string, { pops, groups }: SteeringMap, nowMs: number): Map<number, number> | undefined {
    const { requests } = this;
    const { count, family, hi, lo } = requests;
    const there = new Map<number, number>();
    const isOpen = pops.map((pop) => !this.#closed.has(pop));
    for (const { plan, rules } of this.#groups) {
      const group = groups.find(({ key }) => key === plan.key);
      if (group === undefined) return undefined;
      const place = plan.pops.findIndex((pop) => this.#ids[pop] === id);
      if (place < 0) continue;
      rules?.update(requests, this.#closed, nowMs);
      const first = firstOpen(group, isOpen);
      for (let unit = 0; unit < count; unit++) {
        const index = family[unit] === 4 ? group.v4 : group.v6;
        const row = index.ranking[findInterval(index, hi[unit]!, lo[unit]!)]!;
        const free = pops[first[row]!] === id ? (rules?.free(unit) ?? 1) : 0;
        const share = free + (rules?.shareTo(unit, place) ?? 0);
        if (share > 0) there.set(unit, (there.get(unit) ?? 0) + share / this.#groups.length);
      }
    }
    return there;
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
      const now = this.#limitsNow(group, limits, asking, nowMs, beyond);
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
      const now = this.#limitsNow(own, limits, asking, nowMs, beyond);
      return refitted(group, own.plan.pops, asking, now, this.requests);
    });
    return groups.some((group, i) => group !== map.groups[i]) ? { ...map, groups } : map;
  }

  #asking(group: SharedGroup, nowMs: number, beyond: Beyond | undefined): Omit<Asking, 'kept'> {
    const { requests } = this;
    const { plan, places, rules } = group;
    const demand = requests.demand(nowMs);
    rules?.update(requests, this.#closed, nowMs);
    return {
      demand: rules === undefined ? demand : demand.map((of, unit) => of * rules.free(unit)),
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

  /** Beside what rules send there. */
  #limitsNow(
    { plan, rules }: SharedGroup,
    limits: PopLimits,
    asking: Omit<Asking, 'kept'>,
    nowMs: number,
    beyond: Beyond | undefined,
  ): PopLimits {
    if (rules === undefined) return limitsNow(plan, limits, asking, beyond);
    const taken = rules.loads(this.requests.demand(nowMs), plan.pops.length);
    const left = (of: ArrayLike<number>) => Float64Array.from(of, (limit, place) => Math.max(0, limit - taken[place]!));
    return limitsNow(plan, { soft: left(limits.soft), hard: left(limits.hard) }, asking, beyond);
  }

  /** The share of what a cell asks for in a group that goes by its ranking, 0 to 1. */
  freeOf(family: 4 | 6, hi: number, lo: number, key: string): number {
    const rules = this.#groups.find(({ plan }) => plan.key === key)?.rules;
    const unit = rules === undefined ? -1 : this.requests.find(family, hi, lo);
    return unit < 0 ? 1 : rules!.free(unit);
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

/** By row of a group's rankings, the first that takes clients; where none does, the first. */
function firstOpen({ rankings, width }: MapGroup, isOpen: readonly boolean[]): Uint8Array {
  return Uint8Array.from({ length: rankings.length / width }, (_, row) => {
    const ranking = rankings.subarray(row * width, (row + 1) * width);
    return ranking.find((pop) => isOpen[pop]) ?? ranking[0]!;
  });
}
