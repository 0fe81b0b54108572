/**
 * Where a prefix is: country and coordinates by GeoIP. The first compile of the data takes seconds, so it is read beside
 * everything else; until then, and when it is bad, no place is known and the page says so.
 */
import type { Missing } from '@ufes/core/dashboard.ts';
import { describeError } from '@ufes/core/errors.ts';
import { parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component } from '@ufes/core/ports.ts';
import { type Geoip, type GeoipOptions, openGeoip } from '@ufes/geoip/geoip.ts';
import { watchGeoip } from '@ufes/geoip/watch.ts';

interface Place {
  /** ISO 3166 code. */
  readonly country?: string;
  /** Degrees. */
  readonly latitude?: number;
  readonly longitude?: number;
  /** `London, United Kingdom` or less. */
  readonly place?: string;
}

/** GeoIP as the dashboard needs it. */
export interface Places {
  /** Of a prefix in text; undefined when nothing is known. */
  find(prefix: string): Place | undefined;
  /** Name and date of the data. */
  readonly source: string | undefined;
  readonly attribution: readonly { readonly text: string; readonly href?: string }[];
  missing(): Missing | undefined;
}

export const noPlaces: Places = { find: () => undefined, source: undefined, attribution: [], missing: () => undefined };

export function geoipPlaces(options: GeoipOptions, clock: Clock): Places & Component {
  let geoip: Geoip | undefined;
  let failure = 'it is being read; the first time takes up to 20 seconds';
  let todo = 'Wait a little.';
  const sinceMs = clock.nowMs();
  // The same prefixes are asked for every second.
  const known = new Map<string, Place | undefined>();
  let stopped = false;
  let watcher: Component | undefined;
  const use = (edition: Geoip): void => {
    geoip = edition;
    known.clear();
  };
  return {
    get source() {
      return geoip?.label;
    },
    get attribution() {
      return geoip === undefined ? [] : creditsOf(geoip.attribution);
    },
    find(prefix) {
      if (geoip === undefined) return undefined;
      if (known.has(prefix)) return known.get(prefix);
      const place = placeOf(geoip, prefix);
      if (known.size >= limits.dashboard.placesRemembered) known.clear();
      known.set(prefix, place);
      return place;
    },
    missing() {
      if (geoip !== undefined) return undefined;
      return { part: 'Places and countries', node: 'GeoIP data', sinceMs, why: failure, todo };
    },
    async start() {
      void openGeoip(options)
        .then(use, (thrown) => {
          failure = describeError(thrown);
          todo =
            'Set `geoip.city` in ufes.yaml to `builtin` or to an mmdb file that can be read; it is looked at again.';
          options.log.error({ error: failure }, 'no GeoIP data: places and countries are not shown');
        })
        .then(async () => {
          if (stopped) return;
          watcher = watchGeoip(options, clock, use, geoip);
          await watcher.start();
        });
    },
    async stop() {
      stopped = true;
      await watcher?.stop();
    },
  };
}

function placeOf(geoip: Geoip, text: string): Place | undefined {
  const prefix = parsePrefix(text);
  const id = prefix === undefined ? -1 : geoip.locationId(prefix);
  if (id < 0) return undefined;
  const { city, country, latitude, longitude } = geoip.location(id);
  const located = Number.isFinite(latitude) && Number.isFinite(longitude);
  const place = [city, country].filter((part) => part !== '').join(', ');
  return {
    ...(country === '' ? {} : { country }),
    ...(located ? { latitude, longitude } : {}),
    ...(place === '' ? {} : { place }),
  };
}

/** `A by B (https://b.example), CC BY 4.0; …` → texts with the first address in each as its link. */
export function creditsOf(attribution: string): { text: string; href?: string }[] {
  return attribution.split('; ').map((credit) => {
    const href = /https?:\/\/[^\s),]+/.exec(credit)?.[0];
    const text = credit.replaceAll(/ \(https?:\/\/[^)]*\)/g, '');
    return href === undefined ? { text } : { text, href };
  });
}
