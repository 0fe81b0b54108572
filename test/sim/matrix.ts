/**
 * A world from measured round trips: `latency.csv` (source,destination,min,avg,max,mdev) and `places.csv`
 * (id,city,country,latitude,longitude; population if it has one). The round trip of a direction is its `avg`: its `min` is
 * a single ping, and in tables of pings single ones are found that no light could make. The two directions of a pair were
 * measured apart: the smaller one counts. Clients are prefixes at the places without a PoP, each with an access line of its own that is as
 * long to all PoPs.
 */
import { seededRng } from '@ufes/core/seeded.ts';
import { InputError, type Row, readTable } from './csv.ts';
import { lognormal, sampleWeighted } from './draw.ts';
import { drawUsers } from './prefixes.ts';
import { eveningLinks, type Latency, type Place, World } from './world.ts';

export interface Matrix {
  readonly name: string;
  readonly places: readonly Place[];
  /** Milliseconds, from · places + to; NaN: not measured. 0 to itself. */
  readonly rttMs: Float32Array;
}

export interface MatrixInit {
  readonly seed: string;
  /** A number of places drawn, or their ids. */
  readonly pops: number | readonly string[];
  readonly prefixes: number;
  readonly origins: readonly string[];
  readonly drift: boolean;
}

export function readMatrix(latencyPath: string, placesPath: string): Matrix {
  const rows = readTable(latencyPath, ['source', 'destination', 'avg']);
  return matrixOf(latencyPath, rows, readTable(placesPath, ['id', 'city', 'country', 'latitude', 'longitude']));
}

export function matrixOf(name: string, rows: readonly Row[], placeRows: readonly Row[]): Matrix {
  const index = new Map<string, number>();
  const places = placeRows.map((row): Place => {
    const id = row.text('id');
    if (index.has(id)) throw new InputError(`${row.at}: place "${id}" is there twice`);
    index.set(id, index.size);
    return {
      id,
      city: row.text('city'),
      country: row.text('country'),
      latitude: row.number('latitude', -90, 90),
      longitude: row.number('longitude', -180, 180),
      population: 1,
    };
  });
  const rttMs = new Float32Array(places.length ** 2).fill(Number.NaN);
  for (let i = 0; i < places.length; i++) rttMs[i * places.length + i] = 0;
  for (const row of rows) {
    const [from, to] = ['source', 'destination'].map((column) => {
      const place = index.get(row.text(column));
      if (place === undefined) {
        throw new InputError(`${row.at}: ${column} "${row.text(column)}" is in no line of the table of places`);
      }
      return place;
    }) as [number, number];
    const ms = row.number('avg', 0.001, 60_000);
    if (from === to) continue;
    for (const at of [from * places.length + to, to * places.length + from]) {
      if (!(rttMs[at]! <= ms)) rttMs[at] = ms;
    }
  }
  return { name, places, rttMs };
}

export function matrixWorld(matrix: Matrix, init: MatrixInit): World {
  const { places, rttMs } = matrix;
  const rng = seededRng(`${init.seed}/world`);
  const known = (id: string, what: string): number => {
    const found = places.findIndex((place) => place.id === id);
    if (found < 0) throw new InputError(`${what} "${id}" is no place of the matrix; places: ${idsOf(places)}`);
    return found;
  };
  const all = places.map((_, place) => place);
  const pops =
    typeof init.pops === 'number'
      ? sampleWeighted(
          rng,
          all.map(() => 1),
          init.pops,
        )
      : init.pops.map((id) => known(id, '--pops:'));
  const between = (a: number, b: number) => rttMs[a * places.length + b]!;
  const where = all.filter((place) => !pops.includes(place) && pops.every((pop) => !Number.isNaN(between(place, pop))));
  if (where.length === 0) {
    throw new InputError(`${matrix.name}: no place without a PoP has a round trip to all ${pops.length} PoPs`);
  }
  const users = drawUsers(rng, places, where, init.prefixes, (place) => asnOf(places, place));
  const access = users.map(() => 5 * lognormal(rng, 0.5));
  const origins = init.origins.map((id) => ({ id, place: known(id, '--origins:') }));
  const latency: Latency = {
    restMs: Float32Array.from({ length: users.length * pops.length }, (_, at) => {
      const user = Math.floor(at / pops.length);
      return access[user]! + between(users[user]!.place, pops[at % pops.length]!);
    }),
    eveningMs: eveningLinks(init.seed, users, pops.length),
    jitterMs: Float32Array.from(users, () => 1.2 * lognormal(rng, 0.6)),
  };
  return new World({
    name: matrix.name,
    seed: init.seed,
    places,
    pops,
    users,
    latency,
    origins,
    backboneMs: origins.map(({ place }) => pops.map((pop) => between(pop, place))),
    directMs: origins.map(({ place }) => users.map((user, i) => access[i]! + between(user.place, place))),
    drift: init.drift,
  });
}

/** The operator is what stands before a colon in an id, as in `aws:eu-west-2`; without one, the country. */
function asnOf(places: readonly Place[], place: number): number {
  const operator = (at: number) => (places[at]!.id.includes(':') ? places[at]!.id.split(':')[0]! : places[at]!.country);
  const operators = [...new Set(places.map((_, at) => operator(at)))].sort();
  return 64_512 + operators.indexOf(operator(place));
}

function idsOf(places: readonly Place[]): string {
  const ids = places.map(({ id }) => id);
  return ids.length > 12 ? `${ids.slice(0, 12).join(', ')}, …` : ids.join(', ');
}
