/**
 * What is known of one decision to publish: what the build wanted, what was let go, what stayed and why. Records are kept
 * in the history stream `publish`; `ufes history` and the dashboard show them. JSON.
 */

/**
 * `publish`: a map; `hold`: none, or only the moves that are exempt; `rollback`, `release`: by an operator; `plan`: a
 * prediction that was asked for, of a configuration that may never come.
 */
export type PublicationKind = 'publish' | 'hold' | 'rollback' | 'release' | 'plan';

/** Why a build is held, or a cell stays. */
export type GuardName =
  /** More than limits.publish.holdShare away from estimates already in service. */
  | 'too-much'
  /** A PoP would be over its hard limit. */
  | 'over-hard'
  /** Raw samples predict more than limits.publish.worseMs worse, for too much of what moves. */
  | 'worse'
  /** An operator rolled back, and holds what would undo it. */
  | 'rolled-back';

export interface Reason {
  readonly guard: GuardName;
  /** For people: with the figures, and what would let it go. */
  readonly text: string;
}

/** Shares of demand, 0 to 1. */
export interface MovedShares {
  /** What the build wants beside what is in service. */
  readonly wanted: number;
  /** Of it, what goes now. */
  readonly moved: number;
  /** Of what goes: off PoPs that are down, draining, over their hard limit, degraded or gone. */
  readonly exempt: number;
  /** Of what goes: of cells that had no estimate of their own. */
  readonly first: number;
  readonly discretionary: number;
  /** What waits for its turn, or for room at its receiver. */
  readonly staged: number;
  /** Cells (of one service group each) that go. */
  readonly cells: number;
}

/** Client round trip over demand, milliseconds: as raw samples have it where there are some, else as the map in service estimates. */
export interface Predicted {
  readonly meanBeforeMs: number;
  readonly meanAfterMs: number;
  readonly p95BeforeMs: number;
  readonly p95AfterMs: number;
  /** Share of demand that this is known of. */
  readonly known: number;
}

/** Over the cells that moved, a quarter of an hour later, by raw samples since: what they have now, and what they would have had. */
export interface Measured {
  readonly atMs: number;
  readonly gainMs: number;
  readonly predictedGainMs: number;
  /** Share of the moved demand that was measured on both PoPs. */
  readonly known: number;
}

export interface PopLoad {
  readonly pop: string;
  /** Of capacity, 0 to 1 and above. */
  readonly before: number;
  readonly after: number;
}

/** A prediction, and what happened when its configuration came. Shares are of demand, 0 to 1; milliseconds are k · client + backbone. */
export interface PlanRecord {
  /** As it was asked for. */
  readonly file: string;
  /** PoPs that take no new clients in it. */
  readonly drained: readonly string[];
  /** What the configuration says otherwise, in words; the first few. */
  readonly changes: readonly string[];
  readonly moved: number;
  readonly harmed: number;
  readonly meanBeforeMs: number;
  readonly meanAfterMs: number;
  readonly p95BeforeMs: number;
  readonly p95AfterMs: number;
  readonly loads: readonly PopLoad[];
  /** What it was predicted from, to find it again, and the proposal's hash. */
  readonly from: {
    readonly hash: string;
    readonly map?: string;
    readonly desired: string;
    readonly closed: readonly string[];
  };
  readonly appliedAtMs?: number;
  /** Decided and estimated anew for what came, by evidence since; loads as edges told them. */
  readonly measured?: {
    readonly atMs: number;
    readonly moved: number;
    readonly meanAfterMs: number;
    readonly p95AfterMs: number;
    readonly loads: readonly { readonly pop: string; readonly told: number }[];
  };
}

export interface Publication {
  readonly atMs: number;
  readonly kind: PublicationKind;
  /** Of the map that was published. */
  readonly version?: string;
  readonly reasons: readonly Reason[];
  /** Rollback: the version whose rankings it brought back. */
  readonly restores?: string;
  /** Rollback: holds until then. */
  readonly untilMs?: number;
  readonly by?: string;
  readonly why?: string;
  readonly moved?: MovedShares;
  readonly predicted?: Predicted;
  readonly loads?: readonly PopLoad[];
  readonly measured?: Measured;
  readonly plan?: PlanRecord;
}
