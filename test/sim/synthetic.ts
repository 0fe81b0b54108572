/**
 * The built-in world: cities of the world, three operators a country, and round trips that distance tells only so much of.
 *
 *     access line of the prefix + path;  path = (6 ms + 17 ms per 1,000 km) · exp(residual), at least what light takes
 *
 *     residual = one that varies slowly over space, for each PoP (skewed)            neighbours share it
 *              + one of the country + one of the AS + one of the prefix, each to that PoP
 *     hair-pin      an AS, a whole country, or a part of the world reaches some PoPs through a hub far away
 *     peering       an AS reaches some PoPs over a congested or one-sided link: 1.3 to 2.2 times as long
 *     evening       some of its links fill when its users are at home
 *
 * Spreads were set by hand to what was measured between real cities, without a look at what steering makes of them: 246
 * cities and 30 PoPs, one city left out at a time, had a mean regret and a 95th percentile of 14.5 and 102 ms by distance
 * (14.8 and 95 here over 12 draws), and of 5.2 and 30 ms by prior and residuals of the 8 metros nearest by (5.4 and 22).
 * Residuals of cloud regions correlate by 0.85 in a city, 0.6 to 1,200 km and 0.55 to 4,000 km (0.78, 0.6, 0.3 to 0.6).
 */
import { fileURLToPath } from 'node:url';
import type { Rng } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { floorRttMs, priorRttMs } from '@ufes/geoip/prior.ts';
import { readTable } from './csv.ts';
import { Keyed, lognormal, pick, sampleWeighted, skewed } from './draw.ts';
import { drawUsers } from './prefixes.ts';
import { eveningLinks, kmBetween, type Latency, type Place, type User, World } from './world.ts';

export interface SyntheticInit {
  readonly seed: string;
  readonly pops: number;
  readonly prefixes: number;
  /** Cities that clients are in. */
  readonly cities: number;
  readonly drift: boolean;
  /** Names of cities with an origin. */
  readonly origins: readonly string[];
}

const spread = { space: 0.2, country: 0.08, asn: 0.08, prefix: 0.04 };
const hairPins = { ofAsn: 0.02, ofCountry: 0.02, ofRegion: 0.06 };
const peering = 0.04;
const siteKm = 3_000;
const hubs = ['London', 'Frankfurt', 'Marseille', 'New York', 'Miami', 'Los Angeles', 'Singapore', 'Tokyo'];
/** Of `priorRttMs` at no distance, what is the path's. */
const pathBaseMs = 6;

export function cityTable(): Place[] {
  const path = fileURLToPath(new URL('cities.csv', import.meta.url));
  return readTable(path, ['city', 'country', 'latitude', 'longitude', 'population']).map((row) => ({
    id: `${row.text('city')}, ${row.text('country')}`,
    city: row.text('city'),
    country: row.text('country'),
    latitude: row.number('latitude', -90, 90),
    longitude: row.number('longitude', -180, 180),
    population: row.number('population', 1, 1e9),
  }));
}

export function syntheticWorld(init: SyntheticInit): World {
  const { seed } = init;
  const rng = seededRng(`${seed}/world`);
  const places = cityTable();
  const weights = places.map(({ population }) => Math.sqrt(population));
  const pops = sampleWeighted(rng, weights, init.pops);
  const where = sampleWeighted(rng, weights, init.cities);
  const users = drawUsers(rng, places, where, init.prefixes);
  const paths = new Paths(seed, places, pops);
  const origins = init.origins.map((name) => ({ id: name, place: places.findIndex(({ city }) => city === name) }));
  const unknown = origins.find(({ place }) => place < 0);
  if (unknown !== undefined) throw new Error(`no city "${unknown.id}" in cities.csv`);
  return new World({
    name: 'synthetic',
    seed,
    places,
    pops,
    users,
    latency: latencyOf(seed, paths, users, pops.length),
    origins,
    // An engineered backbone: less detour, no access line.
    backboneMs: origins.map(({ place }) => pops.map((pop) => 1 + 0.011 * kmBetween(places[pop]!, places[place]!))),
    directMs: origins.map((_, origin) =>
      users.map((user, i) => accessMs(seed, i) + paths.pathMs(user, i, -1 - origin, origins[origin]!.place)),
    ),
    drift: init.drift,
  });
}

function latencyOf(seed: string, paths: Paths, users: readonly User[], pops: number): Latency {
  const restMs = new Float32Array(users.length * pops);
  const rng = seededRng(`${seed}/jitter`);
  const jitterMs = Float32Array.from(users, () => 1.2 * lognormal(rng, 0.6));
  for (const [i, user] of users.entries()) {
    const access = accessMs(seed, i);
    for (let pop = 0; pop < pops; pop++) {
      restMs[i * pops + pop] = access + paths.pathMs(user, i, pop, paths.pops[pop]!);
    }
  }
  return { restMs, eveningMs: eveningLinks(seed, users, pops), jitterMs };
}

function accessMs(seed: string, user: number): number {
  return 10 * lognormal(seededRng(`${seed}/access/${user}`), 0.5);
}

/** Where a field of one PoP is given. */
interface Site {
  readonly place: Place;
  readonly value: number;
  /** Hub that what is around it goes through; undefined: the straight way. */
  readonly hub: number | undefined;
}

/** Of a place, to one PoP. */
interface Here {
  /** Mean 0, deviation about 1 over the earth. */
  readonly value: number;
  readonly hub: number | undefined;
}

class Paths {
  readonly pops: readonly number[];
  readonly #places: readonly Place[];
  readonly #hubs: readonly Place[];
  readonly #fields: Keyed<readonly Site[]>;
  readonly #country: Keyed<number>;
  readonly #asn: Keyed<number>;
  readonly #prefix: Keyed<number>;
  /** How near a hub it is, from 0; undefined: the straight way. */
  readonly #hairPinAsn: Keyed<number | undefined>;
  readonly #hairPinCountry: Keyed<number | undefined>;
  readonly #peering: Keyed<number>;
  readonly #space = new Map<string, Here>();

  constructor(seed: string, places: readonly Place[], pops: readonly number[]) {
    this.pops = pops;
    this.#places = places;
    this.#hubs = places.filter(({ city }) => hubs.includes(city));
    this.#fields = new Keyed(`${seed}/space`, (rng) =>
      Array.from({ length: 60 }, () => ({
        place: pick(rng, places),
        value: skewed(rng),
        hub: hubOf(rng, hairPins.ofRegion),
      })),
    );
    this.#country = new Keyed(`${seed}/country`, skewed);
    this.#asn = new Keyed(`${seed}/asn`, skewed);
    this.#prefix = new Keyed(`${seed}/prefix`, skewed);
    this.#hairPinAsn = new Keyed(`${seed}/hair-pin-asn`, (rng) => hubOf(rng, hairPins.ofAsn));
    this.#hairPinCountry = new Keyed(`${seed}/hair-pin-country`, (rng) => hubOf(rng, hairPins.ofCountry));
    this.#peering = new Keyed(`${seed}/peering`, (rng) => (rng.next() < peering ? 1.3 + 0.9 * rng.next() : 1));
  }

  /** Milliseconds from a user's operator to `to`, the place of PoP `pop` (negative: of an origin). */
  pathMs({ place, asn }: User, user: number, pop: number, to: number): number {
    const from = this.#places[place]!;
    const target = this.#places[to]!;
    const pair = `${from.country}/${pop}`;
    const link = `${asn}/${pop}`;
    const here = this.#at(place, pop);
    const hub = here.hub ?? this.#hairPinCountry.of(pair) ?? this.#hairPinAsn.of(link);
    const straight = kmBetween(from, target);
    const km = hub === undefined ? straight : this.#through(hub, from, target);
    const residual =
      spread.space * here.value +
      spread.country * this.#country.of(pair) +
      spread.asn * this.#asn.of(link) +
      spread.prefix * this.#prefix.of(`${user}/${pop}`);
    const path = (priorRttMs(km) - priorRttMs(0) + pathBaseMs) * Math.exp(residual) * this.#peering.of(link);
    return Math.max(path, 1 + floorRttMs(straight));
  }

  #through(hub: number, from: Place, to: Place): number {
    const nearest = this.#hubs.map((place) => ({ place, km: kmBetween(from, place) })).sort((a, b) => a.km - b.km);
    const { place, km } = nearest[hub]!;
    return km + kmBetween(place, to);
  }

  #at(place: number, pop: number): Here {
    const key = `${place}/${pop}`;
    const known = this.#space.get(key);
    if (known !== undefined) return known;
    const from = this.#places[place]!;
    let sum = 0;
    let squares = 0;
    let nearest: { weight: number; hub: number | undefined } = { weight: 0, hub: undefined };
    for (const { place: site, value, hub } of this.#fields.of(String(pop))) {
      const weight = Math.exp(-kmBetween(from, site) / siteKm);
      sum += weight * value;
      squares += weight * weight;
      if (weight > nearest.weight) nearest = { weight, hub };
    }
    const here = { value: sum / Math.sqrt(squares), hub: nearest.hub };
    this.#space.set(key, here);
    return here;
  }
}

/** How near a hub it is, from 0, for a share of draws. */
function hubOf(rng: Rng, share: number): number | undefined {
  return rng.next() < share ? Math.floor(3 * rng.next()) : undefined;
}
