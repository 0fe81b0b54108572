import { existsSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parseAddress } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fetchUpdates } from './fetch.ts';
import { type Geoip, openGeoip } from './geoip.ts';
import { geoipRefresh } from './refresh.ts';
import { writeMmdb } from './testing-mmdb.ts';
import { watchGeoip } from './watch.ts';

const edition = (city: string) =>
  writeMmdb({ records: [['192.0.2.0/24', { city, country_code: 'GB', latitude: 51.5, longitude: -0.1 }]] });

let server: Server;
let asked: IncomingMessage[];
/** What the source gives now; undefined: it is broken. */
let given: Buffer | undefined;
let etag: string;
let base: string;
let context: TestContext;
const running: Component[] = [];

beforeEach(async () => {
  asked = [];
  server = createServer((request, response) => {
    asked.push(request);
    if (given === undefined) response.writeHead(502).end();
    else if (request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { etag }).end(request.url?.startsWith('/city.mmdb.gz') ? gzipSync(given) : given);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  base = typeof address === 'object' ? `127.0.0.1:${address?.port}` : '';
  given = edition('Leeds');
  etag = '"1"';
  context = await testContext();
});
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await context.dispose();
});

const file = () => join(context.state, 'geoip', 'fetched-city.mmdb');

test('is fetched once for each edition, unpacked, with the password as a header', async () => {
  const update = { city: `http://ops:pa%3Ass@${base}/city.mmdb.gz?licence=secret` };
  expect(await fetchUpdates(context.state, update, context.log)).toBe(true);
  expect(await fetchUpdates(context.state, update, context.log)).toBe(false);
  expect(asked.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"1"']);
  expect(asked[0]!.headers.authorization).toBe(`Basic ${Buffer.from('ops:pa:ss').toString('base64')}`);
  const geoip = await openGeoip({ state: context.state, city: 'builtin', asn: 'none', update, log: context.log });
  expect(geoip.lookup(parseAddress('192.0.2.1')!)).toMatchObject({ city: 'Leeds' });
});

test('what is no mmdb, and a source that is broken, change nothing, and are told without the password', async () => {
  const update = { city: `http://ops:secret@${base}/city.mmdb?licence=secret` };
  await fetchUpdates(context.state, update, context.log);
  [given, etag] = [Buffer.from('<html>not today'), '"2"'];
  const bad = fetchUpdates(context.state, update, context.log);
  await expect(bad).rejects.toMatchObject({ code: 'GEOIP_CORRUPT', message: expect.not.stringContaining('secret') });
  given = undefined;
  const broken = fetchUpdates(context.state, update, context.log);
  await expect(broken).rejects.toMatchObject({
    code: 'GEOIP_UNREADABLE',
    message: `GeoIP data cannot be fetched from http://${base}/city.mmdb: the answer was 502`,
  });
  expect(existsSync(file())).toBe(true);
  expect(existsSync(`${file()}.new`)).toBe(false);
});

test('the job fetches, the watch swaps it in; a source that stays broken is a dead job', async () => {
  const update = { city: `http://${base}/city.mmdb`, everyHours: 1 };
  const geoip = { city: 'builtin', asn: 'none', update };
  const parts = { ...context, config: { ...context.config, geoip } };
  given = undefined;
  let swapped: Geoip | undefined;
  const components = geoipRefresh(parts, true);
  for (const one of components) {
    await one.start();
    running.push(one);
  }
  const { jobs } = context.queue;
  await expect.poll(async () => (await jobs.list({ limit: 1 }))[0]?.reason).toContain('the answer was 502');
  given = edition('York');
  await expect.poll(() => existsSync(file())).toBe(true);
  const options = { ...geoip, state: context.state, log: context.log };
  const first = await openGeoip(options);
  const watch = watchGeoip(options, context.clock, (edition) => (swapped = edition), first);
  await watch.start();
  running.push(watch);
  expect(first.lookup(parseAddress('192.0.2.1')!)).toMatchObject({ city: 'York' });
  [given, etag] = [edition('Kendal'), '"3"'];
  await jobs.add('geoip', 'by hand', null);
  await expect
    .poll(() => swapped?.lookup(parseAddress('192.0.2.1')!), { timeout: 4 * limits.geoip.pollMs })
    .toMatchObject({ city: 'Kendal' });
});

test('nothing is done where no source is named', () => {
  expect(geoipRefresh(context, true)).toEqual([]);
});
