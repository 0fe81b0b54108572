/** The built-in data: known places, agreement with the maxmind package on random addresses, and the cost of a start. */
import { addressBytes, formatAddress, parseAddress } from '@ufes/core/ip.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { silentLog } from '@ufes/io/log.ts';
import { open } from 'maxmind';
import { beforeAll, expect, test } from 'vitest';
import { dbipAttribution, type Geoip, openGeoip } from './geoip.ts';
import { findSources } from './sources.ts';
import { builtinState, openBuiltin } from './testing-builtin.ts';

interface FlatRecord {
  city: string;
  country_code: string;
  latitude: number;
  longitude: number;
  state1: string;
}

let geoip: Geoip;
beforeAll(async () => {
  geoip = await openBuiltin();
}, 120_000);

const lookup = (text: string) => geoip.lookup(parseAddress(text)!);

test('known addresses', () => {
  expect(lookup('81.2.69.160')).toMatchObject({
    city: 'London',
    region: 'England',
    country: 'GB',
    asn: 20712,
    asnName: 'Andrews & Arnold Ltd',
    prefix: '81.2.69.0/24',
    source: 'DB-IP city lite',
  });
  expect(lookup('8.8.8.8')).toMatchObject({ country: 'US', asn: 15169 });
  expect(lookup('2a00:1450:4009::1')).toMatchObject({ city: 'London', country: 'GB', asn: 15169 });
  expect(lookup('10.0.0.1')).toBeUndefined();
  expect(lookup('127.0.0.1')).toBeUndefined();
});

test('names its date and its licence’s link', () => {
  expect(geoip.label).toMatch(/^DB-IP city lite \d{4}-\d\d-\d\d$/);
  expect(geoip.attribution).toContain(dbipAttribution);
  expect(geoip.attribution).toContain('https://db-ip.com');
});

test.each([
  ['v4', 0],
  ['v6', 1],
])('agrees with the maxmind package: %s', async (family, file) => {
  const sources = await findSources({ city: 'builtin', asn: 'none' });
  const oracle = await open<never>(sources.city.files[file]!.file);
  const { next } = seededRng(`oracle ${family}`);
  const pick = (length: number) => Math.floor(next() * length);
  for (let i = 0; i < 5_000; i++) {
    // Half anywhere, half on the first address of a range or just before it.
    const at = pick(family === 'v4' ? geoip.v4.starts.length : geoip.v6.hi.length);
    const address =
      family === 'v4'
        ? ({ family: 4, hi: (i % 2 ? pick(2 ** 32) : geoip.v4.starts[at]! - pick(2)) >>> 0, lo: 0 } as const)
        : ({
            family: 6,
            hi: i % 2 ? 0x20000000 + pick(2 ** 29) : geoip.v6.hi[at]!,
            lo: (i % 2 ? pick(2 ** 32) : geoip.v6.lo[at]! - pick(2)) >>> 0,
          } as const);
    const text = formatAddress(address);
    expect(addressBytes(text)).toBeDefined();
    const record = oracle.get(text) as FlatRecord | null;
    const found = geoip.lookup(address);
    const place = found && found.country !== '' ? found : undefined;
    expect(place && [place.city, place.region, place.country, place.latitude, place.longitude], text).toEqual(
      record
        ? [record.city, record.state1, record.country_code, Math.fround(record.latitude), Math.fround(record.longitude)]
        : undefined,
    );
  }
});

test('a warm start takes under a second', async () => {
  const startedMs = performance.now();
  await openGeoip({ state: builtinState, city: 'builtin', asn: 'builtin', log: silentLog });
  expect(performance.now() - startedMs).toBeLessThan(1_000);
});
