/**
 * The same users over three paths, modelled from measured round trips: response = k · client leg + backbone leg.
 *
 *     direct    k · RTT(client → origin)
 *     geo       k · RTT(client → PoP that distance alone picks)  + backbone
 *     steered   k · RTT(client → PoP that the map ranks first)   + backbone
 *
 * A user is a measured prefix, one vote each. Where a leg was not measured its estimate stands in; `measured` counts.
 */
import type { CompareGroup, ComparePath, CompareSeries, CompareState } from '@ufes/core/dashboard.ts';
import type { DesiredOrigin, DesiredService } from '@ufes/core/desired.ts';
import { formatPrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { distanceKm, vectorsOf } from '@ufes/core/steering/base.ts';
import { estimation } from '@ufes/core/steering/estimation.ts';
import { Tier } from '@ufes/core/steering/map.ts';
import { countryText } from '@ufes/geoip/geoip.ts';
import type { Current } from './builder.ts';
import type { EvidenceTable } from './evidence.ts';
import { distancePrior } from './ground.ts';
import { groupIndexOf, tenth } from './model.ts';

interface Leg {
  readonly ms: number;
  readonly measured: boolean;
}
interface User {
  readonly country: string;
  readonly legs: Readonly<Record<ComparePath, Leg>>;
}

const paths: readonly ComparePath[] = ['direct', 'geo', 'steered'];
/** Entries of `quantilesMs`. */
const quantiles = 101;

export function compare(
  current: Current,
  table: EvidenceTable,
  service: DesiredService,
  nowMs: number,
): CompareState | undefined {
  const { desired, plan } = current;
  const group = groupIndexOf(current, service);
  if (group < 0) return undefined;
  const origin = desired.origins.find(({ id }) => id === service.origin);
  const users = usersOf(current, table, service, group, origin, nowMs);
  const byCountry = Map.groupBy(users, ({ country }) => country);
  const configured = service.candidates.every(
    ({ pop }) => desired.pops[pop]!.backboneRttMs[service.origin] !== undefined,
  );
  return {
    atMs: nowMs,
    service: service.name.replace(/\.$/, ''),
    origin: service.origin,
    k: service.k,
    backbone: configured ? 'configured' : 'estimated',
    sources: [...plan.sources],
    all: groupOf(users),
    countries: [...byCountry]
      .map(([country, some]) => ({ ...(country === '' ? {} : { country }), ...groupOf(some) }))
      .sort((a, b) => b.count - a.count),
  };
}

function usersOf(
  current: Current,
  table: EvidenceTable,
  service: DesiredService,
  group: number,
  origin: DesiredOrigin | undefined,
  nowMs: number,
): User[] {
  const { cells } = current.build;
  const { locations } = current.geoip;
  const sources = new Set(current.plan.sources);
  const at =
    origin?.latitude === undefined || origin.longitude === undefined
      ? undefined
      : vectorsOf([origin.latitude], [origin.longitude]);
  const users: User[] = [];
  // Every n-th cell: rows come in the order of first samples, which says nothing of place or time.
  const stride = Math.max(1, Math.ceil(cells.count / limits.mapper.compared));
  for (let row = 0; row < cells.count; row += stride) {
    const legs = edgeLegs(current, group, row);
    if (legs === undefined) continue;
    const location = cells.location[row]!;
    const km = at === undefined ? Number.NaN : distanceKm(current.ground.places, location, at, 0);
    const direct = directLeg(table, prefixText(current, row), `origin:${service.origin}`, sources, km, nowMs);
    if (direct === undefined) continue;
    const country = location < 0 ? '' : countryText(locations.country[location]!);
    users.push({ country, legs: { ...legs, direct: { ms: service.k * direct.ms, measured: direct.measured } } });
  }
  return users;
}

export function prefixText({ build: { cells } }: Current, row: number): string {
  const family = cells.family[row] === 4 ? 4 : 6;
  return formatPrefix({ family, hi: cells.hi[row]!, lo: cells.lo[row]!, length: family === 4 ? 24 : 48 });
}

function edgeLegs({ build, plan }: Current, group: number, row: number): Omit<User['legs'], 'direct'> | undefined {
  const { pops, k, backboneMs } = plan.groups[group]!;
  const estimates = build.estimates(row);
  const { steered, geo } = build.rankings(group, row);
  const leg = (pop: number): Leg => ({
    ms: k * estimates.ms[pop]! + backboneMs[pops.indexOf(pop)]!,
    measured: estimates.tier[pop] === Tier.prefix,
  });
  const legs = { geo: leg(geo[0]!), steered: leg(steered[0]!) };
  return Number.isNaN(legs.geo.ms) || Number.isNaN(legs.steered.ms) ? undefined : legs;
}

/** Client → origin, blended with the prior like any other leg. */
function directLeg(
  table: EvidenceTable,
  prefix: string,
  target: string,
  sources: ReadonlySet<string>,
  km: number,
  nowMs: number,
): Leg | undefined {
  const own = table.target(prefix, target, sources, nowMs);
  const prior = Number.isNaN(km) ? undefined : distancePrior.expectedMs(km);
  if (own === undefined) return prior === undefined ? undefined : { ms: prior, measured: false };
  if (prior === undefined) return { ms: own.ms, measured: true };
  const { shrinkage } = estimation;
  return { ms: (own.n * own.ms + shrinkage * prior) / (own.n + shrinkage), measured: true };
}

function groupOf(users: readonly User[]): CompareGroup {
  return { count: users.length, series: paths.map((path) => seriesOf(path, users)) };
}

function seriesOf(path: ComparePath, users: readonly User[]): CompareSeries {
  const count = users.length;
  const values = Float64Array.from(users, ({ legs }) => legs[path].ms).sort();
  const at = (quantile: number): number => (count === 0 ? 0 : tenth(values[Math.round(quantile * (count - 1))]!));
  return {
    path,
    count,
    measured: users.filter(({ legs }) => legs[path].measured).length,
    meanMs: count === 0 ? 0 : tenth(values.reduce((sum, value) => sum + value, 0) / count),
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
    quantilesMs: count === 0 ? [] : Array.from({ length: quantiles }, (_, i) => at(i / (quantiles - 1))),
  };
}
