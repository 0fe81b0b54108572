/** What a compile makes and the kept file holds: intervals and the tables their numbers point into. */
import type { Intervals } from './intervals.ts';

/** Value of an address without a location. */
export const noLocation = -1;

/** Texts, by number: `bytes` from offsets[i] to offsets[i + 1], UTF-8. Number 0 is the empty text. */
export interface TextTable {
  readonly offsets: Uint32Array;
  readonly bytes: Uint8Array;
}

/** Columns by location id. */
export interface LocationTable {
  /** Degrees; NaN when the source names only a country or city. */
  readonly latitude: Float32Array;
  readonly longitude: Float32Array;
  /** Two ASCII letters, first · 256 + second; 0 for none. See countryText. */
  readonly country: Uint16Array;
  /** Numbers in the text table. */
  readonly city: Uint32Array;
  readonly region: Uint32Array;
}

export interface GeoTables {
  readonly v4: Intervals<Int32Array>;
  readonly v6: Intervals<Int32Array>;
  readonly locations: LocationTable;
  /** Values are AS numbers, 0 for none. */
  readonly asn4: Intervals<Uint32Array>;
  readonly asn6: Intervals<Uint32Array>;
  /** AS numbers with a name, sorted, and the numbers of their names in the text table. */
  readonly asnNumbers: Uint32Array;
  readonly asnNames: Uint32Array;
  readonly texts: TextTable;
}

/** Where a table came from. */
export interface SourceFacts {
  /** `DB-IP city lite` */
  readonly name: string;
  /** `2026-06-05` */
  readonly date: string;
  readonly licence: string;
  /** What pages that show the data must say. */
  readonly attribution: string;
}

export interface GeoHeader {
  /** Sources with their sizes and times of change: differs when a source does. */
  readonly key: string;
  /** Sources as configured: differs when the configuration does. */
  readonly configured: string;
  readonly city: SourceFacts;
  readonly asn: SourceFacts | null;
}

export interface Compiled {
  readonly header: GeoHeader;
  readonly tables: GeoTables;
}

/** `fraction` of the whole, 0–1, and what is being done. */
export type OnProgress = (fraction: number, what: string) => void;

/** 'GB' → number in LocationTable.country; anything but two capital letters is none. */
export function countryNumber(code: unknown): number {
  return typeof code === 'string' && /^[A-Z]{2}$/.test(code) ? code.charCodeAt(0) * 256 + code.charCodeAt(1) : 0;
}

export function countryText(country: number): string {
  return country === 0 ? '' : String.fromCharCode(country >>> 8, country & 255);
}
