/** Guards by the simulator: a client that lies fires none, whatever it says; a path that is bad for a whole network does. */
import type { SampleKind, SampleRecord } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { describe, expect, test } from 'vitest';
import { Beacons, beaconTimes, type Tamper } from './beacons.ts';
import { dayMs, startMs } from './draws.ts';
import { Steering } from './steering.ts';
import { syntheticWorld } from './synthetic.ts';

const trials = 3;
/** Beacons a day, of five targets each. */
const perDay = 100;
const stepMs = 3 * 3_600_000;

interface Trial {
  readonly steering: Steering;
  /** PoP that each prefix was sent to before. */
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** One day of honest evidence, a second one on which `lie` and `fails` (by user, PoP) have their way, and what checks say. */
function play(
  { seed, kind, prefixes }: { readonly seed: string; readonly kind: SampleKind; readonly prefixes: number },
  lieOf: (
    before: readonly number[],
    steering: Steering,
  ) => { lie: Tamper; fails: (user: number, pop: number) => boolean },
): Trial {
  const world = syntheticWorld({ seed, pops: 8, prefixes, cities: 6, drift: false, origins: [] });
  const steering = new Steering({ world });
  const rng = seededRng(`${seed}/times`);
  const source = new Beacons(steering, seededRng(`${seed}/beacons`), { kind, chooser: 'map', falseFailures: 0.01 });
  const users = world.users.map((_, user) => user);
  const choices = () => users.map((user) => steering.choose(user));
  let fails = (_user: number, _pop: number): boolean => false;
  const day = (fromMs: number): void => {
    for (let at = fromMs; at < fromMs + dayMs; at += stepMs) {
      const times = beaconTimes(users, perDay, at, at + stepMs, rng);
      steering.fold(
        times.map(({ user, atMs }) => failing(source.one(user, atMs), (pop) => fails(user, pop), steering)),
      );
      steering.build(at + stepMs, true);
    }
  };
  steering.build(startMs, true);
  day(startMs);
  const before = choices();
  const lies = lieOf(before, steering);
  source.tamper = lies.lie;
  fails = lies.fails;
  // Guards fire by clients alone only while a check fails too: it fails everywhere.
  steering.doubted = new Set(world.popIds);
  day(startMs + dayMs);
  return { steering, before, after: choices() };
}

function failing(record: SampleRecord, fails: (pop: number) => boolean, { world }: Steering): SampleRecord {
  const observations = record.observations.map((one) => {
    const { target, weight } = one;
    return fails(world.popIds.indexOf(target.slice('pop:'.length))) ? { target, ok: false, weight } : one;
  });
  return { ...record, observations };
}

/** Cells that a guard keeps from a PoP. */
function guarded({ steering }: Trial): number {
  const { build, plan } = steering.fed;
  let count = 0;
  for (let row = 0; row < build.cells.count; row++) {
    if (plan.pops.some((_, pop) => build.guardOf(0, row, pop) !== undefined)) count++;
  }
  return count;
}

describe.each(['browser', 'edge'] as const)('%s-timed', (kind) => {
  test('one client that says of its best PoP what it likes fires no guard, and moves nobody else', () => {
    for (let trial = 0; trial < trials; trial++) {
      const seed = `guards/${kind}/${trial}`;
      const rng = seededRng(`${seed}/lie`);
      const init = { seed, kind, prefixes: 60 };
      let liar = -1;
      const lied = play(init, (before) => {
        liar = Math.floor(rng.next() * before.length);
        const isLie = (user: number, pop: number) => user === liar && pop === before[liar];
        // Every third is slow, every third fails: p25 stays what it is, p75 and availability do not.
        return {
          lie: (user, pop, ms) => (isLie(user, pop) && rng.next() < 0.4 ? 10 * ms + 300 : undefined),
          fails: (user, pop) => isLie(user, pop) && rng.next() < 0.3,
        };
      });
      const honest = play(init, () => ({ lie: () => undefined, fails: () => false }));
      expect(guarded(lied)).toBe(0);
      expect(lied.after.toSpliced(liar, 1)).toEqual(honest.after.toSpliced(liar, 1));
    }
  });

  test('a PoP that is bad for a network with 20 prefixes and more is left by these', () => {
    const bad = play({ seed: `guards/${kind}/network`, kind, prefixes: 150 }, (before, { world }) => {
      const rng = seededRng('network');
      const asns = Map.groupBy(before.keys(), (user) => `${world.users[user]!.asn} ${before[user]}`);
      const [most] = [...asns.values()].sort((a, b) => b.length - a.length);
      const hit = new Set(most);
      expect(hit.size).toBeGreaterThanOrEqual(20);
      const isHit = (user: number, pop: number) => hit.has(user) && pop === before[user];
      return {
        lie: (user, pop, ms) => (isHit(user, pop) && rng.next() < 0.4 ? 10 * ms + 300 : undefined),
        fails: () => false,
      };
    });
    expect(guarded(bad)).toBeGreaterThanOrEqual(15);
  });
});
