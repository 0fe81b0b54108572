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
 * Its bytes are in map-bytes.ts; built by services/mapper, sealed and signed by shared/io/artefact.ts.
 */
import { type Address, mask32 } from '../ip.ts';
import { buildPrefixIndexInSlices, findByPrefix, isWorthIndexing, runThrough, type Starts } from './prefix-index.ts';

/** In a ranking row: no further PoP. */
export const noPop = 255;

/** Which evidence an estimate rests on; the numbers rise from fine evidence to coarse. */
export const Tier = { none: 0, prefix: 1, asnMetro: 2, spatial: 3, prior: 4 } as const;
export const tierNames = ['none', 'prefix', 'asn-metro', 'spatial', 'prior'] as const;

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
  /** Where each column of the cells begins in the encoded map, in the order of `columnsOf` (map-bytes.ts). */
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

/** The entry of a PoP in a row that is in memory; -1: nothing is said of it. */
export function cellEntry({ first, pop: pops }: CellTable, popCount: number, cell: number, pop: number): number {
  if (first === undefined || pops === undefined) return cell * popCount + pop;
  for (let at = first[cell]!; at < first[cell + 1]!; at++) if (pops[at] === pop) return at;
  return -1;
}

/** Words copied between two yields. */
const copySlice = 1 << 15;

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
    for (let i = 0; i < own.length; i += copySlice) {
      shared.set(own.subarray(i, i + copySlice), at + i);
      yield;
    }
    built.set(starts, shared.subarray(at, at + own.length));
    at += own.length;
  }
  return indexes.map(({ hi }) => built.get(hi));
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
