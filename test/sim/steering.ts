/**
 * The product's own steering over a world: samples → evidence table → cells → `SteeringBuild` → map → `decide`. It is told
 * what a mapper is told (samples, GeoIP, desired state), never what is true.
 *
 *     fold(records)   as a shard does, without the store
 *     build(now)      as the builder does: cells of changed prefixes, then the map
 *     publish         what becomes of a map that was built; by default it goes into service
 *     choose(user)    what dns answers, client subnet told
 */

import { type DesiredPop, type DesiredService, type DesiredState, groupKey } from '@ufes/core/desired.ts';
import { createLive, LiveState, type LiveView, liveBuffer, liveState } from '@ufes/core/live.ts';
import type { Rng } from '@ufes/core/ports.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { Availability } from '@ufes/core/steering/availability.ts';
import { distanceKm } from '@ufes/core/steering/base.ts';
import { type SteeringBuild, sameRankings } from '@ufes/core/steering/build.ts';
import { createDecision, decide } from '@ufes/core/steering/decide.ts';
import { Degradations } from '@ufes/core/steering/degraded.ts';
import type { Evidence } from '@ufes/core/steering/explanation.ts';
import type { PopNow } from '@ufes/core/steering/judging.ts';
import { findInterval, noPop, type SteeringMap } from '@ufes/core/steering/map.ts';
import { geoKey, type PreparedService, prepareService } from '@ufes/core/steering/prepare.ts';
import { type PlannedPop, planTargets } from '@ufes/core/steering/targets.ts';
import { beginBuild, type Known, type On, tellPops, tellRequests } from '@ufes/mapper/begin.ts';
import { noteEdgeTimed, stepDegraded } from '@ufes/mapper/degraded.ts';
import { EvidenceTable } from '@ufes/mapper/evidence.ts';
import { type Fed, feedCell, sketchSamples } from '@ufes/mapper/feed.ts';
import { distancePrior, groundFrom } from '@ufes/mapper/ground.ts';
import { noteTries, stepGuards } from '@ufes/mapper/guards.ts';
import { evidenceOf } from '@ufes/mapper/model.ts';
import { planOf } from '@ufes/mapper/plan.ts';
import { floorsOf, partByFloor } from '@ufes/mapper/quarantine.ts';
import type { RawRing } from '@ufes/mapper/raw.ts';
import { Traffic } from '@ufes/mapper/traffic.ts';
import { geoipOfWorld } from './geoip.ts';
import type { World } from './world.ts';

/** One for each way a cost is counted: `client` is the client leg alone, `ORIGIN/k` has a backbone leg. */
export interface Aim {
  readonly name: string;
  readonly k: number;
  /** Number of the world's origin; undefined: none. */
  readonly origin: number | undefined;
}

export function aimsOf(world: World): Aim[] {
  const { origins } = world.init;
  const withOrigins = origins.flatMap(({ id }, origin) => [1, 3].map((k) => ({ name: `${id}/k=${k}`, k, origin })));
  return [{ name: 'client', k: 1, origin: undefined }, ...withOrigins];
}

/** What a map that was built is put through before it is in service. */
export type Publish = (
  built: SteeringMap,
  inService: SteeringMap | undefined,
  nowMs: number,
  steering: Steering,
) => SteeringMap | undefined;

export interface SteeringInit {
  readonly world: World;
  /** Requests a second that each PoP can take. */
  readonly capacity?: readonly number[];
  readonly publish?: Publish;
  /** Is given every sample too (publish.ts). */
  readonly raw?: RawRing;
  readonly source?: string;
  /** Services; absent: those of `aimsOf`. */
  readonly aims?: readonly Aim[];
  /** PoPs of the world that are in service at first; absent: all. */
  readonly active?: readonly number[];
}

export class Steering {
  readonly world: World;
  readonly aims: readonly Aim[];
  desired: DesiredState;
  readonly table = new EvidenceTable();
  /** What edges count. */
  readonly traffic = new Traffic();
  readonly degradations = new Degradations();
  readonly availability = new Availability();
  /** PoPs (ids) that a check fails of. */
  doubted: ReadonlySet<string> = new Set();
  /** Requests a second by PoP of the desired state, when edges tell. */
  tellLoads: (() => readonly number[] | undefined) | undefined;
  readonly live: LiveView = createLive(liveBuffer(8));
  inService: SteeringMap | undefined;
  /** Maps that went into service and rank otherwise than the one before. */
  published = 0;
  #fed: Fed & { readonly desired: DesiredState };
  /** PoP number of the desired state → of the world. */
  #worldPops: readonly number[];
  readonly #publish: Publish;
  readonly #raw: RawRing | undefined;
  #changed = new Set<string>();
  #demoted = new Set<string>();
  #services: PreparedService[] = [];
  #geo: PreparedService[] = [];
  readonly #decision = createDecision();
  #isDesiredDue = false;

  constructor({ world, capacity, publish, raw, source = 'rum', aims = aimsOf(world), active }: SteeringInit) {
    this.world = world;
    this.aims = aims;
    this.desired = desiredOf(world, aims, capacity, source, active);
    this.#worldPops = this.desired.pops.map(({ id }) => world.popIds.indexOf(id));
    this.#raw = raw;
    this.#publish = publish ?? ((built) => built);
    const geoip = geoipOfWorld(world);
    const ground = groundFrom(geoip);
    this.#fed = { desired: this.desired, ...this.#begin({ geoip, ground, bases: new Map() }, 0) };
  }

  get steeringBuild(): SteeringBuild {
    return this.#fed.build;
  }

  /** What is built from now. */
  get fed() {
    return this.#fed;
  }

  /** Takes another configuration as the mapper's builder does; it is in service with the next build. */
  reconfigure(desired: DesiredState, nowMs: number): void {
    this.desired = desired;
    this.#isDesiredDue = true;
    const { geoip, ground, plan: before, build: current } = this.#fed;
    if (JSON.stringify(planOf(desired, distancePrior)) === JSON.stringify(before)) {
      this.#fed = { ...this.#fed, desired };
      return;
    }
    this.#fed = { desired, ...this.#begin({ geoip, ground, bases: current.input.bases }, nowMs) };
  }

  #begin(on: On, nowMs: number): Fed {
    const { fed, demoted } = beginBuild(planOf(this.desired, distancePrior), on, this.known, this.inService, nowMs);
    this.#changed.clear();
    this.#demoted = new Set(demoted);
    return fed;
  }

  /** What builds are made from. */
  get known(): Known {
    const { table, traffic, degradations, availability } = this;
    return { table, traffic, degradations, availability };
  }

  /** Requests of the seconds that end now, as edges count them. */
  count(demand: (user: number) => number, seconds: number, nowMs: number): void {
    for (const [user, { prefix }] of this.world.users.entries()) {
      this.traffic.add(prefix, demand(user) * seconds, seconds, nowMs);
    }
  }

  fold(records: readonly SampleRecord[]): void {
    const { counted, apart } = partByFloor(records, floorsOf(this.#fed));
    for (const record of counted) {
      this.#raw?.add(record);
      noteEdgeTimed(this.degradations, record);
      noteTries(this.availability, record);
    }
    for (const prefix of this.table.apply(sketchSamples(this.table, counted, apart))) this.#changed.add(prefix);
  }

  /** `whole`: everything is looked at again, as the builder does every minute. */
  build(nowMs: number, whole: boolean): SteeringMap {
    if (whole) for (const prefix of this.#demoted) this.#changed.add(prefix);
    for (const text of this.#changed) {
      if (feedCell(this.#fed, this.table, text, nowMs)) this.#demoted.add(text);
      else this.#demoted.delete(text);
    }
    this.#changed.clear();
    tellRequests(this.traffic, this.#fed, nowMs);
    tellPops(this.#popsNow(), this.desired, this.#fed, this.inService, nowMs);
    stepDegraded(this.degradations, this.#fed, nowMs);
    stepGuards(this.availability, this.doubted, this.#fed, nowMs);
    const built = this.#fed.build.build(nowMs, whole);
    const accepted = this.#publish(built, this.inService, nowMs, this);
    if (accepted !== undefined) this.#serve(accepted);
    else if (this.#isDesiredDue && this.inService !== undefined) this.#prepare(this.inService);
    return built;
  }

  #popsNow(): Map<string, PopNow> {
    const loads = this.tellLoads?.();
    return new Map(
      this.desired.pops.map(({ id, requestsPerSecond: capacity }, pop): [string, PopNow] => {
        const load = loads?.[pop];
        const state = liveState(this.live, pop);
        const isOpen = state !== LiveState.down && state !== LiveState.draining;
        return [id, { isOpen, capacity, ...(load !== undefined && { requestsPerSecond: load }) }];
      }),
    );
  }

  /** PoP that a user is answered; -1: none. */
  choose(user: number, aim = 0): number {
    return this.#decide(this.#services[aim]!, user);
  }

  /** How long resolvers may keep what `choose` said last. */
  get ttlSeconds(): number {
    return this.#decision.ttlSeconds;
  }

  /** PoP by distance alone, as the control arm is answered. */
  chooseGeo(user: number, aim = 0): number {
    return this.#decide(this.#geo[aim]!, user);
  }

  /** PoPs, best first, as the map in service ranks them. */
  ranking(user: number, aim = 0): Uint8Array {
    const { prefix } = this.world.users[user]!;
    const { v4, v6, rankings, width } = this.#services[aim]!.group!;
    const index = prefix.family === 4 ? v4 : v6;
    const row = index.ranking[findInterval(index, prefix.hi, prefix.lo)]!;
    return rankings.subarray(row * width, (row + 1) * width);
  }

  /** What is believed of a user, as `explain` tells it. */
  believed(user: number): Evidence {
    return evidenceOf(this.#fed, this.world.users[user]!.prefix, this.desired.services[0]);
  }

  /** Targets of a beacon, from the map in service and its cells. */
  targets(user: number, slots: number, rng: Rng): PlannedPop[] {
    const { plan, ground, build } = this.#fed;
    const { prefix } = this.world.users[user]!;
    const row = build.cells.rowOf(prefix.family, prefix.hi, prefix.lo);
    const told = this.world.toldPlace[user]!;
    const km = plan.pops.map((_, pop) => distanceKm(ground.places, told, plan.popVectors, pop));
    const priorMs = km.map(distancePrior.expectedMs);
    const lowMs = row < 0 ? km.map(distancePrior.floorMs) : build.estimates(row).lowMs;
    const chosen = planTargets({ ranking: this.ranking(user), lowMs, priorMs }, slots, rng);
    return chosen.map(({ pop, p }) => ({ pop: this.world.popIds.indexOf(plan.pops[pop]!), p }));
  }

  #serve(map: SteeringMap): void {
    if (this.inService === undefined || !sameRankings(map, this.inService)) this.published++;
    this.inService = map;
    this.#prepare(map);
  }

  #prepare(map: SteeringMap): void {
    this.#isDesiredDue = false;
    const { services, pops } = this.desired;
    this.#worldPops = pops.map(({ id }) => this.world.popIds.indexOf(id));
    const ids = pops.map(({ id }) => id);
    const keys = services.map((service) => groupKey(service, pops));
    this.#services = services.map((service, i) => prepareService(service, keys[i]!, ids, map, i));
    this.#geo = services.map((service, i) =>
      prepareService({ ...service, policy: 'geo' }, geoKey(keys[i]!), ids, map, i),
    );
  }

  #decide(prepared: PreparedService, user: number): number {
    const { prefix } = this.world.users[user]!;
    decide(prepared, this.live, { client: prefix, bySubnet: true }, prefix, this.#decision);
    const { count, candidates } = this.#decision;
    return count === 0 || candidates[0] === noPop ? -1 : this.#worldPops[prepared.popOfCandidate[candidates[0]!]!]!;
  }
}

function desiredOf(
  world: World,
  aims: readonly Aim[],
  capacity: readonly number[] | undefined,
  source: string,
  active: readonly number[] = world.popIds.map((_, pop) => pop),
): DesiredState {
  const { origins, places, backboneMs } = world.init;
  const pops = active.map((pop): DesiredPop => {
    const id = world.popIds[pop]!;
    const { latitude, longitude, city } = world.popPlace(pop);
    const legs = Object.fromEntries(origins.map((origin, i) => [origin.id, backboneMs[i]![pop]!]));
    const room = { requestsPerSecond: capacity?.[pop] ?? 1e9 };
    return {
      id,
      title: city,
      latitude,
      longitude,
      vips: {},
      httpsPort: 443,
      httpPort: 80,
      ...room,
      backboneRttMs: legs,
    };
  });
  const services = aims.map(
    ({ name, k, origin }, i): DesiredService => ({
      id: `s${i}`,
      name: `s${i}.shop.example.`,
      owner: 'config',
      answered: true,
      policy: 'latency',
      candidates: pops.map((_, pop) => ({ pop, v4: `192.0.2.${pop}` })),
      origin: origin === undefined ? name : origins[origin]!.id,
      k,
      answers: 1,
      ttlSecondsMin: 5,
      ttlSecondsMax: 60,
      allDown: { rule: 'serve-preferred' },
    }),
  );
  return {
    format: 1,
    version: { ms: 1, writer: 'sim' },
    createdAtMs: 1,
    pops,
    origins: origins.map(({ id, place }) => {
      const { latitude, longitude } = places[place]!;
      return { id, latitude, longitude, endpoints: [] };
    }),
    zones: [],
    services,
    hosts: [],
    vips: [],
    probe: { sources: [source], zone: 'probe.example.' },
  };
}
