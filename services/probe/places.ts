/**
 * Where clients are, for plans that cannot ask for every PoP. GeoIP is only loaded when there are that many; while it is
 * loading, or when it cannot be read, plans are drawn without it.
 */
import type { DesiredPop } from '@ufes/core/desired.ts';
import { describeError } from '@ufes/core/errors.ts';
import type { Address } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { type Geoip, openGeoip } from '@ufes/geoip/geoip.ts';
import { distanceKm } from '@ufes/geoip/prior.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

export interface Places {
  /** Loads GeoIP if plans for so many PoPs need it. */
  wantedFor(pops: readonly DesiredPop[]): void;
  /** Index of the PoP nearest to the client; undefined when its place is not known. */
  nearest(client: Address, pops: readonly DesiredPop[]): number | undefined;
}

export function createPlaces({ config, state, log }: Pick<ServiceContext, 'config' | 'state' | 'log'>): Places {
  let geoip: Geoip | undefined;
  let wanted = false;
  return {
    wantedFor(pops) {
      // One slot of a plan may be an origin's.
      if (wanted || pops.length < limits.probe.targetsPerPlan) return;
      wanted = true;
      openGeoip({ ...config.geoip, state, log }).then(
        (opened) => {
          geoip = opened;
        },
        (error: unknown) =>
          log.warn({ error: describeError(error) }, 'plans are drawn without the nearest PoP: no GeoIP'),
      );
    },
    nearest(client, pops) {
      const found = geoip?.lookup(client);
      if (found === undefined || Number.isNaN(found.latitude)) return undefined;
      let best: number | undefined;
      let bestKm = Number.POSITIVE_INFINITY;
      for (const [index, pop] of pops.entries()) {
        const km = distanceKm(found.latitude, found.longitude, pop.latitude, pop.longitude);
        if (km < bestKm) [best, bestKm] = [index, km];
      }
      return best;
    },
  };
}
