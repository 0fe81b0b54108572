/**
 * The steering map: for each service group, which PoPs in which order, for every client prefix. Immutable, binary.
 *
 * One group's index over a family is a list of intervals of the address space, each with a ranking; neighbours differ.
 *
 *     starts   0.0.0.0   81.2.69.0   81.2.70.0   …          (v4: 32 bits; v6: the first 64)
 *     ranking     7          2           7        …          (row of `rankings`)
 *
 * A leaf of the prefix trie is the largest aligned block around an address that lies inside its interval. Neighbouring
 * intervals differ, so the sibling of every leaf holds another ranking: the leaves are an exact, minimal partition, and
 * their lengths need not be stored. Finding one is a jump or two by leading bits and a short search (prefix-index.ts).
 *
 * Cells carry the evidence by which `explain` justifies a ranking; the answer path does not read them.
 *
 * Bytes: "UFMAP\0" u16 format, u32 length of the JSON header, header (names, groups, section offsets), then sections
 * of little-endian arrays, 8-aligned. Built by services/mapper; sealed and signed by shared/io/artefact.ts.
 */
import { OperatingError } from '../errors.ts';
import { type Address, mask32 } from '../ip.ts';
import { limits } from '../limits.ts';
import { buildPrefixIndex, findByPrefix, isWorthIndexing, type Starts } from './prefix-index.ts';

export const mapFormat = 1;
/** In a ranking row: no further PoP. */
export const noPop = 255;

/** Which evidence an estimate rests on; the numbers rise from fine evidence to coarse. */
export const Tier = { none: 0, prefix: 1, asnMetro: 2, spatial: 3, country: 4, prior: 5 } as const;
export const tierNames = ['none', 'prefix', 'asn-metro', 'spatial', 'country', 'prior'] as const;

export interface IntervalIndex extends Starts {
  /** Row number in the group's rankings. */
  readonly ranking: Uint32Array;
  /** Finds the interval of an address in a few steps (prefix-index.ts); absent: by binary search over all. */
  readonly buckets?: Int32Array | undefined;
}

export interface MapGroup {
  /** groupKey() of its services. */
  readonly key: string;
  /** PoPs in a row of `rankings`. */
  readonly width: number;
  /** Rows of `width` map PoP numbers, best first, padded with noPop. */
  readonly rankings: Uint8Array;
  readonly v4: IntervalIndex;
  readonly v6: IntervalIndex;
}

/** Estimates of measured cells, row by row: entry cell · pops + pop. Times in tenths of a millisecond, 65535 = none. */
export interface CellTable {
  /** /24s, sorted, then /48s, sorted. */
  readonly v4: Uint32Array;
  readonly v6hi: Uint32Array;
  readonly v6lo: Uint32Array;
  readonly estimate: Uint16Array;
  readonly low: Uint16Array;
  readonly high: Uint16Array;
  /** Effective n, rounded, at most 65535. */
  readonly n: Uint16Array;
  readonly tier: Uint8Array;
}

export interface SteeringMap {
  readonly createdAtMs: number;
  /** Map PoP number → PoP id. Independent of DesiredState's numbers. */
  readonly pops: readonly string[];
  readonly sources: readonly string[];
  /** Name and date of the GeoIP data the prior rests on. */
  readonly geoip: string;
  readonly groups: readonly MapGroup[];
  readonly cells: CellTable;
  /** Where resolvers' clients are; absent: not known. */
  readonly population?: Population;
}

/**
 * Resolver → the cell that stands for its clients, where they agree. `ranking` of the indexes is a row of the cells; row
 * 0 means that nothing is known.
 */
export interface Population {
  readonly v4: IntervalIndex;
  readonly v6: IntervalIndex;
  /** 4 or 6. */
  readonly family: Uint8Array;
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
}

const magic = 'UFMAP\0';
type Section = Uint8Array | Uint16Array | Uint32Array;
interface Header {
  createdAtMs: number;
  pops: string[];
  sources: string[];
  geoip: string;
  groups: { key: string; width: number }[];
  /** [kind, offset from the start of sections, elements], in the order of `sectionsOf`. */
  sections: [kind: 1 | 2 | 4, offset: number, length: number][];
}

/** The arrays of a map in their fixed order. */
function sectionsOf(map: SteeringMap): Section[] {
  const { v4, v6hi, v6lo, estimate, low, high, n, tier } = map.cells;
  const groups = map.groups.flatMap((group) => [
    group.rankings,
    group.v4.hi,
    group.v4.ranking,
    group.v6.hi,
    group.v6.lo,
    group.v6.ranking,
  ]);
  return [...groups, v4, v6hi, v6lo, estimate, low, high, n, tier, ...populationSections(map.population)];
}

function populationSections(population: Population | undefined): Section[] {
  if (population === undefined) return [];
  const { v4, v6, family, hi, lo } = population;
  return [v4.hi, v4.ranking, v6.hi, v6.lo, v6.ranking, family, hi, lo];
}

export function encodeMap(map: SteeringMap): Uint8Array {
  const sections = sectionsOf(map);
  let offset = 0;
  // Groups share arrays (a group and its geo twin where nothing is measured): those are written once.
  const written = new Map<Section, number>();
  const table: Header['sections'] = sections.map((section) => {
    const at = written.get(section) ?? offset;
    if (at === offset) offset += (section.byteLength + 7) & ~7;
    written.set(section, at);
    return [section.BYTES_PER_ELEMENT as 1 | 2 | 4, at, section.length];
  });
  const header: Header = {
    createdAtMs: map.createdAtMs,
    pops: [...map.pops],
    sources: [...map.sources],
    geoip: map.geoip,
    groups: map.groups.map(({ key, width }) => ({ key, width })),
    sections: table,
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const body = (12 + json.length + 7) & ~7;
  const bytes = new Uint8Array(body + offset);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(magic));
  view.setUint16(6, mapFormat, true);
  view.setUint32(8, json.length, true);
  bytes.set(json, 12);
  for (const [i, section] of sections.entries()) {
    bytes.set(new Uint8Array(section.buffer, section.byteOffset, section.byteLength), body + table[i]![1]);
  }
  return bytes;
}

/** The bucket indexes of a map's groups, v4 and v6 in turn; undefined where a list is short. In shared memory. */
export type MapBuckets = readonly (Int32Array | undefined)[];

/** Builds them: a few hundred milliseconds for ten million intervals. */
export function buildBuckets(map: SteeringMap): MapBuckets {
  return map.groups.flatMap(({ v4, v6 }) =>
    [v4, v6].map((index) => (isWorthIndexing(index) ? buildPrefixIndex(index) : undefined)),
  );
}

/** The same map with its bucket indexes. */
export function withBuckets(map: SteeringMap, buckets: MapBuckets): SteeringMap {
  const groups = map.groups.map((group, i) => ({
    ...group,
    v4: { ...group.v4, buckets: buckets[2 * i] },
    v6: { ...group.v6, buckets: buckets[2 * i + 1] },
  }));
  return { ...map, groups };
}

/**
 * Reads a map without copying when `bytes` is 8-aligned in its buffer, which may be shared. Checks everything a look-up
 * relies on; throws ARTEFACT_CORRUPT otherwise. `checked`: another thread has checked these very bytes.
 */
export function decodeMap(input: Uint8Array, { checked = false } = {}): SteeringMap {
  const bytes = input.byteOffset % 8 === 0 ? input : input.slice();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || new TextDecoder().decode(bytes.slice(0, 6)) !== magic) throw corrupt('no steering map');
  if (view.getUint16(6, true) !== mapFormat)
    throw corrupt(`map format ${view.getUint16(6, true)}, expected ${mapFormat}`);
  const headerLength = view.getUint32(8, true);
  const body = (12 + headerLength + 7) & ~7;
  if (body > bytes.length) throw corrupt('header reaches past the end');
  const header = readHeader(bytes.slice(12, 12 + headerLength));
  let next = 0;
  const take = <T extends Section>(
    make: (buffer: ArrayBufferLike, at: number, length: number) => T,
    kind: 1 | 2 | 4,
  ): T => {
    const [found, offset, length] = header.sections[next++]!;
    if (found !== kind || offset % 8 !== 0 || body + offset + length * kind > bytes.length) {
      throw corrupt(`section ${next - 1} does not fit`);
    }
    return make(bytes.buffer, bytes.byteOffset + body + offset, length);
  };
  const u8 = () => take((b, at, n) => new Uint8Array(b, at, n), 1);
  const u16 = () => take((b, at, n) => new Uint16Array(b, at, n), 2);
  const u32 = () => take((b, at, n) => new Uint32Array(b, at, n), 4);
  const none = new Uint32Array(0);
  const groups = header.groups.map(({ key, width }): MapGroup => {
    const rankings = u8();
    const v4: IntervalIndex = { family: 4, hi: u32(), lo: none, ranking: u32() };
    const v6: IntervalIndex = { family: 6, hi: u32(), lo: u32(), ranking: u32() };
    const group = { key, width, rankings, v4, v6 };
    if (!checked) checkGroup(group, header.pops.length);
    return group;
  });
  const cells: CellTable = {
    v4: u32(),
    v6hi: u32(),
    v6lo: u32(),
    estimate: u16(),
    low: u16(),
    high: u16(),
    n: u16(),
    tier: u8(),
  };
  const population = next < header.sections.length ? takePopulation() : undefined;
  function takePopulation(): Population {
    const v4: IntervalIndex = { family: 4, hi: u32(), lo: none, ranking: u32() };
    const v6: IntervalIndex = { family: 6, hi: u32(), lo: u32(), ranking: u32() };
    const taken = { v4, v6, family: u8(), hi: u32(), lo: u32() };
    if (!checked) checkPopulation(taken);
    return taken;
  }
  const entries = (cells.v4.length + cells.v6hi.length) * header.pops.length;
  for (const column of [cells.estimate, cells.low, cells.high, cells.n, cells.tier]) {
    if (column.length !== entries) throw corrupt('cell table has columns of unequal length');
  }
  return {
    createdAtMs: header.createdAtMs,
    pops: header.pops,
    sources: header.sources,
    geoip: header.geoip,
    groups,
    cells,
    ...(population === undefined ? {} : { population }),
  };
}

/** Strangers' JSON: everything that is used later has its type. Whether sections fit is for `take`. */
function readHeader(json: Uint8Array): Header {
  let header: Partial<Record<keyof Header, unknown>>;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw corrupt('header is no JSON', cause);
  }
  const { createdAtMs, pops, sources, geoip, groups, sections } = header ?? {};
  const texts = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((one) => typeof one === 'string');
  const isGroup = (one: unknown): one is Header['groups'][number] =>
    typeof one === 'object' &&
    one !== null &&
    'key' in one &&
    typeof one.key === 'string' &&
    'width' in one &&
    Number.isInteger(one.width);
  const isSection = (one: unknown): one is Header['sections'][number] =>
    Array.isArray(one) && one.length === 3 && one.every((part) => Number.isSafeInteger(part) && part >= 0);
  if (typeof createdAtMs !== 'number' || typeof geoip !== 'string') throw corrupt('header has no creation or GeoIP');
  if (!texts(pops) || pops.length > limits.config.pops || !texts(sources))
    throw corrupt('header names no PoPs or sources');
  if (!Array.isArray(groups) || !groups.every(isGroup)) throw corrupt('header has no groups');
  if (!Array.isArray(sections) || !sections.every(isSection)) throw corrupt('header has no sections');
  const expected = 6 * groups.length + 8;
  if (sections.length !== expected && sections.length !== expected + populationParts) {
    throw corrupt('wrong number of sections');
  }
  return { createdAtMs, pops, sources, geoip, groups, sections };
}

const populationParts = 8;

function checkPopulation({ v4, v6, family, hi, lo }: Population): void {
  if (family.length === 0 || hi.length !== family.length || lo.length !== family.length) {
    throw corrupt('population: cells are empty or uneven');
  }
  if (!family.every((one) => one === 4 || one === 6)) throw corrupt('population: a cell of neither family');
  for (const index of [v4, v6]) checkIndex(index, family.length, 'population');
}

function checkGroup(group: MapGroup, pops: number): void {
  if (!(group.width >= 1 && group.width <= limits.config.pops) || group.rankings.length % group.width !== 0) {
    throw corrupt(`group ${group.key}: rankings are not rows of ${group.width}`);
  }
  for (const pop of group.rankings)
    if (pop >= pops && pop !== noPop) throw corrupt(`group ${group.key}: PoP ${pop} of ${pops}`);
  const rows = group.rankings.length / group.width;
  for (const index of [group.v4, group.v6]) checkIndex(index, rows, `group ${group.key}`);
}

function checkIndex({ family, hi, lo, ranking }: IntervalIndex, rows: number, what: string): void {
  if (hi.length === 0 || hi.length !== ranking.length || (family === 6 && lo.length !== hi.length)) {
    throw corrupt(`${what}: v${family} index is empty or uneven`);
  }
  if (hi[0] !== 0 || (lo[0] ?? 0) !== 0) throw corrupt(`${what}: v${family} index does not start at 0`);
  for (let i = 0; i < hi.length; i++) {
    if (ranking[i]! >= rows) throw corrupt(`${what}: ranking ${ranking[i]} of ${rows}`);
    if (i > 0 && (hi[i]! < hi[i - 1]! || (hi[i] === hi[i - 1] && (lo[i] ?? 0) <= (lo[i - 1] ?? 0)))) {
      throw corrupt(`${what}: v${family} starts do not rise`);
    }
  }
}

function corrupt(why: string, cause?: unknown): OperatingError {
  return new OperatingError('ARTEFACT_CORRUPT', `steering map: ${why}`, { cause });
}

/** Number of the interval that holds the address. No allocation. */
export function findInterval(index: IntervalIndex, hi: number, lo: number): number {
  const { hi: starts, lo: starts2, family, buckets } = index;
  if (buckets !== undefined) return findByPrefix(buckets, index, hi, lo);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    const start = starts[middle]!;
    if (start < hi || (start === hi && (family === 4 || starts2[middle]! <= lo))) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * Length of the leaf around the address: the largest aligned block inside interval `at` (RFC 7871 §7.2.1 scope).
 * 0 when one ranking covers the whole family. No allocation.
 */
export function leafLength(index: IntervalIndex, at: number, hi: number, lo: number): number {
  return index.family === 4 ? leafLength4(index.hi, at, hi) : leafLength6(index, at, hi, lo);
}

function leafLength4(starts: Uint32Array, at: number, hi: number): number {
  // Must exclude the last address before the interval, and the first one after it.
  const before = at > 0 ? 1 + Math.clz32(hi ^ (starts[at]! - 1)) : 0;
  const after = at + 1 < starts.length ? 1 + Math.clz32(hi ^ starts[at + 1]!) : 0;
  return before > after ? before : after;
}

function leafLength6({ hi: starts, lo: starts2 }: IntervalIndex, at: number, hi: number, lo: number): number {
  let length = 0;
  if (at > 0) {
    const startHi = starts[at]!;
    const startLo = starts2[at]!;
    length =
      1 + (startLo === 0 ? commonBits(hi, startHi - 1, lo, 0xffffffff) : commonBits(hi, startHi, lo, startLo - 1));
  }
  if (at + 1 < starts.length) {
    const endLength = 1 + commonBits(hi, starts[at + 1]!, lo, starts2[at + 1]!);
    if (endLength > length) length = endLength;
  }
  return length;
}

/** Equal leading bits of two 64-bit numbers. */
function commonBits(hiA: number, hiB: number, loA: number, loB: number): number {
  const hi = hiA ^ hiB;
  return hi !== 0 ? Math.clz32(hi) : 32 + Math.clz32(loA ^ loB);
}

/** Row of the cell table for a client, or -1: it has no evidence of its own. */
export function findCell(cells: CellTable, client: Address): number {
  if (client.family === 4) {
    const key = (client.hi & 0xffffff00) >>> 0;
    const at = lowerBound(cells.v4.length, (i) => cells.v4[i]! < key);
    return cells.v4[at] === key ? at : -1;
  }
  const lo = (client.lo & mask32(16)) >>> 0;
  const { v6hi, v6lo } = cells;
  const at = lowerBound(v6hi.length, (i) => v6hi[i]! < client.hi || (v6hi[i] === client.hi && v6lo[i]! < lo));
  return v6hi[at] === client.hi && v6lo[at] === lo ? cells.v4.length + at : -1;
}

function lowerBound(length: number, less: (i: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (less(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
