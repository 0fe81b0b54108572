/** The evidence of a world: beacons of the measured prefixes, as a collector would hand them to the mapper. */
import { limits } from '@ufes/core/limits.ts';
import type { Rng } from '@ufes/core/ports.ts';
import type { Observation, SampleKind, SampleRecord } from '@ufes/core/samples.ts';
import { planTargets, weightOf } from '@ufes/core/steering/targets.ts';
import { floorRttMs, priorRttMs } from '@ufes/geoip/prior.ts';
import type { Steering } from './steering.ts';
import { kmBetween, type World } from './world.ts';

/**
 * By what a beacon's targets are chosen (core/steering/targets.ts): what the map in service says of the client, or, as
 * where there is no map yet, distance alone.
 */
export type Chooser = 'map' | 'distance';

export interface BeaconInit {
  readonly kind: SampleKind;
  readonly chooser: Chooser;
  /** Share of warm-ups that fail though the PoP is up. */
  readonly falseFailures: number;
}

export const usualBeacons: BeaconInit = { kind: 'browser', chooser: 'map', falseFailures: 0.01 };

/** Changes a round trip on its way: a client that lies. Undefined leaves it as it is. */
export type Tamper = (user: number, pop: number, rttMs: number) => number | undefined;

export class Beacons {
  readonly #steering: Steering;
  readonly #world: World;
  readonly #rng: Rng;
  readonly #init: BeaconInit;
  tamper: Tamper | undefined;
  #tokens = 0;

  constructor(steering: Steering, rng: Rng, init: BeaconInit = usualBeacons) {
    this.#steering = steering;
    this.#world = steering.world;
    this.#rng = rng;
    this.#init = init;
  }

  one(user: number, atMs: number): SampleRecord {
    const { kind } = this.#init;
    return {
      token: `t${this.#tokens++}`,
      tokenExpiresAtMs: atMs + limits.probe.tokenMs,
      atMs,
      source: 'rum',
      kind,
      prefix: this.#world.users[user]!.text,
      observations: this.#targets(user).map(({ pop, p }) => this.#observe(user, pop, atMs, weightOf(p))),
    };
  }

  #targets(user: number): { readonly pop: number; readonly p: number }[] {
    const slots = limits.probe.targetsPerPlan;
    if (this.#init.chooser === 'map') return this.#steering.targets(user, slots, this.#rng);
    const told = this.#world.init.places[this.#world.toldPlace[user]!]!;
    const km = this.#world.popIds.map((_, pop) => kmBetween(told, this.#world.popPlace(pop)));
    const desired = this.#steering.desired.pops.map(({ id }) => this.#world.popIds.indexOf(id));
    const ranking = desired.sort((a, b) => km[a]! - km[b]!);
    return planTargets({ ranking, lowMs: km.map(floorRttMs), priorMs: km.map(priorRttMs) }, slots, this.#rng);
  }

  #observe(user: number, pop: number, atMs: number, weight: number): Observation {
    const target = `pop:${this.#world.popIds[pop]}`;
    if (this.#rng.next() < this.#init.falseFailures) return { target, ok: false, weight };
    const seen = this.#world.observe(user, pop, atMs, this.#init.kind, this.#rng);
    const told = this.tamper?.(user, pop, seen) ?? seen;
    return { target, ok: true, rttMs: Math.min(limits.probe.rttMsMax, told), weight };
  }
}

/** `share` of the users, but for those in `except`; every one as likely. */
export function drawMeasured(world: World, share: number, except: ReadonlySet<string>, rng: Rng): number[] {
  return world.users.flatMap((_, user) => {
    const drawn = rng.next() < share;
    return drawn && !except.has(world.cityOf(user)) ? [user] : [];
  });
}

/** `perDay` beacons a day of each of these users (or by user), times drawn anew for each; sorted by time, `toMs` excluded. */
export function beaconTimes(
  users: readonly number[],
  perDay: number | ((user: number) => number),
  fromMs: number,
  toMs: number,
  rng: Rng,
): { readonly user: number; readonly atMs: number }[] {
  const span = toMs - fromMs;
  const times = users.flatMap((user) => {
    const mean = ((typeof perDay === 'number' ? perDay : perDay(user)) * span) / 86_400_000;
    const count = Math.floor(mean) + (rng.next() < mean - Math.floor(mean) ? 1 : 0);
    return Array.from({ length: count }, () => ({ user, atMs: fromMs + Math.floor(rng.next() * span) }));
  });
  return times.sort((a, b) => a.atMs - b.atMs);
}
