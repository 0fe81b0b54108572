/**
 * What there is to be shown: PoPs, origins, services. By the desired state, which follows every reload of the
 * configuration; by the configuration as it was at start as long as no desired state is there.
 */
import type { Config } from '@ufes/core/config/schema.ts';
import type { WorldPop, WorldState } from '@ufes/core/dashboard.ts';
import type { DesiredState } from '@ufes/core/desired.ts';

export interface Topology {
  readonly pops: readonly Pick<WorldPop, 'id' | 'title' | 'latitude' | 'longitude' | 'capacity' | 'vips'>[];
  readonly origins: WorldState['origins'];
  /** Names without the final dot. */
  readonly services: readonly string[];
}

export function topologyOfConfig({ pops, origins, services }: Config): Topology {
  return {
    pops: Object.entries(pops).map(([id, pop]) => ({
      id,
      title: pop.title ?? id,
      latitude: pop.location[0],
      longitude: pop.location[1],
      capacity: pop.capacity.requestsPerSecond,
      vips: vipsOf(pop.vips),
    })),
    origins: Object.entries(origins).map(([id, { location }]) => ({
      id,
      latitude: location[0],
      longitude: location[1],
    })),
    services: Object.values(services).map(({ name }) => name),
  };
}

/** Origins and services of the configuration alone: those of objects would crowd the page. */
export function topologyOfDesired({ pops, origins, services }: DesiredState): Topology {
  const own = services.filter(({ owner }) => owner === 'config');
  return {
    pops: pops.map(({ id, title, latitude, longitude, requestsPerSecond, vips }) => ({
      ...{ id, title, latitude, longitude, capacity: requestsPerSecond, vips: vipsOf(vips) },
    })),
    origins: origins.flatMap(({ id, latitude, longitude }) =>
      latitude === undefined || longitude === undefined || id.includes('/') ? [] : [{ id, latitude, longitude }],
    ),
    services: own.map(({ name }) => name.replace(/\.$/, '')),
  };
}

function vipsOf({ v4, v6 }: { readonly v4?: string; readonly v6?: string }): string[] {
  return [v4, v6].filter((vip) => vip !== undefined);
}
