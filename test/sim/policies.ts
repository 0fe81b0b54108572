/**
 * The policies that are held against each other, over the same users. What a policy needs to know of the truth it is told
 * here: `oracle` all of it, `anycast` the best PoP, the others nothing.
 */
import type { Rng } from '@ufes/core/ports.ts';
import type { SampleKind } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { Keyed, pickWeighted } from './draw.ts';
import type { Aim } from './steering.ts';
import { kmBetween, type Place, type World } from './world.ts';

/** What a user's requests cost through a PoP, noise-free. */
export class Truth {
  readonly #world: World;
  readonly #aim: Aim;
  readonly #atMs: number;
  readonly #kind: SampleKind;

  constructor(world: World, aim: Aim, atMs: number, kind: SampleKind) {
    this.#world = world;
    this.#aim = aim;
    this.#atMs = atMs;
    this.#kind = kind;
  }

  costMs(user: number, pop: number): number {
    const { k, origin } = this.#aim;
    const backbone = origin === undefined ? 0 : this.#world.init.backboneMs[origin]![pop]!;
    return k * this.#world.noiseFreeMs(user, pop, this.#atMs, this.#kind) + backbone;
  }

  best(user: number): number {
    let best = 0;
    let cost = this.costMs(user, 0);
    for (let pop = 1; pop < this.#world.pops; pop++) {
      const other = this.costMs(user, pop);
      if (other < cost) [best, cost] = [pop, other];
    }
    return best;
  }

  /** Of no PoP at all: k round trips to the origin. NaN without an origin. */
  directMs(user: number): number {
    const { k, origin } = this.#aim;
    return origin === undefined ? Number.NaN : k * this.#world.init.directMs[origin]![user]!;
  }
}

export const wrongKm = 2_000;

/** A place more than 2,000 km away from a user's, by population. */
export function wrongPlace(world: World, user: number, rng: Rng): number {
  const { places } = world.init;
  const home = world.place(user);
  const weights = places.map((place) => (kmBetween(home, place) > wrongKm ? place.population : 0));
  return pickWeighted(rng, weights);
}

export function nearestPop(world: World, place: Place): number {
  const km = world.popIds.map((_, pop) => kmBetween(place, world.popPlace(pop)));
  return km.indexOf(Math.min(...km));
}

/** PoP by user of the policies that do not steer; `geo` is the mapper's own and not among them. */
export function otherPolicies(world: World, truth: Truth, seed: string): Record<string, (user: number) => number> {
  const at = (user: number, place: number) => nearestPop(world, world.init.places[place] ?? world.place(user));
  const geoError = new Keyed(`${seed}/geo-error`, (rng) => (rng.next() < 0.05 ? rng : undefined));
  const resolvers = new Keyed(`${seed}/resolvers`, (rng) => (rng.next() < 0.3 ? rng : undefined));
  const anycast = new Keyed(`${seed}/anycast`, (rng) => (rng.next() < 0.2 ? rng.next() : undefined));
  const elsewhere = (user: number, rng: Rng) => {
    const { places } = world.init;
    const { country } = world.place(user);
    const abroad = rng.next() < 0.5;
    return pickWeighted(
      rng,
      places.map((place) => (abroad || place.country === country ? place.population : 0)),
    );
  };
  return {
    'geo, 5% of GeoIP wrong': (user) => {
      const rng = geoError.of(String(user));
      return at(user, rng === undefined ? world.users[user]!.place : wrongPlace(world, user, rng));
    },
    'geo, 30% of resolvers elsewhere': (user) => {
      const rng = resolvers.of(String(user));
      return at(user, rng === undefined ? world.users[user]!.place : elsewhere(user, rng));
    },
    'anycast, 20% suboptimal': (user) => {
      // Routes are made by networks: a whole AS in a city goes the wrong way.
      const detour = anycast.of(`${world.users[user]!.asn}/${world.users[user]!.place}`);
      const best = truth.best(user);
      if (detour === undefined) return best;
      const others = world.popIds
        .map((_, pop) => ({ pop, ms: truth.costMs(user, pop) }))
        .sort((a, b) => a.ms - b.ms)
        .slice(1, 11);
      return others[Math.floor(detour * others.length)]?.pop ?? best;
    },
    oracle: (user) => truth.best(user),
  };
}

/** Draws the users whose place GeoIP has wrong, and makes it so. Users by number. */
export function makeWrong(world: World, share: number, seed: string): Set<number> {
  const rng = seededRng(`${seed}/wrong-geoip`);
  const wrong = new Set<number>();
  for (const user of world.users.keys()) {
    if (rng.next() >= share) continue;
    world.toldPlace[user] = wrongPlace(world, user, rng);
    wrong.add(user);
  }
  return wrong;
}
