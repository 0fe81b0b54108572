/**
 * Builds steering maps. A `SteeringBuild` is made for one set of PoPs, groups and one GeoIP edition, and then builds as
 * often as its cells change: only what is touched is estimated and ranked again. What cells rank of their own, and what
 * was changed so that PoPs have room (sharing.ts), is laid over the rankings of places (overlay.ts).
 *
 * Pure: time comes in as a number. The simulator runs this very code.
 */
import { tailN } from '../sketch/sketch.ts';
import { type Base, buildBase, distanceKm, exactPlaces, type GroupPlan, withTail } from './base.ts';
import { CellTables } from './cell-table.ts';
import { Cells, widened } from './cells.ts';
import { type Beyond, beyondOf, boundTime, estimateCell, estimatePlace, estimateTimes } from './estimate.ts';
import { createEstimates, type Estimates, estimation, type Prior } from './estimation.ts';
import { Fitted } from './fitted.ts';
import { type Ground, spotOf } from './ground.ts';
import { type PopGuard, SlowVotes, slowPlaces } from './guards.ts';
import { HeldBeliefs } from './held.ts';
import { findInterval, type IntervalIndex, type MapGroup, noPop, type SteeringMap } from './map.ts';
import { overlay } from './overlay.ts';
import { PlaceRankings } from './places.ts';
import { type CellCosts, createCosts, RankStates } from './rank.ts';
import { Rows } from './rows.ts';
import { Rules } from './rules.ts';
import { Sharing } from './sharing.ts';
import { Tiers } from './tiers.ts';

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

/** By map PoP number. */
export interface GuardInput {
  /** A check of it fails. */
  readonly doubted: ReadonlySet<number>;
  /** AS · 256 + PoP: the network does not reach it (availability.ts). */
  readonly unreached: ReadonlySet<number>;
}
const noGuards: GuardInput = { doubted: new Set(), unreached: new Set() };
/** Kind of evidence that edges time themselves. */
const edgeTimed = 0;

interface Group {
  readonly plan: GroupPlan;
  /** By distance alone. */
  readonly base: Base;
  /** By what others measured; absent where distance alone ranks. */
  readonly places: PlaceRankings | undefined;
  readonly states: RankStates;
  readonly costs: CellCosts;
  /** What is changed of all that so that PoPs have room. */
  readonly fitted: Fitted;
  readonly rules: Rules | undefined;
  readonly slow: SlowVotes;
}

export class SteeringBuild {
  readonly input: BuildInput;
  readonly cells: Cells;
  readonly tiers: Tiers;
  readonly sharing: Sharing;
  readonly #held: HeldBeliefs;
  readonly #groups: Group[];
  readonly #table: CellTables;
  readonly #scratch: Estimates;
  /** By map PoP number, 1: its estimate goes into the map. */
  readonly #shown: Uint8Array;
  #builtAtMs = 0;
  /** By cell row. */
  #spots = new Int32Array(0);
  /** By PoP, milliseconds; undefined: none is degraded. */
  #beyond: Beyond | undefined;
  #guards: GuardInput = noGuards;
  #isAllDue = false;
  /** At hand. */
  #row = 0;
  #costs!: CellCosts;

  constructor(input: BuildInput, cells = new Cells(input.pops.length)) {
    this.input = input;
    this.cells = cells;
    this.tiers = new Tiers(cells, input.ground.metros, input.popVectors, input.prior);
    this.#held = new HeldBeliefs(this.tiers, input.pops.length);
    this.#table = new CellTables(cells);
    this.#shown = new Uint8Array(input.pops.length);
    this.#scratch = createEstimates(input.pops.length);
    this.#groups = input.groups.map((plan) => {
      const base = baseOf(input, plan);
      return {
        plan,
        base,
        places: plan.policy === 'geo' ? undefined : placesOf(input, plan, base, this.tiers, this.#held),
        states: new RankStates(plan.pops.length),
        costs: createCosts(plan.pops.length, (place) => this.#bound(plan, place)),
        fitted: new Fitted(),
        rules: rulesOf(input, plan, base),
        slow: new SlowVotes(),
      };
    });
    this.sharing = new Sharing(cells, this.tiers, input, this.#groups);
  }

  /** PoPs that are degraded (degraded.ts), by number, and by how much. Everything is looked at again. */
  setDegraded(degraded: ReadonlyMap<number, number>): void {
    this.#beyond = undefined;
    if (degraded.size > 0) {
      this.#beyond = new Float32Array(this.input.pops.length);
      for (const [pop, ms] of degraded) this.#beyond[pop] = ms;
    }
    const { count } = this.input.ground.metros;
    for (const { places } of this.#groups) {
      if (places === undefined) continue;
      places.beyond = this.#beyond;
      places.update(Array.from({ length: count }, (_, metro) => metro));
    }
    this.#isAllDue = true;
  }

  /** What guards go by beside the evidence of cells. When it changes, everything is looked at again. */
  setGuards(guards: GuardInput): void {
    const before = this.#guards;
    if (equalSets(before.doubted, guards.doubted) && equalSets(before.unreached, guards.unreached)) return;
    this.#guards = guards;
    this.#isAllDue = true;
  }

  /** AS of a cell, 0: none, or it was not built with yet. */
  asnOf(row: number): number {
    return row < this.tiers.placed ? this.tiers.asnOf(row) : 0;
  }

  /** The guard that keeps a PoP (number) from being first for a cell in a group. */
  guardOf(group: number, row: number, pop: number): PopGuard | undefined {
    const { plan, slow } = this.#groups[group]!;
    const place = plan.pops.indexOf(pop);
    return place < 0 ? undefined : this.#guardOf(slow, row, place, pop);
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
        if (!equal(ranking, this.#baseRanking(owner, row)))
          states.own(row, withTail(ranking, owner.base.tails), map.createdAtMs);
      }
    }
  }

  /** Estimates and ranks what changed, or everything (`all`: time alone moves estimates too), and makes the map. */
  build(nowMs: number, all = false): SteeringMap {
    const { cells, input } = this;
    const rows = this.#dueRows(all || this.#isAllDue);
    this.#isAllDue = false;
    this.#builtAtMs = nowMs;
    this.#reserve();
    this.#table.expect(rows.length);
    for (const row of rows) {
      estimateTimes(cells, row, this.tiers, nowMs, this.#scratch, this.#beyond);
      this.#row = row;
      for (const group of this.#groups) this.#rank(group, row, nowMs);
      this.#put(row);
    }
    this.#share(nowMs);
    return {
      createdAtMs: nowMs,
      pops: input.pops,
      sources: input.sources,
      geoip: input.ground.label,
      groups: this.#groups.map((group) => this.#mapGroup(group)),
      cells: this.#table.make(),
    };
  }

  /** A map that is not quite what was built, with second choices that fit; itself where they do, or has other PoPs. */
  refit(map: SteeringMap, nowMs: number): SteeringMap {
    return equalTexts(map.pops, this.input.pops) ? this.sharing.refit(map, nowMs, this.#beyond) : map;
  }

  /** A cell's estimates as of the last build. */
  estimates(row: number): Estimates {
    const estimates = createEstimates(this.cells.pops);
    estimateCell(this.cells, row, this.tiers, this.#builtAtMs, estimates, this.#beyond);
    return estimates;
  }

  /** The same of any cell: without evidence of its own those of its place. */
  estimatesAt(family: 4 | 6, hi: number, lo: number): Estimates {
    const row = this.cells.rowOf(family, hi, lo);
    if (row >= 0) return this.estimates(row);
    const { places, spots, metros } = this.input.ground;
    const spot = spotOf(this.input.ground, family, hi, lo);
    const location = spots.place[spot] ?? -1;
    const km = Float32Array.from(this.input.pops, (_, pop) => distanceKm(places, location, this.input.popVectors, pop));
    const estimates = createEstimates(this.cells.pops);
    estimatePlace(km, metros.ofPlace[location] ?? -1, spots.asn[spot] ?? 0, this.tiers, estimates, this.#beyond);
    return estimates;
  }

  /** Map PoP numbers, best first, that a group gives a cell: by the map as last built, and by distance alone. */
  rankings(group: number, row: number): { readonly steered: Uint8Array; readonly geo: Uint8Array } {
    const owner = this.#groups[group]!;
    const { plan, base } = owner;
    const geo = base.rows.row(this.#rowByDistance(base, row));
    const steered = this.#ranking(owner, row);
    const numbers = (ranking: Uint8Array) => ranking.map((place) => plan.pops[place]!);
    return { steered: numbers(steered), geo: numbers(geo) };
  }

  /** Cells of a group whose ranking was changed so that PoPs have room. */
  sentOn(group: number): number {
    return this.#groups[group]!.fitted.size;
  }

  #dueRows(all: boolean): readonly number[] {
    const { cells } = this;
    const touched = cells.takeTouched();
    this.#settleTiers(touched);
    return all ? Array.from({ length: cells.count }, (_, row) => row) : touched;
  }

  /** Takes changed cells into what is believed of places, and ranks anew the places of which something else is believed. */
  #settleTiers(rows: Iterable<number>): void {
    const { tiers } = this;
    this.#placeRows();
    for (const row of rows) tiers.touch(row);
    const changed = this.#held.update(tiers.update());
    if (changed.length > 0) for (const { places } of this.#groups) places?.update(changed);
  }

  #reserve(): void {
    for (const { places, states } of this.#groups) if (places !== undefined) states.reserve(this.cells.count);
  }

  #rank(group: Group, row: number, nowMs: number): void {
    const { plan, base, states, costs } = group;
    if (plan.policy === 'geo') return;
    this.#fillCosts(plan, row, costs);
    const ranked = this.#baseRanking(group, row);
    this.#guard(group, row, ranked);
    const isDisputed = this.tiers.isDisputed(row);
    states.rank(row, ranked, costs, this.cells.samples[row]!, nowMs, isDisputed);
    if (states.owned[row] === 1) withTail(states.ranking(row), base.tails);
  }

  /** Takes in what the cell says of tails, and notes in `costs` which PoPs may not be first for it. */
  #guard(group: Group, row: number, ranked: Uint8Array): void {
    const { plan, states, costs, slow } = group;
    const { kind, votes } = this.cells;
    const incumbent = (states.owned[row] === 1 ? states.ranking(row) : ranked)[0]!;
    const said = votes[row] === 1 ? slowPlaces(costs, incumbent) : [];
    slow.say(row, this.tiers.asnOf(row), said, kind[row] === edgeTimed);
    costs.barred.fill(0);
    if (said.length === 0 && this.#guards.unreached.size === 0) return;
    for (const [place, pop] of plan.pops.entries()) {
      if (this.#guardOf(slow, row, place, pop) !== undefined) costs.barred[place] = 1;
    }
  }

  #guardOf(slow: SlowVotes, row: number, place: number, pop: number): PopGuard | undefined {
    const { unreached, doubted } = this.#guards;
    if (unreached.has(this.tiers.asnOf(row) * 256 + pop)) return 'unreachable';
    return slow.bars(row, place, doubted.has(pop)) ? 'slow' : undefined;
  }

  /** Puts the estimates at hand into the map's table: of the PoPs that were measured or come first. */
  #put(row: number): void {
    this.#shown.fill(0);
    for (const group of this.#groups) {
      const { plan } = group;
      if (plan.policy === 'geo') continue;
      const ranking = this.#ranking(group, row);
      for (let i = 0; i < ranking.length && i < exactPlaces; i++) this.#shown[plan.pops[ranking[i]!]!] = 1;
    }
    for (let pop = 0; pop < this.#shown.length; pop++) {
      if (this.#shown[pop] === 1) boundTime(this.cells, row, pop, this.tiers, this.#scratch, this.#beyond);
    }
    this.#table.put(row, this.#scratch, this.#shown);
  }

  /** A cell without evidence that is sent on becomes a row. */
  #share(nowMs: number): void {
    const { cells } = this;
    const rows = this.sharing.share(nowMs, this.#beyond, () => this.#placeRows());
    this.#reserve();
    for (const row of rows) {
      estimateCell(cells, row, this.tiers, nowMs, this.#scratch, this.#beyond);
      this.#put(row);
    }
  }

  /** Tells new rows to what looks them up by place or prefix. */
  #placeRows(): void {
    const { cells, tiers, input } = this;
    const { asn } = input.ground.spots;
    for (let row = tiers.placed; row < cells.count; row++) {
      this.#spots = widened(this.#spots, row + 1);
      const spot = spotOf(input.ground, cells.family[row] === 4 ? 4 : 6, cells.hi[row]!, cells.lo[row]!);
      this.#spots[row] = spot;
      tiers.place(row, cells.location[row]!, asn[spot] ?? 0, cells.votes[row] === 1);
      this.sharing.placeRow(row);
    }
  }

  /** Places in the group's candidates, best first, as the map has them. */
  #ranking(group: Group, row: number): Uint8Array {
    const { fitted, states } = group;
    const changed = fitted.ranking(row);
    if (changed !== undefined) return changed;
    return states.owned[row] === 1 ? states.ranking(row) : this.#baseRanking(group, row);
  }

  /** Own evidence alone where there is enough of it: a gain is judged by what was measured. */
  #fillCosts({ pops, backboneMs, k }: GroupPlan, row: number, costs: CellCosts): void {
    const { cost, low, high, n, degraded, tail } = costs;
    const estimates = this.#scratch;
    const measured = this.cells.ownOf(row);
    this.#costs = costs;
    for (let place = 0; place < pops.length; place++) {
      const pop = pops[place]!;
      const backbone = backboneMs[place]!;
      const own = Math.round(estimates.n[pop]!);
      n[place] = own;
      cost[place] = k * estimates.ms[pop]! + backbone;
      degraded[place] = (this.#beyond?.[pop] ?? 0) > 0 ? 1 : 0;
      tail[place] = Number.NaN;
      if (own < estimation.ownN) continue;
      const beyond = beyondOf(this.cells, row, pop, this.#beyond);
      cost[place] = k * (measured.p25[pop]! + beyond) + backbone;
      low[place] = k * (measured.low[pop]! + beyond) + backbone;
      high[place] = k * (measured.high[pop]! + beyond) + backbone;
      if (own >= tailN) tail[place] = k * (measured.tail[pop]! + beyond) + backbone;
    }
  }

  /** Bounds of a cost, by what is believed where too little was measured. */
  #bound({ pops, backboneMs, k }: GroupPlan, place: number): void {
    const { low, high, n } = this.#costs;
    if (n[place]! >= estimation.ownN) return;
    const pop = pops[place]!;
    boundTime(this.cells, this.#row, pop, this.tiers, this.#scratch, this.#beyond);
    low[place] = k * this.#scratch.lowMs[pop]! + backboneMs[place]!;
    high[place] = k * this.#scratch.highMs[pop]! + backboneMs[place]!;
  }

  /** What a cell is ranked by until its own evidence decides. */
  #baseRanking({ places, base }: Group, row: number): Uint8Array {
    const spot = this.#spots[row]!;
    if (places === undefined) return base.rows.row(this.#rowByDistance(base, row));
    return spot < 0 ? base.defaults : places.ranking(spot);
  }

  #rowByDistance(base: Base, row: number): number {
    const { family, hi, lo } = this.cells;
    const index = family[row] === 4 ? base.v4 : base.v6;
    return index.ranking[findInterval(index, hi[row]!, lo[row]!)]!;
  }

  /** Map PoP numbers in a ranking of another map. */
  #rankingIn(group: MapGroup, row: number): Uint8Array {
    const { family, hi, lo } = this.cells;
    const index = family[row] === 4 ? group.v4 : group.v6;
    const at = index.ranking[findInterval(index, hi[row]!, lo[row]!)]!;
    return group.rankings.subarray(at * group.width, (at + 1) * group.width);
  }

  /** Cells that are not ranked as their places are, by address. */
  #ownRows({ states, fitted }: Group, family: 4 | 6): Uint32Array {
    const sorted = this.cells.sorted(family);
    const own = new Uint32Array(sorted.length);
    let count = 0;
    for (const row of sorted) if (states.owned[row] === 1 || fitted.has(row)) own[count++] = row;
    return own.subarray(0, count);
  }

  #mapGroup(group: Group): MapGroup {
    const { plan, base, places, states, fitted } = group;
    const under = places?.index() ?? base;
    const rows = new Rows(plan.pops.length, under.rows);
    const rowOf = (row: number): number => {
      const known = fitted.has(row) ? fitted.findIn(rows, row) : states.findIn(rows, row);
      return known < 0 ? rows.intern(withTail(this.#ranking(group, row).slice(), base.tails)) : known;
    };
    const index = (family: 4 | 6): IntervalIndex => {
      const ground = family === 4 ? under.v4 : under.v6;
      if (places === undefined) return ground;
      const own = this.#ownRows(group, family);
      return overlay(ground, this.cells, own, own.map(rowOf));
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

function rulesOf({ pops }: BuildInput, { ruling, key, pops: numbers }: GroupPlan, base: Base): Rules | undefined {
  const ids = numbers.map((pop) => pops[pop]!);
  return ruling && new Rules(ruling, key, ids, base);
}

function placesOf(
  { ground, popVectors }: BuildInput,
  plan: GroupPlan,
  base: Base,
  tiers: Tiers,
  held: HeldBeliefs,
): PlaceRankings {
  return new PlaceRankings(ground, plan, popVectors, tiers, held, base);
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

function equalSets(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  return a.size === b.size && a.isSubsetOf(b);
}

function equalTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, i) => text === b[i]);
}
