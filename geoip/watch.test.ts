/** Update by file swap, with a clock that moves when told. */
import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseAddress } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component, Log } from '@ufes/core/ports.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Geoip, type GeoipOptions, openGeoip } from './geoip.ts';
import { writeMmdb } from './testing-mmdb.ts';
import { watchGeoip } from './watch.ts';

const edition = (city: string) =>
  writeMmdb({ records: [['192.0.2.0/24', { city, country_code: 'GB', latitude: 51.5, longitude: -0.125 }]] });

let state: string;
let options: GeoipOptions;
let current: Geoip;
let clock: ManualClock;
let watch: Component;
let cities: (string | undefined)[];
let errors: string[];
let heard: () => void;

beforeEach(async () => {
  state = await mkdtemp(path.join(tmpdir(), 'ufes-geoip-'));
  errors = [];
  cities = [];
  heard = () => {};
  const log: Log = {
    ...silentLog,
    error: (fields, message) => {
      errors.push(`${message} ${JSON.stringify(fields)}`);
      heard();
    },
  };
  options = { state, city: path.join(state, 'city.mmdb'), asn: 'none', log };
  await writeFile(options.city, edition('London'));
  current = await openGeoip({ ...options, log: silentLog });
  clock = new ManualClock();
  watch = watchGeoip(
    options,
    clock,
    (geoip) => {
      cities.push(geoip.lookup(parseAddress('192.0.2.1')!)?.city);
      heard();
    },
    current,
  );
  await watch.start();
});
afterEach(async () => {
  await watch.stop();
  await rm(state, { recursive: true });
});

/** Lets looks happen until a swap or an error is heard. */
async function untilHeard(): Promise<void> {
  let done = false;
  heard = () => {
    done = true;
  };
  while (!done) await look();
}

/** One look. It may still be busy afterwards; the clock's next look is then skipped. */
async function look(): Promise<void> {
  clock.advance(limits.geoip.pollMs);
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function replace(bytes: Buffer | string): Promise<void> {
  await writeFile(`${options.city}.new`, bytes);
  await rename(`${options.city}.new`, options.city);
}

test('a new file is compiled and handed over once; the old edition still answers those who hold it', async () => {
  await replace(edition('Luton'));
  await untilHeard();
  for (let i = 0; i < 5; i++) await look();
  expect(cities).toEqual(['Luton']);
  expect(current.lookup(parseAddress('192.0.2.1')!)?.city).toBe('London');
  await replace(edition('Leeds'));
  await untilHeard();
  expect(cities).toEqual(['Luton', 'Leeds']);
  expect(errors).toEqual([]);
  expect((await openGeoip(options)).lookup(parseAddress('192.0.2.1')!)?.city).toBe('Leeds');
});

test('a bad file is logged once and changes nothing; the next good one is taken', async () => {
  await replace('rubbish');
  await untilHeard();
  for (let i = 0; i < 5; i++) await look();
  expect(cities).toEqual([]);
  expect(errors).toHaveLength(1);
  expect(errors[0]).toContain('the old edition stays in service');
  expect(errors[0]).toContain('city.mmdb: it has no metadata');
  await replace(edition('Luton'));
  await untilHeard();
  expect(cities).toEqual(['Luton']);
});

test('a file that is gone for a while is logged once; it is taken when it is back', async () => {
  await rm(options.city);
  await untilHeard();
  for (let i = 0; i < 3; i++) await look();
  expect(errors).toHaveLength(1);
  expect(errors[0]).toContain('GeoIP database');
  await replace(edition('Luton'));
  await untilHeard();
  expect(cities).toEqual(['Luton']);
});

test('a change before the watch began is not missed', async () => {
  await watch.stop();
  await replace(edition('Luton'));
  watch = watchGeoip(
    options,
    clock,
    (geoip) => {
      cities.push(geoip.label);
      heard();
    },
    current,
  );
  await watch.start();
  await untilHeard();
  expect(cities).toHaveLength(1);
});

test('stop ends a compile that is under way', async () => {
  await replace(edition('Luton'));
  for (let i = 0; i < 4; i++) await look();
  await watch.stop();
  const swapped = cities.length;
  for (let i = 0; i < 4; i++) await look();
  expect(cities.length).toBe(swapped);
  expect(errors).toEqual([]);
  expect(await readdir(path.join(state, 'geoip'))).not.toContain('ranges.bin.lock');
});
