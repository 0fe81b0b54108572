/** A look-up as text for people. */
import type { GeoLookup } from './geoip.ts';

const countryNames = new Intl.DisplayNames(['en'], { type: 'region' });

/** Lines indented by two, each ending in a newline. */
export function formatLookup(found: GeoLookup): string {
  const country = found.country === '' ? '' : `${countryName(found.country)} (${found.country})`;
  const lines: [string, string][] = [
    ['place', [found.city, found.region].filter((part) => part !== '').join(', ') || 'unknown'],
    ['country', country || 'unknown'],
    ['coordinates', Number.isNaN(found.latitude) ? 'unknown' : coordinates(found.latitude, found.longitude)],
    ['ASN', found.asn === 0 ? 'unknown' : `AS${found.asn} ${found.asnName}`.trimEnd()],
    ['prefix', found.prefix],
    ['source', found.source],
    ['date', found.date],
    ...(found.asnSource === '' ? [] : [['ASN source', found.asnSource] as [string, string]]),
    ['credit', found.attribution],
  ];
  return lines.map(([name, value]) => `  ${name.padEnd(12)} ${value}\n`).join('');
}

/** The English name of a country, or its code when there is none. */
export function countryName(code: string): string {
  try {
    return countryNames.of(code) ?? code;
  } catch {
    return code;
  }
}

function coordinates(latitude: number, longitude: number): string {
  return `${latitude.toFixed(4)}, ${longitude.toFixed(4)}`;
}
