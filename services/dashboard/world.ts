/** WorldState out of its parts: pure. What a part does not say is absent, never invented. */
import type {
  DnsState,
  MapperPrefixes,
  Missing,
  WorldAnswers,
  WorldPop,
  WorldState,
  WorldUser,
} from '@ufes/core/dashboard.ts';
import type { Places } from './places.ts';
import type { Topology } from './topology.ts';

export interface WorldParts {
  readonly atMs: number;
  readonly topology: Topology;
  /** Absent when dns has not answered for a while: then no state is known. */
  readonly dns?: DnsState | undefined;
  readonly answers: WorldAnswers;
  /** PoPs and users as `worldPops` and `worldUsers` make them. */
  readonly pops: WorldPop[];
  readonly users: WorldUser[];
  readonly usersTotal: number;
  readonly places: Places;
  readonly missing: readonly Missing[];
}

export function worldState(parts: WorldParts): WorldState {
  const { atMs, topology, dns, pops, users, usersTotal, answers, places, missing } = parts;
  return {
    atMs,
    pops,
    origins: topology.origins,
    services: [...topology.services],
    answers,
    users,
    usersTotal,
    versions: {
      ...(dns?.map ? { map: { version: dns.map.version, ageSeconds: dns.map.ageSeconds } } : {}),
      ...(dns?.desired ? { desired: { version: dns.desired.version, ageSeconds: dns.desired.ageSeconds } } : {}),
      ...(places.source === undefined ? {} : { geoip: places.source }),
    },
    missing: [...missing],
    attribution: [...places.attribution],
  };
}

export function worldPops({ pops }: Topology, dns: DnsState | undefined): WorldPop[] {
  return pops.map((pop) => {
    const live = dns?.pops.find((one) => one.id === pop.id);
    return {
      ...pop,
      state: live?.state ?? 'unknown',
      ...(live !== undefined && live.sinceSeconds > 0 ? { sinceMs: live.sinceSeconds * 1000 } : {}),
      ...(live === undefined ? {} : { loadPerMille: live.loadPerMille }),
    };
  });
}

/** PoPs that take no new users, by id. */
export function popsOut(pops: readonly WorldPop[]): string[] {
  return pops.filter((pop) => pop.state === 'down' || pop.state === 'draining').map((pop) => pop.id);
}

/** A user goes to the first PoP of its ranking that is not out, as `decide` sends it; all out: the first. */
export function worldUsers(
  prefixes: MapperPrefixes | undefined,
  popsOut: readonly string[],
  places: Places,
): WorldUser[] {
  const out = new Set(popsOut);
  const users: WorldUser[] = [];
  for (const { prefix, n, ranking, clientMs } of prefixes?.prefixes ?? []) {
    const place = places.find(prefix);
    if (place?.latitude === undefined || place.longitude === undefined) continue;
    const pop = ranking.find((id) => !out.has(id)) ?? ranking[0];
    const rttMs = pop === undefined ? undefined : clientMs[pop];
    users.push({
      prefix,
      latitude: place.latitude,
      longitude: place.longitude,
      ...(place.place === undefined ? {} : { place: place.place }),
      ...(place.country === undefined ? {} : { country: place.country }),
      n,
      ...(pop === undefined ? {} : { pop }),
      ...(rttMs === undefined ? {} : { ms: rttMs }),
    });
  }
  return users;
}
