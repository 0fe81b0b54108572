/**
 * Source files → tables. Each mmdb is read whole, its tree walked once to intervals of data pointers, and each pointer
 * decoded once to a location. Both layouts of records are read: flat (`city`, `country_code`, `latitude`, …) and
 * MaxMind's nested one (`city.names.en`, `country.iso_code`, `location.latitude`, …).
 * Takes seconds of CPU and some hundred MB: run it in a thread of its own (compile-worker.ts).
 */
import { readFile } from 'node:fs/promises';
import { OperatingError } from '@ufes/core/errors.ts';
import { readAsnCsv } from './asn-csv.ts';
import { IntervalBuilder, type Intervals } from './intervals.ts';
import { Mmdb, type MmdbValue, noData } from './mmdb.ts';
import { asnFacts, cityFacts, type SourceFile, type Sources, unreadable } from './sources.ts';
import {
  type Compiled,
  countryNumber,
  type GeoTables,
  type LocationTable,
  noLocation,
  type OnProgress,
  type SourceFacts,
  type TextTable,
} from './tables.ts';

/** Shares of the whole time, by bytes read: a CSV line costs more a byte than an mmdb's tree. */
const csvWeight = 1.5;

export async function compile(sources: Sources, onProgress: OnProgress): Promise<Compiled> {
  const weights = [
    ...sources.city.files.map(({ bytes }) => bytes),
    ...sources.asn.files.map(({ bytes }) => bytes * (sources.asn.kind === 'csv' ? csvWeight : 1)),
  ];
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let done = 0;
  const nextStage = (what: string) => {
    const from = done;
    const weight = weights.shift()!;
    done += weight;
    return (fraction: number) => onProgress((from + weight * fraction) / total, what);
  };
  const texts = new Texts();
  const city = await compileCity(sources, texts, nextStage);
  const asn = await compileAsn(sources, texts, nextStage);
  return {
    header: { key: sources.key, configured: sources.configured, city: city.facts, asn: asn.facts },
    tables: { ...city.tables, ...asn.tables, texts: texts.finish() },
  };
}

type Stage = (what: string) => (fraction: number) => void;

async function open({ file }: SourceFile): Promise<Mmdb> {
  return new Mmdb(await read(file), file);
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw unreadable(file, 'cannot be read', cause);
  }
}

// --- City ----------------------------------------------------------------------------------------------------------

async function compileCity(
  sources: Sources,
  texts: Texts,
  nextStage: Stage,
): Promise<{ facts: SourceFacts; tables: Pick<GeoTables, 'v4' | 'v6' | 'locations'> }> {
  const { builtin, files } = sources.city;
  const locations = new Locations(texts);
  const v4 = new IntervalBuilder(4);
  const v6 = new IntervalBuilder(6);
  let facts: SourceFacts | undefined;
  for (const [i, source] of files.entries()) {
    const onProgress = nextStage(`reading ${source.file.split(/[\\/]/).at(-1)}`);
    onProgress(0);
    const mmdb = await open(source);
    facts ??= cityFacts(builtin, mmdb.databaseType, mmdb.date);
    const places = new Map<number, number>([[noData, noLocation]]);
    const locate = (pointer: number): number => {
      let id = places.get(pointer);
      if (id === undefined) {
        id = locations.add(placeOf(mmdb.record(pointer)));
        places.set(pointer, id);
      }
      return id;
    };
    // Built-in: one file a family. An operator's: one file for both.
    const [takes4, takes6] = builtin ? [i === 0, i === 1] : [true, true];
    const share4 = takes6 ? 0.5 : 1;
    if (takes4) {
      mmdb.walk4(
        (start, pointer) => v4.push(start, 0, locate(pointer)),
        (fraction) => onProgress(fraction * share4),
      );
    }
    if (takes6) {
      mmdb.walk6(
        (hi, lo, pointer) => v6.push(hi, lo, locate(pointer)),
        (fraction) => onProgress(takes4 ? share4 + fraction * (1 - share4) : fraction),
      );
    }
    if (places.size > 1 && !locations.placed) {
      throw new OperatingError(
        'GEOIP_CORRUPT',
        `GeoIP database ${mmdb.file}: its records (${mmdb.databaseType}) have no coordinates; a city database is needed, ` +
          'with latitude and longitude, or location.latitude and location.longitude',
      );
    }
  }
  return { facts: facts!, tables: { v4: v4.finish(), v6: v6.finish(), locations: locations.finish() } };
}

export interface Place {
  city: string;
  region: string;
  /** As countryNumber. */
  country: number;
  latitude: number;
  longitude: number;
}

/** What a record says, in either layout; NaN, '' and 0 where it does not. */
export function placeOf(record: MmdbValue): Place {
  const map = mapOf(record) ?? {};
  const nested = mapOf(map['location']);
  const position = nested ?? map;
  const divisions = Array.isArray(map['subdivisions']) ? map['subdivisions'] : [];
  let latitude = degrees(position['latitude'], 90);
  let longitude = degrees(position['longitude'], 180);
  if (Number.isNaN(latitude) || Number.isNaN(longitude)) latitude = longitude = Number.NaN;
  return {
    city: nameOf(map['city']),
    region: nameOf(map['state1']) || nameOf(divisions[0]),
    country: countryNumber(
      map['country_code'] ?? mapOf(map['country'])?.['iso_code'] ?? mapOf(map['registered_country'])?.['iso_code'],
    ),
    latitude,
    longitude,
  };
}

function mapOf(value: MmdbValue): { [key: string]: MmdbValue } | undefined {
  return typeof value === 'object' && !Array.isArray(value) ? value : undefined;
}

/** A text, or the English (else the first) of its names. */
function nameOf(value: MmdbValue): string {
  if (typeof value === 'string') return value;
  const names = mapOf(mapOf(value)?.['names']);
  const name = names && (names['en'] ?? Object.values(names)[0]);
  return typeof name === 'string' ? name : '';
}

function degrees(value: MmdbValue, most: number): number {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Math.abs(number) <= most ? number : Number.NaN;
}

/** Locations by number, each once. */
class Locations {
  readonly #texts: Texts;
  readonly #ids = new Map<string, number>();
  readonly #city: number[] = [];
  readonly #region: number[] = [];
  readonly #country: number[] = [];
  readonly #latitude: number[] = [];
  readonly #longitude: number[] = [];
  /** Some location has coordinates. */
  placed = false;

  constructor(texts: Texts) {
    this.#texts = texts;
  }

  add(place: Place): number {
    const { country } = place;
    const city = this.#texts.add(place.city);
    const region = this.#texts.add(place.region);
    const latitude = Math.fround(place.latitude);
    const longitude = Math.fround(place.longitude);
    if (!Number.isNaN(latitude)) this.placed = true;
    if (city === 0 && region === 0 && country === 0 && Number.isNaN(latitude)) return noLocation;
    // Hundred-thousandths of a degree are finer than 32-bit floats.
    const key = `${city},${region},${country},${Math.round(latitude * 1e5)},${Math.round(longitude * 1e5)}`;
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.#ids.size;
      this.#ids.set(key, id);
      this.#city.push(city);
      this.#region.push(region);
      this.#country.push(country);
      this.#latitude.push(latitude);
      this.#longitude.push(longitude);
    }
    return id;
  }

  finish(): LocationTable {
    return {
      latitude: Float32Array.from(this.#latitude),
      longitude: Float32Array.from(this.#longitude),
      country: Uint16Array.from(this.#country),
      city: Uint32Array.from(this.#city),
      region: Uint32Array.from(this.#region),
    };
  }
}

// --- AS ------------------------------------------------------------------------------------------------------------

async function compileAsn(
  sources: Sources,
  texts: Texts,
  nextStage: Stage,
): Promise<{ facts: SourceFacts | null; tables: Pick<GeoTables, 'asn4' | 'asn6' | 'asnNumbers' | 'asnNames'> }> {
  const asn4 = new IntervalBuilder(4);
  const asn6 = new IntervalBuilder(6);
  const names = new Map<number, string>();
  let databaseType = '';
  let date = '';
  if (sources.asn.kind === 'csv') {
    for (const [i, { file }] of sources.asn.files.entries()) {
      const onProgress = nextStage(`reading ${file.split(/[\\/]/).at(-1)}`);
      readAsnCsv(await read(file), file, i === 0 ? asn4 : asn6, names, onProgress);
    }
  } else if (sources.asn.kind === 'mmdb') {
    const mmdb = await open(sources.asn.files[0]!);
    ({ databaseType, date } = mmdb);
    walkAsn(mmdb, asn4, asn6, names, nextStage('reading AS numbers'));
  } else {
    asn4.push(0, 0, 0);
    asn6.push(0, 0, 0);
  }
  const numbers = Uint32Array.from(names.keys()).sort();
  return {
    facts: asnFacts(sources, databaseType, date),
    tables: {
      asn4: unsigned(asn4.finish()),
      asn6: unsigned(asn6.finish()),
      asnNumbers: numbers,
      asnNames: numbers.map((number) => texts.add(names.get(number)!)),
    },
  };
}

function walkAsn(
  mmdb: Mmdb,
  asn4: IntervalBuilder,
  asn6: IntervalBuilder,
  names: Map<number, string>,
  onProgress: (fraction: number) => void,
): void {
  const numbers = new Map<number, number>([[noData, 0]]);
  const numberOf = (pointer: number): number => {
    let number = numbers.get(pointer);
    if (number === undefined) {
      const record = mapOf(mmdb.record(pointer)) ?? {};
      const found = record['autonomous_system_number'];
      number = typeof found === 'number' && Number.isInteger(found) && found >= 0 && found <= 0xffff_ffff ? found : 0;
      const name = record['autonomous_system_organization'];
      if (number !== 0 && !names.has(number)) names.set(number, typeof name === 'string' ? name : '');
      numbers.set(pointer, number);
    }
    return number;
  };
  mmdb.walk4(
    (start, pointer) => asn4.push(start, 0, numberOf(pointer)),
    (fraction) => onProgress(fraction / 2),
  );
  mmdb.walk6(
    (hi, lo, pointer) => asn6.push(hi, lo, numberOf(pointer)),
    (fraction) => onProgress(0.5 + fraction / 2),
  );
  if (names.size === 0 && numbers.size > 1) {
    throw new OperatingError(
      'GEOIP_CORRUPT',
      `GeoIP database ${mmdb.file}: its records (${mmdb.databaseType}) have no autonomous_system_number; ` +
        'geoip.asn needs an AS database',
    );
  }
}

function unsigned({ value, ...rest }: Intervals<Int32Array>): Intervals<Uint32Array> {
  return { ...rest, value: new Uint32Array(value.buffer, value.byteOffset, value.length) };
}

/** Each text once, by number; 0 is ''. */
class Texts {
  readonly #ids = new Map<string, number>([['', 0]]);

  add(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.#ids.size;
      this.#ids.set(text, id);
    }
    return id;
  }

  finish(): TextTable {
    const offsets = new Uint32Array(this.#ids.size + 1);
    const all = [...this.#ids.keys()];
    for (const [i, text] of all.entries()) offsets[i + 1] = offsets[i]! + Buffer.byteLength(text);
    return { offsets, bytes: new Uint8Array(Buffer.from(all.join(''))) };
  }
}
