/**
 * Folds the samples of all shards that this mapper holds: woken by `samples`, and at least as often as the store is polled.
 *
 *     stream ─read from own offsets─▶ check ─▶ sketches ─▶ one transaction: rows, offsets, tokens ─▶ memory, builder ─▶ trim
 *                                       └ bad: set aside, counted, shown; the offset moves on
 */
import { setImmediate } from 'node:timers/promises';
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { Availability } from '@ufes/core/steering/availability.ts';
import { Degradations } from '@ufes/core/steering/degraded.ts';
import { rateLimited } from '@ufes/io/log.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { Crew } from './crew.ts';
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
  readonly rejectedCounts = new Map<Rejection, number>();
  samplesFolded = 0;
  /** Times that records were missing and asked for again. */
  gaps = 0;
  /** Observations that were kept apart (quarantine.ts). */
  quarantined = 0;
  /** Set as soon as it is known where PoPs and clients are. */
  floorOf: FloorOf | undefined;
  readonly #parts: Parts;
  readonly #crew: Crew;
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
    this.#crew = new Crew(parts);
    const newOwner = () => this.#crew.newOwner();
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
      gap: () => {
        this.gaps++;
        metrics.gaps.inc();
      },
    };
    const floorOf: FloorOf = (prefix, target) => this.floorOf?.(prefix, target) ?? Number.NaN;
    this.#shards = Array.from(
      { length: limits.evidence.shards },
      (_, shard) => new Shard(shard, parts, newOwner, this.table, events, floorOf),
    );
  }

  /** Loads the evidence, if the store is there, and folds nothing yet. Never rejects. */
  async load(): Promise<void> {
    await this.#each((shard) => shard.load(this.#mayTake()));
  }

  /** Loads the evidence, if the store is there, and goes on folding. */
  async start(): Promise<void> {
    const { bus, clock } = this.#parts;
    await this.step();
    this.#stops = [
      bus.on('samples', () => void this.step()),
      clock.every(limits.store.pollMs, () => void this.step()),
      clock.every(limits.evidence.leaseMs / 3, () => void this.#renew()),
    ];
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const stop of this.#stops.splice(0)) stop();
    await this.#running;
    try {
      for (const shard of this.#shards) await shard.release();
      await this.#crew.leave();
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

  /** Mappers that share the shards. */
  mappers(): number {
    return this.#crew.members;
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
      await this.#each(async (shard) => {
        if (!(await shard.step(this.#mayTake()))) return;
        this.#isWanted = true;
        // Maps are built, and asked about, between the batches of a backlog.
        await setImmediate();
      });
    }
    this.#running = undefined;
  }

  async #each(act: (shard: Shard) => Promise<void>): Promise<void> {
    try {
      await this.#crew.refresh();
      await this.#all(act);
      await this.#giveBack();
      if (this.#storeGone) this.#parts.log.info({}, 'the store is back');
      this.#storeGone = false;
    } catch (thrown) {
      if (!this.#storeGone) this.#parts.log.warn({ error: describeError(thrown) }, 'samples wait for the store');
      this.#storeGone = true;
    }
  }

  /** Some at a time: while the store is at one, another's sketches are made. Settles when none is under way. */
  async #all(act: (shard: Shard) => Promise<void>): Promise<void> {
    const waiting = [...this.#shards];
    const lane = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined && !this.#isStopped; next = waiting.shift()) await act(next);
    };
    const lanes = await Promise.allSettled(Array.from({ length: limits.evidence.shardsAtOnce }, lane));
    for (const one of lanes) if (one.status === 'rejected') throw one.reason;
  }

  #mayTake(): boolean {
    return this.shardsHeld() < this.#crew.share;
  }

  /** Shards beyond our share, to those who have fewer. */
  async #giveBack(): Promise<void> {
    const held = this.#shards.filter((shard) => shard.held);
    for (const shard of held.slice(this.#crew.share)) await shard.release();
  }

  /** While a long round goes on. Never rejects. */
  async #renew(): Promise<void> {
    try {
      await this.#crew.refresh();
      await Promise.all(this.#shards.map((shard) => shard.renew()));
    } catch (thrown) {
      this.#parts.log.debug({ error: describeError(thrown) }, 'leases are not renewed');
    }
  }

  #reject(why: Rejection, where: { shard: number; collector: string; seq: number }, bytes: Uint8Array): void {
    this.#metrics.rejected.inc({ reason: why });
    this.rejectedCounts.set(why, (this.rejectedCounts.get(why) ?? 0) + 1);
    const text = new TextDecoder().decode(bytes.subarray(0, 200));
    this.rejected.unshift({ atMs: this.#parts.clock.nowMs(), why, ...where, text });
    this.rejected.length = Math.min(this.rejected.length, limits.evidence.rejectedKept);
    this.#limited(why, (suppressed) => {
      this.#parts.log.warn({ why, ...where, suppressed }, 'sample set aside');
    });
  }
}
