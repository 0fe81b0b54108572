/**
 * Keeps resolver populations in the store: reads what dns nodes and edges tell of probe IDs, joins it, and writes the
 * buckets that changed. One mapper at a time does, by a lease; the next one begins with what the store has.
 */
import { describeError } from '@ufes/core/errors.ts';
import { type Address, parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { Join, type Joined, Populations, populationKey } from '@ufes/core/populations.ts';
import type { Component, Lease } from '@ufes/core/ports.ts';
import { readTold, seenKey } from '@ufes/core/seen.ts';
import { Counter, Gauge } from '@ufes/io/metrics.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

type Parts = Pick<ServiceContext, 'store' | 'clock' | 'log' | 'rng' | 'node' | 'registry'>;

export class PopulationKeeper implements Component {
  populations = new Populations();
  #join = new Join();
  readonly #parts: Parts;
  readonly #asnOf: (address: Address) => number;
  readonly #owner: string;
  readonly #joins: Counter;
  /** By key, the newest that was taken. */
  #takenMs = new Map<string, number>();
  #lease: Lease | undefined;
  #stop: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #isGone = false;

  constructor(parts: Parts, asnOf: (address: Address) => number) {
    this.#parts = parts;
    this.#asnOf = asnOf;
    this.#owner = `${parts.node}-${Buffer.from(parts.rng.bytes(6)).toString('hex')}`;
    const registers = [parts.registry];
    const name = 'ufes_mapper_resolver_joins_total';
    this.#joins = new Counter({ name, help: 'Probe IDs of which both resolver and client are known.', registers });
    const keeper = this;
    new Gauge({
      name: 'ufes_mapper_resolvers',
      help: 'Resolvers whose clients are known.',
      registers,
      collect() {
        this.set(keeper.populations.resolvers);
      },
    });
  }

  async start(): Promise<void> {
    // Twice as often as it is told: none is missed.
    this.#stop = this.#parts.clock.every(limits.edge.tellIdsMs / 2, () => void this.step());
  }

  async stop(): Promise<void> {
    this.#stop?.();
    await this.#running;
    if (this.#lease !== undefined) await this.#parts.store.leases.release(this.#lease).catch(() => {});
  }

  /** Never rejects: what is not read in time is lost, and the next visitors tell the same. */
  step(): Promise<void> {
    this.#running ??= this.#step().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #step(): Promise<void> {
    const { clock, log } = this.#parts;
    try {
      await this.#renew();
      if (this.#lease === undefined) return;
      await this.#read(clock.nowMs());
      await this.#write();
      this.#isGone = false;
    } catch (thrown) {
      if (!this.#isGone) log.warn({ error: describeError(thrown) }, 'resolver populations wait for the store');
      this.#isGone = true;
    }
  }

  async #renew(): Promise<void> {
    const { store } = this.#parts;
    const lease = await store.leases.acquire('populations', this.#owner, limits.mapper.populationLeaseMs);
    if (lease !== undefined && lease.fence !== this.#lease?.fence) {
      // Another one may have written since.
      const populations = new Populations();
      for (const { value } of await store.live.list(populationKey)) populations.load(value);
      this.populations = populations;
      this.#join = new Join();
      this.#takenMs = new Map();
    }
    this.#lease = lease;
  }

  async #read(nowMs: number): Promise<void> {
    const { live } = this.#parts.store;
    this.#join.expire(nowMs);
    for (const [kind, prefix] of Object.entries(seenKey)) {
      for (const { key, value } of await live.list(prefix)) {
        const told = readTold(value);
        if (told === undefined || told.atMs <= (this.#takenMs.get(key) ?? Number.NEGATIVE_INFINITY)) continue;
        this.#takenMs.set(key, told.atMs);
        this.#add(kind === 'dns' ? this.#join.dns(told, nowMs) : this.#join.edge(told, nowMs), nowMs);
      }
    }
  }

  #add(joins: readonly Joined[], nowMs: number): void {
    this.#joins.inc(joins.length);
    for (const joined of joins) this.populations.add(joined, this.#asnOf(parsePrefix(joined.prefix)!), nowMs);
  }

  async #write(): Promise<void> {
    const changed = this.populations.takeChanged();
    if (changed.size === 0) return;
    const ttlMs = limits.mapper.populationMs;
    try {
      await this.#parts.store.live.put(
        [...changed].map(([bucket, value]) => ({ key: `${populationKey}${bucket}`, value, ttlMs })),
      );
    } catch (thrown) {
      for (const bucket of changed.keys()) this.populations.changed(bucket);
      throw thrown;
    }
  }
}
