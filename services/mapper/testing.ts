/** A mapper in one process for tests: documentation addresses as GeoIP, a store of its own, a clock that is told to move. */
import type { DesiredService, DesiredState } from '@ufes/core/desired.ts';
import type { Address } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { type SampleRecord, shardOf } from '@ufes/core/samples.ts';
import { SteeringBuild } from '@ufes/core/steering/build.ts';
import { findInterval } from '@ufes/core/steering/map.ts';
import { documentation4, documentation6, places, prefix } from '@ufes/core/steering/testing.ts';
import type { Geoip } from '@ufes/geoip/geoip.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { Registry } from '@ufes/io/metrics.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { Builder } from './builder.ts';
import { registerDoubtsApi } from './doubts-api.ts';
import { type Running, registerEvidenceApi } from './evidence-api.ts';
import type { Fed } from './feed.ts';
import { Folder } from './fold.ts';
import { registerForecastApi } from './forecast-api.ts';
import { Forecasts } from './forecasts.ts';
import { distancePrior, groundFrom } from './ground.ts';
import { registerHistoryApi } from './history-api.ts';
import { mapperMetrics } from './metrics.ts';
import { planOf } from './plan.ts';
import { currentFloors } from './quarantine.ts';

const noAddresses = new Uint32Array(0);

/** London, New York, Singapore and so on by `documentation4` and `documentation6`; one AS for all. */
const geoip: Geoip = {
  label: 'Example city 2026-01-01',
  attribution: '',
  key: 'example',
  lookup: () => undefined,
  names: () => geoip,
  locationId: ({ family, hi, lo }: Address) => {
    const ranges = family === 4 ? documentation4 : documentation6;
    return ranges.value[findInterval({ ...ranges, ranking: noAddresses }, hi, lo)]!;
  },
  location: (id) => ({
    city: `City ${id}`,
    region: '',
    country: 'GB',
    latitude: places.latitude[id]!,
    longitude: places.longitude[id]!,
  }),
  asn: () => 64_496,
  asnName: () => 'Example',
  locations: {
    latitude: Float32Array.from(places.latitude),
    longitude: Float32Array.from(places.longitude),
    country: Uint16Array.from(places.latitude, () => 0x4742),
  },
  v4: { starts: documentation4.hi, location: documentation4.value },
  v6: { hi: documentation6.hi, lo: documentation6.lo, location: documentation6.value },
  asn4: { starts: Uint32Array.of(0), asn: Uint32Array.of(64_496) },
  asn6: { hi: Uint32Array.of(0), lo: Uint32Array.of(0), asn: Uint32Array.of(64_496) },
};

export const service: DesiredService = {
  id: 'shop',
  name: 'www.shop.example.',
  owner: 'config',
  answered: true,
  policy: 'latency',
  candidates: [
    { pop: 0, v4: '127.0.10.1' },
    { pop: 1, v4: '127.0.20.1' },
    { pop: 2, v4: '127.0.30.1' },
  ],
  origin: 'eu',
  k: 3,
  answers: 1,
  ttlSecondsMin: 5,
  ttlSecondsMax: 60,
  allDown: { rule: 'serve-preferred' },
};

export function desiredState(services: readonly DesiredService[] = [service]): DesiredState {
  const pop = (id: string, latitude: number, longitude: number) => {
    const ports = { httpsPort: 8443, httpPort: 8080, requestsPerSecond: 1_000 };
    return { id, title: id, latitude, longitude, vips: {}, ...ports, backboneRttMs: {} };
  };
  return {
    format: 1,
    version: { ms: 1, writer: 'test' },
    createdAtMs: 1,
    pops: [pop('lon', 51.5, -0.13), pop('iad', 39.04, -77.49), pop('sin', 1.35, 103.82)],
    origins: [{ id: 'eu', latitude: 50.1, longitude: 8.7, endpoints: [] }],
    zones: [],
    services,
    hosts: [],
    vips: [],
    probe: { sources: ['rum'] },
  };
}

export interface Mapper {
  readonly context: TestContext;
  readonly folder: Folder;
  readonly builder: Builder;
  readonly forecasts: Forecasts;
}

export const clockOf = ({ context }: Mapper) => context.clock as ManualClock;

/** Not started. With `state`, another mapper of the same tree. */
export async function createMapper(
  init: { state?: string; clock?: ManualClock; node?: string; wrap?: (context: ServiceContext) => ServiceContext } = {},
): Promise<Mapper> {
  const { state, clock = new ManualClock(), node = 'mapper', wrap } = init;
  const context = await testContext({ node, clock, ...(state === undefined ? {} : { state }) });
  const seen = wrap?.(context) ?? context;
  const running: Running = {};
  registerEvidenceApi(seen, running);
  registerDoubtsApi(context, running);
  registerHistoryApi(seen, running);
  registerForecastApi(seen, running);
  const metrics = mapperMetrics(new Registry());
  const folder: Folder = new Folder(seen, metrics, (prefixes) => running.builder?.evidenceChanged(prefixes));
  const builder = new Builder(seen, folder, geoip, metrics);
  const forecasts = new Forecasts(seen, builder);
  Object.assign(running, { folder, builder, forecasts });
  folder.floorOf = currentFloors(() => builder.current);
  return { context, folder, builder, forecasts };
}

export async function startMapper(mapper: Mapper, desired = desiredState()): Promise<void> {
  await publishArtefact(mapper.context, 'desired', new TextEncoder().encode(JSON.stringify(desired)));
  await mapper.folder.load();
  await mapper.builder.start();
  await mapper.folder.start();
  await mapper.forecasts.start();
}

export async function stopMapper({ forecasts, builder, folder, context }: Mapper): Promise<void> {
  await forecasts.stop();
  await builder.stop();
  await folder.stop();
  await context.dispose();
}

/** A build of the same world without a mapper around it; map PoP numbers: iad, lon, sin. */
export function fedOf(desired = desiredState()): Fed {
  const plan = planOf(desired, distancePrior);
  const ground = groundFrom(geoip);
  const build = new SteeringBuild({ ...plan, ground, prior: distancePrior, bases: new Map() });
  return { plan, geoip, ground, build };
}

let tokens = 0;

/** One beacon about a prefix: round trips by target. */
export function beacon(atMs: number, of: string, rtts: Readonly<Record<string, number>>, source = 'rum'): SampleRecord {
  return {
    token: `token-${tokens++}`,
    tokenExpiresAtMs: atMs + limits.probe.tokenMs,
    atMs,
    source,
    kind: 'browser',
    prefix: of,
    observations: Object.entries(rtts).map(([target, rttMs]) => ({ target, ok: true, rttMs, weight: 1 })),
  };
}

/** Puts records behind those a collector sent before, into the shards of their prefixes. */
export async function send(
  { context }: Mapper,
  records: readonly (SampleRecord | { readonly shard: number; readonly bytes: Uint8Array })[],
  collector = 'probe-1',
): Promise<void> {
  for (const record of records) {
    const raw = 'bytes' in record;
    const shard = raw ? record.shard : shardOf(record.prefix);
    const bytes = raw ? record.bytes : new TextEncoder().encode(JSON.stringify(record));
    const seq = (await context.queue.samples.lastSeq(shard, collector)) + 1;
    await context.queue.samples.append(shard, collector, [{ seq, bytes }]);
  }
}

/** PoP ids in the order the map in service ranks them for an address. */
export function ranked({ builder }: Mapper, text: string): string[] {
  const map = builder.inService!;
  const { v4, v6, rankings, width } = map.groups[0]!;
  const address = prefix(text);
  const index = address.family === 4 ? v4 : v6;
  const row = index.ranking[findInterval(index, address.hi, address.lo)]!;
  return Array.from(rankings.subarray(row * width, (row + 1) * width), (pop) => map.pops[pop]!);
}
