/** What a look-up says, and how it is shown to people. */

export interface Location {
  readonly city: string;
  readonly region: string;
  /** ISO 3166-1 alpha-2, or '' */
  readonly country: string;
  /** Degrees; NaN when the source has none. */
  readonly latitude: number;
  readonly longitude: number;
}

/** Written as JSON as it is; coordinates that are NaN become null. */
export interface GeoLookup extends Location {
  /** 0 when none is known. */
  readonly asn: number;
  readonly asnName: string;
  /** Largest aligned block around the address for which place and AS are the same, `81.2.69.0/24`. At most /64. */
  readonly prefix: string;
  /** `DB-IP city lite` */
  readonly source: string;
  /** `2026-06-05` */
  readonly date: string;
  /** Name and date of the AS data, or ''. */
  readonly asnSource: string;
  readonly attribution: string;
}

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
function countryName(code: string): string {
  try {
    return countryNames.of(code) ?? code;
  } catch {
    return code;
  }
}

function coordinates(latitude: number, longitude: number): string {
  return `${latitude.toFixed(4)}, ${longitude.toFixed(4)}`;
}
