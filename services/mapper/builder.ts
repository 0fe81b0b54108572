/**
 * When maps are built and published.
 *
 *     evidence changed ─┐
 *     desired changed ──┼─▶ debounce, spacing ─▶ build ─▶ rankings differ ──────────────▶ judge, publish (publisher.ts)
 *     GeoIP swapped ────┘                          └────▶ estimates alone ─▶ 15 s over? ─▶ publish
 *
 * One mapper builds at a time (lease `map`). What a cell holds of its own is found again in the map in service, so a
 * restart or another mapper goes on where the last one stopped.
 */
import { type DesiredState, decodeDesired } from '@ufes/core/desired.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component, Lease } from '@ufes/core/ports.ts';
import type { Availability } from '@ufes/core/steering/availability.ts';
import type { Base } from '@ufes/core/steering/base.ts';
import { baseKey, type SteeringBuild } from '@ufes/core/steering/build.ts';
import type { Degradations } from '@ufes/core/steering/degraded.ts';
import type { Ground } from '@ufes/core/steering/ground.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { decodeMap } from '@ufes/core/steering/map-bytes.ts';
import { compareVersions, type Version } from '@ufes/core/version.ts';
import type { Geoip, GeoNames } from '@ufes/geoip/geoip.ts';
import { type ArtefactFollower, followArtefact } from '@ufes/io/artefact.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { beginBuild, type Known, tellPops } from './begin.ts';
import { stepDegraded } from './degraded.ts';
import type { EvidenceTable } from './evidence.ts';
import { feedCell } from './feed.ts';
import { distancePrior, groundFrom } from './ground.ts';
import { guardLookup, stepGuards } from './guards.ts';
import type { MapperMetrics } from './metrics.ts';
import { type MapPlan, planOf } from './plan.ts';
import { type Published, Publisher } from './publisher.ts';
import type { RawRing } from './raw.ts';
import { TrafficFeed } from './traffic-feed.ts';

export interface EvidenceSource {
  readonly table: EvidenceTable;
  readonly raw: RawRing;
  readonly degradations: Degradations;
  readonly availability: Availability;
  isLoaded(): boolean;
}

/** What is built from now; the evidence API reads it. */
export interface Current {
  readonly desired: DesiredState;
  readonly plan: MapPlan;
  readonly geoip: GeoNames;
  readonly ground: Ground;
  readonly build: SteeringBuild;
}

export class Builder implements Component {
  /** Undefined until the desired state is there. */
  current: Current | undefined;
  lastBuildMs = 0;
  mapBytes = 0;
  mapVersion: Version | undefined;
  /** What readers steer by, as far as known here. */
  inService: SteeringMap | undefined;
  readonly publisher: Publisher;
  /** What builds are made from. */
  readonly known: Known;
  readonly #context: ServiceContext;
  readonly #table: EvidenceTable;
  readonly #degradations: Degradations;
  /** What edges count. */
  readonly #traffic: TrafficFeed;
  readonly #isLoaded: () => boolean;
  readonly #metrics: MapperMetrics;
  readonly #owner: string;
  readonly #followers: readonly ArtefactFollower[];
  readonly #bases = new Map<string, Base>();
  /** Where addresses are, the ground says. */
  #geoip: GeoNames;
  #ground: Ground;
  #desired: DesiredState | undefined;
  #toldDegraded: ReadonlySet<string> = new Set();
  #changed = new Set<string>();
  #demoted = new Set<string>();
  #lease: Lease | undefined;
  #isPlanDue = false;
  #isWanted = false;
  #isEstimateDue = false;
  #wholeAtMs = 0;
  #builtAtMs = Number.NEGATIVE_INFINITY;
  #publishedAtMs = Number.NEGATIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  #stops: (() => void)[] = [];
  #running: Promise<void> | undefined;
  #isStopped = true;
  /** Why the last build failed. */
  failure: string | undefined;
  /** One publication at a time: each is judged beside what the one before put into service. */
  #lock: Promise<unknown> = Promise.resolve();

  /** `folder`: whose evidence it builds from; nothing is built before that is loaded, so that nothing is lost. */
  constructor(context: ServiceContext, folder: EvidenceSource, geoip: Geoip, metrics: MapperMetrics) {
    this.#context = context;
    this.#table = folder.table;
    this.#degradations = folder.degradations;
    this.#traffic = new TrafficFeed(context);
    const { table, degradations, availability } = folder;
    this.known = { table, traffic: this.#traffic.traffic, degradations, availability };
    this.publisher = new Publisher(context, folder.raw, metrics);
    this.#isLoaded = () => folder.isLoaded();
    this.#geoip = geoip.names();
    this.#ground = groundFrom(geoip);
    this.#metrics = metrics;
    this.#owner = `${context.node}-${Buffer.from(context.rng.bytes(6)).toString('hex')}`;
    this.#followers = [
      followArtefact(context, 'map', (payload, version) => this.#applyMap(payload, version)),
      followArtefact(context, 'desired', (payload) => this.#applyDesired(payload)),
    ];
  }

  /** Of the edition in service. */
  get geoip(): GeoNames {
    return this.#geoip;
  }

  /** After the evidence was loaded. Resolves when the first map is built, if there is a desired state to build it for. */
  async start(): Promise<void> {
    const { clock, bus } = this.#context;
    this.#isStopped = false;
    await this.publisher.start();
    await this.#traffic.start();
    for (const follower of this.#followers) await follower.start();
    // The map in service has the estimates; a restart alone is no news.
    if (this.inService !== undefined) this.#publishedAtMs = clock.monotonicMs();
    this.#stops = [
      bus.on('build', () => this.#schedule()),
      clock.every(limits.mapper.wholeMs, () => this.#schedule()),
      clock.every(limits.mapper.overloadMs, () => {
        if (this.current !== undefined && this.publisher.overloads(this.current.desired).size > 0) this.#schedule();
      }),
    ];
    if (this.#desired !== undefined) await this.step();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    for (const stop of this.#stops.splice(0)) stop();
    for (const follower of this.#followers) await follower.stop();
    await this.#running;
    await this.#lock;
    await this.#traffic.stop();
    await this.publisher.stop();
    if (this.#lease === undefined) return;
    await this.#context.store.leases.release(this.#lease).catch((thrown: unknown) => {
      this.#context.log.debug({ error: describeError(thrown) }, 'the lease stays until it expires');
    });
  }

  /** Maps are published here, by the lease. */
  get publishes(): boolean {
    return this.#lease !== undefined;
  }

  evidenceChanged(prefixes: ReadonlySet<string>): void {
    for (const prefix of prefixes) this.#changed.add(prefix);
    this.#schedule();
  }

  geoipSwapped(geoip: Geoip): void {
    this.#geoip = geoip.names();
    this.#ground = groundFrom(geoip);
    this.#bases.clear();
    this.#isPlanDue = true;
    this.#schedule();
  }

  /** Builds, and publishes when there is reason to. Never rejects; resolves when a build that began after the call is done. */
  step(): Promise<void> {
    this.#isWanted = true;
    this.#running ??= this.#whileWanted();
    return this.#running;
  }

  async #whileWanted(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.#build();
    }
    this.#running = undefined;
    if (this.#changed.size > 0 || this.#isPlanDue) this.#schedule();
  }

  #applyMap(payload: Uint8Array, version: Version): void {
    if (this.mapVersion !== undefined && compareVersions(version, this.mapVersion) <= 0) return;
    this.inService = decodeMap(payload);
    this.mapVersion = version;
    this.mapBytes = payload.length;
  }

  #applyDesired(payload: Uint8Array): void {
    this.#desired = decodeDesired(payload);
    this.#isPlanDue = true;
    this.#schedule();
  }

  #schedule(delayMs: number = limits.mapper.debounceMs): void {
    if (this.#isStopped || this.#cancelTimer !== undefined || this.#desired === undefined) return;
    const { clock } = this.#context;
    const spacingMs = Math.max(limits.mapper.spacingMs, limits.mapper.spacingFactor * this.lastBuildMs);
    const spaced = this.#builtAtMs + spacingMs - clock.monotonicMs();
    this.#cancelTimer = clock.after(Math.max(delayMs, spaced), () => {
      this.#cancelTimer = undefined;
      void this.step();
    });
  }

  async #build(): Promise<void> {
    const { clock, store, log } = this.#context;
    try {
      if (!this.#isLoaded()) {
        this.#schedule(limits.store.pollMs);
        return;
      }
      this.#lease = await store.leases.acquire('map', this.#owner, limits.evidence.leaseMs);
      this.#refreshPlan();
      if (this.current === undefined) return;
      const startMs = clock.monotonicMs();
      const nowMs = clock.nowMs();
      const whole = nowMs - this.#wholeAtMs >= limits.mapper.wholeMs;
      if (whole) {
        this.#wholeAtMs = nowMs;
        for (const prefix of this.#demoted) this.#changed.add(prefix);
      }
      this.#feed(this.current, nowMs);
      this.#traffic.apply(this.current, nowMs);
      tellPops(this.publisher.pops(this.current.desired), this.current.desired, this.current, this.inService, nowMs);
      if (stepDegraded(this.#degradations, this.current, nowMs) || whole) await this.#tellDegraded();
      stepGuards(this.known.availability, this.publisher.doubted(), this.current, nowMs);
      const map = this.current.build.build(nowMs, whole);
      this.lastBuildMs = clock.monotonicMs() - startMs;
      this.#metrics.buildSeconds.observe(this.lastBuildMs / 1000);
      if (this.#lease !== undefined) {
        const done = this.#lock.then(() => this.#publish(map));
        this.#lock = done.catch(() => {});
        await done;
      }
      this.failure = undefined;
    } catch (thrown) {
      const error = describeError(thrown);
      if (this.failure === undefined) log.error({ error }, 'no map built; the one in service stays');
      this.failure = error;
      this.#cancelTimer?.();
      this.#cancelTimer = undefined;
      this.#schedule(limits.store.pollMs);
    } finally {
      this.#builtAtMs = clock.monotonicMs();
    }
  }

  /** Takes a new desired state or GeoIP edition; a build is started anew only when it would differ. */
  #refreshPlan(): void {
    const desired = this.#desired;
    if (!this.#isPlanDue || desired === undefined) return;
    this.#isPlanDue = false;
    const plan = planOf(desired, distancePrior);
    const same = this.current?.ground === this.#ground && JSON.stringify(plan) === JSON.stringify(this.current.plan);
    if (same && this.current !== undefined) {
      this.current = { ...this.current, desired, plan: this.current.plan };
      return;
    }
    const ground = this.#ground;
    const on = { geoip: this.#geoip, ground, bases: this.#bases };
    const { fed, demoted } = beginBuild(plan, on, this.known, this.inService, this.#context.clock.nowMs());
    const needed = new Set(plan.groups.map((group) => baseKey(group, plan.popVectors)));
    for (const key of this.#bases.keys()) if (!needed.has(key)) this.#bases.delete(key);
    this.current = { desired, ...fed };
    this.#changed.clear();
    this.#demoted = new Set(demoted);
    this.#isEstimateDue ||= this.#table.prefixes > 0;
  }

  /** The judge lets demand leave these PoPs at once (live key `degraded/POP`). */
  async #tellDegraded(): Promise<void> {
    const { store, log, bus } = this.#context;
    const { now } = this.#degradations;
    const gone = [...this.#toldDegraded].filter((id) => !now.has(id));
    if (now.size + gone.length === 0) return;
    for (const [id, { ms, cells }] of now) {
      if (!this.#toldDegraded.has(id)) log.warn({ pop: id, ms: Math.round(ms), cells }, 'PoP is degraded');
    }
    for (const id of gone) log.info({ pop: id }, 'PoP is no longer degraded');
    const ttlMs = 3 * limits.mapper.wholeMs;
    await store.live.put([...now].map(([id, value]) => ({ key: `degraded/${id}`, value, ttlMs })));
    await store.live.remove(gone.map((id) => `degraded/${id}`));
    this.#toldDegraded = new Set(now.keys());
    bus.wake('live');
  }

  /** Brings the changed prefixes' evidence into the cells. */
  #feed(current: Current, nowMs: number): void {
    if (this.#changed.size > 0) this.#isEstimateDue = true;
    for (const text of this.#changed) {
      if (feedCell(current, this.#table, text, nowMs)) this.#demoted.add(text);
      else this.#demoted.delete(text);
    }
    this.#changed.clear();
  }

  async #publish(map: SteeringMap): Promise<void> {
    const { clock } = this.#context;
    const { build, plan, desired } = this.current!;
    const guardOf = guardLookup(this.current!);
    const aged = clock.monotonicMs() - this.#publishedAtMs >= limits.mapper.estimatesMs;
    const draft = {
      map,
      build,
      plan,
      desired,
      isEstimateDue: this.#isEstimateDue && aged,
      buildMs: this.lastBuildMs,
      guardOf,
    };
    const published = await this.publisher.publish(draft, this.inService);
    if (published === undefined) return;
    this.#serve(published);
    this.#isEstimateDue = false;
  }

  #serve({ map, version, bytes }: Published): void {
    this.inService = map;
    this.mapVersion = version;
    this.mapBytes = bytes;
    this.#publishedAtMs = this.#context.clock.monotonicMs();
  }

  /** What operators order of the map, between two builds, when it is for this mapper to publish; then builds. */
  async order(
    put: (inService: SteeringMap | undefined) => Promise<Published | undefined>,
  ): Promise<Published | undefined> {
    const done = this.#lock.then(async () => {
      const lease = await this.#context.store.leases.acquire('map', this.#owner, limits.evidence.leaseMs);
      if (lease === undefined) throw new OperatingError('NOT_RUNNING', 'another mapper publishes maps; ask that one');
      this.#lease = lease;
      const published = await put(this.inService);
      if (published !== undefined) this.#serve(published);
      return published;
    });
    this.#lock = done.catch(() => {});
    const published = await done;
    this.#schedule();
    return published;
  }
}
