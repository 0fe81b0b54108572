/**
 * A steering map (map.ts) as bytes.
 *
 * "UFMAP\0" u16 format, u32 length of the JSON header, u32 length of the head, header (names, groups, section offsets),
 * then sections of little-endian arrays, 8-aligned. The head is what answers need; after it come the cells' estimates, by
 * far the most of a map, which may stay on disk and be read a row at a time. Format 2, which is still read, has them for
 * every PoP; format 1 has no head and no weights either.
 */
import { OperatingError } from '../errors.ts';
import { limits } from '../limits.ts';
import {
  type CellTable,
  type IntervalIndex,
  type MapGroup,
  noPop,
  type Population,
  type ReadRest,
  type RolledBack,
  type SteeringMap,
} from './map.ts';
import { runThrough } from './prefix-index.ts';

export const mapFormat = 3;
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

/**
 * `room`: what an earlier map's bytes stood in (`roomOf`), to be written over: a million cells take 150 MB, and time to get
 * them. The bytes are its owner's until the next call.
 */
export function encodeMap(map: SteeringMap, room?: Uint8Array): Uint8Array {
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
  const bytes = bytesIn(room, body + offset);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  bytes.set(new TextEncoder().encode(magic));
  view.setUint16(6, mapFormat, true);
  view.setUint32(8, json.length, true);
  view.setUint32(12, body + headEnd, true);
  bytes.set(json, prefixBytes);
  bytes.fill(0, prefixBytes + json.length, body);
  for (const [section, at] of placed) {
    bytes.set(new Uint8Array(section.buffer, section.byteOffset, section.byteLength), body + at);
    bytes.fill(0, body + at + section.byteLength, body + ((at + section.byteLength + 7) & ~7));
  }
  return bytes;
}

/** The next map may be a little larger. */
const roomShare = 1.05;

function bytesIn(room: Uint8Array | undefined, length: number): Uint8Array {
  if (room === undefined) return new Uint8Array(length);
  return (room.length >= length ? room : new Uint8Array(Math.ceil(roomShare * length))).subarray(0, length);
}

/** All that an encoded map stands in. */
export function roomOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer);
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
