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
 * Bytes: "UFMAP\0" u16 format, u32 length of the JSON header, u32 length of the head, header (names, groups, section
 * offsets), then sections of little-endian arrays, 8-aligned. The head is what answers need; after it come the cells'
 * estimates, by far the most of a map, which may stay on disk and be read a row at a time. Format 2, which is still read,
 * has them for every PoP; format 1 has no head and no weights either. Built by services/mapper; sealed and signed by shared/io/artefact.ts.
 */
import { OperatingError } from '../errors.ts';
import { type Address, mask32 } from '../ip.ts';
import { limits } from '../limits.ts';
import { buildPrefixIndexInSlices, findByPrefix, isWorthIndexing, type Starts } from './prefix-index.ts';

export const mapFormat = 3;
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

/**
 * Estimates of measured cells, row by row: of the PoPs that a cell was measured at and those that come first for it, the
 * entries `first[cell]` up to `first[cell + 1]`; where `first` is absent, of all PoPs: entry cell · pops + pop. Times in
 * tenths of a millisecond, 65535 = none. The columns are empty where they stayed on disk; cellRow() reads any of these.
 */
export interface CellTable {
  /** /24s, sorted, then /48s, sorted. */
  readonly v4: Uint32Array;
  readonly v6hi: Uint32Array;
  readonly v6lo: Uint32Array;
  /** Sum of `n` over the PoPs, by cell; absent: to be summed, which takes all PoPs. */
  readonly weight?: Uint32Array | undefined;
  readonly first?: Uint32Array | undefined;
  /** By entry, rising in a row; with `first`. */
  readonly pop?: Uint8Array | undefined;
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
  /** An operator rolled back to an older version: these are its rankings, and they stay until then. */
  readonly rolledBack?: RolledBack;
  /** How to read what stayed on disk. */
  readonly rest?: MapRest;
}

export interface RolledBack {
  readonly version: string;
  readonly untilMs: number;
  readonly by: string;
  readonly why: string;
}

/** Bytes of the encoded map, or undefined: they cannot be had. */
export type ReadRest = (offset: number, length: number) => Uint8Array | undefined;

interface MapRest {
  /** Where each column of the cells begins in the encoded map, in the order of `columnsOf`. */
  readonly columns: readonly number[];
  readonly read: ReadRest;
}

/** One row of the cell table, by map PoP number. */
export type CellRow = Pick<CellTable, 'estimate' | 'low' | 'high' | 'n' | 'tier'>;

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
/** Before the JSON header; 12 in format 1. */
const prefixBytes = 16;
type Section = Uint8Array | Uint16Array | Uint32Array;
interface Header {
  createdAtMs: number;
  pops: string[];
  sources: string[];
  geoip: string;
  rolledBack?: RolledBack;
  groups: { key: string; width: number }[];
  /** [kind, offset from the start of sections, elements], in the order of `sectionsOf`. */
  sections: [kind: 1 | 2 | 4, offset: number, length: number][];
}

/** The arrays of a map in their fixed order; those of the cells' estimates lie behind all others. */
function sectionsOf(map: SteeringMap): Section[] {
  const { v4, v6hi, v6lo } = map.cells;
  const groups = map.groups.flatMap((group) => [
    group.rankings,
    group.v4.hi,
    group.v4.ranking,
    group.v6.hi,
    group.v6.lo,
    group.v6.ranking,
  ]);
  const weight = map.cells.weight ?? weightsOf(map.cells, map.pops.length);
  return [...groups, v4, v6hi, v6lo, weight, ...columnsOf(map.cells), ...populationSections(map.population)];
}

function columnsOf({ estimate, low, high, n, tier, first = none, pop = noBytes }: CellTable): Section[] {
  return [estimate, low, high, n, tier, first, pop];
}

const none = new Uint32Array(0);
const noBytes = new Uint8Array(0);

/** The entry of a PoP in a row that is in memory; -1: nothing is said of it. */
export function cellEntry({ first, pop: pops }: CellTable, popCount: number, cell: number, pop: number): number {
  if (first === undefined || pops === undefined) return cell * popCount + pop;
  for (let at = first[cell]!; at < first[cell + 1]!; at++) if (pops[at] === pop) return at;
  return -1;
}

function weightsOf({ v4, v6hi, n }: CellTable, pops: number): Uint32Array {
  const weights = new Uint32Array(v4.length + v6hi.length);
  for (let cell = 0, at = 0; cell < weights.length; cell++) {
    let sum = 0;
    for (const end = at + pops; at < end; at++) sum += n[at]!;
    weights[cell] = sum;
  }
  return weights;
}

function populationSections(population: Population | undefined): Section[] {
  if (population === undefined) return [];
  const { v4, v6, family, hi, lo } = population;
  return [v4.hi, v4.ranking, v6.hi, v6.lo, v6.ranking, family, hi, lo];
}

export function encodeMap(map: SteeringMap): Uint8Array {
  const sections = sectionsOf(map);
  const columns = columnsOf(map.cells);
  let offset = 0;
  // Groups share arrays (a group and its geo twin where nothing is measured): those are written once.
  const placed = new Map<Section, number>();
  const place = (section: Section) => {
    if (placed.has(section)) return;
    placed.set(section, offset);
    offset += (section.byteLength + 7) & ~7;
  };
  for (const section of sections) if (!columns.includes(section) || section.length === 0) place(section);
  const headEnd = offset;
  for (const column of columns) place(column);
  const table = sections.map((section): Header['sections'][number] => [
    section.BYTES_PER_ELEMENT as 1 | 2 | 4,
    placed.get(section)!,
    section.length,
  ]);
  const header: Header = {
    createdAtMs: map.createdAtMs,
    pops: [...map.pops],
    sources: [...map.sources],
    geoip: map.geoip,
    ...(map.rolledBack && { rolledBack: map.rolledBack }),
    groups: map.groups.map(({ key, width }) => ({ key, width })),
    sections: table,
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const body = (prefixBytes + json.length + 7) & ~7;
  const bytes = new Uint8Array(body + offset);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(magic));
  view.setUint16(6, mapFormat, true);
  view.setUint32(8, json.length, true);
  view.setUint32(12, body + headEnd, true);
  bytes.set(json, prefixBytes);
  for (const [i, section] of sections.entries()) {
    bytes.set(new Uint8Array(section.buffer, section.byteOffset, section.byteLength), body + table[i]![1]);
  }
  return bytes;
}

/** The bucket indexes of a map's groups, v4 and v6 in turn; undefined where a list is short. In shared memory. */
export type MapBuckets = readonly (Int32Array | undefined)[];

/** Builds them: a few hundred milliseconds for ten million intervals. */
export function buildBuckets(map: SteeringMap): MapBuckets {
  return runThrough(buildBucketsInSlices(map));
}

/** The same in slices of less than a millisecond; `allocate` is asked once for all of them, for that many bytes or more. */
export function* buildBucketsInSlices(
  map: SteeringMap,
  allocate = (bytes: number) => new SharedArrayBuffer(bytes),
): Generator<undefined, MapBuckets> {
  const indexes = map.groups.flatMap(({ v4, v6 }) => [v4, v6]);
  // Groups share lists: each is indexed once.
  const built = new Map<Uint32Array, Int32Array>();
  for (const index of indexes) {
    if (built.has(index.hi) || !isWorthIndexing(index)) continue;
    built.set(index.hi, yield* buildPrefixIndexInSlices(index));
  }
  const words = [...built.values()].reduce((sum, own) => sum + own.length, 0);
  const shared = words === 0 ? new Int32Array(0) : new Int32Array(allocate(4 * words), 0, words);
  let at = 0;
  for (const [starts, own] of built) {
    for (let i = 0; i < own.length; i += checkSlice) {
      shared.set(own.subarray(i, i + checkSlice), at + i);
      yield;
    }
    built.set(starts, shared.subarray(at, at + own.length));
    at += own.length;
  }
  return indexes.map(({ hi }) => built.get(hi));
}

function runThrough<T>(work: Generator<undefined, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
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
 * How much of an encoded map a reader needs in memory to answer by it; `first`: at least its first 16 bytes. All of it
 * where that is not said.
 */
export function mapHeadBytes(first: Uint8Array): number {
  if (first.length < prefixBytes) return Number.POSITIVE_INFINITY;
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
  const format = view.getUint16(6, true);
  return format === 2 || format === mapFormat ? view.getUint32(12, true) : Number.POSITIVE_INFINITY;
}

export interface DecodeOptions {
  /** Another thread has checked these very bytes. */
  readonly checked?: boolean;
  /** `bytes` may be the head alone then, or more of the beginning. */
  readonly rest?: ReadRest | undefined;
}

/**
 * Reads a map without copying when `bytes` is 8-aligned in its buffer, which may be shared. Checks everything a look-up
 * relies on; throws ARTEFACT_CORRUPT otherwise.
 */
export function decodeMap(input: Uint8Array, options: DecodeOptions = {}): SteeringMap {
  return runThrough(decodeMapInSlices(input, options));
}

/** The same in slices of less than a millisecond. */
export function* decodeMapInSlices(
  input: Uint8Array,
  { checked = false, rest }: DecodeOptions = {},
): Generator<undefined, SteeringMap> {
  const bytes = input.byteOffset % 8 === 0 ? input : input.slice();
  const { header, body, format } = openMap(bytes);
  const isWhole = format === 1 || rest === undefined;
  let next = 0;
  const columns: number[] = [];
  const take = <T extends Section>(
    make: (buffer: ArrayBufferLike, at: number, length: number) => T,
    kind: 1 | 2 | 4,
    isColumn = false,
  ): T => {
    const [found, offset, length] = header.sections[next++]!;
    if (isColumn) columns.push(body + offset);
    const staysOnDisk = isColumn && !isWhole;
    if (found !== kind || offset % 8 !== 0 || (!staysOnDisk && body + offset + length * kind > bytes.length)) {
      throw corrupt(`section ${next - 1} does not fit`);
    }
    return make(bytes.buffer, bytes.byteOffset + (staysOnDisk ? 0 : body + offset), staysOnDisk ? 0 : length);
  };
  const u8 = (isColumn = false) => take((b, at, n) => new Uint8Array(b, at, n), 1, isColumn);
  const u16 = (isColumn = false) => take((b, at, n) => new Uint16Array(b, at, n), 2, isColumn);
  const u32 = (isColumn = false) => take((b, at, n) => new Uint32Array(b, at, n), 4, isColumn);
  const takeIndexes = (): Pick<MapGroup, 'v4' | 'v6'> => ({
    v4: { family: 4, hi: u32(), lo: none, ranking: u32() },
    v6: { family: 6, hi: u32(), lo: u32(), ranking: u32() },
  });
  const groups: MapGroup[] = [];
  for (const { key, width } of header.groups) {
    const group = { key, width, rankings: u8(), ...takeIndexes() };
    if (!checked) yield* checkGroup(group, header.pops.length);
    groups.push(group);
  }
  const keys = { v4: u32(), v6hi: u32(), v6lo: u32() };
  const count = keys.v4.length + keys.v6hi.length;
  if (keys.v6lo.length !== keys.v6hi.length) throw corrupt('cell table has keys of unequal length');
  const weight = format === 1 ? undefined : u32();
  if (weight !== undefined && weight.length !== count) throw corrupt('cell table has weights of unequal length');
  const lengths = header.sections.slice(next, next + (format < 3 ? 5 : 7)).map(([, , length]) => length);
  const isSparse = checkColumns(lengths, count, header.pops.length);
  const [estimate, low, high, n] = [u16(true), u16(true), u16(true), u16(true)];
  const columnsRead = { estimate, low, high, n, tier: u8(true) };
  const [first, pop] = format < 3 ? [none, noBytes] : [u32(true), u8(true)];
  const cells: CellTable = {
    ...keys,
    ...(isWhole && !isSparse ? {} : { weight }),
    ...columnsRead,
    ...(isSparse ? { first, pop } : {}),
  };
  if (isSparse && isWhole && !checked) yield* checkRows(cells, header.pops.length);
  let population: Population | undefined;
  if (next < header.sections.length) {
    population = { ...takeIndexes(), family: u8(), hi: u32(), lo: u32() };
    if (!checked) yield* checkPopulation(population);
  }
  const { createdAtMs, pops, sources, geoip, rolledBack } = header;
  return {
    ...{ createdAtMs, pops, sources, geoip, groups, cells },
    ...(rolledBack && { rolledBack }),
    ...(population === undefined ? {} : { population }),
    ...(isWhole || rest === undefined ? {} : { rest: { columns, read: rest } }),
  };
}

/** Lengths of the cells' columns. True when not every PoP has its entry. */
function checkColumns([estimate, ...others]: readonly number[], count: number, pops: number): boolean {
  const [low, high, n, tier, first = 0, pop = 0] = others;
  const isSparse = first > 0;
  const even = [low, high, n, tier, ...(isSparse ? [pop] : [])].every((length) => length === estimate);
  const fits = isSparse ? first === count + 1 : estimate === count * pops && pop === 0;
  if (!even || !fits) throw corrupt('cell table has columns of unequal length');
  return isSparse;
}

function* checkRows({ first = none, pop = noBytes }: CellTable, pops: number): Generator<undefined> {
  const count = first.length - 1;
  if (first[0] !== 0 || first[count] !== pop.length) throw corrupt('cell table has rows that do not fit');
  for (let cell = 0; cell < count; cell++) {
    const end = first[cell + 1]!;
    if (end < first[cell]! || end - first[cell]! > pops || end > pop.length) {
      throw corrupt('cell table has rows that do not fit');
    }
    for (let at = first[cell]!; at < end; at++) {
      if (pop[at]! >= pops || (at > first[cell]! && pop[at]! <= pop[at - 1]!))
        throw corrupt(`cell table: PoP ${pop[at]}`);
    }
    if (cell % (checkSlice / 8) === 0) yield;
  }
}

/** Its header, and where its sections begin. */
function openMap(bytes: Uint8Array): { header: Header; body: number; format: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < prefixBytes || new TextDecoder().decode(bytes.slice(0, 6)) !== magic) {
    throw corrupt('no steering map');
  }
  const format = view.getUint16(6, true);
  if (!(format >= 1 && format <= mapFormat)) throw corrupt(`map format ${format}, expected 1 to ${mapFormat}`);
  const jsonAt = format === 1 ? 12 : prefixBytes;
  const jsonEnd = jsonAt + view.getUint32(8, true);
  const body = (jsonEnd + 7) & ~7;
  if (body > bytes.length) throw corrupt('header reaches past the end');
  return { header: readHeader(bytes.slice(jsonAt, jsonEnd), format), body, format };
}

/** Estimates of one cell by map PoP number; undefined: they stayed on disk and cannot be read. */
export function cellRow(map: SteeringMap, cell: number): CellRow | undefined {
  const { cells, pops, rest } = map;
  if (rest !== undefined) return rowOnDisk(rest, cells.first !== undefined, cell, pops.length);
  const { estimate, low, high, n, tier, first, pop } = cells;
  const [from, to] =
    first === undefined ? [cell * pops.length, (cell + 1) * pops.length] : [first[cell]!, first[cell + 1]!];
  const [e, l, h, m] = [estimate, low, high, n].map((column) => column.subarray(from, to));
  const row = { estimate: e!, low: l!, high: h!, n: m!, tier: tier.subarray(from, to) };
  return pop === undefined ? row : spread(row, pop.subarray(from, to), pops.length);
}

function rowOnDisk(rest: MapRest, isSparse: boolean, cell: number, pops: number): CellRow | undefined {
  // A copy of its own is aligned.
  const read = (column: number, at: number, length: number) => rest.read(rest.columns[column]! + at, length)?.slice();
  let [from, count] = [cell * pops, pops];
  if (isSparse) {
    const bytes = read(5, 4 * cell, 8);
    if (bytes === undefined) return undefined;
    const [start = 0, end = 0] = new Uint32Array(bytes.buffer, bytes.byteOffset, 2);
    [from, count] = [start, end - start];
    if (count < 0 || count > pops) return undefined;
  }
  const words = [0, 1, 2, 3].flatMap((column) => {
    const bytes = read(column, 2 * from, 2 * count);
    return bytes === undefined ? [] : [new Uint16Array(bytes.buffer, bytes.byteOffset, count)];
  });
  const tier = read(4, from, count);
  if (words.length < 4 || tier === undefined) return undefined;
  const row = { estimate: words[0]!, low: words[1]!, high: words[2]!, n: words[3]!, tier };
  if (!isSparse) return row;
  const places = read(6, from, count);
  return places?.every((pop) => pop < pops) === true ? spread(row, places, pops) : undefined;
}

/** Some PoPs' entries as a row of all. */
function spread(row: CellRow, places: Uint8Array, pops: number): CellRow {
  const column = () => new Uint16Array(pops).fill(65_535);
  const all = {
    estimate: column(),
    low: column(),
    high: column(),
    n: new Uint16Array(pops),
    tier: new Uint8Array(pops),
  };
  for (const [at, pop] of places.entries()) {
    all.estimate[pop] = row.estimate[at]!;
    all.low[pop] = row.low[at]!;
    all.high[pop] = row.high[at]!;
    all.n[pop] = row.n[at]!;
    all.tier[pop] = row.tier[at]!;
  }
  return all;
}

/** Strangers' JSON: everything that is used later has its type. Whether sections fit is for `take`. */
function readHeader(json: Uint8Array, format: number): Header {
  let header: Partial<Record<keyof Header, unknown>>;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw corrupt('header is no JSON', cause);
  }
  const { createdAtMs, pops, sources, geoip, groups, sections, rolledBack } = header ?? {};
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
  const expected = 6 * groups.length + [8, 9, 11][format - 1]!;
  if (sections.length !== expected && sections.length !== expected + populationParts) {
    throw corrupt('wrong number of sections');
  }
  if (rolledBack !== undefined && !isRolledBack(rolledBack))
    throw corrupt('header says nothing of what was rolled back');
  return { createdAtMs, pops, sources, geoip, groups, sections, ...(rolledBack && { rolledBack }) };
}

function isRolledBack(value: unknown): value is RolledBack {
  if (typeof value !== 'object' || value === null) return false;
  const { version, untilMs, by, why } = value as Record<string, unknown>;
  return typeof untilMs === 'number' && [version, by, why].every((text) => typeof text === 'string');
}

const populationParts = 8;

function* checkPopulation({ v4, v6, family, hi, lo }: Population): Generator<undefined> {
  if (family.length === 0 || hi.length !== family.length || lo.length !== family.length) {
    throw corrupt('population: cells are empty or uneven');
  }
  if (!family.every((one) => one === 4 || one === 6)) throw corrupt('population: a cell of neither family');
  for (const index of [v4, v6]) yield* checkIndex(index, family.length, 'population');
}

function* checkGroup(group: MapGroup, pops: number): Generator<undefined> {
  if (!(group.width >= 1 && group.width <= limits.config.pops) || group.rankings.length % group.width !== 0) {
    throw corrupt(`group ${group.key}: rankings are not rows of ${group.width}`);
  }
  const { rankings } = group;
  for (let i = 0; i < rankings.length; i++) {
    const pop = rankings[i]!;
    if (pop >= pops && pop !== noPop) throw corrupt(`group ${group.key}: PoP ${pop} of ${pops}`);
    if (i % checkSlice === 0) yield;
  }
  const rows = group.rankings.length / group.width;
  for (const index of [group.v4, group.v6]) yield* checkIndex(index, rows, `group ${group.key}`);
}

/** Elements checked between two yields. */
const checkSlice = 1 << 15;

function* checkIndex({ family, hi, lo, ranking }: IntervalIndex, rows: number, what: string): Generator<undefined> {
  if (hi.length === 0 || hi.length !== ranking.length || (family === 6 && lo.length !== hi.length)) {
    throw corrupt(`${what}: v${family} index is empty or uneven`);
  }
  if (hi[0] !== 0 || (lo[0] ?? 0) !== 0) throw corrupt(`${what}: v${family} index does not start at 0`);
  for (let i = 0; i < hi.length; i++) {
    if (i % checkSlice === 0) yield;
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
