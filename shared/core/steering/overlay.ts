/**
 * Lays rankings of single cells over those of places:
 *
 *     base      ├────────── 3 ──────────┼───── 1 ─────┤…
 *     cells       ▪ 2          ▪ 1
 *     overlay   ├─┼▪┼─── 3 ────┼▪┼── 3 ─┼───── 1 ─────┤…     neighbours differ
 */
import { IntervalList } from './base.ts';
import type { Cells } from './cells.ts';
import type { IntervalIndex } from './map.ts';

/** `rows`: cells in the order of their addresses; `rankings`: row numbers, one each. */
export function overlay(base: IntervalIndex, cells: Cells, rows: Uint32Array, rankings: Uint32Array): IntervalIndex {
  if (rows.length === 0) return base;
  const { family, hi, lo, ranking } = base;
  const list = new IntervalList(family, hi.length + 2 * rows.length);
  let at = 0;
  const length = hi.length;
  for (let i = 0; i < rows.length; i++) {
    const cellHi = cells.hi[rows[i]!]!;
    const cellLo = cells.lo[rows[i]!]!;
    // Intervals up to the cell. `at` stops at the first one after the cell's start.
    while (at < length && (hi[at]! < cellHi || (hi[at] === cellHi && (lo[at] ?? 0) <= cellLo))) {
      if (hi[at] !== cellHi || (lo[at] ?? 0) !== cellLo) list.push(hi[at]!, lo[at] ?? 0, ranking[at]!);
      at++;
    }
    list.push(cellHi, cellLo, rankings[i]!);
    const nextLo = family === 4 ? 0 : (cellLo + 0x10000) % 0x1_0000_0000;
    const nextHi = family === 4 ? cellHi + 256 : nextLo === 0 ? cellHi + 1 : cellHi;
    // Whole cells: no interval begins inside one. After it the base goes on, unless another begins right there.
    const begins = at < length && hi[at] === nextHi && (lo[at] ?? 0) === nextLo;
    const goesOn = i + 1 < rows.length && cells.hi[rows[i + 1]!] === nextHi && cells.lo[rows[i + 1]!] === nextLo;
    if (nextHi <= 0xffffffff && !begins && !goesOn) list.push(nextHi, nextLo, ranking[at - 1]!);
  }
  for (; at < length; at++) list.push(hi[at]!, lo[at] ?? 0, ranking[at]!);
  return list.index();
}
