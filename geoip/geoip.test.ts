/** Opening: an operator's own files in both layouts, what is kept, what is refused, and what outlives a bad source. */
import { mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseAddress } from '@ufes/core/ip.ts';
import type { Log } from '@ufes/core/ports.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compile, placeOf } from './compile.ts';
import { decodeKept, keptFile } from './file.ts';
import { formatLookup, type Geoip, type GeoipOptions, geoipOf, openGeoip } from './geoip.ts';
import { findSources } from './sources.ts';
import { writeMmdb } from './testing-mmdb.ts';

const flatLondon = {
  city: 'London',
  country_code: 'GB',
  latitude: 51.5,
  longitude: -0.125,
  postcode: '',
  state1: 'England',
  state2: '',
  timezone: '',
};
const nestedSingapore = {
  city: { geoname_id: 1880252, names: { de: 'Singapur', en: 'Singapore' } },
  country: { iso_code: 'SG', names: { en: 'Singapore' } },
  location: { latitude: 1.25, longitude: 103.75, time_zone: 'Asia/Singapore' },
  subdivisions: [{ names: { en: 'Central' } }, { names: { en: 'Inner' } }],
};
const cityMmdb = writeMmdb({
  databaseType: 'Example-City',
  records: [
    ['192.0.2.0/24', flatLondon],
    ['198.51.100.0/25', nestedSingapore],
    ['203.0.113.0/24', { registered_country: { iso_code: 'US' } }],
    ['2001:db8:100::/40', nestedSingapore],
  ],
});
const asnMmdb = writeMmdb({
  databaseType: 'Example-ASN',
  records: [
    ['192.0.0.0/16', { autonomous_system_number: 64496, autonomous_system_organization: 'Example Net' }],
    ['2001:db8::/32', { autonomous_system_number: 64497, autonomous_system_organization: 'Beispielnetz Zürich' }],
  ],
});

let state: string;
let city: string;
let asn: string;
let lines: { level: string; text: string }[];
let log: Log;

beforeEach(async () => {
  state = await mkdtemp(path.join(tmpdir(), 'ufes-geoip-'));
  city = path.join(state, 'city.mmdb');
  asn = path.join(state, 'asn.mmdb');
  await writeFile(city, cityMmdb);
  await writeFile(asn, asnMmdb);
  lines = [];
  const note = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, text: `${message} ${JSON.stringify(fields)}` });
  log = { ...silentLog, info: note('info'), warn: note('warn'), error: note('error') };
});
afterEach(() => rm(state, { recursive: true }));

const options = (change: Partial<GeoipOptions> = {}): GeoipOptions => ({ state, city, asn, log, ...change });
const at = (text: string) => parseAddress(text)!;

describe('an operator’s own files', () => {
  test('both layouts, both families, and AS numbers', async () => {
    const geoip = await openGeoip(options());
    expect(geoip.label).toBe('Example-City 2025-11-24');
    expect(geoip.lookup(at('192.0.2.7'))).toEqual({
      city: 'London',
      region: 'England',
      country: 'GB',
      latitude: 51.5,
      longitude: -0.125,
      asn: 64496,
      asnName: 'Example Net',
      prefix: '192.0.2.0/24',
      source: 'Example-City',
      date: '2025-11-24',
      asnSource: 'Example-ASN 2025-11-24',
      attribution: 'IP geolocation by Example-City; IP geolocation by Example-ASN',
    });
    expect(geoip.lookup(at('2001:db8:1ff::1'))).toMatchObject({
      city: 'Singapore',
      region: 'Central',
      country: 'SG',
      latitude: 1.25,
      asnName: 'Beispielnetz Zürich',
      prefix: '2001:db8:100::/40',
    });
    expect(geoip.locationId(at('198.51.100.127'))).toBe(geoip.locationId(at('2001:db8:100::')));
    expect(geoip.lookup(at('203.0.113.1'))).toMatchObject({ city: '', country: 'US', latitude: Number.NaN, asn: 0 });
  });

  test('boundaries: the addresses just outside know nothing, or the AS alone', async () => {
    const geoip = await openGeoip(options());
    expect(
      ['198.51.99.255', '198.51.100.0', '198.51.100.127', '198.51.100.128'].map((a) => geoip.locationId(at(a)) >= 0),
    ).toEqual([false, true, true, false]);
    expect(geoip.lookup(at('198.51.100.128'))).toBeUndefined();
    expect(geoip.lookup(at('255.255.255.255'))).toBeUndefined();
    expect(geoip.lookup(at('ffff:ffff:ffff:ffff:ffff::1'))).toBeUndefined();
    expect(geoip.lookup(at('192.0.3.0'))).toMatchObject({
      city: '',
      latitude: Number.NaN,
      asn: 64496,
      prefix: '192.0.3.0/24',
    });
    expect(geoip.asnName(1)).toBe('');
  });

  test('names tell all but where addresses are, from arrays of their own', async () => {
    const geoip = await openGeoip(options());
    const names = geoip.names();
    expect([names.label, names.key]).toEqual([geoip.label, geoip.key]);
    const london = geoip.locationId(at('192.0.2.7'));
    expect(names.location(london)).toEqual(geoip.location(london));
    const known = at('2001:db8:100::1');
    expect([names.asn(known), names.asnName(names.asn(known))]).toEqual([64497, 'Beispielnetz Zürich']);
    expect(names.locations).toEqual(geoip.locations);
    expect(names.locations.latitude.buffer).not.toBe(geoip.locations.latitude.buffer);
  });

  test('the ranges a map is built over begin at 0 and hold -1 for nowhere', async () => {
    const { v4, v6, locations } = await openGeoip(options());
    expect([v4.starts[0], v4.location[0], v6.hi[0], v6.lo[0], v6.location[0]]).toEqual([0, -1, 0, 0, -1]);
    expect(v4.starts.length).toBe(7);
    expect(locations.latitude.length).toBe(3);
  });

  test('asn: none', async () => {
    const geoip = await openGeoip(options({ asn: 'none' }));
    expect(geoip.lookup(at('192.0.2.7'))).toMatchObject({ city: 'London', asn: 0, asnName: '', asnSource: '' });
  });

  test('as text', async () => {
    const geoip = await openGeoip(options());
    const text = formatLookup(geoip.lookup(at('192.0.2.7'))!);
    for (const part of [
      'London, England',
      'United Kingdom (GB)',
      '51.5000, -0.1250',
      'AS64496 Example Net',
      '192.0.2.0/24',
      'Example-City',
      '2025-11-24',
    ]) {
      expect(text).toContain(part);
    }
    expect(formatLookup(geoip.lookup(at('192.0.3.0'))!)).toContain('place        unknown');
  });
});

test('odd records: what can be read is, the rest is nothing', () => {
  expect(placeOf('text')).toEqual({ city: '', region: '', country: 0, latitude: Number.NaN, longitude: Number.NaN });
  expect(placeOf({ city: { names: { fr: 'Genève' } } }).city).toBe('Genève');
  expect(placeOf({ latitude: '51.5', longitude: '0' })).toMatchObject({ latitude: 51.5, longitude: 0 });
  expect(placeOf({ latitude: 91, longitude: 0 }).longitude).toBeNaN();
  expect(placeOf({ country_code: 'gb' }).country).toBe(0);
});

describe('what is kept', () => {
  test('a second start reads it and compiles nothing', async () => {
    const told: number[] = [];
    await openGeoip(options({ onProgress: (fraction) => told.push(fraction) }));
    expect(told.at(-1)).toBe(1);
    const written = (await stat(keptFile(state))).mtimeMs;
    told.length = 0;
    const again = await openGeoip(options({ onProgress: (fraction) => told.push(fraction) }));
    expect(told).toEqual([]);
    expect((await stat(keptFile(state))).mtimeMs).toBe(written);
    expect(again.lookup(at('192.0.2.7'))?.city).toBe('London');
    expect(await readdir(path.dirname(keptFile(state)))).toEqual(['ranges.bin']);
  });

  test('a changed source or another choice is compiled anew', async () => {
    await openGeoip(options());
    await writeFile(city, writeMmdb({ records: [['192.0.2.0/24', { ...flatLondon, city: 'Luton' }]] }));
    expect((await openGeoip(options())).lookup(at('192.0.2.7'))?.city).toBe('Luton');
    expect((await openGeoip(options({ asn: 'none' }))).asn(at('192.0.2.7'))).toBe(0);
  });

  test.each<[string, (file: string) => Promise<void>]>([
    ['truncated', async (file) => truncate(file, (await stat(file)).size - 8)],
    ['cut to nothing', async (file) => truncate(file, 0)],
    [
      'changed by one bit',
      async (file) => {
        const bytes = await readFile(file);
        bytes[bytes.length - 20]! ^= 1;
        await writeFile(file, bytes);
      },
    ],
    [
      'of another format',
      async (file) => {
        const bytes = await readFile(file);
        bytes.writeUInt16LE(999, 6);
        await writeFile(file, bytes);
      },
    ],
  ])('%s: compiled anew, and the log says so', async (_, damage) => {
    await openGeoip(options());
    await damage(keptFile(state));
    lines.length = 0;
    const geoip = await openGeoip(options());
    expect(geoip.lookup(at('192.0.2.7'))?.city).toBe('London');
    expect(lines[0]).toMatchObject({ level: 'warn', text: expect.stringContaining('cannot be used; compiling anew') });
  });

  test('tables that do not fit together are refused', async () => {
    await openGeoip(options());
    const bytes = await readFile(keptFile(state));
    const compiled = decodeKept(new Uint8Array(bytes).buffer);
    const { v4, locations } = compiled.tables;
    const spoilt = (tables: object) => () => geoipOf({ ...compiled, tables: { ...compiled.tables, ...tables } });
    expect(spoilt({})).not.toThrow();
    expect(spoilt({ v4: { ...v4, value: v4.value.with(0, 3) } })).toThrow(/location 3 of 3/);
    expect(spoilt({ v4: { ...v4, hi: v4.hi.with(1, 0) } })).toThrow(/do not rise/);
    expect(spoilt({ locations: { ...locations, city: new Uint32Array(1) } })).toThrow(/differ in length/);
  });

  test('several openers at once: one compiles, all get it, no lock stays', async () => {
    const all: Geoip[] = await Promise.all([1, 2, 3].map(() => openGeoip(options())));
    expect(all.map((geoip) => geoip.lookup(at('192.0.2.7'))?.city)).toEqual(['London', 'London', 'London']);
    expect(lines.filter(({ text }) => text.startsWith('compiled GeoIP data'))).toHaveLength(1);
    expect(await readdir(path.dirname(keptFile(state)))).toEqual(['ranges.bin']);
  });

  test('a lock whose holder is gone is taken over', async () => {
    await openGeoip(options());
    await rm(keptFile(state));
    const lock = `${keptFile(state)}.lock`;
    await writeFile(lock, '1\n');
    await utimes(lock, new Date(0), new Date(0));
    expect((await openGeoip(options())).label).toBe('Example-City 2025-11-24');
  });
});

describe('sources that cannot be used', () => {
  test.each<[string, Buffer | undefined, string, RegExp]>([
    ['missing', undefined, 'GEOIP_UNREADABLE', /city\.mmdb: geoip\.city names a file that cannot be read.*ENOENT/s],
    ['no mmdb', Buffer.from('hello'), 'GEOIP_CORRUPT', /city\.mmdb: it has no metadata at its end/],
    ['truncated', cityMmdb.subarray(0, 400), 'GEOIP_CORRUPT', /truncated/],
    ['an AS database', asnMmdb, 'GEOIP_CORRUPT', /Example-ASN\) have no coordinates; a city database is needed/],
  ])('%s', async (_, bytes, code, message) => {
    if (bytes === undefined) await rm(city);
    else await writeFile(city, bytes);
    await expect(openGeoip(options())).rejects.toSatisfy(
      (error: Error & { code: string }) => error.code === code && message.test(`${error.message}: ${error.cause}`),
    );
    expect(await readdir(path.join(state, 'geoip')).catch(() => [])).toEqual([]);
  });

  test('a city database where AS numbers are wanted', async () => {
    await expect(openGeoip(options({ asn: city }))).rejects.toMatchObject({
      code: 'GEOIP_CORRUPT',
      message: expect.stringContaining('no autonomous_system_number; geoip.asn needs an AS database'),
    });
  });

  test('a folder in place of a file', async () => {
    await expect(openGeoip(options({ city: state }))).rejects.toMatchObject({ code: 'GEOIP_UNREADABLE' });
  });

  test('one that went bad after a good compile: the last good edition serves, and the log says so', async () => {
    await openGeoip(options());
    await writeFile(city, 'rubbish');
    const geoip = await openGeoip(options());
    expect(geoip.lookup(at('192.0.2.7'))?.city).toBe('London');
    expect(lines.at(-1)).toMatchObject({ level: 'error', text: expect.stringContaining('last good edition') });
    await expect(openGeoip(options({ asn: 'none' }))).rejects.toMatchObject({ code: 'GEOIP_CORRUPT' });
  });
});

test('compiles in this thread too, telling how far it is', async () => {
  const told: number[] = [];
  const compiled = await compile(await findSources(options()), (fraction) => told.push(fraction));
  expect(compiled.header).toMatchObject({ city: { name: 'Example-City' }, asn: { name: 'Example-ASN' } });
  expect(told.every((fraction) => fraction >= 0 && fraction <= 1)).toBe(true);
});
