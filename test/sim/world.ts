/**
 * A world: places, PoPs, client prefixes, and how long round trips take. What is true is known to the judge alone
 * (`baseMs`, `noiseFreeMs`); steering sees what `observe` tells, and places as GeoIP has them (`toldPlace`).
 *
 *     round trip seen = base(user, PoP, time) + scale(user, PoP, time) · noise      noise: right-skewed, never negative
 *     noise-free p25  = base(user, PoP, time) + scale(user, PoP, time) · p25 of the noise
 */
import type { Address } from '@ufes/core/ip.ts';
import type { Rng } from '@ufes/core/ports.ts';
import type { SampleKind } from '@ufes/core/samples.ts';
import { distanceKm } from '@ufes/geoip/prior.ts';
import { exponential, Keyed } from './draw.ts';
import { drawNoise, noiseQuarter } from './noise.ts';

export interface Place {
  readonly id: string;
  readonly city: string;
  readonly country: string;
  readonly latitude: number;
  readonly longitude: number;
  /** People, or anything that clients are in proportion to. */
  readonly population: number;
}

/** One client prefix. */
export interface User {
  readonly prefix: Address;
  /** `192.0.2.0/24` */
  readonly text: string;
  readonly place: number;
  readonly asn: number;
  /** Requests a second. */
  readonly demand: number;
}

/** What a latency model gives: a number a (user, PoP), row by row. */
export interface Latency {
  /** Milliseconds at rest. */
  readonly restMs: Float32Array;
  /** Milliseconds on top at the busiest hour of the user's evening. */
  readonly eveningMs: Float32Array;
  /** Of the user's access line, milliseconds. */
  readonly jitterMs: Float32Array;
}

/** A round trip that is longer from some time on, for some time. */
export interface Step {
  readonly pop: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly addMs: number;
}

export interface Origin {
  readonly id: string;
  readonly place: number;
}

export interface WorldInit {
  readonly name: string;
  readonly seed: string;
  readonly places: readonly Place[];
  /** PoP → place. */
  readonly pops: readonly number[];
  readonly users: readonly User[];
  readonly latency: Latency;
  readonly origins: readonly Origin[];
  /** Origin → PoP → round trip. */
  readonly backboneMs: readonly (readonly number[])[];
  /** Origin → user → round trip. */
  readonly directMs: readonly (readonly number[])[];
  /** False: no time of day. */
  readonly drift: boolean;
}

/** Part of a path's length that comes back as jitter, beside that of the access line. */
const pathJitter = 0.01;
const hourMs = 3_600_000;
/** Share of links that fill in the evening, and by how much the round trip then grows, in the mean. */
const fullLinks = 0.15;
const fullLinkMs = 10;

export class World {
  readonly init: WorldInit;
  readonly popIds: readonly string[];
  /** Place that GeoIP gives a user; differs from the true one where it is wrong. */
  readonly toldPlace: Int32Array;
  steps: Step[] = [];

  constructor(init: WorldInit) {
    this.init = init;
    // Ids sort like numbers, so that a map's PoP numbers are the world's.
    this.popIds = init.pops.map((_, pop) => `p${String(pop).padStart(3, '0')}`);
    this.toldPlace = Int32Array.from(init.users, ({ place }) => place);
  }

  get users(): readonly User[] {
    return this.init.users;
  }

  get pops(): number {
    return this.init.pops.length;
  }

  place(user: number): Place {
    return this.init.places[this.users[user]!.place]!;
  }

  cityOf(user: number): string {
    const { city, country } = this.place(user);
    return `${city}, ${country}`;
  }

  popPlace(pop: number): Place {
    return this.init.places[this.init.pops[pop]!]!;
  }

  /** The part of a round trip that no noise adds to. */
  baseMs(user: number, pop: number, atMs: number): number {
    const { restMs, eveningMs } = this.init.latency;
    const at = user * this.pops + pop;
    let ms = restMs[at]! + eveningMs[at]! * this.evening(user, atMs);
    for (const step of this.steps) if (step.pop === pop && atMs >= step.fromMs && atMs < step.toMs) ms += step.addMs;
    return ms;
  }

  /** The 25th percentile of what can be seen, without the error of any sample. */
  noiseFreeMs(user: number, pop: number, atMs: number, kind: SampleKind): number {
    const base = this.baseMs(user, pop, atMs);
    return base + this.#scale(user, base, atMs) * noiseQuarter(kind);
  }

  observe(user: number, pop: number, atMs: number, kind: SampleKind, rng: Rng): number {
    const base = this.baseMs(user, pop, atMs);
    return base + this.#scale(user, base, atMs) * drawNoise(kind, rng);
  }

  /** 0 by day to 1 at nine in the evening, by the sun. */
  evening(user: number, atMs: number): number {
    if (!this.init.drift) return 0;
    const hour = ((atMs / hourMs + this.place(user).longitude / 15) % 24) - 21;
    return Math.max(0, Math.cos((hour * Math.PI) / 12)) ** 2;
  }

  /** Requests a second at a time of day: half of the mean at night, double in the evening. */
  demand(user: number, atMs: number): number {
    return this.users[user]!.demand * (this.init.drift ? 0.6 + 1.6 * this.evening(user, atMs) : 1);
  }

  #scale(user: number, base: number, atMs: number): number {
    return this.init.latency.jitterMs[user]! * (1 + this.evening(user, atMs)) + pathJitter * base;
  }
}

/** Of all pairs of an AS and a PoP, some have a link that fills in the evening; `Latency.eveningMs` of these. */
export function eveningLinks(seed: string, users: readonly User[], pops: number): Float32Array {
  const links = new Keyed(`${seed}/evening`, (rng) => (rng.next() < fullLinks ? fullLinkMs * exponential(rng) : 0));
  return Float32Array.from({ length: users.length * pops }, (_, at) =>
    links.of(`${users[Math.floor(at / pops)]!.asn}/${at % pops}`),
  );
}

export function kmBetween(a: Place, b: Place): number {
  return distanceKm(a.latitude, a.longitude, b.latitude, b.longitude);
}
