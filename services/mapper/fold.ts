/**
 * Folds the samples of all shards that this mapper holds: woken by `samples`, and at least as often as the store is polled.
 *
 *     stream ─read from own offsets─▶ check ─▶ sketches ─▶ one transaction: rows, offsets, tokens ─▶ memory, builder ─▶ trim
 *                                       └ bad: set aside, counted, shown; the offset moves on
 */
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { Availability } from '@ufes/core/steering/availability.ts';
import { Degradations } from '@ufes/core/steering/degraded.ts';
import { rateLimited } from '@ufes/io/log.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { noteEdgeTimed } from './degraded.ts';
import { EvidenceTable } from './evidence.ts';
import { noteTries } from './guards.ts';
import type { MapperMetrics } from './metrics.ts';
import type { FloorOf } from './quarantine.ts';
import { RawRing } from './raw.ts';
import type { Rejection } from './record.ts';
import { Shard, type ShardEvents } from './shard.ts';

type Parts = Pick<ServiceContext, 'store' | 'queue' | 'bus' | 'clock' | 'log' | 'rng' | 'node'>;

export interface RejectedRecord {
  readonly atMs: number;
  readonly why: Rejection;
  readonly shard: number;
  readonly collector: string;
  readonly seq: number;
  /** The beginning of it. */
  readonly text: string;
}

export class Folder implements Component {
  readonly table = new EvidenceTable();
  /** As they came: what maps are judged by. */
  readonly raw = new RawRing(limits.publish.rawSamples);
  /** Networks that do not reach PoPs. */
  readonly availability = new Availability();
  /** PoPs that became slow for everybody. */
  readonly degradations = new Degradations();
  /** The last ones that were set aside, newest first. */
  readonly rejected: RejectedRecord[] = [];
  samplesFolded = 0;
  /** Observations that were kept apart (quarantine.ts). */
  quarantined = 0;
  /** Set as soon as it is known where PoPs and clients are. */
  floorOf: FloorOf | undefined;
  readonly #parts: Parts;
  readonly #shards: readonly Shard[];
  readonly #changed: (prefixes: ReadonlySet<string>) => void;
  readonly #metrics: MapperMetrics;
  readonly #limited: ReturnType<typeof rateLimited>;
  #isWanted = false;
  #isStopped = false;
  #running: Promise<void> | undefined;
  #stops: (() => void)[] = [];
  #storeGone = false;

  constructor(parts: Parts, metrics: MapperMetrics, changed: (prefixes: ReadonlySet<string>) => void) {
    this.#parts = parts;
    this.#metrics = metrics;
    this.#changed = changed;
    this.#limited = rateLimited(5_000, () => parts.clock.nowMs());
    const owner = `${parts.node}-${Buffer.from(parts.rng.bytes(6)).toString('hex')}`;
    const events: ShardEvents = {
      changed: (prefixes) => this.#changed(prefixes),
      folded: ({ counted, apart }) => {
        this.samplesFolded += counted.length;
        metrics.folded.inc(counted.length);
        const quarantined = apart.reduce((sum, { observations }) => sum + observations.length, 0);
        this.quarantined += quarantined;
        metrics.quarantined.inc(quarantined);
        for (const record of counted) {
          this.raw.add(record);
          noteEdgeTimed(this.degradations, record);
          noteTries(this.availability, record);
        }
      },
      rejected: (why, where, bytes) => this.#reject(why, where, bytes),
    };
    const floorOf: FloorOf = (prefix, target) => this.floorOf?.(prefix, target) ?? Number.NaN;
    this.#shards = Array.from(
      { length: limits.evidence.shards },
      (_, shard) => new Shard(shard, parts, owner, this.table, events, floorOf),
    );
  }

  /** Loads the evidence, if the store is there, and folds nothing yet. Never rejects. */
  async load(): Promise<void> {
    await this.#each((shard) => shard.load());
  }

  /** Loads the evidence, if the store is there, and goes on folding. */
  async start(): Promise<void> {
    const { bus, clock } = this.#parts;
    await this.step();
    this.#stops = [bus.on('samples', () => void this.step()), clock.every(limits.store.pollMs, () => void this.step())];
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const stop of this.#stops.splice(0)) stop();
    await this.#running;
    try {
      for (const shard of this.#shards) await shard.release();
    } catch (thrown) {
      this.#parts.log.debug({ error: describeError(thrown) }, 'leases stay until they expire');
    }
  }

  /** Folds what there is now. Never rejects; resolves when a round that began after the call is done. */
  step(): Promise<void> {
    this.#isWanted = true;
    this.#running ??= this.#whileWanted();
    return this.#running;
  }

  /** The evidence of every shard is in memory. */
  isLoaded(): boolean {
    return this.#shards.every((shard) => shard.isLoaded);
  }

  shardsHeld(): number {
    return this.#shards.filter((shard) => shard.held).length;
  }

  /** Records that wait, over all shards. Rejects with STORE_UNAVAILABLE. */
  async lag(): Promise<number> {
    let waiting = 0;
    for (const shard of this.#shards) waiting += await shard.lag();
    return waiting;
  }

  async #whileWanted(): Promise<void> {
    while (this.#isWanted && !this.#isStopped) {
      this.#isWanted = false;
      await this.#each((shard) => shard.step());
    }
    this.#running = undefined;
  }

  async #each(act: (shard: Shard) => Promise<void>): Promise<void> {
    try {
      for (const shard of this.#shards) await act(shard);
      if (this.#storeGone) this.#parts.log.info({}, 'the store is back');
      this.#storeGone = false;
    } catch (thrown) {
      if (!this.#storeGone) this.#parts.log.warn({ error: describeError(thrown) }, 'samples wait for the store');
      this.#storeGone = true;
    }
  }

  #reject(why: Rejection, where: { shard: number; collector: string; seq: number }, bytes: Uint8Array): void {
    this.#metrics.rejected.inc({ reason: why });
    const text = new TextDecoder().decode(bytes.subarray(0, 200));
    this.rejected.unshift({ atMs: this.#parts.clock.nowMs(), why, ...where, text });
    this.rejected.length = Math.min(this.rejected.length, limits.evidence.rejectedKept);
    this.#limited(why, (suppressed) => {
      this.#parts.log.warn({ why, ...where, suppressed }, 'sample set aside');
    });
  }
}
