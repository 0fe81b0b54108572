/**
 * New editions of GeoIP databases, fetched from where the configuration says (`geoip.update`) into STATE/geoip.
 *
 *     GET, if changed ─▶ beside ─▶ gunzip ─▶ an mmdb? ─▶ renamed to fetched-city.mmdb ─▶ found by watch.ts, compiled, swapped
 *
 * Until the first one is there, and whenever the source is gone or bad, what there was stays. Fetching again what is
 * there already changes nothing. Processes of one state folder take turns.
 */
import { createWriteStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { createGunzip } from 'node:zlib';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { lock } from './keep.ts';
import { Mmdb } from './mmdb.ts';
import { fetchedFile, type GeoipUpdate } from './sources.ts';

/** What the source said of the edition that is here. */
interface Edition {
  readonly url: string;
  readonly etag?: string;
  readonly lastModified?: string;
}

/** True when a new edition came. Rejects with GEOIP_UNREADABLE or GEOIP_CORRUPT; the URL's password is in no message. */
export async function fetchUpdates(state: string, update: GeoipUpdate, log: Log): Promise<boolean> {
  const folder = path.join(state, 'geoip');
  await mkdir(folder, { recursive: true });
  const unlock = await lock(path.join(folder, 'fetch.lock'), { log });
  try {
    let isNew = false;
    for (const which of ['city', 'asn'] as const) {
      const url = update[which];
      if (url !== undefined && (await fetchOne(url, fetchedFile(state, which), log))) isNew = true;
    }
    return isNew;
  } finally {
    await unlock();
  }
}

async function fetchOne(url: string, file: string, log: Log): Promise<boolean> {
  const beside = `${file}.new`;
  const shown = withoutPassword(url);
  try {
    const edition = await download(url, await editionOf(file, shown), beside);
    if (edition === undefined) return false;
    await assertMmdb(beside, shown);
    await rename(beside, file);
    // After the file: an edition that is forgotten is fetched again.
    await writeFile(`${file}.json`, JSON.stringify({ ...edition, url: shown }));
    log.info({ url: shown, file }, 'fetched new GeoIP data');
    return true;
  } catch (thrown) {
    if (thrown instanceof OperatingError) throw thrown;
    const why = describeError(thrown).replaceAll(url, shown);
    throw new OperatingError('GEOIP_UNREADABLE', `GeoIP data cannot be fetched from ${shown}: ${why}`);
  } finally {
    await rm(beside, { force: true });
  }
}

/** Undefined: what is here is the newest. */
async function download(
  url: string,
  known: Edition | undefined,
  to: string,
): Promise<Omit<Edition, 'url'> | undefined> {
  const { href, headers } = requestOf(url);
  if (known?.etag !== undefined) headers['if-none-match'] = known.etag;
  if (known?.lastModified !== undefined) headers['if-modified-since'] = known.lastModified;
  const response = await fetch(href, { headers, signal: AbortSignal.timeout(limits.geoip.fetchMs) });
  if (response.status === 304) return undefined;
  if (!response.ok || response.body === null) throw new Error(`the answer was ${response.status}`);
  const body = Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
  const isGzip = new URL(href).pathname.endsWith('.gz');
  const steps = isGzip ? [createGunzip(), bounded()] : [bounded()];
  await pipeline([body, ...steps, createWriteStream(to)]);
  const [etag, lastModified] = [response.headers.get('etag'), response.headers.get('last-modified')];
  return { ...(etag && { etag }), ...(lastModified && { lastModified }) };
}

/** A password goes into a header: fetch takes none in URLs. */
function requestOf(url: string): { href: string; headers: Record<string, string> } {
  const target = new URL(url);
  const { username, password } = target;
  target.username = '';
  target.password = '';
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const headers: Record<string, string> =
    username === '' ? {} : { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
  return { href: target.href, headers };
}

function withoutPassword(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

function bounded(): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      const isTooMuch = bytes > limits.geoip.sourceBytes;
      done(isTooMuch ? new Error(`more than ${limits.geoip.sourceBytes} bytes`) : null, chunk);
    },
  });
}

async function editionOf(file: string, url: string): Promise<Edition | undefined> {
  try {
    await (await open(file)).close();
    const edition = JSON.parse(await readFile(`${file}.json`, 'utf8')) as Edition;
    return edition.url === url ? edition : undefined;
  } catch {
    return undefined;
  }
}

async function assertMmdb(file: string, from: string): Promise<void> {
  try {
    new Mmdb(await readFile(file), from);
  } catch (cause) {
    throw new OperatingError('GEOIP_CORRUPT', `what ${from} gives is no mmdb; the edition before stays`, { cause });
  }
}
