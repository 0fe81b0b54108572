/**
 * Other processes, as the dashboard sees them: local sockets of dns, mapper and supervisor that answer the contracts from
 * a small seeded world: cities, prefixes of theirs, and round trips by distance with an offset for each pair.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '@ufes/core/config/schema.ts';
import type {
  CompareGroup,
  ComparePath,
  CompareState,
  DnsAnswer,
  DnsState,
  MapperPrefixes,
  PopState,
} from '@ufes/core/dashboard.ts';
import type { HeldApart, Refused } from '@ufes/core/quarantine.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { writeMmdb } from '@ufes/geoip/testing-mmdb.ts';
import { listenAdmin } from '@ufes/io/admin.ts';
import { testContext } from '@ufes/io/testing.ts';

type Place = readonly [city: string, country: string, latitude: number, longitude: number, prefixes: number];

const cities: readonly Place[] = [
  ['London', 'GB', 51.51, -0.13, 9],
  ['Manchester', 'GB', 53.48, -2.24, 4],
  ['Paris', 'FR', 48.86, 2.35, 8],
  ['Marseille', 'FR', 43.3, 5.37, 3],
  ['Frankfurt', 'DE', 50.11, 8.68, 7],
  ['Berlin', 'DE', 52.52, 13.4, 6],
  ['Madrid', 'ES', 40.42, -3.7, 6],
  ['Milan', 'IT', 45.46, 9.19, 6],
  ['Warsaw', 'PL', 52.23, 21.01, 5],
  ['Stockholm', 'SE', 59.33, 18.07, 4],
  ['Istanbul', 'TR', 41.01, 28.98, 7],
  ['Cairo', 'EG', 30.04, 31.24, 5],
  ['Lagos', 'NG', 6.52, 3.38, 6],
  ['Nairobi', 'KE', -1.29, 36.82, 4],
  ['Johannesburg', 'ZA', -26.2, 28.05, 5],
  ['Dubai', 'AE', 25.2, 55.27, 5],
  ['Mumbai', 'IN', 19.08, 72.88, 10],
  ['Delhi', 'IN', 28.61, 77.21, 9],
  ['Dhaka', 'BD', 23.81, 90.41, 5],
  ['Singapore', 'SG', 1.35, 103.82, 7],
  ['Jakarta', 'ID', -6.21, 106.85, 9],
  ['Manila', 'PH', 14.6, 120.98, 7],
  ['Bangkok', 'TH', 13.76, 100.5, 6],
  ['Tokyo', 'JP', 35.68, 139.69, 10],
  ['Osaka', 'JP', 34.69, 135.5, 5],
  ['Seoul', 'KR', 37.57, 126.98, 8],
  ['Sydney', 'AU', -33.87, 151.21, 6],
  ['Auckland', 'NZ', -36.85, 174.76, 3],
  ['New York', 'US', 40.71, -74.01, 10],
  ['Chicago', 'US', 41.88, -87.63, 7],
  ['Dallas', 'US', 32.78, -96.8, 6],
  ['Los Angeles', 'US', 34.05, -118.24, 9],
  ['Seattle', 'US', 47.61, -122.33, 5],
  ['Toronto', 'CA', 43.65, -79.38, 6],
  ['Mexico City', 'MX', 19.43, -99.13, 8],
  ['Bogotá', 'CO', 4.71, -74.07, 5],
  ['Lima', 'PE', -12.05, -77.04, 4],
  ['São Paulo', 'BR', -23.55, -46.63, 11],
  ['Fortaleza', 'BR', -3.73, -38.53, 4],
  ['Buenos Aires', 'AR', -34.6, -58.38, 6],
];

export interface FakeUser {
  readonly prefix: string;
  readonly country: string;
  readonly rttMs: Readonly<Record<string, number>>;
}

const k = 3;

export type FakeNode = 'dns' | 'mapper' | 'probe' | 'ufes';

export interface Fakes {
  readonly users: readonly FakeUser[];
  state: Map<string, PopState>;
  sinceSeconds: number;
  /** Per mille, by PoP id. */
  load: Record<string, number>;
  /** One more answer, to the best PoP that is up. */
  answer(user: FakeUser, name?: string): void;
  /** Replaces what /prefixes and /compare give; undefined: nothing measured. */
  measured: boolean;
  /** Queries of GET /explain. */
  readonly asked: Record<string, string>[];
  explanation: unknown;
  /** What GET /history of the mapper gives. */
  history: unknown;
  /** What GET /refused of the collector and /quarantine of the mapper give. */
  refused: Refused;
  apart: HeldApart;
  start(node: FakeNode): Promise<void>;
  stop(node: FakeNode): Promise<void>;
  stopAll(): Promise<void>;
}

/** Writes FOLDER/places.mmdb, too. */
export function createFakes(config: Config, state: string, service: string): Fakes {
  const rng = seededRng('dashboard');
  const users = makeUsers(config, rng);
  writeFileSync(join(state, 'places.mmdb'), placesFile());
  const answers: DnsAnswer[] = [];
  const running = new Map<string, () => Promise<void>>();
  const origin = Object.keys(config.origins)[0]!;
  const backbone = (pop: string) => distanceMs(config.pops[pop]!.location, config.origins[origin]!.location) * 0.8;
  const ranking = (user: FakeUser) =>
    Object.keys(config.pops).sort((a, b) => k * user.rttMs[a]! + backbone(a) - k * user.rttMs[b]! - backbone(b));

  const fakes: Fakes = {
    users,
    state: new Map(Object.keys(config.pops).map((id) => [id, 'up'])),
    sinceSeconds: Math.floor(Date.now() / 1000) - 11_000,
    load: {},
    measured: true,
    asked: [],
    explanation: undefined,
    history: { publications: [] },
    refused: { sinceMs: Date.now() - 11_000_000, reasons: [], prefixes: [] },
    apart: {
      atMs: Date.now(),
      quarantined: { prefixes: 0, samples: 0, rows: [] },
      disputed: { prefixes: 0, rows: [] },
      loose: { prefixes: 0, samples: 0, outranked: 0 },
      aside: { sinceMs: Date.now() - 11_000_000, reasons: [], rows: [] },
    },
    answer(user, name = service) {
      const pop = ranking(user).find((id) => fakes.state.get(id) !== 'down');
      answers.push({ seq: answers.length + 1, atMs: Date.now(), name, client: user.prefix, ...(pop ? { pop } : {}) });
    },
    async start(node) {
      const context = await testContext({ node, state });
      const app = context.admin;
      if (node === 'dns') {
        app.get('/state', () => dnsState(config, fakes));
        app.get('/answers', (request) => {
          const since = Number((request.query as { since?: string }).since ?? 0);
          return { last: answers.length, answers: answers.slice(since).slice(-4_096) };
        });
        app.get('/explain', (request) => {
          fakes.asked.push(request.query as Record<string, string>);
          return fakes.explanation;
        });
      }
      if (node === 'probe') app.get('/refused', () => fakes.refused);
      if (node === 'mapper') {
        app.get('/quarantine', () => fakes.apart);
        app.get('/history', () => fakes.history);
        app.get('/prefixes', () => prefixes(fakes.measured ? users : [], ranking));
        app.get('/compare', () => compare(config, fakes.measured ? users : [], service, origin, backbone));
      }
      if (node === 'ufes') app.get('/status', () => processes(config, fakes));
      await listenAdmin(context);
      running.set(node, context.dispose);
    },
    async stop(node) {
      await running.get(node)?.();
      running.delete(node);
    },
    async stopAll() {
      await Promise.all([...running.values()].map((stop) => stop()));
    },
  };
  return fakes;
}

function prefixNumber(n: number): string {
  return `198.${18 + (n >> 8)}.${n & 255}.0/24`;
}

function placesFile(): Buffer {
  let n = 0;
  const records = cities.flatMap(([city, country_code, latitude, longitude, count]) =>
    Array.from(
      { length: count },
      () => [prefixNumber(n++), { city, country_code, state1: '', latitude, longitude }] as const,
    ),
  );
  return writeMmdb({ records });
}

function makeUsers(config: Config, rng: ReturnType<typeof seededRng>): FakeUser[] {
  const targets = [
    ...Object.entries(config.pops).map(([id, pop]) => [id, pop.location] as const),
    ...Object.entries(config.origins).map(([id, origin]) => [`origin:${id}`, origin.location] as const),
  ];
  let n = 0;
  return cities.flatMap(([, country, latitude, longitude, count]) => {
    // What a city's networks have in common: a hair-pin here, a lucky peering there.
    const shared = new Map(targets.map(([id]) => [id, 0.75 + 0.9 * rng.next() ** 3]));
    return Array.from({ length: count }, () => {
      const access = 3 + 22 * rng.next() ** 2;
      const rttMs = targets.map(([id, location]) => {
        const own = 0.92 + 0.2 * rng.next();
        return [id, access + distanceMs([latitude, longitude], location) * shared.get(id)! * own] as const;
      });
      return { prefix: prefixNumber(n++), country, rttMs: Object.fromEntries(rttMs) };
    });
  });
}

/** Round trip over fibre that is not straight: 16 ms per 1,000 km. */
function distanceMs(a: readonly [number, number], b: readonly [number, number]): number {
  const radians = Math.PI / 180;
  const [latA, lonA, latB, lonB] = [a[0] * radians, a[1] * radians, b[0] * radians, b[1] * radians];
  const cosine = Math.sin(latA) * Math.sin(latB) + Math.cos(latA) * Math.cos(latB) * Math.cos(lonA - lonB);
  return 6.371 * Math.acos(Math.min(1, cosine)) * 16;
}

function dnsState(config: Config, fakes: Fakes): DnsState {
  return {
    pops: Object.keys(config.pops).map((id) => ({
      id,
      state: fakes.state.get(id) ?? 'unknown',
      sinceSeconds: fakes.sinceSeconds,
      loadPerMille: fakes.load[id] ?? 0,
    })),
    map: { version: '1764000000000-a1b2c3', ageSeconds: 42 },
    desired: { version: '1764000000000-d4e5f6', ageSeconds: 11_050 },
  };
}

function prefixes(users: readonly FakeUser[], ranking: (user: FakeUser) => string[]): MapperPrefixes {
  return {
    total: users.length,
    prefixes: users.map((user) => ({
      prefix: user.prefix,
      n: 40,
      ranking: ranking(user),
      clientMs: Object.fromEntries(Object.entries(user.rttMs).filter(([id]) => !id.startsWith('origin:'))),
    })),
  };
}

function compare(
  config: Config,
  users: readonly FakeUser[],
  service: string,
  origin: string,
  backbone: (pop: string) => number,
): CompareState {
  const pops = Object.keys(config.pops);
  const cityOf = (user: FakeUser) => cities[cityIndex(user)]!;
  const time = (user: FakeUser, pop: string) => k * user.rttMs[pop]! + backbone(pop);
  const times: Readonly<Record<ComparePath, (user: FakeUser) => number>> = {
    direct: (user) => k * user.rttMs[`origin:${origin}`]!,
    geo: (user) => {
      const [, , latitude, longitude] = cityOf(user);
      const away = (pop: string) => distanceMs([latitude, longitude], config.pops[pop]!.location);
      return time(user, [...pops].sort((a, b) => away(a) - away(b))[0]!);
    },
    steered: (user) => Math.min(...pops.map((pop) => time(user, pop))),
  };
  const group = (some: readonly FakeUser[], country?: string): CompareGroup => ({
    ...(country === undefined ? {} : { country }),
    count: some.length,
    series: (['direct', 'geo', 'steered'] as const).map((path) => {
      const sorted = some.map(times[path]).sort((a, b) => a - b);
      const at = (q: number) => {
        const position = q * (sorted.length - 1);
        const low = sorted[Math.floor(position)] ?? 0;
        return low + ((sorted[Math.ceil(position)] ?? 0) - low) * (position % 1);
      };
      return {
        path,
        count: some.length,
        measured: path === 'direct' ? Math.round(some.length * 0.55) : some.length,
        meanMs: some.length === 0 ? 0 : sorted.reduce((a, b) => a + b, 0) / some.length,
        p50Ms: at(0.5),
        p95Ms: at(0.95),
        p99Ms: at(0.99),
        quantilesMs: some.length === 0 ? [] : Array.from({ length: 101 }, (_, i) => at(i / 100)),
      };
    }),
  });
  const countries = [...new Set(users.map((user) => user.country))]
    .map((country) =>
      group(
        users.filter((user) => user.country === country),
        country,
      ),
    )
    .sort((a, b) => b.count - a.count);
  return {
    atMs: 1_764_000_000_000,
    service,
    origin,
    k,
    backbone: 'estimated',
    sources: ['demo'],
    all: group(users),
    countries,
  };
}

function cityIndex(user: FakeUser): number {
  const [, second, third] = user.prefix.split('.').map(Number);
  let left = (second! - 18) * 256 + third!;
  return cities.findIndex(([, , , , count]) => {
    left -= count;
    return left < 0;
  });
}

function processes(config: Config, fakes: Fakes): unknown[] {
  const nodes = ['dns', 'probe', 'mapper', 'controller', ...Object.keys(config.pops).map((id) => `edge-${id}`)];
  return [...nodes, 'dashboard'].map((node, i) => {
    const isDown = fakes.state.get(node.replace('edge-', '')) === 'down';
    return {
      node,
      pid: 4_200 + i,
      state: isDown ? 'failed on purpose' : 'ready',
      why: isDown ? 'ufes fail' : '',
      restarts: 0,
      upMs: 11_000_000,
      rssBytes: 70_000_000 + 9_000_000 * i,
    };
  });
}
