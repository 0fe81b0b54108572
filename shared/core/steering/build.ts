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
  foldRanges,
  type GroupPlan,
  IntervalList,
  type PlaceRanges,
  vectorsOf,
  withTail,
} from './base.ts';
import { Cells } from './cells.ts';
import { Aggregates, createEstimates, type Estimates, estimateCell, estimation, type Prior } from './estimate.ts';
import { type CellTable, findInterval, type IntervalIndex, type MapGroup, noPop, type SteeringMap } from './map.ts';
import { type CellCosts, createCosts, RankStates } from './rank.ts';
import { Rows } from './rows.ts';

export interface Coordinates {
  readonly latitude: ArrayLike<number>;
  readonly longitude: ArrayLike<number>;
}

export interface Ground {
  /** Folded to cells (`foldRanges`), with what was there before. */
  readonly v4: PlaceRanges;
  readonly v6: PlaceRanges;
  /** Unit vectors by location id (`vectorsOf`). */
  readonly places: Float32Array;
  /** Name and date. */
  readonly label: string;
}

/** Prepares GeoIP data, once an edition. Takes about a second for 3.7 M ranges. */
export function groundOf(v4: PlaceRanges, v6: PlaceRanges, locations: Coordinates, label: string): Ground {
  return {
    v4: foldRanges(v4),
    v6: foldRanges(v6),
    places: vectorsOf(locations.latitude, locations.longitude),
    label,
  };
}

/** Location of a cell, -1 for none: the one the base ranks it by. */
export function locationOf(ground: Ground, family: 4 | 6, hi: number, lo: number): number {
  const ranges = family === 4 ? ground.v4 : ground.v6;
  const at = findInterval({ ...ranges, ranking: unused }, hi, lo);
  return ranges.value[at]!;
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
  readonly base: Base;
  readonly states: RankStates;
  readonly costs: CellCosts;
}

export class SteeringBuild {
  readonly input: BuildInput;
  readonly cells: Cells;
  readonly aggregates: Aggregates;
  readonly #groups: Group[];
  /** Of all cells: entry row · pops + pop. */
  #estimates: Estimates;
  readonly #scratch: Estimates;

  constructor(input: BuildInput, cells = new Cells(input.pops.length)) {
    this.input = input;
    this.cells = cells;
    this.aggregates = new Aggregates(cells);
    this.#estimates = createEstimates(0);
    this.#scratch = createEstimates(input.pops.length);
    this.#groups = input.groups.map((plan) => ({
      plan,
      base: baseOf(input, plan),
      states: new RankStates(plan.pops.length),
      costs: createCosts(plan.pops.length),
    }));
  }

  /**
   * Takes over the rankings of the map in service, so that a restart reshuffles nothing: a cell that it ranks otherwise
   * than the base is owned since then. Call after the cells are there and before the first build.
   */
  resume(map: SteeringMap): void {
    for (const { plan, base, states } of this.#groups) {
      const group = map.groups.find(({ key }) => key === plan.key);
      if (group === undefined || plan.policy === 'geo') continue;
      const placeOf = plan.pops.map((pop) => this.input.pops[pop]!);
      const toPlace = map.pops.map((id) => placeOf.indexOf(id));
      states.reserve(this.cells.count);
      for (let row = 0; row < this.cells.count; row++) {
        const ranking = this.#rankingIn(group, row).map((pop) => (pop === noPop ? noPop : toPlace[pop]!));
        const whole = ranking.length === states.width && new Set(ranking).size === states.width;
        if (!whole || ranking.some((place) => place >= states.width)) continue;
        if (!equal(ranking, base.rows.row(this.#baseRow(base, row)))) states.own(row, ranking, map.createdAtMs);
      }
    }
  }

  /** Estimates and ranks what changed, or everything (`all`: time alone moves estimates too), and makes the map. */
  build(nowMs: number, all = false): SteeringMap {
    const { cells, input } = this;
    const rows = this.#dueRows(all);
    this.#reserve();
    for (const row of rows) {
      estimateCell(cells, row, this.aggregates, input.prior, nowMs, this.#scratch);
      this.#keepEstimates(row);
      for (const group of this.#groups) this.#rank(group, row, nowMs);
    }
    return {
      createdAtMs: nowMs,
      pops: input.pops,
      sources: input.sources,
      geoip: input.ground.label,
      groups: this.#groups.map((group) => this.#mapGroup(group)),
      cells: this.#cellTable(),
    };
  }

  /** A view of a cell's estimates as of the last build that touched it. */
  estimates(row: number): Estimates {
    const { pops } = this.cells;
    const part = <T extends Float32Array | Uint8Array>(column: T) => column.subarray(row * pops, (row + 1) * pops) as T;
    const { ms, lowMs, highMs, n, tier } = this.#estimates;
    return { ms: part(ms), lowMs: part(lowMs), highMs: part(highMs), n: part(n), tier: part(tier) };
  }

  /** Map PoP numbers, best first, that a group gives a cell: by the map as last built, and by distance alone. */
  rankings(group: number, row: number): { readonly steered: Uint8Array; readonly geo: Uint8Array } {
    const { plan, base, states } = this.#groups[group]!;
    const geo = base.rows.row(this.#baseRow(base, row));
    const steered = states.owned[row] === 1 ? states.ranking(row) : geo;
    const numbers = (ranking: Uint8Array) => ranking.map((place) => plan.pops[place]!);
    return { steered: numbers(steered), geo: numbers(geo) };
  }

  #dueRows(all: boolean): Iterable<number> {
    const { cells } = this;
    const touched = new Set(cells.takeTouched());
    if (all) for (let row = 0; row < cells.count; row++) touched.add(row);
    const aggregates = new Set<number>();
    for (const row of touched) if (cells.aggregate[row]! >= 0) aggregates.add(cells.aggregate[row]!);
    for (const aggregate of aggregates) {
      if (this.aggregates.update(aggregate)) for (const row of cells.members[aggregate]!) touched.add(row);
    }
    return touched;
  }

  #rank({ plan, base, states, costs }: Group, row: number, nowMs: number): void {
    if (plan.policy === 'geo') return;
    this.#fillCosts(plan, row, costs);
    states.rank(row, base.rows.row(this.#baseRow(base, row)), costs, this.cells.samples[row]!, nowMs);
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

  #baseRow(base: Base, row: number): number {
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

  #mapGroup({ plan, base, states }: Group): MapGroup {
    const rows = new Rows(plan.pops.length, base.rows);
    const index = (family: 4 | 6): IntervalIndex => {
      const ground = family === 4 ? base.v4 : base.v6;
      const owned = this.cells.sorted(family).filter((row) => states.owned[row] === 1);
      const rankings = owned.map((row) => rows.intern(withTail(states.ranking(row), base.tails)));
      return overlay(ground, this.cells, owned, rankings);
    };
    const [v4, v6] = [index(4), index(6)];
    return { key: plan.key, width: plan.pops.length, rankings: rows.bytes().map((place) => plan.pops[place]!), v4, v6 };
  }

  #cellTable(): CellTable {
    const { cells } = this;
    const { pops } = cells;
    const rows4 = cells.sorted(4);
    const rows6 = cells.sorted(6);
    const entries = (rows4.length + rows6.length) * pops;
    const column = () => new Uint16Array(entries);
    const [estimate, low, high, n] = [column(), column(), column(), column()];
    const tier = new Uint8Array(entries);
    const { ms, lowMs, highMs, n: samples, tier: tiers } = this.#estimates;
    let to = 0;
    for (const rows of [rows4, rows6]) {
      for (const row of rows) {
        for (let from = row * pops; from < (row + 1) * pops; from++, to++) {
          estimate[to] = tenths(ms[from]!);
          low[to] = tenths(lowMs[from]!);
          high[to] = tenths(highMs[from]!);
          n[to] = Math.min(65_535, Math.round(samples[from]!));
          tier[to] = tiers[from]!;
        }
      }
    }
    return {
      v4: rows4.map((row) => cells.hi[row]!),
      v6hi: rows6.map((row) => cells.hi[row]!),
      v6lo: rows6.map((row) => cells.lo[row]!),
      ...{ estimate, low, high, n, tier },
    };
  }

  #reserve(): void {
    const { count, pops } = this.cells;
    for (const { states } of this.#groups) states.reserve(count);
    const old = this.#estimates;
    if (old.ms.length >= count * pops) return;
    this.#estimates = createEstimates(Math.max(count, 2 * (old.ms.length / Math.max(1, pops)), 64) * pops);
    for (const name of ['ms', 'lowMs', 'highMs', 'n', 'tier'] as const) this.#estimates[name].set(old[name]);
  }

  #keepEstimates(row: number): void {
    const at = row * this.cells.pops;
    for (const name of ['ms', 'lowMs', 'highMs', 'n', 'tier'] as const) {
      this.#estimates[name].set(this.#scratch[name], at);
    }
  }
}

function baseOf({ ground, popVectors, prior, bases }: BuildInput, plan: GroupPlan): Base {
  const key = baseKey(plan, popVectors);
  const base = bases.get(key) ?? buildBase(ground, ground.places, popVectors, plan, prior);
  bases.set(key, base);
  return base;
}

/** Milliseconds → tenths in 16 bits; 65535 for none. */
function tenths(ms: number): number {
  return Number.isNaN(ms) || ms === Number.POSITIVE_INFINITY ? 65_535 : Math.min(65_534, Math.round(ms * 10));
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
