/**
 * One shard of the samples: its stream folded into its sketches, one transaction at a time, for as long as we hold its lease.
 *
 *     free ─acquire, as a new owner─▶ held ─▶ read ─▶ count ─▶ fold ─ok─▶ trim ─┐
 *      ▲                               │ ▲      └─gap─▶ start the stream again  │ more
 *      └─ fenced, released, too many ──┘ └── moved: read all again ◀────────────┘
 *
 * Whoever does not hold it reads what others fold, from time to time. What is in memory may be wrong in any way (a store
 * that came back older, a lease lost while this process stood still): the store writes a fold only for the lease it knows
 * and from the progress it has, and what was folded in vain is read again.
 */
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { EvidenceRow, Fold, Lease } from '@ufes/core/ports.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { type Batch, countBatch, readBatch } from './batch.ts';
import type { EvidenceTable } from './evidence.ts';
import { forgetMs, offsetOf, offsetsOf, type Progress, sameProgress } from './progress.ts';
import type { FloorOf, Parted } from './quarantine.ts';
import type { Rejection } from './record.ts';

type Parts = Pick<ServiceContext, 'store' | 'queue' | 'clock' | 'log'>;

export interface ShardEvents {
  changed(prefixes: ReadonlySet<string>): void;
  folded(records: Parted): void;
  rejected(why: Rejection, where: { shard: number; collector: string; seq: number }, bytes: Uint8Array): void;
  /** Records are asked for again. */
  gap(): void;
}

export class Shard {
  readonly number: number;
  /** The evidence is in memory; it may have fallen behind since. */
  isLoaded = false;
  readonly #parts: Parts;
  readonly #newOwner: () => string;
  readonly #table: EvidenceTable;
  readonly #events: ShardEvents;
  readonly #floorOf: FloorOf;
  #lease: Lease | undefined;
  #leasedAtMs = Number.NEGATIVE_INFINITY;
  /** As the sketches in memory have it; undefined: not loaded. */
  #progress: Progress | undefined;
  /** When another's shard is read again. */
  #followAtMs = Number.NEGATIVE_INFINITY;
  #isBusy = false;

  constructor(
    number: number,
    parts: Parts,
    newOwner: () => string,
    table: EvidenceTable,
    events: ShardEvents,
    floorOf: FloorOf,
  ) {
    this.number = number;
    this.#parts = parts;
    this.#newOwner = newOwner;
    this.#table = table;
    this.#events = events;
    this.#floorOf = floorOf;
  }

  get held(): boolean {
    return this.#lease !== undefined;
  }

  /**
   * Folds some of what there is, when the shard is ours, or may become so; else keeps up with who folds it. True: there may
   * be more. Rejects with STORE_UNAVAILABLE.
   */
  async step(mayTake: boolean): Promise<boolean> {
    this.#isBusy = true;
    try {
      await this.load(mayTake);
      const [lease, from] = [this.#lease, this.#progress];
      if (lease === undefined || from === undefined) return false;
      const { samples } = this.#parts.queue;
      const batch = await readBatch(samples, this.number, from, (...gap) => this.#askAgain(...gap));
      if (batch === undefined) return false;
      await this.#fold(lease, from, batch);
      return true;
    } finally {
      this.#isBusy = false;
    }
  }

  /** Brings what the store has into memory and folds nothing. Rejects with STORE_UNAVAILABLE. */
  async load(mayTake: boolean): Promise<void> {
    await this.#renew(mayTake);
    if (this.#lease === undefined || this.#progress === undefined) await this.#reload();
  }

  /** Keeps the lease while others' batches are folded. Rejects with STORE_UNAVAILABLE. */
  async renew(): Promise<void> {
    if (this.#lease !== undefined && !this.#isBusy) await this.#renew(true);
  }

  async release(): Promise<void> {
    const lease = this.#lease;
    if (lease === undefined) return;
    this.#lease = undefined;
    await this.#parts.store.leases.release(lease);
  }

  /** Records that wait in the stream. */
  async lag(): Promise<number> {
    const { samples } = this.#parts.queue;
    let waiting = 0;
    for (const collector of await samples.collectors(this.number)) {
      const last = await samples.lastSeq(this.number, collector);
      waiting += Math.max(0, last - offsetOf(this.#progress ?? {}, collector));
    }
    return waiting;
  }

  async #renew(mayTake: boolean): Promise<void> {
    const { clock, store } = this.#parts;
    const before = this.#lease;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#leasedAtMs < limits.evidence.leaseMs / 3 || (before === undefined && !mayTake)) return;
    this.#leasedAtMs = nowMs;
    // A new owner each time: another one may have folded in between, and a store that came back older numbers anew.
    const owner = before?.owner ?? this.#newOwner();
    const lease = await store.leases.acquire(`fold/${this.number}`, owner, limits.evidence.leaseMs);
    this.#lease = lease;
    if (lease === undefined || lease.fence !== before?.fence || lease.owner !== before.owner) {
      this.#progress = undefined;
      return;
    }
    // Of a store that came back older, or of a lease that had lapsed, one would else learn only by the next record.
    const progress = await store.evidence.offsets(this.number);
    if (this.#progress !== undefined && !sameProgress(progress, this.#progress)) this.#progress = undefined;
  }

  async #reload(): Promise<void> {
    const { store, queue, clock } = this.#parts;
    const startMs = clock.monotonicMs();
    const isHeld = this.#lease !== undefined;
    if (!isHeld && this.isLoaded && startMs < this.#followAtMs) return;
    const progress = await store.evidence.offsets(this.number);
    if (this.#progress !== undefined && sameProgress(progress, this.#progress)) return;
    // Progress first: if a fold comes between, the rows are newer, and our own fold is told that it moved.
    const rows = (await store.evidence.rows(this.number)).filter((row) => this.#isGood(row));
    this.#events.changed(this.#table.replace(this.number, rows));
    this.#progress = progress;
    this.isLoaded = true;
    this.#followAtMs = clock.monotonicMs() + limits.evidence.followFactor * (clock.monotonicMs() - startMs);
    // A stream that was lost goes on behind what is folded.
    if (isHeld)
      for (const [collector, seq] of offsetsOf(progress)) await queue.samples.trim(this.number, collector, seq);
  }

  #isGood({ key, bytes }: EvidenceRow): boolean {
    try {
      Sketch.decode(bytes);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof OperatingError)) throw thrown;
      this.#parts.log.error({ key, error: describeError(thrown) }, 'evidence in the store is corrupt and left out');
      return false;
    }
  }

  /** The collector has what is missing in its journal; where the stream ends is where it sends from. */
  async #askAgain(collector: string, seq: number, found: number): Promise<void> {
    const { queue, log } = this.#parts;
    const where = { shard: this.number, collector, expected: seq + 1, found };
    log.warn(where, 'samples are missing and asked for again');
    this.#events.gap();
    await queue.samples.restart(this.number, collector, seq);
  }

  async #fold(lease: Lease, from: Progress, batch: Batch): Promise<void> {
    const { store, clock, queue, log } = this.#parts;
    const nowMs = clock.nowMs();
    const { accepted, parted, rows, rejected } = await countBatch(batch, nowMs, {
      shard: this.number,
      evidence: store.evidence,
      table: this.#table,
      floorOf: this.#floorOf,
      log,
    });
    const { to } = batch;
    const tokens = accepted.map(({ token, tokenExpiresAtMs }) => ({ id: token, expiresAtMs: tokenExpiresAtMs }));
    const fold: Fold = { shard: this.number, lease, from, to, rows, tokens };
    const outcome = await store.evidence.fold(fold, forgetMs(to, nowMs));
    if (outcome !== 'ok') {
      const why = 'fold not written: another mapper has the shard, or the store went back';
      log.warn({ shard: this.number, outcome }, why);
      this.#progress = undefined;
      if (outcome === 'fenced') this.#lease = undefined;
      this.#leasedAtMs = Number.NEGATIVE_INFINITY;
      return;
    }
    this.#progress = to;
    for (const { why, collector, record } of rejected) {
      this.#events.rejected(why, { shard: this.number, collector, seq: record.seq }, record.bytes);
    }
    this.#events.folded(parted);
    const changed = this.#table.apply(rows);
    if (changed.size > 0) this.#events.changed(changed);
    for (const [collector, seq] of offsetsOf(to)) {
      if (seq !== offsetOf(from, collector)) await queue.samples.trim(this.number, collector, seq);
    }
  }
}
