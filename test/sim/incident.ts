/**
 * A PoP dies, becomes slow, or is asked for too much. Answers are held by resolvers, load comes back as room
 * (core/steering/room.ts) every 30 s, and maps are built every 15 s, as fresh evidence would have them.
 */
import { limits } from '@ufes/core/limits.ts';
import { LiveState, setLive, setRoom, setTimes } from '@ufes/core/live.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { stabilisation } from '@ufes/core/steering/rank.ts';
import { defaultRoom, RoomShares } from '@ufes/core/steering/room.ts';
import { drawMeasured } from './beacons.ts';
import { Clock } from './clock.ts';
import { dayMs, startMs } from './draws.ts';
import { type Options, worldOf } from './options.ts';
import { nearestPop } from './policies.ts';
import { judging } from './publish.ts';
import { Resolvers } from './resolvers.ts';
import { Steering } from './steering.ts';
import type { World } from './world.ts';

const warmBuildMs = 30 * 60_000;
const buildMs = 15_000;
const tickMs = 1_000;
const minuteMs = 60_000;
const settleMs = 8 * minuteMs;
const beforeMs = 2 * minuteMs;
/** Resolvers that hold answers for five TTLs have asked again by then. */
const afterMs = 6 * minuteMs;
const growthMs = 10 * minuteMs;
const stepMs = 100;
/** Of its capacity, what users of the PoP ask for when it is asked for too much. */
const overload = 1.5;
/** Total demand of what is left after the loss of the busiest PoP. */
export const filled = 0.75;

/**
 * At the busiest PoP; but `step` is at the busiest of those that their users would be better off without, and `remote` at
 * the busiest where that is another. `growth` is the overload that comes in ten minutes instead of at once.
 */
export const eventNames = ['death', 'step', 'remote', 'overload', 'growth'] as const;
export type EventName = (typeof eventNames)[number];
/** Of its demand, what is to be better off elsewhere for that. */
const dueShare = 0.99;

export interface Tick {
  readonly seconds: number;
  /** Of the demand that the PoP had before: what holds an answer of it now. */
  readonly left: number;
  /** That without resolvers that hold answers for five TTLs. */
  readonly leftOnTime: number;
  /** Of capacity, by PoP. */
  readonly loads: readonly number[];
}

/** What would be if one PoP were lost and everybody went to the next in the ranking at once. */
export interface SecondChoices {
  /** Highest load of a PoP, of capacity. */
  readonly worst: number;
  /** PoPs whose loss brings another over its hard limit. */
  readonly unfit: number;
}

export interface Played {
  readonly name: EventName;
  /** The busiest one. */
  readonly isBusiest: boolean;
  readonly pop: string;
  readonly ticks: readonly Tick[];
  /** Seconds that evacuation may take. */
  readonly allowedSeconds: number;
  /** Left on time then: of those who would truly be better off elsewhere, by more than moves are made for. */
  readonly leftDue: number;
  /** Of each build in the minutes before. */
  readonly secondChoices: readonly SecondChoices[];
}

/** Requests a second for each PoP: half alike, half by the demand nearest to it; enough when the busiest is lost. */
export function capacities(world: World): number[] {
  const near = world.popIds.map(() => 0);
  let total = 0;
  for (const [user, { demand }] of world.users.entries()) {
    near[nearestPop(world, world.place(user))]! += demand;
    total += demand;
  }
  const shares = near.map((demand) => 0.5 / near.length + (0.5 * demand) / total);
  const left = 1 - Math.max(...shares);
  return shares.map((share) => (share * total) / (filled * left));
}

export class Incident {
  readonly #name: EventName;
  readonly #world: World;
  readonly #steering: Steering;
  readonly #clock: Clock;
  readonly #capacity: number[];
  readonly #resolvers: Resolvers;
  readonly #room = new RoomShares();
  readonly #judging = judging();
  readonly #pop: number;
  readonly #isBusiest: boolean;
  readonly #surge: Float64Array;
  readonly #before: Set<number>;
  readonly #secondChoices: SecondChoices[] = [];

  /** A day of evidence, then as long as it takes for load to settle. */
  constructor(options: Options, seed: string, prefixes: number, name: EventName) {
    this.#name = name;
    const world = worldOf(options, seed, prefixes);
    this.#world = world;
    this.#capacity = capacities(world);
    const { publish, raw } = this.#judging;
    this.#steering = new Steering({ world, capacity: this.#capacity, publish, raw });
    this.#steering.tellLoads = () => this.#judging.loads;
    this.#surge = new Float64Array(world.users.length).fill(1);
    for (let pop = 0; pop < world.pops; pop++) this.#setState(pop, LiveState.up);
    const count = (nowMs: number) => this.#steering.count((user) => this.#demand(user), warmBuildMs / 1000, nowMs);
    const measured = drawMeasured(world, options.measured, new Set(), seededRng(`${seed}/measured`));
    const { beaconsPerDay, beacons } = options;
    count(startMs);
    this.#clock = new Clock({ steering: this.#steering, measured, beaconsPerDay, beacons, seed }, startMs);
    this.#clock.advance(dayMs, count, warmBuildMs);
    this.#resolvers = new Resolvers(this.#steering, this.#clock.nowMs, seededRng(`${seed}/resolvers`));
    this.#run(settleMs, (nowMs) => {
      if (nowMs % buildMs === 0) this.#secondChoices.push(this.#second());
    });
    const loads = this.#resolvers.loads((user) => this.#demand(user));
    const byLoad = [...loads.keys()].sort((a, b) => loads[b]! - loads[a]!);
    const due =
      name === 'step' ? byLoad.find((pop) => this.#dueOf(this.#usersOf(pop), pop, stepMs) >= dueShare) : undefined;
    this.#pop = due ?? byLoad[0]!;
    this.#isBusiest = this.#pop === byLoad[0];
    this.#before = this.#usersOf(this.#pop);
  }

  play(): Played {
    const ticks: Tick[] = [];
    const eventMs = this.#clock.nowMs + beforeMs;
    let leftDue = Number.NaN;
    const tick = (nowMs: number) => {
      ticks.push(this.#tick((nowMs - eventMs) / 1000));
      if (nowMs - eventMs === this.#allowedMs()) leftDue = this.#leftDue();
    };
    this.#run(beforeMs, tick);
    this.#begin(eventMs);
    this.#run(this.#allowedMs() + afterMs, (nowMs) => {
      if (this.#name === 'growth') this.#overload(Math.min(1, (nowMs - eventMs) / growthMs));
      tick(nowMs);
    });
    return {
      name: this.#name,
      isBusiest: this.#isBusiest,
      pop: this.#world.popPlace(this.#pop).city,
      ticks,
      allowedSeconds: this.#allowedMs() / 1000,
      leftDue,
      secondChoices: this.#secondChoices,
    };
  }

  #second(): SecondChoices {
    const ids = this.#world.popIds;
    const loads = ids.map(() => 0);
    const heirs = ids.map(() => ids.map(() => 0));
    for (const user of this.#world.users.keys()) {
      const [first, second] = this.#steering.ranking(user);
      loads[first!]! += this.#demand(user);
      heirs[first!]![second!]! += this.#demand(user);
    }
    const peaks = heirs.map((of, lost) =>
      of.reduce(
        (most, more, pop) => (pop === lost ? most : Math.max(most, (loads[pop]! + more) / this.#capacity[pop]!)),
        0,
      ),
    );
    return { worst: Math.max(...peaks), unfit: peaks.filter((peak) => peak > defaultRoom.hard).length };
  }

  /** One build and one TTL; a step also takes the ten minutes in which it is to be seen, and growth the time it takes. */
  #allowedMs(): number {
    const { ttlMs } = this.#resolvers;
    if (this.#isStep) return ttlMs + 10 * minuteMs;
    return ttlMs + buildMs + (this.#name === 'growth' ? growthMs : 0);
  }

  #begin(nowMs: number): void {
    if (this.#name === 'death') this.#setState(this.#pop, LiveState.down);
    if (this.#name === 'overload') this.#overload(1);
    if (this.#isStep) {
      this.#world.steps.push({ pop: this.#pop, fromMs: nowMs, toMs: Number.POSITIVE_INFINITY, addMs: stepMs });
    }
  }

  /** Demand of the PoP's users grows beyond its capacity; that of the others shrinks so that the total stays as it was. */
  #overload(share: number): void {
    const { users } = this.#world;
    let [own, total] = [0, 0];
    for (const [user, { demand }] of users.entries()) {
      total += demand;
      if (this.#before.has(user)) own += demand;
    }
    const up = 1 + share * ((overload * this.#capacity[this.#pop]!) / own - 1);
    const down = (total - up * own) / (total - own);
    for (const user of users.keys()) this.#surge[user] = this.#before.has(user) ? up : down;
  }

  #demand(user: number): number {
    return this.#world.users[user]!.demand * this.#surge[user]!;
  }

  #setState(pop: number, state: LiveState): void {
    setLive(this.#steering.live, pop, { state, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
  }

  #run(spanMs: number, then: (nowMs: number) => void): void {
    this.#clock.advance(
      spanMs,
      (builtMs) => {
        for (let now = builtMs - buildMs + tickMs; now <= builtMs; now += tickMs) {
          this.#feedBack(now);
          this.#resolvers.step(now);
          then(now);
        }
      },
      buildMs,
    );
  }

  /** Load as edges tell it every five seconds; room as dns makes it of that. */
  #feedBack(nowMs: number): void {
    const room = this.#steering.desired.room ?? defaultRoom;
    if (nowMs % 5_000 === 0) {
      const loads = this.#resolvers.loads((user) => this.#demand(user));
      this.#judging.loads = loads;
      for (const [pop, load] of loads.entries()) {
        this.#room.observe(this.#world.popIds[pop]!, load / this.#capacity[pop]!, nowMs);
      }
    }
    if (nowMs % limits.dns.feedbackMs === 0) {
      this.#steering.count((user) => this.#demand(user), limits.dns.feedbackMs / 1000, nowMs);
    }
    this.#room.step(nowMs, room);
    setTimes(
      this.#steering.live,
      Math.floor(nowMs / (7 * dayMs)),
      limits.dns.feedbackMs - (nowMs % limits.dns.feedbackMs),
    );
    for (const [pop, id] of this.#world.popIds.entries()) {
      const { shed, band } = this.#room.words(id, room);
      setRoom(this.#steering.live, pop, shed, band);
    }
  }

  #tick(seconds: number): Tick {
    const loads = this.#resolvers.loads((user) => this.#demand(user));
    let [all, left, leftOnTime] = [0, 0, 0];
    for (const user of this.#before) {
      const demand = this.#demand(user);
      all += demand;
      if (this.#resolvers.held[user] !== this.#pop) continue;
      left += demand;
      if (!this.#resolvers.isStale(user)) leftOnTime += demand;
    }
    const used = loads.map((load, pop) => load / this.#capacity[pop]!);
    return { seconds, left: left / all, leftOnTime: leftOnTime / all, loads: used };
  }

  get #isStep(): boolean {
    return this.#name === 'step' || this.#name === 'remote';
  }

  #usersOf(pop: number): Set<number> {
    const { held } = this.#resolvers;
    return new Set(held.keys().filter((user) => held[user] === pop));
  }

  #leftDue(): number {
    const { held } = this.#resolvers;
    const left = this.#before.values().filter((user) => held[user] === this.#pop && !this.#resolvers.isStale(user));
    return this.#dueOf(left, this.#pop, 0, this.#before);
  }

  /** Share of the demand of `all` that some users of a PoP are who would truly be better off elsewhere. */
  #dueOf(some: Iterable<number>, pop: number, addMs: number, all: Iterable<number> = some): number {
    const sum = (users: Iterable<number>) => [...users].reduce((total, user) => total + this.#demand(user), 0);
    return sum([...some].filter((user) => this.#isDue(user, pop, addMs))) / sum(all);
  }

  /** By more than moves are made for. */
  #isDue(user: number, pop: number, addMs: number): boolean {
    const { nowMs } = this.#clock;
    const ms = this.#world.popIds.map((_, at) => this.#world.noiseFreeMs(user, at, nowMs, 'edge'));
    const own = ms[pop]! + addMs;
    const best = Math.min(...ms.filter((_, at) => at !== pop));
    return own - best > Math.max(stabilisation.gainMs, stabilisation.gainShare * own);
  }
}
