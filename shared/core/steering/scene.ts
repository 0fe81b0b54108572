/**
 * One judgement's figures (judge.ts): what each move is and gains, where there is room, what speaks against the build, and
 * what comes of what is let go.
 */
import { limits } from '../limits.ts';
import { estimation } from './estimation.ts';
import type { JudgeInput, PopNow, RawLookup, Went } from './judging.ts';
import { type CellTable, cellEntry, type SteeringMap, Tier } from './map.ts';
import { type Compared, isSteered, type JudgedCells, type Unit } from './moves.ts';
import type { PopLoad, Predicted, Reason } from './publication.ts';
import { Spread } from './spread.ts';
import type { Candidate } from './stage.ts';

export interface Move extends Went, Candidate {
  /** Its number. */
  readonly move: number;
  /** Of others than exempt ones some become so, to make room. */
  kind: 'exempt' | 'first' | 'discretionary';
  /** Away from where a guard keeps the cell from: what p25 says speaks against no guard. */
  readonly isGuarded: boolean;
  /** To a PoP that was closed, degraded or too full lately: what left it comes back. */
  readonly isBack: boolean;
}

/** Whoever is there is to go at once. */
export function mustLeave(pop: PopNow | undefined, hard: number): boolean {
  if (pop === undefined || !pop.isOpen || pop.isDegraded === true) return true;
  return (pop.requestsPerSecond ?? 0) > hard * pop.capacity;
}

export function rolledBackReason({ rolledBack, nowMs }: JudgeInput): Reason | undefined {
  if (rolledBack === undefined || rolledBack.untilMs <= nowMs) return undefined;
  const text = `rolled back to ${rolledBack.version}; stays until ${new Date(rolledBack.untilMs).toISOString()} or \`ufes rollback --release\``;
  return { guard: 'rolled-back', text };
}

/** One judgement's figures. */
export class Scene {
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

  /** Moves that raw samples speak against. */
  worse(moves: readonly Move[]): Set<Move> {
    return new Set(moves.filter((one) => one.kind !== 'exempt' && !one.isGuarded && this.#isWorse(one)));
  }

  /** Once exempt ones are let go: why all discretionary ones are held. */
  reasons(moves: readonly Move[], worse: ReadonlySet<Move>): Reason[] {
    const reasons: Reason[] = [];
    const others = moves.filter(({ kind }) => kind === 'discretionary');
    const rolled = rolledBackReason(this.#input);
    if (rolled !== undefined) reasons.push(rolled);
    if (this.#input.isReleased !== true) {
      const away = tooMuchReason(others.filter((one) => !one.isBack));
      if (away !== undefined) reasons.push(away);
      const bad = worseReason(new Set(others.filter((one) => worse.has(one))), others);
      if (bad !== undefined) reasons.push(bad);
    }
    reasons.push(...this.#overHard(moves));
    return reasons;
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
