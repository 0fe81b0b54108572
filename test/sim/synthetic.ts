/**
 * The built-in world: cities of the world, three operators a country, and round trips that distance tells only so much of.
 *
 *     access line of the prefix + path;  path = (6 ms + 17 ms per 1,000 km) · exp(residual), at least what light takes
 *
 *     residual = one that varies slowly over space, for each PoP (skewed)            neighbours share it
 *              + one of the country + one of the AS + one of the prefix, each to that PoP
 *     hair-pin      an AS, or a whole country, reaches some PoPs through a hub far away
 *     peering       an AS reaches some PoPs over a congested or one-sided link: 1.3 to 2.2 times as long
 *     evening       some of its links fill when its users are at home
 *
 * Spreads are such that the nearest of 30 PoPs has a mean regret and a tail like those measured between real cities (14.0
 * and 90 ms at p95 here over 40 draws; 14.5 and 102 ms there). They were set by hand to the regret of `geo`; hair-pins were made shorter
 * once after a first run, in which steering was to be seen too.
 */
import { fileURLToPath } from 'node:url';
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

const spread = { space: 0.22, country: 0.14, asn: 0.12, prefix: 0.04 };
const hairPins = { ofAsn: 0.05, ofCountry: 0.04 };
const peering = 0.05;
const siteKm = 800;
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

/** Values of a field at random sites of the earth, for one PoP. */
interface Field {
  readonly sites: readonly { readonly latitude: number; readonly longitude: number; readonly value: number }[];
}

class Paths {
  readonly pops: readonly number[];
  readonly #places: readonly Place[];
  readonly #hubs: readonly Place[];
  readonly #fields: Keyed<Field>;
  readonly #country: Keyed<number>;
  readonly #asn: Keyed<number>;
  readonly #prefix: Keyed<number>;
  /** How near a hub it is, from 0; undefined: the straight way. */
  readonly #hairPinAsn: Keyed<number | undefined>;
  readonly #hairPinCountry: Keyed<number | undefined>;
  readonly #peering: Keyed<number>;
  readonly #space = new Map<string, number>();

  constructor(seed: string, places: readonly Place[], pops: readonly number[]) {
    this.pops = pops;
    this.#places = places;
    this.#hubs = places.filter(({ city }) => hubs.includes(city));
    this.#fields = new Keyed(`${seed}/space`, (rng) => ({
      sites: Array.from({ length: 60 }, () => {
        const { latitude, longitude } = pick(rng, places);
        return { latitude, longitude, value: skewed(rng) };
      }),
    }));
    this.#country = new Keyed(`${seed}/country`, skewed);
    this.#asn = new Keyed(`${seed}/asn`, skewed);
    this.#prefix = new Keyed(`${seed}/prefix`, skewed);
    this.#hairPinAsn = new Keyed(`${seed}/hair-pin-asn`, (rng) =>
      rng.next() < hairPins.ofAsn ? Math.floor(3 * rng.next()) : undefined,
    );
    this.#hairPinCountry = new Keyed(`${seed}/hair-pin-country`, (rng) =>
      rng.next() < hairPins.ofCountry ? Math.floor(3 * rng.next()) : undefined,
    );
    this.#peering = new Keyed(`${seed}/peering`, (rng) => (rng.next() < peering ? 1.3 + 0.9 * rng.next() : 1));
  }

  /** Milliseconds from a user's operator to `to`, the place of PoP `pop` (negative: of an origin). */
  pathMs({ place, asn }: User, user: number, pop: number, to: number): number {
    const from = this.#places[place]!;
    const target = this.#places[to]!;
    const pair = `${from.country}/${pop}`;
    const link = `${asn}/${pop}`;
    const hub = this.#hairPinCountry.of(pair) ?? this.#hairPinAsn.of(link);
    const straight = kmBetween(from, target);
    const km = hub === undefined ? straight : this.#through(hub, from, target);
    const residual =
      spread.space * this.#spaceAt(place, pop) +
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

  /** Mean 0, deviation about 1 over the earth. */
  #spaceAt(place: number, pop: number): number {
    const key = `${place}/${pop}`;
    const known = this.#space.get(key);
    if (known !== undefined) return known;
    const from = this.#places[place]!;
    let sum = 0;
    let squares = 0;
    for (const site of this.#fields.of(String(pop)).sites) {
      const weight = Math.exp(-kmBetween(from, { ...from, ...site }) / siteKm);
      sum += weight * site.value;
      squares += weight * weight;
    }
    const value = sum / Math.sqrt(squares);
    this.#space.set(key, value);
    return value;
  }
}
