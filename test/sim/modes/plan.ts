/**
 * Whether `ufes plan` tells what then happens: random changes of a configuration, each predicted from evidence, then made,
 * and half an hour later compared with what resolvers hold and with what is true.
 *
 * Edges count what prefixes ask for. Every page view is as likely to send a beacon, so that beacons are a sample of that.
 * Maps are judged before they are in service, answers are held by resolvers, and load comes back as room, as in `events`.
 * The last change in each world is one that PoPs have little room for: what they then let go and take back follows loads of
 * the moment, and is reported apart.
 */
import type { DesiredState } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import { LiveState, setLive, setRoom, setTimes, weekOf } from '@ufes/core/live.ts';
import type { Rng } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import type { PopNow } from '@ufes/core/steering/judging.ts';
import { defaultRoom, RoomShares } from '@ufes/core/steering/room.ts';
import { type Forecast, forecast } from '@ufes/mapper/forecast.ts';
import { drawMeasured } from '../beacons.ts';
import { Clock } from '../clock.ts';
import { pick } from '../draw.ts';
import { dayMs, startMs } from '../draws.ts';
import { capacities } from '../incident.ts';
import type { ModeResult } from '../mode.ts';
import { type Options, worldOf } from '../options.ts';
import { Truth } from '../policies.ts';
import { judging } from '../publish.ts';
import { atMost, mean, percent, quantile, table, type Verdict, verdictTable } from '../report.ts';
import { Resolvers } from '../resolvers.ts';
import { Steering } from '../steering.ts';
import { kmBetween, type World } from '../world.ts';
import { type Change, drawChange, hasRoom } from './plan-changes.ts';

const changesPerWorld = 5;
const warmBuildMs = 60 * 60_000;
const buildMs = 60_000;
const tickMs = 5_000;
const settleMs = 10 * 60_000;
const waitMs = 30 * 60_000;
/** Times what PoPs can carry for events, drawn for each world: they carry a fifth to a half of what they can. */
const headroom = { least: 2, most: 4 };

interface Outcome {
  readonly kind: string;
  readonly withRoom: boolean;
  readonly world: number;
  readonly moved: { readonly predicted: number; readonly shown: number };
  readonly meanMs: { readonly predicted: number; readonly shown: number; readonly before: number };
  readonly p95Ms: { readonly predicted: number; readonly shown: number };
  /** Of capacity, the largest difference of any PoP. */
  readonly loadError: number;
}

/** Where there are none, two: an origin can be moved. */
function withOrigins(options: Options, seed: string): Options {
  if (options.origins.length > 0) return options;
  const { matrix } = options;
  const names = matrix === undefined ? ['Frankfurt', 'New York'] : matrix.places.map(({ id }) => id);
  const rng = seededRng(`${seed}/origins`);
  const first = pick(rng, names);
  return {
    ...options,
    origins: [
      first,
      pick(
        rng,
        names.filter((name) => name !== first),
      ),
    ],
  };
}

export function plan(options: Options): ModeResult {
  const { draws = 10, prefixes = 1_000, seed } = options;
  const outcomes: Outcome[] = [];
  for (let i = 0; i < draws; i++) {
    const scene = new Scene(options, `${seed}/plan/${i}`, prefixes);
    for (let n = 0; n < changesPerWorld; n++) outcomes.push(scene.play(i, true));
    outcomes.push(scene.play(i, false));
  }
  return reportOf(outcomes, prefixes);
}

class Scene {
  readonly #world: World;
  readonly #steering: Steering;
  readonly #judging = judging();
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #kind: Options['beacons']['kind'];
  readonly #resolvers: Resolvers;
  readonly #all: DesiredState;
  #room = new RoomShares();
  #drained: ReadonlySet<string> = new Set();

  constructor(options: Options, seed: string, prefixes: number) {
    const world = worldOf(withOrigins(options, seed), seed, prefixes);
    this.#world = world;
    this.#rng = seededRng(`${seed}/changes`);
    this.#kind = options.beacons.kind;
    const spare = headroom.least + (headroom.most - headroom.least) * this.#rng.next();
    const capacity = capacities(world).map((one) => one * spare);
    const aims = [{ name: world.init.origins[0]!.id, k: 2, origin: 0 }];
    const { publish, raw } = this.#judging;
    const init = { world, capacity, aims, publish, raw };
    this.#all = new Steering(init).desired;
    // A fifth of the PoPs are not there yet.
    const active = world.popIds.flatMap((_, pop) => (pop % 5 === 4 ? [] : [pop]));
    this.#steering = new Steering({ ...init, active });
    this.#steering.tellLoads = () => this.#judging.loads;
    const total = world.users.reduce((sum, { demand }) => sum + demand, 0);
    const beaconsPerDay = (user: number) =>
      (options.beaconsPerDay * world.users.length * world.users[user]!.demand) / total;
    const measured = drawMeasured(world, options.measured, new Set(), seededRng(`${seed}/measured`));
    const { beacons } = options;
    this.#clock = new Clock({ steering: this.#steering, measured, beaconsPerDay, beacons, seed }, startMs);
    this.#tellStates();
    this.#clock.advance(dayMs, (now) => this.#count(warmBuildMs, now), warmBuildMs);
    this.#resolvers = new Resolvers(this.#steering, this.#clock.nowMs, seededRng(`${seed}/resolvers`));
    this.#run(settleMs);
  }

  play(world: number, withRoom: boolean): Outcome {
    const held = this.#resolvers.held.slice();
    const beforeMs = this.#response().mean;
    const change = this.#draw(withRoom);
    const told = this.#forecast(change);
    this.#drained = change.drained;
    this.#steering.reconfigure(change.desired, this.#clock.nowMs);
    this.#tellStates();
    this.#tellLoads();
    this.#steering.build(this.#clock.nowMs, true);
    this.#run(waitMs);
    const shown = this.#response();
    const { prediction } = told;
    return {
      ...{ kind: change.kind, withRoom, world },
      moved: { predicted: prediction.moved, shown: this.#moved(held) },
      meanMs: { predicted: prediction.response.meanAfterMs, shown: shown.mean, before: beforeMs },
      p95Ms: { predicted: prediction.response.p95AfterMs, shown: shown.p95 },
      loadError: this.#loadError(told),
    };
  }

  #draw(withRoom: boolean): Change {
    const total = this.#world.users.reduce((sum, _, user) => sum + this.#demand(user), 0);
    for (;;) {
      const change = drawChange(this.#steering.desired, this.#all, this.#drained, this.#rng);
      if (hasRoom(change, total, (ids) => this.#nearest(ids)) === withRoom) return change;
    }
  }

  /** Demand by PoP id if all of it went to the nearest of these. */
  #nearest(ids: ReadonlySet<string>): Map<string, number> {
    const loads = new Map([...ids].map((id) => [id, 0]));
    const pops = this.#world.popIds.flatMap((id, pop) => (ids.has(id) ? [pop] : []));
    for (const user of this.#world.users.keys()) {
      const km = pops.map((pop) => kmBetween(this.#world.place(user), this.#world.popPlace(pop)));
      const id = this.#world.popIds[pops[km.indexOf(Math.min(...km))]!]!;
      loads.set(id, loads.get(id)! + this.#demand(user));
    }
    return loads;
  }

  #forecast({ desired, drained }: Change): Forecast {
    const { fed, inService, known, desired: now } = this.#steering;
    const loads = this.#loads();
    const pops = now.pops.map(({ id, requestsPerSecond: capacity }, pop): [string, PopNow] => {
      const requestsPerSecond = loads[pop]!;
      return [id, { isOpen: !this.#drained.has(id), capacity, requestsPerSecond }];
    });
    const opened = [...this.#drained].filter((id) => !drained.has(id));
    return forecast(
      {
        fed,
        desired: now,
        inService,
        known,
        pops: new Map(pops),
        keeps: this.#room.shares(),
        nowMs: this.#clock.nowMs,
      },
      { desired, drained: [...drained], opened },
    );
  }

  #run(spanMs: number): void {
    this.#clock.advance(
      spanMs,
      (builtMs) => {
        for (let now = builtMs - buildMs + tickMs; now <= builtMs; now += tickMs) {
          this.#feedBack(now);
          this.#resolvers.step(now);
        }
      },
      buildMs,
    );
  }

  /** Load as edges tell it, room as dns makes it of that. */
  #feedBack(nowMs: number): void {
    const { desired, live } = this.#steering;
    const room = desired.room ?? defaultRoom;
    const loads = this.#tellLoads();
    for (const [pop, { id, requestsPerSecond }] of desired.pops.entries()) {
      this.#room.observe(id, loads[pop]! / requestsPerSecond, nowMs);
    }
    this.#room.step(nowMs, room);
    const { feedbackMs } = limits.dns;
    if (nowMs % feedbackMs === 0) this.#count(feedbackMs, nowMs);
    setTimes(live, weekOf(nowMs), feedbackMs - (nowMs % feedbackMs));
    for (const [number, { id }] of desired.pops.entries()) {
      const { shed, band } = this.#room.words(id, room);
      setRoom(live, number, shed, band);
    }
  }

  /** Requests a second by PoP of the desired state. */
  #loads(): number[] {
    const loads = this.#resolvers.loads((user) => this.#demand(user));
    return this.#steering.desired.pops.map(({ id }) => loads[this.#world.popIds.indexOf(id)]!);
  }

  #tellLoads(): readonly number[] {
    const loads = this.#loads();
    this.#judging.loads = loads;
    return loads;
  }

  #count(ms: number, nowMs: number): void {
    this.#steering.count((user) => this.#demand(user), ms / 1000, nowMs);
  }

  /** PoPs are numbered anew by every configuration. */
  #tellStates(): void {
    const { desired, live } = this.#steering;
    for (const [number, { id }] of desired.pops.entries()) {
      const state = this.#drained.has(id) ? LiveState.draining : LiveState.up;
      setLive(live, number, { state, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
    }
  }

  #demand(user: number): number {
    return this.#world.demand(user, this.#clock.nowMs);
  }

  #moved(before: Int16Array): number {
    let [moved, all] = [0, 0];
    for (const [user, pop] of this.#resolvers.held.entries()) {
      const demand = this.#demand(user);
      all += demand;
      if (pop !== before[user]) moved += demand;
    }
    return moved / all;
  }

  /** Of all users, as it is in truth, by what their resolvers hold. */
  #response(): { mean: number; p95: number } {
    const { k, origin: id } = this.#steering.desired.services[0]!;
    const origin = this.#world.init.origins.findIndex((one) => one.id === id);
    const truth = new Truth(this.#world, { name: id, k, origin }, this.#clock.nowMs, this.#kind);
    const times = Array.from(this.#resolvers.held, (pop, user) => ({
      ms: truth.costMs(user, pop),
      weight: this.#demand(user),
    })).sort((a, b) => a.ms - b.ms);
    const all = times.reduce((sum, { weight }) => sum + weight, 0);
    let [left, p95] = [0.95 * all, 0];
    for (const { ms, weight } of times) {
      if (left > 0) p95 = ms;
      left -= weight;
    }
    return { mean: times.reduce((sum, { ms, weight }) => sum + ms * weight, 0) / all, p95 };
  }

  #loadError({ prediction }: Forecast): number {
    const loads = this.#loads();
    const errors = this.#steering.desired.pops.map(({ id, requestsPerSecond }, pop) => {
      const shown = loads[pop]! / requestsPerSecond;
      return Math.abs(shown - (prediction.pops.find(({ pop }) => pop === id)?.loadAfter ?? 0));
    });
    return Math.max(...errors);
  }
}

function errorsOf(outcomes: readonly Outcome[]) {
  const spread = (error: (outcome: Outcome) => number) => {
    const sorted = Float64Array.from(outcomes, error).sort();
    return { mean: mean(sorted), p90: quantile(sorted, 0.9), worst: sorted.at(-1)! };
  };
  return {
    changes: outcomes.length,
    moved: spread(({ moved }) => Math.abs(moved.predicted - moved.shown)),
    mean: spread(({ meanMs }) => Math.abs(meanMs.predicted / meanMs.shown - 1)),
    p95: spread(({ p95Ms }) => Math.abs(p95Ms.predicted / p95Ms.shown - 1)),
    load: spread(({ loadError }) => loadError),
  };
}

function reportOf(outcomes: readonly Outcome[], prefixes: number): ModeResult {
  const withRoom = errorsOf(outcomes.filter((one) => one.withRoom));
  const withLittle = errorsOf(outcomes.filter((one) => !one.withRoom));
  const figures = { prefixes, withRoom, withLittle, outcomes };
  const verdicts: Verdict[] = [
    atMost('moved demand: worst error, share of demand', withRoom.moved.worst, 0.02),
    atMost('mean response time: worst error, of what was shown', withRoom.mean.worst, 0.05),
  ];
  const rows = outcomes.map(({ world, kind, withRoom: hasIt, moved, meanMs, p95Ms, loadError }) => [
    world,
    hasIt ? kind : `${kind}, little room`,
    percent(moved.predicted),
    percent(moved.shown),
    meanMs.before,
    meanMs.predicted,
    meanMs.shown,
    p95Ms.predicted,
    p95Ms.shown,
    percent(loadError),
  ]);
  const columns = ['moved: said', 'shown', 'mean ms: before', 'said', 'shown', 'p95: said', 'shown', 'load off'];
  const sums = [withRoom, withLittle].flatMap(({ changes, ...errors }, i) =>
    Object.entries(errors).map(([name, { mean: m, p90, worst }]) => {
      return [`${changes} ${i === 0 ? 'with room' : 'with little'}`, name, percent(m), percent(p90), percent(worst)];
    }),
  );
  const text = [
    table(['world', 'change', ...columns], rows),
    table(['changes', 'error', 'mean', 'p90', 'worst'], sums),
    verdictTable(verdicts),
  ].join('\n\n');
  return { mode: 'plan', text, verdicts, figures, plots: {} };
}
