/**
 * Of the leaves beneath a prefix, the one that most clients are in: it answers for a source that is shorter than the
 * leaves. Demand is what was measured there: the weight of samples in the map's cells, of which 64 are
 * looked at, spread over the prefix, so that no source costs more than another. Where nothing was measured, a large leaf
 * stands in: from halves of the prefix always the one that is cut less.
 *
 * No allocation: the answer path asks, if seldom.
 */
import { Kind } from '../dns/blocks.ts';
import { type Address, mask32 } from '../ip.ts';
import { type CellTable, findInterval, type IntervalIndex, leafLength } from './map.ts';

const looked = 64;

/**
 * Moves `out` into that leaf; its first `length` bits are the prefix. `index` and `blocks` both cut the space into leaves;
 * `pops`: PoPs in a row of the cells.
 */
export function findBusiest(
  index: IntervalIndex,
  blocks: IntervalIndex,
  cells: CellTable,
  pops: number,
  length: number,
  out: Address,
): void {
  const { family } = out;
  const hi = (out.hi & mask32(length)) >>> 0;
  const lo = (out.lo & mask32(length - 32)) >>> 0;
  const lastHi = (hi | ~mask32(length)) >>> 0;
  const lastLo = (lo | ~mask32(length - 32)) >>> 0;
  const starts = family === 4 ? cells.v4 : cells.v6hi;
  const first = cellFrom(starts, cells.v6lo, family, hi, lo);
  const count = cellFrom(starts, cells.v6lo, family, lastHi, lastLo + 1) - first;
  let most = 0;
  let sum = 0;
  let leafBits = 0;
  let leafHi = -1;
  let leafLo = 0;
  const looks = Math.min(looked, count);
  for (let i = 0; i < looks; i++) {
    const cell = first + Math.floor((i * count) / looks);
    const cellHi = starts[cell]!;
    const cellLo = family === 4 ? 0 : cells.v6lo[cell]!;
    const block = findInterval(blocks, cellHi, cellLo);
    if (blocks.ranking[block] !== Kind.ordinary) continue;
    if (leafHi < 0 || !isWithin(cellHi, cellLo, leafHi, leafLo, leafBits)) {
      const leaf = leafLength(index, findInterval(index, cellHi, cellLo), cellHi, cellLo);
      leafBits = Math.max(leaf, leafLength(blocks, block, cellHi, cellLo));
      leafHi = cellHi;
      leafLo = cellLo;
      sum = 0;
    }
    sum += 1 + weightOf(cells, family === 4 ? cell : cells.v4.length + cell, pops);
    if (sum <= most) continue;
    most = sum;
    out.hi = leafHi;
    out.lo = leafLo;
  }
  if (most === 0) findLargest(index, blocks, hi, lo, length, out);
}

function weightOf({ n, weight }: CellTable, row: number, pops: number): number {
  if (weight !== undefined) return weight[row]!;
  let sum = 0;
  for (let i = row * pops; i < (row + 1) * pops; i++) sum += n[i]!;
  return sum;
}

/** Halves the prefix until what is left is one leaf of ordinary addresses. */
function findLargest(
  index: IntervalIndex,
  blocks: IntervalIndex,
  hi: number,
  lo: number,
  length: number,
  out: Address,
): void {
  const bits = index.family === 4 ? 32 : 64;
  while (length < bits && cutsWithin(index, hi, lo, length) + cutsWithin(blocks, hi, lo, length) > 0) {
    length++;
    const otherHi = length <= 32 ? (hi | (1 << (32 - length))) >>> 0 : hi;
    const otherLo = length <= 32 ? lo : (lo | (1 << (64 - length))) >>> 0;
    if (isPreferred(index, blocks, otherHi, otherLo, hi, lo, length)) {
      hi = otherHi;
      lo = otherLo;
    }
  }
  out.hi = hi;
  out.lo = lo;
}

/** Whether the upper half is to be taken rather than the lower. */
function isPreferred(
  index: IntervalIndex,
  blocks: IntervalIndex,
  hi: number,
  lo: number,
  lowerHi: number,
  lowerLo: number,
  length: number,
): boolean {
  const upperBlocks = cutsWithin(blocks, hi, lo, length);
  const lowerBlocks = cutsWithin(blocks, lowerHi, lowerLo, length);
  if (upperBlocks === 0 && !isOrdinary(blocks, hi, lo)) return false;
  if (lowerBlocks === 0 && !isOrdinary(blocks, lowerHi, lowerLo)) return true;
  const upper = upperBlocks + cutsWithin(index, hi, lo, length);
  return upper < lowerBlocks + cutsWithin(index, lowerHi, lowerLo, length);
}

function isOrdinary(blocks: IntervalIndex, hi: number, lo: number): boolean {
  return blocks.ranking[findInterval(blocks, hi, lo)] === Kind.ordinary;
}

/** Starts of intervals inside the prefix, but for its first address. */
function cutsWithin(index: IntervalIndex, hi: number, lo: number, length: number): number {
  const lastHi = (hi | ~mask32(length)) >>> 0;
  const lastLo = (lo | ~mask32(length - 32)) >>> 0;
  return findInterval(index, lastHi, lastLo) - findInterval(index, hi, lo);
}

function isWithin(hi: number, lo: number, prefixHi: number, prefixLo: number, length: number): boolean {
  return ((hi ^ prefixHi) & mask32(length)) === 0 && ((lo ^ prefixLo) & mask32(length - 32)) === 0;
}

/** Number of the first cell at or after an address. */
function cellFrom(starts: Uint32Array, starts2: Uint32Array, family: 4 | 6, hi: number, lo: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const start = starts[middle]!;
    const isBefore =
      family === 4 ? start < hi || (start === hi && lo > 0) : start < hi || (start === hi && starts2[middle]! < lo);
    if (isBefore) low = middle + 1;
    else high = middle;
  }
  return low;
}
