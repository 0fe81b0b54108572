/**
 * Clients that lie. Each trial is one day of one prefix whose best PoP was found the day before, and whose second is
 * farther by max(10 ms, 20%) at least: how often does its first choice move, and does any other prefix's?
 *
 * The liar knows the truth. It makes every PoP but the best look as near as light allows from where GeoIP has it, or the
 * best three times as far, or failed. A twin world without the lie, from the same samples, tells what moves by itself.
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
import { atMost, percent, table, type Verdict, verdictTable } from '../report.ts';
import { Steering } from '../steering.ts';
import { kmBetween, type World } from '../world.ts';

/** Of the true round trip, but never below what the place allows: less is not believed. */
const deflated = 0.1;
const inflated = 3;
/** Of inflating lies, those that tell of a failed warm-up. */
const failed = 0.2;
const buildMs = 3_600_000;

interface Lie {
  readonly name: string;
  readonly inflates: boolean;
  /** Of samples; in a burst, of the newest. */
  readonly share: number;
  readonly burst: boolean;
  /** Moves are bounded. */
  readonly bound: number | undefined;
}
const lies: readonly Lie[] = [
  { name: '20% deflated', inflates: false, share: 0.2, burst: false, bound: 0.05 },
  { name: '50% inflated', inflates: true, share: 0.5, burst: false, bound: 0.05 },
  { name: 'newest 10% deflated', inflates: false, share: 0.1, burst: true, bound: 0.05 },
  { name: 'newest 20% deflated', inflates: false, share: 0.2, burst: true, bound: undefined },
  { name: 'newest 50% inflated', inflates: true, share: 0.5, burst: true, bound: undefined },
];

interface Counted {
  trials: number;
  moved: number;
  movedAnyway: number;
  others: number;
}

export function poison(options: Options): ModeResult {
  const { draws = 5, prefixes = 500, seed } = options;
  const cases = lies.flatMap((lie) =>
    options.liarSamples.map((n) => {
      const counted: Counted = { trials: 0, moved: 0, movedAnyway: 0, others: 0 };
      for (let i = 0; i < draws; i++) new Trial(options, `${seed}/${i}`, prefixes, lie, n).play(counted);
      return { lie, n, ...counted };
    }),
  );
  const verdicts = cases.flatMap(({ lie, n, trials, moved, others }): Verdict[] => [
    ...(lie.bound === undefined ? [] : [atMost(`${lie.name}, n = ${n}: own moves`, moved / trials, lie.bound)]),
    ...(others === 0 ? [] : [atMost(`${lie.name}, n = ${n}: moves of others`, others, 0)]),
  ]);
  const rows = cases.map(({ lie, n, trials, moved, movedAnyway, others }) => {
    return [lie.name, n, trials, percent(moved / trials), percent(movedAnyway / trials), others];
  });
  const head = ['lie', 'n', 'trials', 'first choice moved', 'without the lie', 'moves of others'];
  const { kind, falseFailures } = options.beacons;
  const said = `${kind}-timed; ${percent(falseFailures)} of warm-ups fail for nothing; jitter: noise.ts, scale 1.2 ms`;
  const text = `${said}\n\n${table(head, rows)}\n\n${verdictTable(verdicts)}`;
  const figures = cases.map(({ lie, ...rest }) => ({ lie: lie.name, ...rest }));
  return { mode: 'poison', text, verdicts, figures, plots: {} };
}

class Trial {
  readonly #world: World;
  readonly #truth: Truth;
  readonly #lied: Steering;
  readonly #honest: Steering;
  readonly #source: Beacons;
  readonly #seed: string;
  readonly #lie: Lie;
  readonly #n: number;
  readonly #falseFailures: number;
  /** Best PoP of each prefix that lies. */
  readonly #victims = new Map<number, number>();
  readonly #others: readonly number[];

  constructor(options: Options, seed: string, prefixes: number, lie: Lie, n: number) {
    this.#seed = seed;
    this.#lie = lie;
    this.#n = n;
    const world = worldOf(options, seed, prefixes);
    this.#world = world;
    this.#truth = new Truth(world, { name: 'client', k: 1, origin: undefined }, startMs, options.beacons.kind);
    this.#lied = new Steering({ world });
    this.#honest = new Steering({ world });
    this.#source = new Beacons(this.#honest, seededRng(`${seed}/beacons`), options.beacons);
    this.#falseFailures = options.beacons.falseFailures;
    const measured = drawMeasured(world, options.measured, new Set(), seededRng(`${seed}/measured`));
    // One liar a city: trials do not share an aggregate.
    const cities = new Set<string>();
    for (const user of measured) {
      const city = world.cityOf(user);
      if (cities.has(city) || !this.#isApart(user)) continue;
      cities.add(city);
      this.#victims.set(user, this.#truth.best(user));
    }
    this.#others = measured.filter((user) => !this.#victims.has(user));
  }

  play(counted: Counted): void {
    for (const steering of [this.#lied, this.#honest]) steering.build(startMs, true);
    this.#day(startMs, false, () => {});
    const victims = [...this.#victims].filter(([user, best]) => this.#honest.choose(user) === best);
    const moved = new Set<number>();
    const movedAnyway = new Set<number>();
    const others = new Set<number>();
    this.#day(startMs + dayMs, true, () => {
      for (const [user, best] of victims) {
        if (this.#lied.choose(user) !== best) moved.add(user);
        if (this.#honest.choose(user) !== best) movedAnyway.add(user);
      }
      for (const user of this.#world.users.keys()) {
        if (!this.#victims.has(user) && this.#lied.choose(user) !== this.#honest.choose(user)) others.add(user);
      }
    });
    counted.trials += victims.length;
    counted.moved += moved.size;
    counted.movedAnyway += movedAnyway.size;
    counted.others += others.size;
  }

  #isApart(user: number): boolean {
    const costs = this.#world.popIds.map((_, pop) => this.#truth.costMs(user, pop)).sort((a, b) => a - b);
    return costs[1]! - costs[0]! >= Math.max(10, 0.2 * costs[0]!);
  }

  #day(fromMs: number, lying: boolean, afterBuild: () => void): void {
    const rng = seededRng(`${this.#seed}/day/${fromMs}`);
    const span = [fromMs, fromMs + dayMs] as const;
    const times = [
      ...beaconTimes(this.#others, 30, ...span, rng).map((time) => ({ ...time, age: 0 })),
      ...this.#victimTimes(...span, rng),
    ].sort((a, b) => a.atMs - b.atMs);
    let next = 0;
    for (let now = fromMs + buildMs; now <= fromMs + dayMs; now += buildMs) {
      const honest: SampleRecord[] = [];
      const told: SampleRecord[] = [];
      for (; next < times.length && times[next]!.atMs < now; next++) {
        const { user, atMs, age } = times[next]!;
        const best = this.#victims.get(user);
        const record = best === undefined ? this.#source.one(user, atMs) : this.#recordOf(user, atMs, rng);
        honest.push(record);
        told.push(lying && best !== undefined ? this.#tamper(record, user, best, age, rng) : record);
      }
      this.#honest.fold(honest);
      this.#lied.fold(told);
      this.#honest.build(now, true);
      this.#lied.build(now, true);
      afterBuild();
    }
  }

  /** `age`: 0 for the newest of the day, to 1. */
  #victimTimes(fromMs: number, toMs: number, rng: Rng) {
    return [...this.#victims.keys()].flatMap((user) => {
      const times = beaconTimes([user], (this.#n * dayMs) / (toMs - fromMs), fromMs, toMs, rng);
      return times.map((time, i) => ({ ...time, age: 1 - (i + 0.5) / times.length }));
    });
  }

  /** Always of the five best PoPs, so that n is that of each. */
  #recordOf(user: number, atMs: number, rng: Rng): SampleRecord {
    const record = this.#source.one(user, atMs);
    const best = this.#world.popIds
      .map((_, pop) => pop)
      .sort((a, b) => this.#truth.costMs(user, a) - this.#truth.costMs(user, b))
      .slice(0, limits.probe.targetsPerPlan);
    const observations = best.map((pop) => {
      const target = `pop:${this.#world.popIds[pop]}`;
      if (rng.next() < this.#falseFailures) return { target, ok: false, weight: 1 };
      return { target, ok: true, rttMs: this.#world.observe(user, pop, atMs, record.kind, rng), weight: 1 };
    });
    return { ...record, observations };
  }

  #tamper(record: SampleRecord, user: number, best: number, age: number, rng: Rng): SampleRecord {
    const { inflates, share, burst } = this.#lie;
    const observations = record.observations.map((one) => {
      const lies = burst ? age < share : rng.next() < share;
      const pop = this.#world.popIds.indexOf(one.target.slice('pop:'.length));
      if (!lies || one.rttMs === undefined || (pop === best) !== inflates) return one;
      if (!inflates) return { ...one, rttMs: Math.max(deflated * one.rttMs, this.#nearestPossibleMs(user, pop)) };
      if (rng.next() < failed) return { target: one.target, ok: false, weight: one.weight };
      return { ...one, rttMs: Math.min(limits.probe.rttMsMax, inflated * one.rttMs) };
    });
    return { ...record, observations };
  }

  #nearestPossibleMs(user: number, pop: number): number {
    const told = this.#world.init.places[this.#world.toldPlace[user]!]!;
    return 1 + floorRttMs(kmBetween(told, this.#world.popPlace(pop)));
  }
}
