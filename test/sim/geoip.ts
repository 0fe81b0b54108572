/** GeoIP as the mapper reads it, made from what a world tells of its prefixes: right, or wrong where it is made so. */
import { findInterval } from '@ufes/core/steering/map.ts';
import type { Geoip } from '@ufes/geoip/geoip.ts';
import type { World } from './world.ts';

interface Ranges {
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
  readonly location: Int32Array;
  readonly asn: Uint32Array;
}

export function geoipOfWorld(world: World): Geoip {
  const { places } = world.init;
  const v4 = rangesOf(world, 4);
  const v6 = rangesOf(world, 6);
  const none = new Uint32Array(0);
  const at = (family: 4 | 6, hi: number, lo: number): [ranges: Ranges, index: number] => {
    const ranges = family === 4 ? v4 : v6;
    return [ranges, findInterval({ family, hi: ranges.hi, lo: ranges.lo, ranking: none }, hi, lo)];
  };
  const locationId: Geoip['locationId'] = ({ family, hi, lo }) => {
    const [ranges, index] = at(family, hi, lo);
    return ranges.location[index]!;
  };
  const location: Geoip['location'] = (id) => {
    const { city, country, latitude, longitude } = places[id]!;
    return { city, region: '', country, latitude, longitude };
  };
  const asn: Geoip['asn'] = ({ family, hi, lo }) => {
    const [ranges, index] = at(family, hi, lo);
    return ranges.asn[index]!;
  };
  const geoip: Geoip = {
    label: `${world.init.name} ${world.init.seed}`,
    attribution: '',
    key: world.init.seed,
    lookup: () => undefined,
    names: () => geoip,
    locationId,
    location,
    asn,
    asnName: (number) => (number === 0 ? '' : `AS${number}`),
    locations: {
      latitude: Float32Array.from(places, ({ latitude }) => latitude),
      longitude: Float32Array.from(places, ({ longitude }) => longitude),
      country: Uint16Array.from(places, ({ country }) => country.charCodeAt(0) * 256 + country.charCodeAt(1)),
    },
    v4: { starts: v4.hi, location: v4.location },
    v6: { hi: v6.hi, lo: v6.lo, location: v6.location },
    asn4: { starts: v4.hi, asn: v4.asn },
    asn6: { hi: v6.hi, lo: v6.lo, asn: v6.asn },
  };
  return geoip;
}

/** Cells of the users, and nothing between them. */
function rangesOf(world: World, family: 4 | 6): Ranges {
  const users = world.users
    .map(({ prefix, asn }, user) => ({ ...prefix, asn, location: world.toldPlace[user]! }))
    .filter((user) => user.family === family)
    .sort((a, b) => a.hi - b.hi || a.lo - b.lo);
  const starts: { hi: number; lo: number; location: number; asn: number }[] = [{ hi: 0, lo: 0, location: -1, asn: 0 }];
  for (const [i, { hi, lo, location, asn }] of users.entries()) {
    const next = users[i + 1];
    starts.push({ hi, lo, location, asn });
    const nextLo = family === 4 ? 0 : (lo + 0x10000) % 0x1_0000_0000;
    const nextHi = family === 4 ? hi + 256 : nextLo === 0 ? hi + 1 : hi;
    if (nextHi <= 0xffffffff && (next?.hi !== nextHi || next.lo !== nextLo)) {
      starts.push({ hi: nextHi, lo: nextLo, location: -1, asn: 0 });
    }
  }
  return {
    hi: Uint32Array.from(starts, ({ hi }) => hi),
    lo: Uint32Array.from(family === 4 ? [] : starts, ({ lo }) => lo),
    location: Int32Array.from(starts, ({ location }) => location),
    asn: Uint32Array.from(starts, ({ asn }) => asn),
  };
}
