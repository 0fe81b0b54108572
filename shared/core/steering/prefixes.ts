/**
 * Lists of prefixes as look-ups: which value has the longest prefix that holds an address? Cut into intervals of equal
 * values (map.ts), so that the scope of a look-up is its leaf, and the leaves partition the address space.
 *
 *     192.0.2.0/24 → 1, 192.0.2.128/25 → 2      0 │ 192.0.2.0: 1 │ 192.0.2.128: 2 │ 192.0.3.0: 0
 */
import type { Address, Family, Prefix } from '../ip.ts';
import { findInterval, type IntervalIndex, leafLength } from './map.ts';
import { buildPrefixIndex, isWorthIndexing } from './prefix-index.ts';

/** Values are in `ranking` of the indexes; 0: no prefix holds the address. */
export interface PrefixTable {
  readonly v4: IntervalIndex;
  readonly v6: IntervalIndex;
}

export interface PrefixValue {
  readonly prefix: Prefix;
  /** From 1. */
  readonly value: number;
}

/** Of equal prefixes the last one counts. */
export function compilePrefixes(entries: readonly PrefixValue[]): PrefixTable {
  return { v4: compileFamily(4, entries), v6: compileFamily(6, entries) };
}

function compileFamily(family: Family, entries: readonly PrefixValue[]): IntervalIndex {
  const own = entries.filter(({ prefix }) => prefix.family === family);
  // Outer prefixes before inner ones, so that a stack holds what encloses the place where the sweep is.
  const sorted = own.toSorted((a, b) => comparePlace(a.prefix, b.prefix) || a.prefix.length - b.prefix.length);
  const starts: { hi: number; lo: number; value: number }[] = [{ hi: 0, lo: 0, value: 0 }];
  const open: { end: Address | undefined; value: number }[] = [];
  const push = (hi: number, lo: number): void => {
    const value = open.at(-1)?.value ?? 0;
    const last = starts.at(-1)!;
    if (last.hi === hi && last.lo === lo) starts.pop();
    if (starts.at(-1)?.value !== value) starts.push({ hi, lo, value });
  };
  const closeUpTo = (place: Address | undefined): void => {
    while (open.length > 0) {
      const { end } = open.at(-1)!;
      if (end === undefined || (place !== undefined && comparePlace(end, place) > 0)) return;
      open.pop();
      push(end.hi, end.lo);
    }
  };
  for (const { prefix, value } of sorted) {
    closeUpTo(prefix);
    open.push({ end: endOf(prefix), value });
    push(prefix.hi, prefix.lo);
  }
  closeUpTo(undefined);
  return indexOf(family, starts);
}

function indexOf(family: Family, starts: readonly { hi: number; lo: number; value: number }[]): IntervalIndex {
  const index: IntervalIndex = {
    family,
    hi: Uint32Array.from(starts, ({ hi }) => hi),
    lo: family === 4 ? new Uint32Array(0) : Uint32Array.from(starts, ({ lo }) => lo),
    ranking: Uint32Array.from(starts, ({ value }) => value),
  };
  return isWorthIndexing(index) ? { ...index, buckets: buildPrefixIndex(index) } : index;
}

function comparePlace(a: Address, b: Address): number {
  return a.hi - b.hi || a.lo - b.lo;
}

/** First address after the prefix; undefined where the address space ends with it. */
function endOf({ family, hi, lo, length }: Prefix): Address | undefined {
  if (length > 32) {
    const nextLo = lo + 2 ** (64 - length);
    if (nextLo <= 0xffffffff) return { family, hi, lo: nextLo };
    return hi === 0xffffffff ? undefined : { family, hi: hi + 1, lo: 0 };
  }
  const nextHi = hi + 2 ** (32 - length);
  return nextHi > 0xffffffff ? undefined : { family, hi: nextHi, lo: 0 };
}

/** The value of the address, 0 for none. No allocation. */
export function findPrefix(table: PrefixTable, address: Address): number {
  const index = address.family === 4 ? table.v4 : table.v6;
  return index.ranking[findInterval(index, address.hi, address.lo)]!;
}

/** Length of the block around the address in which every address has its value. No allocation. */
export function prefixLeaf(table: PrefixTable, address: Address): number {
  const index = address.family === 4 ? table.v4 : table.v6;
  return leafLength(index, findInterval(index, address.hi, address.lo), address.hi, address.lo);
}
