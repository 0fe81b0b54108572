/**
 * Whether a map that was built goes into service, and how much of it now. The map in service and the new one are scored
 * with the same live state, the same demand, and raw samples that the build did not read.
 *
 *     moves ─┬─ exempt          off a PoP that is gone, closed, over its hard limit or degraded, or that the cell's network does not
 *            │                  reach: now, as far as receivers have room
 *            ├─ first           the cell has no estimate of its own in service: in stages, by a budget of their own
 *            └─ discretionary   in stages, unless all of them are held
 *
 *     held     too many, but for those that come back to a PoP that was to be left; a PoP would be over its hard limit; too many are worse by raw
 *              samples; an operator rolled back (which holds first ones too)
 *
 * A single cell that is worse by raw samples stays, whatever the others do.
 *
 * What stays keeps its ranking: the map that goes into service is the new one with it, or, when all is held, the one in
 * service with what is exempt. Pure but for its memory of what went lately; time comes in as a number.
 */
import type { Family } from '../ip.ts';
import { limits } from '../limits.ts';
import { bucketMax, bucketMin, bucketMs, bucketOf } from '../sketch/buckets.ts';
import type { QuantileBounds } from '../sketch/sketch.ts';
import { estimation } from './estimation.ts';
import type { PopGuard } from './guards.ts';
import type { CellTable, SteeringMap } from './map.ts';
import { cellEntry, Tier } from './map.ts';
import { type Compared, compareMaps, isSteered, type JudgedCells, type Unit, withRankingsOf } from './moves.ts';
import type { MovedShares, PopLoad, Predicted, Reason } from './publication.ts';
import { type Candidate, Stage } from './stage.ts';

/** What a PoP is now. One that is not told of is gone. */
export interface PopNow {
  /** Takes clients: neither down nor draining. */
  readonly isOpen: boolean;
  readonly isDegraded?: boolean;
  /** Absent: it does not tell. */
  readonly requestsPerSecond?: number;
  /** Requests a second that it can take. */
  readonly capacity: number;
}

/** Of a group: cost = k · client leg + backbone leg. */
export interface GroupCosts {
  readonly k: number;
  /** By PoP id, milliseconds. */
  readonly backboneMs: ReadonlyMap<string, number>;
}

/** p25 of raw samples of a cell to a PoP. */
export type RawLookup = (cell: number, pop: string) => QuantileBounds | undefined;

export interface JudgeInput {
  readonly before: SteeringMap;
  readonly after: SteeringMap;
  readonly nowMs: number;
  readonly pops: ReadonlyMap<string, PopNow>;
  /** Share of capacity, 0 to 1. */
  readonly hard: number;
  /** By key; a group without is compared by its client leg. */
  readonly costs?: ReadonlyMap<string, GroupCosts>;
  /** Of a cell; absent or undefined: by the samples in the maps. */
  readonly demandOf?: (family: 4 | 6, hi: number, lo: number) => number | undefined;
  /** The share of it that goes by the rankings of a group (its key), 0 to 1; absent: all. */
  readonly freeOf?: (family: 4 | 6, hi: number, lo: number, key: string) => number;
  /** Of all cells, also of those that the maps do not list; absent: these are all. */
  readonly totalDemand?: number;
  /** Looks raw samples of some cells (1 in `wanted`) up. */
  readonly raw?: (cells: JudgedCells, wanted: Uint8Array) => RawLookup;
  /** What keeps a PoP (id) from being first for a cell. */
  readonly guardOf?: (family: Family, hi: number, lo: number, key: string, pop: string) => PopGuard | undefined;
  /** Until clients have followed what changes, milliseconds: the longest TTL. */
  readonly followMs: number;
  /** What an operator rolled back to, until they release it. */
  readonly rolledBack?: { readonly version: string; readonly untilMs: number } | undefined;
  /** An operator let pass what is held, but for PoPs over their hard limit. */
  readonly isReleased?: boolean;
}

export interface Went extends Unit {
  readonly family: Family;
  readonly hi: number;
  readonly lo: number;
  /** Of its group. */
  readonly key: string;
  /** Of demand. */
  readonly share: number;
  /** Of the cost, milliseconds, as the new map estimates; NaN: it does not. */
  readonly gainMs: number;
}

export interface Judgement {
  /** What goes into service; undefined: nothing does, the one in service stays. */
  readonly map: SteeringMap | undefined;
  /** Not empty: held. */
  readonly reasons: readonly Reason[];
  readonly moved: MovedShares;
  readonly predicted?: Predicted;
  readonly loads: readonly PopLoad[];
  readonly went: readonly Went[];
  /** Units that stay because raw samples say that they would be worse. */
  readonly worse: number;
}

interface Move extends Went, Candidate {
  /** Its number. */
  readonly move: number;
  readonly kind: 'exempt' | 'first' | 'discretionary';
  /** Away from where a guard keeps the cell from: what p25 says speaks against no guard. */
  readonly isGuarded: boolean;
  /** To a PoP that was closed, degraded or too full lately: what left it comes back. */
  readonly isBack: boolean;
}

const nothing: MovedShares = {
  ...{ wanted: 0, moved: 0, exempt: 0, first: 0, discretionary: 0, staged: 0, cells: 0 },
};

export class Judge {
  readonly #discretionary = new Stage({
    windowMs: limits.publish.windowMs,
    share: limits.publish.windowShare,
    units: 0,
  });
  readonly #first = new Stage({
    windowMs: limits.publish.firstMs,
    share: limits.publish.windowShare,
    units: limits.publish.firstUnits,
  });
  /** First estimates that wait for their turn: the map in service has them as estimates already, but not as moves. */
  #waiting: ReadonlySet<string> = new Set();

  /** Requests a second that were sent to PoPs (ids) lately. */
  #sent: { readonly atMs: number; readonly pop: string; readonly rate: number }[] = [];
  /** When a PoP was last one to leave, by id. */
  readonly #leftAtMs = new Map<string, number>();

  /** What went before a restart. */
  adopt(atMs: number, discretionary: number): void {
    this.#discretionary.adopt(atMs, discretionary, 0);
  }

  judge(input: JudgeInput): Judgement {
    const { before, after, pops, nowMs } = input;
    for (const id of before.pops) if (mustLeave(pops.get(id), input.hard)) this.#leftAtMs.set(id, nowMs);
    const compared = compareMaps(before, after, (pop) => pops.get(pop)?.isOpen ?? false);
    const { cells } = compared;
    if (compared.moves.length === 0) {
      const rolled = rolledBackReason(input);
      const map = rolled === undefined || !isSameFrame(before, after) ? after : undefined;
      return { map, reasons: rolled ? [rolled] : [], moved: nothing, loads: [], went: [], worse: 0 };
    }
    const scene = new Scene(input, compared, this.#onTheWay(input));
    const moves = scene.moves(
      (unit) => this.#waiting.has(nameOf(unit, cells)),
      (pop) => nowMs - (this.#leftAtMs.get(pop) ?? Number.NEGATIVE_INFINITY) < limits.publish.backMs,
    );
    const of = (kind: Move['kind']) =>
      moves.filter((one) => one.kind === kind).sort((a, b) => gainOf(b) - gainOf(a) || a.cell - b.cell);
    const gone = new Set<Move>(of('exempt').filter((one) => one.fits()));
    const { worse, reasons } = scene.guards(moves);
    const better = (one: Move) => !worse.has(one);
    if (!reasons.some(({ guard }) => guard === 'rolled-back')) {
      for (const one of this.#first.admit(of('first').filter(better), nowMs)) gone.add(one);
    }
    if (reasons.length === 0) {
      for (const one of this.#discretionary.admit(of('discretionary').filter(better), nowMs)) gone.add(one);
    }
    for (const [pop, rate] of scene.sent) this.#sent.push({ atMs: nowMs, pop, rate });
    this.#waiting = new Set(
      moves.flatMap((one) => (one.kind === 'first' && !gone.has(one) ? [nameOf(one, cells)] : [])),
    );
    return {
      map: compose(input, compared, moves, gone, reasons.length > 0),
      reasons,
      moved: sharesOf(moves, gone),
      predicted: scene.predicted(gone),
      loads: scene.loads(),
      went: [...gone],
      worse: worse.size,
    };
  }

  /** By PoP (id): of what was sent there, what is not in its load yet. Answers expire one after another. */
  #onTheWay({ nowMs, followMs }: JudgeInput): Map<string, number> {
    const arrivalMs = followMs + limits.publish.tellMs;
    this.#sent = this.#sent.filter(({ atMs }) => nowMs - atMs < arrivalMs);
    const coming = new Map<string, number>();
    for (const { atMs, pop, rate } of this.#sent) {
      coming.set(pop, (coming.get(pop) ?? 0) + rate * (1 - (nowMs - atMs) / arrivalMs));
    }
    return coming;
  }
}

function nameOf(
  { key, cell }: { readonly key: string; readonly cell: number },
  { hi, lo, count4 }: JudgedCells,
): string {
  return `${key} ${cell < count4 ? 4 : 6} ${hi[cell]} ${lo[cell]}`;
}

/** Whoever is there is to go at once. */
function mustLeave(pop: PopNow | undefined, hard: number): boolean {
  if (pop === undefined || !pop.isOpen || pop.isDegraded === true) return true;
  return (pop.requestsPerSecond ?? 0) > hard * pop.capacity;
}

function gainOf({ gainMs }: Went): number {
  return Number.isNaN(gainMs) ? -1e9 : gainMs;
}

function sharesOf(moves: readonly Move[], gone: ReadonlySet<Move>): MovedShares {
  const sum = (list: Iterable<Move>, kind?: Move['kind']) => {
    let total = 0;
    for (const one of list) if (kind === undefined || one.kind === kind) total += one.share;
    return total;
  };
  const [wanted, moved] = [sum(moves), sum(gone)];
  return {
    wanted,
    moved,
    exempt: sum(gone, 'exempt'),
    first: sum(gone, 'first'),
    discretionary: sum(gone, 'discretionary'),
    staged: Math.max(0, wanted - moved),
    cells: gone.size,
  };
}

/** Both maps number PoPs and groups alike, so that a ranking of one can stand in the other. */
function isSameFrame(before: SteeringMap, after: SteeringMap): boolean {
  const text = ({ pops, groups }: SteeringMap) => JSON.stringify([pops, groups.map(({ key }) => key)]);
  return text(before) === text(after);
}

function compose(
  { before, after }: JudgeInput,
  { cells }: Compared,
  moves: readonly Move[],
  gone: ReadonlySet<Move>,
  isHeld: boolean,
): SteeringMap | undefined {
  if (isHeld && isSameFrame(before, after)) {
    return gone.size === 0 ? undefined : withRankingsOf(before, after, cells, [...gone]);
  }
  const stay = moves.filter((one) => !gone.has(one));
  return withRankingsOf(after, before, cells, stay);
}

function rolledBackReason({ rolledBack, nowMs }: JudgeInput): Reason | undefined {
  if (rolledBack === undefined || rolledBack.untilMs <= nowMs) return undefined;
  const text = `rolled back to ${rolledBack.version}; stays until ${new Date(rolledBack.untilMs).toISOString()} or \`ufes rollback --release\``;
  return { guard: 'rolled-back', text };
}

/** One judgement's figures. */
class Scene {
  readonly #input: JudgeInput;
  readonly #compared: Compared;
  readonly #demand: Float64Array;
  /** Of demand, by which a cell's demand becomes its unit's share. */
  readonly #total: number;
  readonly #raw: RawLookup;
  /** 1: a move's. */
  readonly #wanted: Uint8Array;
  /** Numbers of the compared PoPs in each map. */
  readonly #numbers: { readonly before: Int16Array; readonly after: Int16Array };
  /** Requests a second, as moves are let go. */
  readonly #load = new Map<string, number>();
  readonly #loadBefore: ReadonlyMap<string, number>;
  /** Of all PoPs that tell. */
  readonly #allLoad: number;
  /** On the way to PoPs, beside what they carry. */
  readonly #coming: ReadonlyMap<string, number>;
  /** To PoPs, by the moves that are let go. */
  readonly sent = new Map<string, number>();

  constructor(input: JudgeInput, compared: Compared, coming: ReadonlyMap<string, number>) {
    this.#input = input;
    this.#coming = coming;
    this.#compared = compared;
    const { cells, moves } = compared;
    this.#demand = demandOf(input, cells);
    const groups = input.after.groups.filter(
      (group) => isSteered(group) && input.before.groups.some(({ key }) => key === group.key),
    ).length;
    const all = input.totalDemand ?? this.#demand.reduce((sum, one) => sum + one, 0);
    this.#total = Math.max(1e-9, groups * all);
    const wanted = new Uint8Array(cells.count);
    for (const { cell } of moves) wanted[cell] = 1;
    this.#wanted = wanted;
    this.#raw = input.raw?.(cells, wanted) ?? (() => undefined);
    const numbersIn = ({ pops }: SteeringMap) => Int16Array.from(compared.pops, (id) => pops.indexOf(id));
    this.#numbers = { before: numbersIn(input.before), after: numbersIn(input.after) };
    for (const [id, { requestsPerSecond }] of input.pops) {
      if (requestsPerSecond !== undefined) this.#load.set(id, requestsPerSecond);
    }
    this.#loadBefore = new Map(this.#load);
    this.#allLoad = [...this.#load.values()].reduce((sum, one) => sum + one, 0);
  }

  /** `waits`: it was a first estimate, and still is. */
  moves(waits: (unit: Unit & { readonly key: string }) => boolean, isBack: (pop: string) => boolean): Move[] {
    const { after, pops, hard, guardOf } = this.#input;
    return this.#compared.moves.map((unit, move) => {
      const { key } = after.groups[unit.group]!;
      const { hi, lo, count4 } = this.#compared.cells;
      const cell = { family: unit.cell < count4 ? 4 : 6, hi: hi[unit.cell]!, lo: lo[unit.cell]! } as const;
      const free = this.#input.freeOf?.(cell.family, cell.hi, cell.lo, key) ?? 1;
      const share = (free * this.#demand[unit.cell]!) / this.#total;
      const guard = guardOf?.(cell.family, cell.hi, cell.lo, key, unit.from);
      const isExempt = mustLeave(pops.get(unit.from), hard) || guard === 'unreachable';
      const isFirst = this.#isFirst(unit) || waits({ ...unit, key });
      const kind = isExempt ? 'exempt' : isFirst ? 'first' : 'discretionary';
      const gainMs = this.#gain(after.cells, this.#compared.cells.after[unit.cell]!, after.pops, key, unit);
      return {
        ...unit,
        ...cell,
        move,
        key,
        share,
        gainMs,
        kind,
        isGuarded: guard !== undefined,
        isBack: isBack(unit.to),
        fits: () =>
          this.#takeRoom(unit, share, hard * (isExempt ? limits.publish.exemptRoomShare : limits.publish.roomShare)),
      };
    });
  }

  /** Nothing in service that rests on the cell's own evidence, or says anything of where it goes. */
  #isFirst({ cell, to }: Unit): boolean {
    const { before } = this.#input;
    const row = this.#compared.cells.before[cell]!;
    if (row < 0 || !before.pops.includes(to)) return true;
    for (const pop of before.pops.keys()) {
      const at = cellEntry(before.cells, before.pops.length, row, pop);
      if (at < 0) continue;
      if (before.cells.n[at]! >= estimation.ownN && before.cells.tier[at] === Tier.prefix) return false;
    }
    return true;
  }

  /** What the move gains by a map's own estimates. */
  #gain(table: CellTable, row: number, ids: readonly string[], key: string, { from, to }: Unit): number {
    return (
      this.#cost(key, from, estimateOf(table, row, ids, from)) - this.#cost(key, to, estimateOf(table, row, ids, to))
    );
  }

  #cost(key: string, pop: string, ms: number): number {
    const costs = this.#input.costs?.get(key);
    return costs === undefined ? ms : costs.k * ms + (costs.backboneMs.get(pop) ?? 0);
  }

  /** Lets the unit's demand go where it goes, if there is room; what does not move demand now always fits. */
  #takeRoom({ fromNow, toNow }: Unit, share: number, limit: number): boolean {
    if (fromNow === toNow) return true;
    const rate = share * this.#allLoad;
    const receiver = this.#input.pops.get(toNow);
    const load = this.#load.get(toNow);
    const then = (load ?? 0) + (this.#coming.get(toNow) ?? 0) + rate;
    if (receiver !== undefined && load !== undefined && then > limit * receiver.capacity) return false;
    this.sent.set(toNow, (this.sent.get(toNow) ?? 0) + rate);
    this.#shift(this.#load, fromNow, toNow, rate);
    return true;
  }

  #shift(loads: Map<string, number>, from: string, to: string, rate: number): void {
    const [given, taken] = [loads.get(from), loads.get(to)];
    if (given !== undefined) loads.set(from, Math.max(0, given - rate));
    if (taken !== undefined) loads.set(to, taken + rate);
  }

  /** Once exempt ones are let go: single moves that raw samples speak against, and why all discretionary ones are held. */
  guards(moves: readonly Move[]): { worse: Set<Move>; reasons: Reason[] } {
    const reasons: Reason[] = [];
    const others = moves.filter(({ kind }) => kind === 'discretionary');
    const worse = new Set(moves.filter((one) => one.kind !== 'exempt' && !one.isGuarded && this.#isWorse(one)));
    const rolled = rolledBackReason(this.#input);
    if (rolled !== undefined) reasons.push(rolled);
    if (this.#input.isReleased !== true) {
      const away = tooMuchReason(others.filter((one) => !one.isBack));
      if (away !== undefined) reasons.push(away);
      const bad = worseReason(new Set(others.filter((one) => worse.has(one))), others);
      if (bad !== undefined) reasons.push(bad);
    }
    reasons.push(...this.#overHard(moves));
    return { worse, reasons };
  }

  /** For certain, and by more than may be. */
  #isWorse({ cell, key, from, to }: Move): boolean {
    const [a, b] = [this.#raw(cell, from), this.#raw(cell, to)];
    if (a === undefined || b === undefined) return false;
    const worseMs = this.#cost(key, to, b.ms) - this.#cost(key, from, a.ms);
    const surelyMs = this.#cost(key, to, b.lowMs) - this.#cost(key, from, a.highMs);
    return worseMs > limits.publish.worseMs && surelyMs > 0;
  }

  /** As if all the others went at once: one that leaves makes room for one that comes, of whatever kind they are. */
  #overHard(moves: readonly Move[]): Reason[] {
    const { pops, hard } = this.#input;
    const after = new Map(this.#load);
    for (const { kind, fromNow, toNow, share } of moves) {
      if (kind !== 'exempt') this.#shift(after, fromNow, toNow, share * this.#allLoad);
    }
    return [...after].flatMap(([id, load]) => {
      const { capacity } = pops.get(id)!;
      const before = Math.max(this.#load.get(id)!, this.#loadBefore.get(id)!);
      if (load <= hard * capacity || load <= before * 1.001) return [];
      const text = `${id} would carry ${percent(load / capacity)} of its capacity; its hard limit is ${percent(hard)}`;
      return [{ guard: 'over-hard' as const, text }];
    });
  }

  loads(): PopLoad[] {
    return [...this.#loadBefore].map(([pop, before]) => {
      const { capacity } = this.#input.pops.get(pop)!;
      return { pop, before: before / capacity, after: this.#load.get(pop)! / capacity };
    });
  }

  /** Client round trips over demand, before and with what went. */
  predicted(gone: ReadonlySet<Move>): Predicted {
    const isGone = new Uint8Array(this.#compared.moves.length);
    for (const { move } of gone) isGone[move] = 1;
    const [was, will] = [new Spread(), new Spread()];
    this.#compared.forEach((cell, fromNow, toNow, move) => {
      const a = this.#clientMs(cell, fromNow);
      const b = move >= 0 && isGone[move] === 1 && toNow !== fromNow ? this.#clientMs(cell, toNow) : a;
      if (Number.isNaN(a) || Number.isNaN(b)) return;
      was.add(a, this.#demand[cell]!);
      will.add(b, this.#demand[cell]!);
    });
    return {
      meanBeforeMs: was.mean(),
      meanAfterMs: will.mean(),
      p95BeforeMs: was.quantile(0.95),
      p95AfterMs: will.quantile(0.95),
      known: was.weight / this.#total,
    };
  }

  /** By raw samples, else as the map in service estimates, else as the new one does; NaN: nobody knows. */
  #clientMs(cell: number, pop: number): number {
    if (pop < 0) return Number.NaN;
    const raw = this.#wanted[cell] === 1 ? this.#raw(cell, this.#compared.pops[pop]!) : undefined;
    if (raw !== undefined) return raw.ms;
    const { before, after } = this.#input;
    const { cells } = this.#compared;
    const known = estimateAt(before, cells.before[cell]!, this.#numbers.before[pop]!);
    return Number.isNaN(known) ? estimateAt(after, cells.after[cell]!, this.#numbers.after[pop]!) : known;
  }
}

function estimateAt({ cells: { estimate }, pops }: SteeringMap, row: number, number: number): number {
  const tenths = row < 0 || number < 0 ? none : estimate[row * pops.length + number]!;
  return tenths === none ? Number.NaN : tenths / 10;
}

/** Demand-weighted round trips, to 1%. */
export class Spread {
  readonly #weights = new Float64Array(bucketMax - bucketMin + 1);
  weight = 0;
  #sum = 0;

  add(ms: number, weight: number): void {
    const at = bucketOf(ms) - bucketMin;
    this.#weights[at] = this.#weights[at]! + weight;
    this.weight += weight;
    this.#sum += ms * weight;
  }

  mean(): number {
    return this.weight === 0 ? 0 : this.#sum / this.weight;
  }

  quantile(quantile: number): number {
    let left = quantile * this.weight;
    for (const [at, weight] of this.#weights.entries()) {
      left -= weight;
      if (weight > 0 && left <= 0) return bucketMs(at + bucketMin);
    }
    return 0;
  }
}

/** A single cell is the smallest move there is: it is staged like any other, and never held for its share. */
function tooMuchReason(away: readonly Move[]): Reason | undefined {
  const share = away.reduce((sum, one) => sum + one.share, 0);
  const cells = new Set(away.map(({ cell }) => cell)).size;
  if (share <= limits.publish.holdShare + rounding || cells <= 1) return undefined;
  const text = `it would move ${percent(share)} of demand (${cells} cells) away from estimates in service; ${percent(limits.publish.holdShare)} is the most that goes unasked. \`ufes rollback --release\` lets it pass, in stages`;
  return { guard: 'too-much', text };
}

function worseReason(worse: ReadonlySet<Move>, others: readonly Move[]): Reason | undefined {
  const sum = (list: Iterable<Move>) => [...list].reduce((total, one) => total + one.share, 0);
  const cells = new Set([...worse].map(({ cell }) => cell)).size;
  if (cells <= 1 || sum(worse) <= limits.publish.worseShare * sum(others)) return undefined;
  const text = `${cells} cells would be more than ${limits.publish.worseMs} ms worse by samples of the last quarter of an hour, ${percent(sum(worse) / sum(others))} of what would move; ${percent(limits.publish.worseShare)} may be. \`ufes rollback --release\` lets the others pass`;
  return { guard: 'worse', text };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1).replace(/\.0$/, '')}%`;
}

function estimateOf(table: CellTable, row: number, ids: readonly string[], pop: string): number {
  const number = row < 0 ? -1 : ids.indexOf(pop);
  const at = number < 0 ? -1 : cellEntry(table, ids.length, row, number);
  const tenths = at < 0 ? none : table.estimate[at]!;
  return tenths === none ? Number.NaN : tenths / 10;
}
const none = 65_535;
/** Shares are sums of many. */
const rounding = 1e-9;

function demandOf({ before, after, demandOf: told }: JudgeInput, cells: JudgedCells): Float64Array {
  return Float64Array.from({ length: cells.count }, (_, cell) => {
    const known = told?.(cell < cells.count4 ? 4 : 6, cells.hi[cell]!, cells.lo[cell]!);
    if (known !== undefined) return known;
    const row = cells.after[cell]!;
    return row >= 0 ? samplesOf(after, row) : samplesOf(before, cells.before[cell]!);
  });
}

/** Stands in for demand where requests are not counted: beacons are a sample of page views. */
function samplesOf({ cells: { n, weight }, pops }: SteeringMap, row: number): number {
  if (weight !== undefined) return 1 + weight[row]!;
  let sum = 1;
  for (let at = row * pops.length; at < (row + 1) * pops.length; at++) sum += n[at]!;
  return sum;
}
