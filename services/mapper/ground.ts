/** What GeoIP says of clients, in the shape that core's map building takes. */
import { formatPrefix, isLoopback, type Prefix } from '@ufes/core/ip.ts';
import { distanceKm } from '@ufes/core/steering/base.ts';
import type { CellPlace, Cells } from '@ufes/core/steering/cells.ts';
import type { Prior } from '@ufes/core/steering/estimation.ts';
import { type Ground, groundOf, spotOf } from '@ufes/core/steering/ground.ts';
import type { Geoip, GeoNames } from '@ufes/geoip/geoip.ts';
import { floorRttMs, priorRttMs } from '@ufes/geoip/prior.ts';

export const distancePrior: Prior = {
  expectedMs: priorRttMs,
  floorMs: floorRttMs,
  // Detours double the way, and a slow access line or a full queue adds what distance does not tell.
  ceilingMs: (km) => 2 * priorRttMs(km) + 50,
};

export function groundFrom(geoip: Geoip): Ground {
  const none = new Uint32Array(0);
  return groundOf(
    { family: 4, hi: geoip.v4.starts, lo: none, value: geoip.v4.location },
    { family: 6, hi: geoip.v6.hi, lo: geoip.v6.lo, value: geoip.v6.location },
    geoip.locations,
    geoip.label,
    {
      v4: { family: 4, hi: geoip.asn4.starts, lo: none, value: new Int32Array(geoip.asn4.asn) },
      v6: { family: 6, hi: geoip.asn6.hi, lo: geoip.asn6.lo, value: new Int32Array(geoip.asn6.asn) },
    },
  );
}

/** Where a cell is: distances to the PoPs, unless `known` has them, and whether it speaks for others of its AS and metro. */
export function placeOf(ground: Ground, pops: Float32Array, prefix: Prefix, known?: Cells): CellPlace {
  const spot = spotOf(ground, prefix.family, prefix.hi, prefix.lo);
  const location = ground.spots.place[spot] ?? -1;
  const km = known?.hasPlace(location) === true ? none : kmFrom(ground, location, pops);
  const hasMetro = (ground.metros.ofPlace[location] ?? -1) >= 0;
  return { prefix, location, km, votes: hasMetro && !isLoopback(prefix) && (ground.spots.asn[spot] ?? 0) !== 0 };
}

const none = new Float32Array(0);

function kmFrom({ places }: Ground, location: number, pops: Float32Array): Float32Array {
  return Float32Array.from({ length: pops.length / 3 }, (_, pop) => distanceKm(places, location, pops, pop));
}

/** For people: city, country, or the prefix where GeoIP knows nothing. */
export function placeText(geoip: GeoNames, location: number, prefix: Prefix): string {
  if (location < 0) return formatPrefix(prefix);
  const { city, region, country } = geoip.location(location);
  return [city, region, country].filter((part, i, all) => part !== '' && part !== all[i - 1]).join(', ');
}
