/**
 * The ports through which the control loop reaches the world. They are handed in, so that all of it can run under a
 * simulated clock with a seed. Implementations: shared/io.
 */
import type { Version } from './version.ts';

export interface Clock {
  /** Wall clock, milliseconds since the epoch. */
  nowMs(): number;
  /** Monotonic milliseconds, for durations. */
  monotonicMs(): number;
  /** Calls `fn` once after `ms`; the result cancels. */
  after(ms: number, fn: () => void): () => void;
  /** Calls `fn` every `ms`, first after `ms`; the result cancels. */
  every(ms: number, fn: () => void): () => void;
}

export interface Rng {
  /** Uniform in [0, 1). */
  next(): number;
  /** `length` unpredictable bytes (a seeded one in simulations). */
  bytes(length: number): Uint8Array;
}

/** One line an event: fields first, then the message. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

/**
 * Wake-ups between processes of one tree: "something new under this topic". Only a hint: a reader also polls, so a lost
 * wake-up costs time, never correctness. Topics: `artefact/KIND`, `live`, `samples`, `jobs`, `build`.
 */
export interface Bus {
  wake(topic: string): void;
  /** `topic` exactly. The result stops listening. */
  on(topic: string, fn: () => void): () => void;
}

/** Everything that runs. `start` assumes nothing else has started; `stop` drains within a bound. */
export interface Component {
  start(): Promise<void>;
  stop(): Promise<void>;
}

// --- Store -------------------------------------------------------------------------------------------------------

/** Kinds of artefacts: `map` (steering map), `desired` (desired state). */
export type ArtefactKind = 'map' | 'desired';

/** Sealed bytes (shared/io/artefact.ts) by kind and version. Every call rejects with STORE_UNAVAILABLE when the store is gone. */
export interface ArtefactStore {
  /** Rejects with ARTEFACT_STALE unless `version` is newer than the newest of its kind. */
  put(kind: ArtefactKind, version: Version, sealed: Uint8Array): Promise<void>;
  newestVersion(kind: ArtefactKind): Promise<Version | undefined>;
  get(kind: ArtefactKind, version: Version): Promise<Uint8Array | undefined>;
  /** The piece of it that begins at `offset`, 0 or where the last piece ended; undefined: it is not there, or ends there. */
  read(kind: ArtefactKind, version: Version, offset: number): Promise<Uint8Array | undefined>;
  /** Newest first. */
  list(kind: ArtefactKind, limit: number): Promise<Version[]>;
  /** Keeps the newest `keep`. */
  prune(kind: ArtefactKind, keep: number): Promise<void>;
}

export interface LiveEntry {
  readonly key: string;
  readonly value: unknown;
  readonly writtenAtMs: number;
  readonly expiresAtMs: number;
}

/** Small mutable facts with an expiry: votes, loads, applied versions, drains. Keys are paths, e.g. `vote/probe/pop/lon`. */
export interface LiveStore {
  put(entries: readonly { key: string; value: unknown; ttlMs: number }[]): Promise<void>;
  /** Entries under a key prefix that have not expired. */
  list(prefix: string): Promise<LiveEntry[]>;
  remove(keys: readonly string[]): Promise<void>;
}

export interface Lease {
  readonly name: string;
  /** Fencing: strictly rises with every change of holder. */
  readonly fence: number;
  readonly owner: string;
}

export interface LeaseStore {
  /** The lease, when it was free, expired or already ours; else undefined. Renews when ours. */
  acquire(name: string, owner: string, ttlMs: number): Promise<Lease | undefined>;
  release(lease: Lease): Promise<void>;
}

/** Evidence of one key, `PREFIX|TARGET|KIND|SOURCE`, as packed sketch bytes (core/sketch). */
export interface EvidenceRow {
  readonly key: string;
  readonly bytes: Uint8Array;
}

export interface Fold {
  readonly shard: number;
  readonly lease: Lease;
  /**
   * Where this fold started and where it ends: per-shard sequence numbers by collector, first is 1. What a name means is
   * the mapper's (mapper/progress.ts), to the store these are names and numbers.
   */
  readonly from: Readonly<Record<string, number>>;
  readonly to: Readonly<Record<string, number>>;
  readonly rows: readonly EvidenceRow[];
  /** Token IDs used up by this fold; kept until expiry so that a repeat is seen. */
  readonly tokens: readonly { readonly id: string; readonly expiresAtMs: number }[];
}

/** Sketches, offsets and used tokens of a shard, changed in one transaction. */
export interface EvidenceStore {
  offsets(shard: number): Promise<Record<string, number>>;
  rows(shard: number): Promise<EvidenceRow[]>;
  /** Of `ids`, those already used. */
  usedTokens(shard: number, ids: readonly string[]): Promise<Set<string>>;
  /**
   * `fenced`: the lease has another holder (number and owner); `moved`: the offsets are not `from`. In both cases nothing
   * was written. Tokens that expired at or before `forgetMs`, which may lie far back, are forgotten, and no others are.
   */
  fold(fold: Fold, forgetMs: number): Promise<'ok' | 'fenced' | 'moved'>;
}

/** Private keys and the like, encrypted at rest. Never in an artefact, never in a log. */
export interface SecretStore {
  put(name: string, plain: Uint8Array): Promise<void>;
  get(name: string): Promise<Uint8Array | undefined>;
  list(prefix: string): Promise<string[]>;
  remove(name: string): Promise<void>;
}

export interface AuditEntry {
  readonly atMs: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: unknown;
}

export interface AuditLog {
  append(entry: AuditEntry): Promise<void>;
  /** Newest first. */
  list(limit: number): Promise<AuditEntry[]>;
}

export interface HistoryRow {
  readonly atMs: number;
  /** One a stream; of rows of one moment the greater key is the later. */
  readonly key: string;
  readonly bytes: Uint8Array;
}

/**
 * The past, as streams of rows in the order of (atMs, key): `map`, `desired` (versions, shared/io/history.ts),
 * `publish` (what was judged), `live/NODE` (live state a dns node decided by).
 */
export interface HistoryStore {
  /** Puts a row, in place of one of the same key; then drops the stream's oldest rows until all are from `fromMs` on and within `bytes`. */
  append(stream: string, row: HistoryRow, keep: { readonly fromMs: number; readonly bytes: number }): Promise<void>;
  get(stream: string, key: string): Promise<HistoryRow | undefined>;
  /** Newest first, at most `limit`: those from `fromMs` to `toMs`, both included. */
  list(
    stream: string,
    range: { readonly fromMs?: number; readonly toMs?: number; readonly limit: number },
  ): Promise<HistoryRow[]>;
  /** Streams whose name begins so, sorted. */
  streams(prefix: string): Promise<string[]>;
}

/** Opening never throws; each call rejects with STORE_UNAVAILABLE (retry: true) while the store cannot be reached, and tries again on the next call. */
export interface Store {
  readonly artefacts: ArtefactStore;
  readonly live: LiveStore;
  readonly evidence: EvidenceStore;
  readonly leases: LeaseStore;
  readonly secrets: SecretStore;
  readonly audit: AuditLog;
  readonly history: HistoryStore;
  close(): Promise<void>;
}

// --- Queue -------------------------------------------------------------------------------------------------------

export interface StreamRecord {
  /** Dense per (collector, shard), from 1. */
  readonly seq: number;
  readonly bytes: Uint8Array;
}

/** Transport of samples from collectors to the folds of their shards. Durability is the collector's journal, not this. */
export interface SampleStream {
  /** Appends in order; records at or below the last one held are ignored (a repeat), a gap rejects. Rejects with QUEUE_FULL at its bound. */
  append(shard: number, collector: string, records: readonly StreamRecord[]): Promise<void>;
  lastSeq(shard: number, collector: string): Promise<number>;
  collectors(shard: number): Promise<string[]>;
  read(shard: number, collector: string, afterSeq: number, limit: number): Promise<StreamRecord[]>;
  /** Forgets records up to and including `seq`. */
  trim(shard: number, collector: string, seq: number): Promise<void>;
  /** Forgets all records; the stream ends at `seq`, which may be lower than before, and the next one is asked for again. */
  restart(shard: number, collector: string, seq: number): Promise<void>;
}

export interface Job {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
  readonly attempt: number;
}

/** `waiting` for its time or for a worker; `dead`: given up after its last attempt, until an operator retries it. */
export type JobState = 'waiting' | 'running' | 'dead';

export interface JobReport extends Job {
  readonly state: JobState;
  /** When it may run; of a running one, when its worker counts as gone; of a dead one, when it was given up. */
  readonly atMs: number;
  /** Why the last attempt failed; absent when none has. */
  readonly reason?: string;
}

/** What is known of all jobs of a name. */
export interface JobSummary {
  readonly name: string;
  readonly waiting: number;
  readonly running: number;
  readonly dead: number;
  readonly schedules: readonly { readonly id: string; readonly everyMs: number; readonly nextMs: number }[];
  /** The last one that ended well. */
  readonly done?: { readonly id: string; readonly atMs: number; readonly tookMs: number };
}

/**
 * At-least-once jobs with retries and dead letters. Handlers are idempotent: a worker that is killed after the effect and
 * before the job is ticked off leaves it to be run again.
 */
export interface JobQueue {
  /** One waiting job per (name, id): adding it again changes nothing until it has run. A dead one waits again, with the new data. */
  add(name: string, id: string, data: unknown, options?: { delayMs?: number }): Promise<void>;
  /**
   * Adds a job `ID@MS` now and from then on every `everyMs`, once for all processes that say so; the times that passed
   * while nobody worked are not made up for. Said again with another `everyMs` or `data`, those hold from then on.
   */
  schedule(name: string, id: string, everyMs: number, data: unknown): Promise<void>;
  /** Runs `handler` for each job, one at a time; the result stops after the running one. */
  work(name: string, handler: (job: Job) => Promise<void>): () => Promise<void>;
  /** Those with the newest `atMs` first, at most `limit`. Of all names and states unless given. */
  list(of: { readonly name?: string; readonly state?: JobState; readonly limit: number }): Promise<JobReport[]>;
  find(name: string, id: string): Promise<JobReport | undefined>;
  /** Lets a dead job wait again, its attempts counted anew. Rejects with NOT_FOUND. */
  retry(name: string, id: string): Promise<void>;
  /** Forgets a dead job. Rejects with NOT_FOUND. */
  drop(name: string, id: string): Promise<void>;
  /** By name. */
  summary(): Promise<JobSummary[]>;
}

export interface Queue {
  readonly samples: SampleStream;
  readonly jobs: JobQueue;
  close(): Promise<void>;
}
