/**
 * Clients that lie. A trial is one day of one prefix whose best PoP was found the day before, and whose second is farther
 * by max(10 ms, 20%) at least: does its first choice move, and does any other prefix's?
 *
 * The liar knows the truth. It makes every PoP but the best look as near as light allows from where GeoIP has it; or the
 * best three times as far, and now and then failed; or the best failed. A twin world without the lie, from the same samples, tells what moves by itself.
 *
 *     draw   one world, one liar a city and at most one an AS: they share no aggregate, so each is a trial of its own
 *            ├─ all of them lie: own moves are counted, and if no other prefix moves, none moves for any of them
 *            └─ another one moved: played again to find the liars that do it alone, and what moves then is counted
 */
import { limits } from '@ufes/core/limits.ts';
import type { Rng } from '@ufes/core/ports.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { floorRttMs } from '@ufes/geoip/prior.ts';
import { Beacons, beaconTimes, drawMeasured } from '../beacons.ts';
import { dayMs, startMs } from '../draws.ts';
import type { ModeResult } from '../mode.ts';
import { type Options, worldOf } from '../options.ts';
import { Truth } from '../policies.ts';
import { Steering } from '../steering.ts';
import { kmBetween, type World } from '../world.ts';
import { type Case, type Lie, lies, reportOf } from './poison-cases.ts';

/** Of the true round trip, but never below what the place allows: less is not believed. */
const deflated = 0.1;
const inflated = 3;
/** Of inflating lies, those that tell of a failed warm-up. */
const failed = 0.2;
const buildMs = 3_600_000;
/** The day before there is no lie to be followed. */
const warmBuildMs = 6 * buildMs;

export function poison(options: Options): ModeResult {
  const { draws = 5, prefixes = 500, seed } = options;
  const cases = lies.flatMap((lie) =>
    options.liarSamples.map((n): Case => ({ lie, n, trials: 0, moved: 0, movedAnyway: 0, others: 0, together: 0 })),
  );
  for (const n of options.liarSamples) {
    for (let i = 0; i < draws; i++) {
      const draw = new Draw(options, `${seed}/${i}`, prefixes, n);
      for (const one of cases) if (one.n === n) draw.count(one);
    }
  }
  return reportOf(cases, options.beacons);
}

interface Told {
  readonly record: SampleRecord;
  /** Undefined: not of a liar. */
  readonly liar: number | undefined;
  /** Of the day's: 0 for the newest, to 1. */
  readonly age: number;
}

/** Samples up to a build, and what every user is answered after it where nobody lies. */
interface Step {
  readonly atMs: number;
  readonly told: readonly Told[];
  readonly honest: Int16Array;
}

class Draw {
  readonly #world: World;
  readonly #truth: Truth;
  readonly #seed: string;
  readonly #n: number;
  readonly #falseFailures: number;
  /** Best PoP of each prefix that lies. */
  readonly #liars: ReadonlyMap<number, number>;
  /** Those that moved another prefix once. */
  readonly #culprits = new Set<number>();
  readonly #before: readonly Step[];
  readonly #day: readonly Step[];

  constructor(options: Options, seed: string, prefixes: number, n: number) {
    this.#seed = seed;
    this.#n = n;
    this.#world = worldOf(options, seed, prefixes);
    this.#truth = new Truth(this.#world, { name: 'client', k: 1, origin: undefined }, startMs, options.beacons.kind);
    this.#falseFailures = options.beacons.falseFailures;
    const measured = drawMeasured(this.#world, options.measured, new Set(), seededRng(`${seed}/measured`));
    const apart = this.#apart(measured);
    const honest = new Steering({ world: this.#world });
    const source = new Beacons(honest, seededRng(`${seed}/beacons`), options.beacons);
    honest.build(startMs, true);
    const play = (fromMs: number, everyMs: number) => this.#honestDay(honest, source, measured, apart, fromMs, everyMs);
    this.#before = play(startMs, warmBuildMs);
    this.#liars = new Map([...apart].filter(([user, best]) => honest.choose(user) === best));
    this.#day = play(startMs + dayMs, buildMs);
  }

  count(one: Case): void {
    const { moved, others } = this.#play(one.lie, this.#liars);
    one.trials += this.#liars.size;
    one.moved += moved.size;
    one.together += others.size;
    for (const [user, best] of this.#liars) {
      if (this.#day.some(({ honest }) => honest[user] !== best)) one.movedAnyway++;
    }
    if (others.size > 0) one.others += this.#alone(one.lie, others);
  }

  /** Moves of others by one liar alone: those that did it before are tried first, the rest by halves. */
  #alone(lie: Lie, together: ReadonlySet<number>): number {
    const left = new Set(together);
    let moves = 0;
    const play = (liars: readonly (readonly [number, number])[]): boolean => {
      const { others } = this.#play(lie, new Map(liars));
      if (liars.length > 1) return others.size > 0;
      moves += others.size;
      for (const user of others) left.delete(user);
      if (others.size > 0) this.#culprits.add(liars[0]![0]);
      return false;
    };
    const known = [...this.#liars].filter(([user]) => this.#culprits.has(user));
    for (const one of known) play([one]);
    const parts = [[...this.#liars].filter(([user]) => !this.#culprits.has(user))];
    for (let part = parts.pop(); part !== undefined && left.size > 0; part = parts.pop()) {
      const half = part.length >> 1;
      if (part.length > 0 && play(part)) parts.push(part.slice(0, half), part.slice(half));
    }
    return moves;
  }

  /** One a city and an AS, with a best PoP far enough ahead. */
  #apart(measured: readonly number[]): Map<number, number> {
    const taken = new Set<string>();
    const apart = new Map<number, number>();
    for (const user of measured) {
      const marks = [this.#world.cityOf(user), `AS${this.#world.users[user]!.asn}`];
      const costs = this.#world.popIds.map((_, pop) => this.#truth.costMs(user, pop)).sort((a, b) => a - b);
      const isApart = costs[1]! - costs[0]! >= Math.max(10, 0.2 * costs[0]!);
      if (!isApart || marks.some((mark) => taken.has(mark))) continue;
      for (const mark of marks) taken.add(mark);
      apart.set(user, this.#truth.best(user));
    }
    return apart;
  }

  #honestDay(
    steering: Steering,
    source: Beacons,
    measured: readonly number[],
    apart: ReadonlyMap<number, number>,
    fromMs: number,
    everyMs: number,
  ): Step[] {
    const rng = seededRng(`${this.#seed}/${this.#n}/day/${fromMs}`);
    const others = measured.filter((user) => !apart.has(user));
    const span = [fromMs, fromMs + dayMs] as const;
    const ofLiar = (user: number) => {
      const own = beaconTimes([user], this.#n, ...span, rng);
      return own.map((time, i) => ({ ...time, age: 1 - (i + 0.5) / own.length }));
    };
    const times = [
      ...beaconTimes(others, 30, ...span, rng).map((time) => ({ ...time, age: 1 })),
      ...[...apart.keys()].flatMap(ofLiar),
    ].sort((a, b) => a.atMs - b.atMs);
    const steps: Step[] = [];
    let next = 0;
    for (let atMs = fromMs + everyMs; atMs <= fromMs + dayMs; atMs += everyMs) {
      const told: Told[] = [];
      for (; next < times.length && times[next]!.atMs < atMs; next++) {
        const { user, atMs: sentMs, age } = times[next]!;
        const liar = apart.has(user) ? user : undefined;
        const record = source.one(user, sentMs);
        told.push({
          record: liar === undefined ? record : this.#ofBest(record, user, steering.choose(user), rng),
          liar,
          age,
        });
      }
      steering.fold(told.map(({ record }) => record));
      steering.build(atMs, true);
      steps.push({ atMs, told, honest: this.#choices(steering) });
    }
    return steps;
  }

  #choices(steering: Steering): Int16Array {
    return Int16Array.from(this.#world.users, (_, user) => steering.choose(user));
  }

  /** Users that were answered otherwise than the truth and than the honest twin: liars, and others. */
  #play(lie: Lie, liars: ReadonlyMap<number, number>) {
    const steering = new Steering({ world: this.#world });
    steering.build(startMs, true);
    for (const { atMs, told } of this.#before) {
      steering.fold(told.map(({ record }) => record));
      steering.build(atMs, true);
    }
    // Each lies as it would alone.
    const rngs = new Map([...liars.keys()].map((user) => [user, seededRng(`${this.#seed}/${lie.name}/${user}`)]));
    const moved = new Set<number>();
    const others = new Set<number>();
    for (const { atMs, told, honest } of this.#day) {
      steering.fold(
        told.map(({ record, liar, age }) => {
          const rng = rngs.get(liar ?? -1);
          return rng === undefined ? record : this.#tamper(record, lie, liar!, liars.get(liar!)!, age, rng);
        }),
      );
      steering.build(atMs, true);
      for (const [user, pop] of this.#choices(steering).entries()) {
        const best = liars.get(user);
        if (best === undefined && pop !== honest[user]) others.add(user);
        if (best !== undefined && pop !== best) moved.add(user);
      }
    }
    return { moved, others };
  }

  /** Always of where it goes and the best PoPs beside that, so that n is that of each. */
  #ofBest(record: SampleRecord, user: number, incumbent: number, rng: Rng): SampleRecord {
    const { atMs } = record;
    const best = this.#world.popIds
      .map((_, pop) => pop)
      .filter((pop) => pop !== incumbent)
      .sort((a, b) => this.#truth.costMs(user, a) - this.#truth.costMs(user, b));
    const observations = [incumbent, ...best].slice(0, limits.probe.targetsPerPlan).map((pop) => {
      const target = `pop:${this.#world.popIds[pop]}`;
      if (rng.next() < this.#falseFailures) return { target, ok: false, weight: 1 };
      return { target, ok: true, rttMs: this.#world.observe(user, pop, atMs, record.kind, rng), weight: 1 };
    });
    return { ...record, observations };
  }

  #tamper(
    record: SampleRecord,
    { way, share, burst }: Lie,
    user: number,
    best: number,
    age: number,
    rng: Rng,
  ): SampleRecord {
    const observations = record.observations.map((one) => {
      const lies = burst ? age < share : rng.next() < share;
      const pop = this.#world.popIds.indexOf(one.target.slice('pop:'.length));
      if (!lies || one.rttMs === undefined || (pop === best) === (way === 'deflated')) return one;
      if (way === 'deflated') {
        return { ...one, rttMs: Math.max(deflated * one.rttMs, this.#nearestPossibleMs(user, pop)) };
      }
      if (way === 'failed' || rng.next() < failed) return { target: one.target, ok: false, weight: one.weight };
      return { ...one, rttMs: Math.min(limits.probe.rttMsMax, inflated * one.rttMs) };
    });
    return { ...record, observations };
  }

  #nearestPossibleMs(user: number, pop: number): number {
    const told = this.#world.init.places[this.#world.toldPlace[user]!]!;
    return 1 + floorRttMs(kmBetween(told, this.#world.popPlace(pop)));
  }
}
