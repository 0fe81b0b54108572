/**
 * Builds steering maps. A `SteeringBuild` is made for one set of PoPs, groups and one GeoIP edition, and then builds as
 * often as its cells change: only what is touched is estimated and ranked again.
 *
 *     base (per group)      ├────────── 3 ──────────┼───── 1 ─────┤…
 *     owned cells             ▪ 2          ▪ 1
 *     index = overlay       ├─┼▪┼─── 3 ────┼▪┼── 3 ─┼───── 1 ─────┤…     neighbours differ
 *
 * Pure: time comes in as a number. The simulator runs this very code.
 */
import {
  type Base,
  buildBase,
  exactPlaces,
  foldRanges,
  type GroupPlan,
  IntervalList,
  type PlaceRanges,
  vectorsOf,
  withTail,
} from './base.ts';
import { CellTables } from './cell-table.ts';
import { Cells } from './cells.ts';
import { createEstimates, type Estimates, estimateCell, estimation, type Prior } from './estimate.ts';
import { findInterval, type IntervalIndex, type MapGroup, noPop, type SteeringMap } from './map.ts';
import { type PlaceGround, PlaceRankings } from './places.ts';
import { type CellCosts, createCosts, RankStates } from './rank.ts';
import { Rows } from './rows.ts';
import { groupBy, metrosOf, SpotNumbers, spotRanges } from './spots.ts';
import { Tiers } from './tiers.ts';

export interface Locations {
  readonly latitude: ArrayLike<number>;
  readonly longitude: ArrayLike<number>;
  /** Any number by country; absent: no borders are known. */
  readonly country?: ArrayLike<number>;
}

/** Ranges of ASes: `value` is the AS number, 0 or less for none. */
export interface AsnRanges {
  readonly v4: PlaceRanges;
  readonly v6: PlaceRanges;
}

export interface Ground extends PlaceGround {
  /** Spots, folded to cells (`foldRanges`), with what was there before. */
  readonly v4: PlaceRanges;
  readonly v6: PlaceRanges;
  /** Unit vectors by location id (`vectorsOf`). */
  readonly places: Float32Array;
  /** Name and date. */
  readonly label: string;
}

/** Prepares GeoIP data, once an edition. Takes some seconds for 3.7 M ranges. */
export function groundOf(
  v4: PlaceRanges,
  v6: PlaceRanges,
  locations: Locations,
  label: string,
  asns?: AsnRanges,
): Ground {
  const places = vectorsOf(locations.latitude, locations.longitude);
  const numbers = new SpotNumbers();
  const [folded4, folded6] = [v4, v6].map((ranges) =>
    foldRanges(spotRanges(ranges, ranges.family === 4 ? asns?.v4 : asns?.v6, numbers)),
  ) as [PlaceRanges, PlaceRanges];
  const spots = numbers.spots();
  const metros = metrosOf(locations.latitude, locations.longitude, locations.country, places);
  const metroOfSpot = spots.place.map((place) => metros.ofPlace[place]!);
  return { v4: folded4, v6: folded6, places, label, spots, metros, spotsOfMetro: groupBy(metroOfSpot, metros.count) };
}

/** Spot of a cell, -1 for none: the one that the base ranks it by. */
export function spotOf(ground: Ground, family: 4 | 6, hi: number, lo: number): number {
  const ranges = family === 4 ? ground.v4 : ground.v6;
  return ranges.value[findInterval({ ...ranges, ranking: unused }, hi, lo)]!;
}

/** Location of a cell, -1 for none. */
export function locationOf(ground: Ground, family: 4 | 6, hi: number, lo: number): number {
  return ground.spots.place[spotOf(ground, family, hi, lo)] ?? -1;
}
const unused = new Uint32Array(0);

export interface BuildInput {
  /** Map PoP number → id. */
  readonly pops: readonly string[];
  readonly popVectors: Float32Array;
  readonly groups: readonly GroupPlan[];
  readonly ground: Ground;
  readonly sources: readonly string[];
  readonly prior: Prior;
  /** Bases of earlier builds on the same ground, by `baseKey`; those that are missing are added. */
  readonly bases: Map<string, Base>;
}

/** Two groups with the same key share a base, ground given. */
export function baseKey(plan: GroupPlan, popVectors: Float32Array): string {
  return JSON.stringify([plan.pops, plan.backboneMs, plan.k, plan.defaultOrder, [...popVectors]]);
}

interface Group {
  readonly plan: GroupPlan;
  /** By distance alone. */
  readonly base: Base;
  /** By what others measured; absent where distance alone ranks. */
  readonly places: PlaceRankings | undefined;
  readonly states: RankStates;
  readonly costs: CellCosts;
}

export class SteeringBuild {
  readonly input: BuildInput;
  readonly cells: Cells;
  readonly tiers: Tiers;
  readonly #groups: Group[];
  readonly #table: CellTables;
  readonly #scratch: Estimates;
  /** By map PoP number, 1: its estimate goes into the map. */
  readonly #shown: Uint8Array;
  #builtAtMs = 0;

  constructor(input: BuildInput, cells = new Cells(input.pops.length)) {
    this.input = input;
    this.cells = cells;
    this.tiers = new Tiers(cells, input.ground.metros, input.popVectors, input.prior);
    this.#table = new CellTables(cells);
    this.#shown = new Uint8Array(input.pops.length);
    this.#scratch = createEstimates(input.pops.length);
    this.#groups = input.groups.map((plan) => {
      const base = baseOf(input, plan);
      return {
        plan,
        base,
        places: plan.policy === 'geo' ? undefined : placesOf(input, plan, base, this.tiers),
        states: new RankStates(plan.pops.length),
        costs: createCosts(plan.pops.length),
      };
    });
  }

  /**
   * Takes over the rankings of the map in service, so that a restart reshuffles nothing: a cell that it ranks otherwise
   * than the base is owned since then. Call after the cells are there and before the first build.
   */
  resume(map: SteeringMap): void {
    this.#settleTiers(this.cells.touchedRows());
    for (const owner of this.#groups) {
      const { plan, states } = owner;
      const group = map.groups.find(({ key }) => key === plan.key);
      if (group === undefined || plan.policy === 'geo') continue;
      const placeOf = plan.pops.map((pop) => this.input.pops[pop]!);
      const toPlace = map.pops.map((id) => placeOf.indexOf(id));
      states.reserve(this.cells.count);
      for (let row = 0; row < this.cells.count; row++) {
        const ranking = this.#rankingIn(group, row).map((pop) => (pop === noPop ? noPop : toPlace[pop]!));
        const whole = ranking.length === states.width && new Set(ranking).size === states.width;
        if (!whole || ranking.some((place) => place >= states.width)) continue;
        if (!equal(ranking, this.#baseRanking(owner, row))) states.own(row, ranking, map.createdAtMs);
      }
    }
  }

  /** Estimates and ranks what changed, or everything (`all`: time alone moves estimates too), and makes the map. */
  build(nowMs: number, all = false): SteeringMap {
    const { cells, input } = this;
    const rows = this.#dueRows(all);
    this.#builtAtMs = nowMs;
    for (const { states } of this.#groups) states.reserve(cells.count);
    for (const row of rows) {
      estimateCell(cells, row, this.tiers, nowMs, this.#scratch);
      this.#shown.fill(0);
      for (const group of this.#groups) this.#rank(group, row, nowMs);
      this.#table.put(row, this.#scratch, this.#shown);
    }
    return {
      createdAtMs: nowMs,
      pops: input.pops,
      sources: input.sources,
      geoip: input.ground.label,
      groups: this.#groups.map((group) => this.#mapGroup(group)),
      cells: this.#table.make(),
    };
  }

  /** A cell's estimates as of the last build. */
  estimates(row: number): Estimates {
    const estimates = createEstimates(this.cells.pops);
    estimateCell(this.cells, row, this.tiers, this.#builtAtMs, estimates);
    return estimates;
  }

  /** Map PoP numbers, best first, that a group gives a cell: by the map as last built, and by distance alone. */
  rankings(group: number, row: number): { readonly steered: Uint8Array; readonly geo: Uint8Array } {
    const owner = this.#groups[group]!;
    const { plan, base, states } = owner;
    const geo = base.rows.row(this.#rowByDistance(base, row));
    const steered = states.owned[row] === 1 ? states.ranking(row) : this.#baseRanking(owner, row);
    const numbers = (ranking: Uint8Array) => ranking.map((place) => plan.pops[place]!);
    return { steered: numbers(steered), geo: numbers(geo) };
  }

  #dueRows(all: boolean): Iterable<number> {
    const { cells } = this;
    const touched = new Set(cells.takeTouched());
    this.#settleTiers(touched);
    if (all) for (let row = 0; row < cells.count; row++) touched.add(row);
    return touched;
  }

  /** Takes changed cells into what is believed of places, and ranks anew the places of which something else is believed. */
  #settleTiers(rows: Iterable<number>): void {
    const { cells, tiers, input } = this;
    const { asn } = input.ground.spots;
    for (let row = tiers.placed; row < cells.count; row++) {
      const spot = this.#spotOf(row);
      tiers.place(row, cells.location[row]!, asn[spot] ?? 0, cells.aggregate[row]! >= 0);
    }
    for (const row of rows) tiers.touch(row);
    const told = tiers.update();
    if (told.size > 0) for (const { places } of this.#groups) places?.update(told);
  }

  #rank(group: Group, row: number, nowMs: number): void {
    const { plan, states, costs } = group;
    if (plan.policy === 'geo') return;
    this.#fillCosts(plan, row, costs);
    const isDisputed = this.tiers.isDisputed(row);
    const base = this.#baseRanking(group, row);
    states.rank(row, base, costs, this.cells.samples[row]!, nowMs, isDisputed);
    const ranking = states.owned[row] === 1 ? states.ranking(row) : base;
    for (let i = 0; i < ranking.length && i < exactPlaces; i++) this.#shown[plan.pops[ranking[i]!]!] = 1;
  }

  /** Bounds are those of own evidence where there is enough of it: a gain is judged by what was measured. */
  #fillCosts(plan: GroupPlan, row: number, { cost, low, high, n }: CellCosts): void {
    const estimates = this.#scratch;
    const measured = this.cells.ownOf(row);
    for (let place = 0; place < plan.pops.length; place++) {
      const pop = plan.pops[place]!;
      const backbone = plan.backboneMs[place]!;
      n[place] = Math.round(estimates.n[pop]!);
      const own = n[place]! >= estimation.ownN;
      cost[place] = plan.k * estimates.ms[pop]! + backbone;
      low[place] = plan.k * (own ? measured.low[pop]! : estimates.lowMs[pop]!) + backbone;
      high[place] = plan.k * (own ? measured.high[pop]! : estimates.highMs[pop]!) + backbone;
    }
  }

  /** What a cell is ranked by until its own evidence decides. */
  #baseRanking({ places, base, plan }: Group, row: number): Uint8Array {
    const spot = this.#spotOf(row);
    if (places === undefined) return base.rows.row(this.#rowByDistance(base, row));
    return spot < 0 ? Uint8Array.from(plan.defaultOrder) : places.ranking(spot);
  }

  #rowByDistance(base: Base, row: number): number {
    const { family, hi, lo } = this.cells;
    const index = family[row] === 4 ? base.v4 : base.v6;
    return index.ranking[findInterval(index, hi[row]!, lo[row]!)]!;
  }

  #spotOf(row: number): number {
    const { family, hi, lo } = this.cells;
    return spotOf(this.input.ground, family[row] === 4 ? 4 : 6, hi[row]!, lo[row]!);
  }

  /** Map PoP numbers in a ranking of another map. */
  #rankingIn(group: MapGroup, row: number): Uint8Array {
    const { family, hi, lo } = this.cells;
    const index = family[row] === 4 ? group.v4 : group.v6;
    const at = index.ranking[findInterval(index, hi[row]!, lo[row]!)]!;
    return group.rankings.subarray(at * group.width, (at + 1) * group.width);
  }

  #mapGroup({ plan, base, places, states }: Group): MapGroup {
    const under = places?.index() ?? base;
    const rows = new Rows(plan.pops.length, under.rows);
    const index = (family: 4 | 6): IntervalIndex => {
      const ground = family === 4 ? under.v4 : under.v6;
      const owned = this.cells.sorted(family).filter((row) => states.owned[row] === 1);
      const rankings = owned.map((row) => rows.intern(withTail(states.ranking(row), base.tails)));
      return overlay(ground, this.cells, owned, rankings);
    };
    const [v4, v6] = [index(4), index(6)];
    return { key: plan.key, width: plan.pops.length, rankings: rows.bytes().map((place) => plan.pops[place]!), v4, v6 };
  }
}

function baseOf({ ground, popVectors, prior, bases }: BuildInput, plan: GroupPlan): Base {
  const key = baseKey(plan, popVectors);
  const base = bases.get(key) ?? buildBase(ground, ground.places, popVectors, plan, prior);
  bases.set(key, base);
  return base;
}

function placesOf({ ground, popVectors }: BuildInput, plan: GroupPlan, base: Base, tiers: Tiers): PlaceRankings {
  return new PlaceRankings(ground, plan, popVectors, tiers, base.tails, (place) =>
    base.rows.row(base.rowOfPlace[place]!),
  );
}

/** The base with the rankings of some cells (rows in address order) laid over it. */
export function overlay(base: IntervalIndex, cells: Cells, rows: Uint32Array, rankings: Uint32Array): IntervalIndex {
  if (rows.length === 0) return base;
  const { family, hi, lo, ranking } = base;
  const list = new IntervalList(family, hi.length + 2 * rows.length);
  let at = 0;
  const length = hi.length;
  for (let i = 0; i < rows.length; i++) {
    const cellHi = cells.hi[rows[i]!]!;
    const cellLo = cells.lo[rows[i]!]!;
    // Intervals up to the cell. `at` stops at the first one after the cell's start.
    while (at < length && (hi[at]! < cellHi || (hi[at] === cellHi && (lo[at] ?? 0) <= cellLo))) {
      if (hi[at] !== cellHi || (lo[at] ?? 0) !== cellLo) list.push(hi[at]!, lo[at] ?? 0, ranking[at]!);
      at++;
    }
    list.push(cellHi, cellLo, rankings[i]!);
    const nextLo = family === 4 ? 0 : (cellLo + 0x10000) % 0x1_0000_0000;
    const nextHi = family === 4 ? cellHi + 256 : nextLo === 0 ? cellHi + 1 : cellHi;
    // Whole cells: no interval begins inside one. After it the base goes on, unless another begins right there.
    const begins = at < length && hi[at] === nextHi && (lo[at] ?? 0) === nextLo;
    const goesOn = i + 1 < rows.length && cells.hi[rows[i + 1]!] === nextHi && cells.lo[rows[i + 1]!] === nextLo;
    if (nextHi <= 0xffffffff && !begins && !goesOn) list.push(nextHi, nextLo, ranking[at - 1]!);
  }
  for (; at < length; at++) list.push(hi[at]!, lo[at] ?? 0, ranking[at]!);
  return list.index();
}

/** True when both maps rank every address alike. */
export function sameRankings(a: SteeringMap, b: SteeringMap): boolean {
  if (!equalTexts(a.pops, b.pops) || a.groups.length !== b.groups.length) return false;
  return a.groups.every((mine, i) => {
    const other = b.groups[i]!;
    return (
      mine.key === other.key &&
      equal(mine.rankings, other.rankings) &&
      [
        [mine.v4, other.v4],
        [mine.v6, other.v6],
      ].every(([x, y]) => x === y || (equal(x!.hi, y!.hi) && equal(x!.lo, y!.lo) && equal(x!.ranking, y!.ranking)))
    );
  });
}

function equal(a: Uint8Array | Uint32Array, b: Uint8Array | Uint32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function equalTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}
