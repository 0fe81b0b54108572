/** One draw: a world, a day of evidence, and what the judge then finds. Shared by the modes that pool over draws. */
import type { SampleKind } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { type BeaconInit, Beacons, beaconTimes, drawMeasured } from './beacons.ts';
import { otherPolicies, Truth } from './policies.ts';
import type { Outcome } from './report.ts';
import { Steering } from './steering.ts';
import type { World } from './world.ts';

/** Monday, 00:00 UTC. */
export const startMs = Date.UTC(2026, 0, 5);
export const dayMs = 86_400_000;

export interface DrawInit {
  readonly world: World;
  readonly seed: string;
  readonly measuredShare: number;
  /** Share of cities without any evidence. */
  readonly heldOut: number;
  readonly beaconsPerDay: number;
  readonly beacons: BeaconInit;
  /** Builds in the day; plans follow the map of the last one. */
  readonly builds: number;
}

export interface Draw {
  readonly steering: Steering;
  readonly measured: ReadonlySet<number>;
  readonly heldOut: ReadonlySet<string>;
  readonly endMs: number;
}

/** Which of a draw's users. `near`: not measured, in a city where others are. */
export const groups = ['measured', 'near', 'held-out'] as const;
export type Group = (typeof groups)[number];

export function playDraw({ world, seed, measuredShare, heldOut, beaconsPerDay, beacons, builds }: DrawInit): Draw {
  const rng = seededRng(`${seed}/draw`);
  const cities = [...new Set(world.users.keys().map((user) => world.cityOf(user)))].sort();
  const without = new Set(cities.filter(() => rng.next() < heldOut));
  const measured = drawMeasured(world, measuredShare, without, rng);
  const steering = new Steering({ world });
  const source = new Beacons(steering, seededRng(`${seed}/beacons`), beacons);
  steering.build(startMs, true);
  for (let i = 0; i < builds; i++) {
    const [fromMs, toMs] = [i, i + 1].map((part) => startMs + (part * dayMs) / builds) as [number, number];
    const times = beaconTimes(measured, beaconsPerDay, fromMs, toMs, rng);
    steering.fold(times.map(({ user, atMs }) => source.one(user, atMs)));
    steering.build(toMs, true);
  }
  return { steering, measured: new Set(measured), heldOut: without, endMs: startMs + dayMs };
}

export function groupOf({ steering, measured, heldOut }: Draw, user: number): Group {
  if (measured.has(user)) return 'measured';
  return heldOut.has(steering.world.cityOf(user)) ? 'held-out' : 'near';
}

export type Judged = Record<string, Record<Group, Outcome[]>>;

/** Every user under every policy, for one aim, at the end of the draw. */
export function judge(draw: Draw, aim: number, kind: SampleKind, seed: string): Judged {
  const { steering, endMs } = draw;
  const { world } = steering;
  const truth = new Truth(world, steering.aims[aim]!, endMs, kind);
  const policies: Record<string, (user: number) => number> = {
    geo: (user) => steering.chooseGeo(user, aim),
    steering: (user) => steering.choose(user, aim),
    ...otherPolicies(world, truth, seed),
  };
  const judged: Judged = {};
  const of = (policy: string) => (judged[policy] ??= { measured: [], near: [], 'held-out': [] });
  for (const user of world.users.keys()) {
    const bestMs = truth.costMs(user, truth.best(user));
    const geoMs = truth.costMs(user, steering.chooseGeo(user, aim)) - bestMs;
    const cluster = `${seed} ${world.cityOf(user)}`;
    const group = groupOf(draw, user);
    const add = (policy: string, cost: number) => of(policy)[group].push({ cluster, regretMs: cost - bestMs, geoMs });
    for (const [policy, choose] of Object.entries(policies)) add(policy, truth.costMs(user, choose(user)));
    const direct = truth.directMs(user);
    if (!Number.isNaN(direct)) add('direct', direct);
  }
  return judged;
}

export function pool(all: readonly Judged[]): Judged {
  const pooled: Judged = {};
  for (const one of all) {
    for (const [policy, byGroup] of Object.entries(one)) {
      pooled[policy] ??= { measured: [], near: [], 'held-out': [] };
      for (const group of groups) for (const outcome of byGroup[group]) pooled[policy]![group].push(outcome);
    }
  }
  return pooled;
}
