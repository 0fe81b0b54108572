/**
 * Who is this address: place, country, coordinates and AS, from the kept file of typed arrays.
 * `locationId` and `asn` are for hot paths: a bucket jump and a binary search, no allocation.
 */
import { describeError } from '@ufes/core/errors.ts';
import { type Address, formatPrefix, prefixOf } from '@ufes/core/ip.ts';
import type { Log } from '@ufes/core/ports.ts';
import { corrupt, keptFile } from './file.ts';
import { enclosingLength, findInterval, type IndexedIntervals, type Intervals, indexIntervals } from './intervals.ts';
import { keptOrCompiled, readGood } from './keep.ts';
import type { GeoLookup, Location } from './lookup.ts';
import { configuredOf, findSources, type GeoipChoice } from './sources.ts';
import { type Compiled, countryText, type GeoTables, type OnProgress, type TextTable } from './tables.ts';

export { formatLookup, type GeoLookup, type Location } from './lookup.ts';
export { dbipAttribution } from './sources.ts';
export { countryText } from './tables.ts';

export interface GeoipOptions extends GeoipChoice {
  /** Absolute state folder; the compiled file is STATE/geoip/ranges.bin. */
  readonly state: string;
  readonly log: Log;
  /** Called while a compile runs, not when the kept file is good. */
  readonly onProgress?: OnProgress;
}

/** Columns by location id: degrees, and the country as countryText reads it. */
interface LocationColumns {
  readonly latitude: Float32Array;
  readonly longitude: Float32Array;
  readonly country: Uint16Array;
}

/** All but where addresses are. */
export interface GeoNames {
  /** `DB-IP city lite 2026-06-05` */
  readonly label: string;
  /** Differs when a source file does. */
  readonly key: string;
  /** `id` from locationId, not -1. */
  location(id: number): Location;
  /** 0 for none. */
  asn(address: Address): number;
  /** '' for none. */
  asnName(asn: number): string;
  readonly locations: LocationColumns;
}

export interface Geoip extends GeoNames {
  /** To be shown wherever the data is. */
  readonly attribution: string;
  lookup(address: Address): GeoLookup | undefined;
  /** -1 for none. */
  locationId(address: Address): number;
  /** A copy of the rest, for who has the places of addresses in a form of its own: they are three quarters of it. */
  names(): GeoNames;
  /** All of the address space, cut where the location changes; -1 for none. starts[0] is 0. */
  readonly v4: { readonly starts: Uint32Array; readonly location: Int32Array };
  /** The same by the first 64 bits. */
  readonly v6: { readonly hi: Uint32Array; readonly lo: Uint32Array; readonly location: Int32Array };
  /** The same with AS numbers, 0 for none. */
  readonly asn4: { readonly starts: Uint32Array; readonly asn: Uint32Array };
  readonly asn6: { readonly hi: Uint32Array; readonly lo: Uint32Array; readonly asn: Uint32Array };
}

/**
 * Reads the kept file; compiles first (seconds, in a thread) when there is none, it is damaged, or its sources changed.
 * Rejects with GEOIP_UNREADABLE or GEOIP_CORRUPT when the source file is bad. A source that went bad after it was
 * compiled once is only logged: the last good edition serves on.
 */
export async function openGeoip(options: GeoipOptions): Promise<Geoip> {
  const file = keptFile(options.state);
  try {
    return geoipOf(await keptOrCompiled(await findSources(options), file, options));
  } catch (thrown) {
    const kept = await readGood(file, options.log);
    if (kept === undefined || kept.header.configured !== configuredOf(options)) throw thrown;
    options.log.error({ error: describeError(thrown) }, 'GeoIP source is bad; serving from the last good edition');
    return geoipOf(kept);
  }
}

/** Throws ARTEFACT_CORRUPT when the tables do not fit together. */
export function geoipOf({ header, tables }: Compiled): Geoip {
  const { locations, texts, asnNumbers, asnNames } = tables;
  const places = locations.latitude.length;
  const v4 = checked(tables.v4, -1, places);
  const v6 = checked(tables.v6, -1, places);
  const asn4 = checked(tables.asn4, 0, 2 ** 32);
  const asn6 = checked(tables.asn6, 0, 2 ** 32);
  const columns = [locations.longitude, locations.country, locations.city, locations.region];
  if (columns.some((column) => column.length !== places)) throw corrupt('columns of locations differ in length');
  if (asnNumbers.length !== asnNames.length) throw corrupt('AS names are not one for each number');
  const { city: source, asn: asnSource } = header;

  const shared = { label: `${source.name} ${source.date}`, key: header.key };
  const names = namesOf(shared, { locations, texts, asnNumbers, asnNames, asn4, asn6 });
  const { location } = names;
  const cityIntervals = (address: Address) => (address.family === 4 ? v4 : v6);
  const asnIntervals = (address: Address) => (address.family === 4 ? asn4 : asn6);
  const geoip: Geoip = {
    ...names,
    names: () => {
      const own = { locations: copied(locations), texts: copied(texts), asn4: copied(asn4), asn6: copied(asn6) };
      return namesOf(shared, { ...own, ...copied({ asnNumbers, asnNames }) });
    },
    attribution: [source.attribution, ...(asnSource ? [asnSource.attribution] : [])].join('; '),
    v4: { starts: v4.hi, location: v4.value },
    v6: { hi: v6.hi, lo: v6.lo, location: v6.value },
    asn4: { starts: asn4.hi, asn: asn4.value },
    asn6: { hi: asn6.hi, lo: asn6.lo, asn: asn6.value },
    locationId: (address) => {
      const intervals = address.family === 4 ? v4 : v6;
      return intervals.value[findInterval(intervals, address.hi, address.lo)]!;
    },
    lookup: (address) => {
      const id = geoip.locationId(address);
      const asn = geoip.asn(address);
      if (id < 0 && asn === 0) return undefined;
      return {
        ...(id < 0 ? nowhere : location(id)),
        asn,
        asnName: geoip.asnName(asn),
        prefix: formatPrefix(
          prefixOf(
            address,
            Math.max(lengthIn(cityIntervals(address), address), lengthIn(asnIntervals(address), address)),
          ),
        ),
        source: source.name,
        date: source.date,
        asnSource: asnSource ? `${asnSource.name} ${asnSource.date}` : '',
        attribution: geoip.attribution,
      };
    },
  };
  return geoip;
}

type Naming = Omit<GeoTables, 'v4' | 'v6' | 'asn4' | 'asn6'> & {
  readonly asn4: IndexedIntervals<Uint32Array>;
  readonly asn6: IndexedIntervals<Uint32Array>;
};

function namesOf(
  shared: Pick<GeoNames, 'label' | 'key'>,
  { locations, texts, asnNumbers, asnNames, asn4, asn6 }: Naming,
): GeoNames {
  const { latitude, longitude, country, city, region } = locations;
  return {
    ...shared,
    locations: { latitude, longitude, country },
    location: (id) => ({
      city: textOf(texts, city[id]!),
      region: textOf(texts, region[id]!),
      country: countryText(country[id]!),
      latitude: latitude[id]!,
      longitude: longitude[id]!,
    }),
    asn: (address) => {
      const intervals = address.family === 4 ? asn4 : asn6;
      return intervals.value[findInterval(intervals, address.hi, address.lo)]!;
    },
    asnName: (asn) => {
      const at = indexOf(asnNumbers, asn);
      return at < 0 ? '' : textOf(texts, asnNames[at]!);
    },
  };
}

/** With arrays of its own: nothing of the file they were read with. */
function copied<T extends object>(columns: T): T {
  const own = { ...columns };
  for (const [name, column] of Object.entries(own)) {
    if (isColumn(column)) Object.assign(own, { [name]: column.slice() });
  }
  return own;
}

function isColumn(value: unknown): value is Uint8Array | Uint16Array | Uint32Array | Float32Array {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

const nowhere: Location = { city: '', region: '', country: '', latitude: Number.NaN, longitude: Number.NaN };

function lengthIn(intervals: IndexedIntervals<Int32Array | Uint32Array>, address: Address): number {
  return enclosingLength(intervals, findInterval(intervals, address.hi, address.lo), address);
}

function checked<V extends Int32Array | Uint32Array>(
  intervals: Intervals<V>,
  least: number,
  below: number,
): IndexedIntervals<V> {
  const indexed = indexIntervals(intervals);
  if (indexed === undefined) throw corrupt(`its v${intervals.family} ranges do not rise from 0`);
  for (const value of indexed.value) {
    if (value < least || value >= below)
      throw corrupt(`a v${intervals.family} range has the location ${value} of ${below}`);
  }
  return indexed;
}

const decoder = new TextDecoder();

function textOf({ offsets, bytes }: TextTable, number: number): string {
  return decoder.decode(bytes.subarray(offsets[number], offsets[number + 1]));
}

function indexOf(sorted: Uint32Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value ? low : -1;
}
