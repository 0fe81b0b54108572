/**
 * What happens when a PoP dies, becomes slow, or is asked for too much. Answers are held by resolvers, load comes back as
 * room (core/steering/room.ts) every 30 s, and maps are built every 15 s, as fresh evidence would have them.
 */

import { limits } from '@ufes/core/limits.ts';
import { LiveState, setLive, setRoom, setTimes } from '@ufes/core/live.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { defaultRoom, RoomShares } from '@ufes/core/steering/room.ts';
import { drawMeasured } from '../beacons.ts';
import { Clock } from '../clock.ts';
import { dayMs, startMs } from '../draws.ts';
import type { ModeResult } from '../mode.ts';
import { type Options, worldOf } from '../options.ts';
import { plotSeries } from '../plot.ts';
import { nearestPop } from '../policies.ts';
import { judging } from '../publish.ts';
import { atLeast, atMost, percent, table, type Verdict, verdictTable } from '../report.ts';
import { Resolvers } from '../resolvers.ts';
import { Steering } from '../steering.ts';
import type { World } from '../world.ts';

const warmBuildMs = 30 * 60_000;
const buildMs = 15_000;
const tickMs = 1_000;
const beforeMs = 2 * 60_000;
const minuteMs = 60_000;
/** Total demand of what is left after the loss of the busiest PoP. */
const filled = 0.75;

export const eventNames = ['death', 'step', 'overload'] as const;
type EventName = (typeof eventNames)[number];

interface Tick {
  readonly seconds: number;
  /** Demand that holds an answer of the PoP of the event, of what held it before. */
  readonly left: number;
  /** Of capacity, by PoP. */
  readonly loads: readonly number[];
}

interface Played {
  readonly name: EventName;
  readonly pop: string;
  readonly ticks: readonly Tick[];
  /** Requests that were held at a PoP over its hard limit, of all, after the time that evacuation may take. */
  readonly peak: number;
}

export function events(options: Options): ModeResult {
  const { draws = 3, prefixes = 2_000, seed } = options;
  const played: Played[] = [];
  const seconds: { worst: number; unfit: number; pops: number }[] = [];
  for (let i = 0; i < draws; i++) {
    for (const name of eventNames) {
      const stage = new Stage(options, `${seed}/events/${i}`, prefixes, name);
      if (name === 'death') seconds.push(stage.secondChoices());
      played.push(stage.play());
    }
  }
  return reportOf(played, seconds, draws);
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

class Stage {
  readonly #name: EventName;
  readonly #world: World;
  readonly #steering: Steering;
  readonly #clock: Clock;
  readonly #capacity: number[];
  readonly #resolvers: Resolvers;
  readonly #room = new RoomShares();
  readonly #judging = judging();
  readonly #pop: number;
  readonly #surge: Float64Array;
  readonly #before: Set<number>;

  /** A day of evidence, then as long as it takes for load to settle. */
  constructor(options: Options, seed: string, prefixes: number, name: EventName) {
    this.#name = name;
    const world = worldOf(options, seed, prefixes);
    this.#world = world;
    this.#capacity = capacities(world);
    const { publish, raw } = this.#judging;
    this.#steering = new Steering({ world, capacity: this.#capacity, publish, raw });
    this.#steering.tellLoads = () => this.#judging.loads;
    const measured = drawMeasured(world, options.measured, new Set(), seededRng(`${seed}/measured`));
    const { beaconsPerDay, beacons } = options;
    this.#clock = new Clock({ steering: this.#steering, measured, beaconsPerDay, beacons, seed }, startMs);
    for (let pop = 0; pop < world.pops; pop++) this.#setState(pop, LiveState.up);
    this.#surge = new Float64Array(world.users.length).fill(1);
    this.#steering.count((user) => this.#demand(user), warmBuildMs / 1000, startMs);
    this.#clock.advance(
      dayMs,
      (now) => this.#steering.count((user) => this.#demand(user), warmBuildMs / 1000, now),
      warmBuildMs,
    );
    this.#resolvers = new Resolvers(this.#steering, this.#clock.nowMs, seededRng(`${seed}/resolvers`));
    this.#run(10 * minuteMs, () => {});
    const loads = this.#resolvers.loads((user) => this.#demand(user));
    this.#pop = loads.indexOf(Math.max(...loads));
    this.#before = new Set(this.#resolvers.held.keys().filter((user) => this.#resolvers.held[user] === this.#pop));
  }

  play(): Played {
    const ticks: Tick[] = [];
    const eventMs = this.#clock.nowMs + beforeMs;
    const tick = (nowMs: number) => ticks.push(this.#tick((nowMs - eventMs) / 1000));
    this.#run(beforeMs, tick);
    this.#begin(eventMs);
    this.#run(20 * minuteMs, tick);
    const settled = ticks.filter(({ seconds }) => seconds * 1000 > this.#allowedMs() + 5 * this.#resolvers.ttlMs);
    const peak = settled.reduce((most, { loads }) => Math.max(most, ...loads), 0);
    return { name: this.#name, pop: this.#world.popPlace(this.#pop).city, ticks, peak };
  }

  /** For the loss of each PoP: the highest load if everybody went to the next in the ranking at once. */
  secondChoices(): { worst: number; unfit: number; pops: number } {
    const peaks = this.#world.popIds.map((_, lost) => {
      const loads = this.#world.popIds.map(() => 0);
      for (const user of this.#world.users.keys()) {
        const [first, second] = this.#steering.ranking(user);
        loads[first === lost ? second! : first!]! += this.#demand(user);
      }
      return Math.max(...loads.map((load, pop) => (pop === lost ? 0 : load / this.#capacity[pop]!)));
    });
    const unfit = peaks.filter((peak) => peak > defaultRoom.hard).length;
    return { worst: Math.max(...peaks), unfit, pops: peaks.length };
  }

  /** One build and one TTL; a step also takes the ten minutes in which it is to be seen. */
  #allowedMs(): number {
    return this.#resolvers.ttlMs + (this.#name === 'step' ? 10 * minuteMs : buildMs);
  }

  #begin(nowMs: number): void {
    if (this.#name === 'death') this.#setState(this.#pop, LiveState.down);
    if (this.#name === 'step') {
      this.#world.steps.push({ pop: this.#pop, fromMs: nowMs, toMs: Number.POSITIVE_INFINITY, addMs: 100 });
    }
    if (this.#name === 'overload') this.#overload();
  }

  /** Demand at the PoP grows to one and a half of its capacity; the rest shrinks so that the total stays as it was. */
  #overload(): void {
    const loads = this.#resolvers.loads((user) => this.#demand(user));
    const total = loads.reduce((sum, load) => sum + load, 0);
    const up = (1.5 * this.#capacity[this.#pop]!) / loads[this.#pop]!;
    const down = (total - up * loads[this.#pop]!) / (total - loads[this.#pop]!);
    for (const user of this.#world.users.keys()) this.#surge[user] = this.#before.has(user) ? up : Math.max(0.05, down);
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
    let [left, all] = [0, 0];
    for (const user of this.#before) {
      const demand = this.#demand(user);
      all += demand;
      if (this.#resolvers.held[user] === this.#pop) left += demand;
    }
    return { seconds, left: left / all, loads: loads.map((load, pop) => load / this.#capacity[pop]!) };
  }
}

/** First second from which on no more than this share is left; Infinity when it never comes to that. */
export function secondsUntil(ticks: readonly Tick[], share: number): number {
  const last = ticks.findLast(({ seconds, left }) => seconds >= 0 && left > share);
  if (last === undefined) return 0;
  const next = ticks.find(({ seconds }) => seconds > last.seconds);
  return next?.seconds ?? Number.POSITIVE_INFINITY;
}

function leftAt(ticks: readonly Tick[], seconds: number): number {
  return ticks.findLast((tick) => tick.seconds <= seconds)?.left ?? Number.NaN;
}

function reportOf(
  played: readonly Played[],
  choices: readonly { worst: number; unfit: number; pops: number }[],
  draws: number,
): ModeResult {
  const ttl = 60;
  const of = (name: EventName) => played.filter((one) => one.name === name);
  const worst = (name: EventName, seconds: number) => Math.max(...of(name).map(({ ticks }) => leftAt(ticks, seconds)));
  const peak = (name: EventName) => Math.max(...of(name).map((one) => one.peak));
  const verdicts: Verdict[] = [
    atMost('death: share left after a build and a TTL (5% hold on)', worst('death', ttl + 15), 0.1),
    atMost('death: peak load of a PoP after five TTLs more', peak('death'), defaultRoom.hard),
    atLeast('step: share gone after 10 min and a TTL', 1 - worst('step', 600 + ttl), 0.95),
    atMost('step: peak load of a PoP after five TTLs more', peak('step'), defaultRoom.hard),
    atMost('overload: peak load of a PoP after five TTLs more', peak('overload'), defaultRoom.hard),
    atMost(
      'second choices: PoPs whose loss does not fit',
      choices.reduce((sum, { unfit }) => sum + unfit, 0),
      0,
    ),
  ];
  const rows = played.map(({ name, pop, ticks, peak: highest }) => [
    name,
    pop,
    percent(leftAt(ticks, ttl + 15)),
    percent(leftAt(ticks, 600 + ttl)),
    String(secondsUntil(ticks, 0.05)).replace('Infinity', 'never'),
    percent(highest),
  ]);
  const head = ['event', 'at', 'left after 75 s', 'left after 11 min', 's until 5% left', 'peak load later'];
  const fits = choices.map(({ worst: most, unfit, pops }) => [`${unfit} of ${pops}`, percent(most)]);
  const plots = Object.fromEntries(
    eventNames.map((name) => {
      const { ticks } = of(name)[0]!;
      const shown = ticks.filter((_, i) => i % 5 === 0);
      const byPop = ticks[0]!.loads.map((_, pop) => [`PoP ${pop}`, shown.map(({ loads }) => loads[pop]!)]);
      const hours = shown.map(({ seconds }) => seconds / 3600);
      return [name, plotSeries(`Load of each PoP, ${name}`, hours, Object.fromEntries(byPop), 'of capacity')];
    }),
  );
  const text = [
    `${draws} draws; load is of capacity; total demand is ${percent(filled)} of it without the busiest PoP`,
    table(head, rows),
    table(['second choices: losses that do not fit', 'worst load'], fits),
    verdictTable(verdicts),
  ].join('\n\n');
  const figures = {
    draws,
    played: played.map(({ name, pop, ticks, peak: highest }) => {
      const left = { after75s: leftAt(ticks, ttl + 15), after11min: leftAt(ticks, 600 + ttl) };
      const seconds = secondsUntil(ticks, 0.05);
      return { name, pop, left, secondsUntil5Percent: Number.isFinite(seconds) ? seconds : 'never', peak: highest };
    }),
    secondChoices: choices,
  };
  return { mode: 'events', text, verdicts, figures, plots };
}
