/** What a judgement is made from, and what it says (judge.ts). */
import type { Family } from '../ip.ts';
import type { QuantileBounds } from '../sketch/sketch.ts';
import type { PopGuard } from './guards.ts';
import type { SteeringMap } from './map.ts';
import type { JudgedCells, Unit } from './moves.ts';
import type { MovedShares, PopLoad, Predicted, Reason } from './publication.ts';

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
