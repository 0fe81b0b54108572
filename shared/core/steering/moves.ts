/**
 * Where a new map would send measured cells that the one in service sends elsewhere. Both are walked along their sorted
 * intervals, so a million cells take a tenth of a second.
 *
 *     unit   a cell in a service group; it moves when its first choice, or where it really goes now, changes
 *
 * Cells are those of both maps: evidence that was lost must not move anybody unseen.
 */
import type { Family } from '../ip.ts';
import { IntervalList } from './base.ts';
import { findInterval, type IntervalIndex, type MapGroup, noPop, type SteeringMap } from './map.ts';
import { geoKey } from './prepare.ts';
import { Rows } from './rows.ts';

/** Cells of either map: /24s in order, then /48s in order. */
export interface JudgedCells {
  readonly count: number;
  /** /24s among them. */
  readonly count4: number;
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
  /** Row in each map's cells, -1: it has none. */
  readonly before: Int32Array;
  readonly after: Int32Array;
}

export interface Unit {
  /** Number in `JudgedCells`. */
  readonly cell: number;
  /** Number in the new map's groups. */
  readonly group: number;
  /** Ids: first choice in service, and in the new map. */
  readonly from: string;
  readonly to: string;
  /** Ids: where it goes now that some PoPs take no clients. */
  readonly fromNow: string;
  readonly toNow: string;
}

export function judgedCells(before: SteeringMap, after: SteeringMap): JudgedCells {
  const [a, b] = [before.cells, after.cells];
  const most = a.v4.length + a.v6hi.length + b.v4.length + b.v6hi.length;
  const [hi, lo] = [new Uint32Array(most), new Uint32Array(most)];
  const [rowsBefore, rowsAfter] = [new Int32Array(most).fill(-1), new Int32Array(most).fill(-1)];
  let count = 0;
  const merge = (
    one: Uint32Array,
    oneLo: Uint32Array,
    two: Uint32Array,
    twoLo: Uint32Array,
    at1: number,
    at2: number,
  ) => {
    for (let i = 0, j = 0; i < one.length || j < two.length; count++) {
      const order =
        i === one.length ? 1 : j === two.length ? -1 : one[i]! - two[j]! || (oneLo[i] ?? 0) - (twoLo[j] ?? 0);
      hi[count] = order <= 0 ? one[i]! : two[j]!;
      lo[count] = (order <= 0 ? oneLo[i] : twoLo[j]) ?? 0;
      if (order <= 0) rowsBefore[count] = at1 + i++;
      if (order >= 0) rowsAfter[count] = at2 + j++;
    }
  };
  const none = new Uint32Array(0);
  merge(a.v4, none, b.v4, none, 0, 0);
  const count4 = count;
  merge(a.v6hi, a.v6lo, b.v6hi, b.v6lo, a.v4.length, b.v4.length);
  return { count, count4, hi, lo, before: rowsBefore, after: rowsAfter };
}

/** Row of the rankings by cell, for the cells of one family. */
function rowsOf(index: IntervalIndex, cells: JudgedCells, from: number, to: number): Uint32Array {
  const rows = new Uint32Array(to - from);
  const { hi, lo, ranking, family } = index;
  let at = 0;
  for (let cell = from; cell < to; cell++) {
    const [cellHi, cellLo] = [cells.hi[cell]!, cells.lo[cell]!];
    // Far apart a search is faster than a walk.
    let steps = 0;
    while (
      at + 1 < hi.length &&
      (hi[at + 1]! < cellHi || (hi[at + 1] === cellHi && (family === 4 || lo[at + 1]! <= cellLo)))
    ) {
      at++;
      if (++steps < 64) continue;
      at = findInterval(index, cellHi, cellLo);
      break;
    }
    rows[cell - from] = ranking[at]!;
  }
  return rows;
}

function rankingRows(group: MapGroup, cells: JudgedCells): Uint32Array {
  const rows = new Uint32Array(cells.count);
  rows.set(rowsOf(group.v4, cells, 0, cells.count4));
  rows.set(rowsOf(group.v6, cells, cells.count4, cells.count), cells.count4);
  return rows;
}

/** True for a group that measurements rank. */
export function isSteered(group: MapGroup): boolean {
  return geoKey(group.key) !== group.key;
}

/** First choices by row, as numbers in `ids`: nominal, and the first that takes clients (`open` by id); -1 for none. */
function firsts(map: SteeringMap, group: MapGroup, ids: readonly string[], open: (pop: string) => boolean) {
  const rows = group.rankings.length / group.width;
  const isOpen = map.pops.map(open);
  const numbers = Int16Array.from(map.pops, (id) => ids.indexOf(id));
  const nominal = new Int16Array(rows);
  const now = new Int16Array(rows);
  for (let row = 0; row < rows; row++) {
    const first = group.rankings[row * group.width]!;
    nominal[row] = numbers[first] ?? -1;
    let chosen = first;
    for (let i = 0; i < group.width; i++) {
      const pop = group.rankings[row * group.width + i]!;
      if (pop === noPop) break;
      if (!isOpen[pop]) continue;
      chosen = pop;
      break;
    }
    now[row] = numbers[chosen] ?? -1;
  }
  return { nominal, now };
}

export interface Compared {
  readonly cells: JudgedCells;
  /** PoPs of both maps, by the numbers that `forEach` tells. */
  readonly pops: readonly string[];
  readonly moves: readonly Unit[];
  /** Every unit that both maps rank: PoPs it goes to before and after, -1 for none, and the number of its move, or -1. */
  forEach(visit: (cell: number, fromNow: number, toNow: number, move: number) => void): void;
}

/** Units of the groups that both maps have; a new group is no move. `open`: whether a PoP takes clients now. */
export function compareMaps(before: SteeringMap, after: SteeringMap, open: (pop: string) => boolean): Compared {
  const cells = judgedCells(before, after);
  const byKey = new Map(before.groups.map((group) => [group.key, group]));
  const pops = [...new Set([...before.pops, ...after.pops])];
  const pairs = after.groups.flatMap((group, number) => {
    const old = isSteered(group) ? byKey.get(group.key) : undefined;
    if (old === undefined) return [];
    const rows = { before: rankingRows(old, cells), after: rankingRows(group, cells) };
    return [{ number, rows, old: firsts(before, old, pops, open), fresh: firsts(after, group, pops, open) }];
  });
  const moves: Unit[] = [];
  const idOf = (pop: number): string => pops[pop] ?? '';
  for (const { number: group, rows, old, fresh } of pairs) {
    for (let cell = 0; cell < cells.count; cell++) {
      const [a, b] = [rows.before[cell]!, rows.after[cell]!];
      if (old.nominal[a] === fresh.nominal[b] && old.now[a] === fresh.now[b]) continue;
      const [from, to] = [idOf(old.nominal[a]!), idOf(fresh.nominal[b]!)];
      moves.push({ cell, group, from, to, fromNow: idOf(old.now[a]!), toNow: idOf(fresh.now[b]!) });
    }
  }
  return {
    cells,
    pops,
    moves,
    forEach: (visit) => {
      let move = 0;
      for (const { number: group, rows, old, fresh } of pairs) {
        for (let cell = 0; cell < cells.count; cell++) {
          const [from, to] = [old.now[rows.before[cell]!]!, fresh.now[rows.after[cell]!]!];
          const isMove = moves[move]?.cell === cell && moves[move]!.group === group;
          visit(cell, from, to, isMove ? move++ : -1);
        }
      }
    },
  };
}

/**
 * `frame` with the rankings that `source` gives to some units. PoPs that the frame does not know are left out of them;
 * those of the frame that are missing then follow in the frame's own order.
 */
export function withRankingsOf(
  frame: SteeringMap,
  source: SteeringMap,
  cells: JudgedCells,
  units: readonly { readonly cell: number; readonly key: string }[],
): SteeringMap {
  if (units.length === 0) return frame;
  const byGroup = Map.groupBy(units, ({ key }) => key);
  const toFrame = Uint8Array.from(source.pops, (id) => {
    const number = frame.pops.indexOf(id);
    return number < 0 ? noPop : number;
  });
  const groups = frame.groups.map((group) => {
    const some = byGroup.get(group.key);
    const from = source.groups.find(({ key }) => key === group.key);
    return some === undefined || from === undefined ? group : regrouped(group, from, cells, some, toFrame);
  });
  return { ...frame, groups };
}

function regrouped(
  group: MapGroup,
  source: MapGroup,
  cells: JudgedCells,
  units: readonly { readonly cell: number }[],
  toFrame: Uint8Array,
): MapGroup {
  const { width } = group;
  const rows = new Rows(width);
  for (let at = 0; at < group.rankings.length; at += width) rows.append(group.rankings.subarray(at, at + width));
  const chosen = units.map(({ cell }) => cell).sort((a, b) => a - b);
  const rankingIn = (from: MapGroup, cell: number): Uint8Array => {
    const index = cell < cells.count4 ? from.v4 : from.v6;
    const row = index.ranking[findInterval(index, cells.hi[cell]!, cells.lo[cell]!)]!;
    return from.rankings.subarray(row * from.width, (row + 1) * from.width);
  };
  const numbers = chosen.map((cell) => {
    const own = rankingIn(group, cell);
    const wanted = [...rankingIn(source, cell)].map((pop) => (pop === noPop ? noPop : toFrame[pop]!));
    const kept = wanted.filter((pop) => own.includes(pop) && pop !== noPop);
    return rows.intern(Uint8Array.from([...kept, ...own.filter((pop) => !kept.includes(pop))].slice(0, width)));
  });
  const count4 = chosen.filter((cell) => cell < cells.count4).length;
  const part = (index: IntervalIndex, from: number, to: number) =>
    laidOver(index, cells, chosen.slice(from, to), numbers.slice(from, to));
  return {
    ...group,
    v4: part(group.v4, 0, count4),
    v6: part(group.v6, count4, chosen.length),
    rankings: rows.bytes(),
  };
}

/** The index with the rankings of some whole cells, in address order, laid over it. */
export function laidOver(
  base: IntervalIndex,
  cells: Pick<JudgedCells, 'hi' | 'lo'>,
  chosen: readonly number[],
  rankings: readonly number[],
): IntervalIndex {
  if (chosen.length === 0) return base;
  const { family, hi, lo, ranking } = base;
  const list = new IntervalList(family, hi.length + 2 * chosen.length);
  const isAtMost = (at: number, endHi: number, endLo: number) =>
    hi[at]! < endHi || (hi[at] === endHi && (family === 4 || lo[at]! <= endLo));
  let at = 0;
  for (const [i, cell] of chosen.entries()) {
    const [cellHi, cellLo] = [cells.hi[cell]!, cells.lo[cell]!];
    while (at < hi.length && isAtMost(at, cellHi, cellLo)) {
      if (hi[at] !== cellHi || (lo[at] ?? 0) !== cellLo) list.push(hi[at]!, lo[at] ?? 0, ranking[at]!);
      at++;
    }
    list.push(cellHi, cellLo, rankings[i]!);
    const [nextHi, nextLo] = afterCell(family, cellHi, cellLo);
    if (nextHi > 0xffffffff) break;
    // Intervals that begin inside the cell end with it.
    while (at < hi.length && isAtMost(at, nextHi, nextLo)) at++;
    const next = chosen[i + 1];
    const goesOn = next !== undefined && cells.hi[next] === nextHi && cells.lo[next] === nextLo;
    if (!goesOn) list.push(nextHi, nextLo, ranking[at - 1]!);
  }
  for (; at < hi.length; at++) list.push(hi[at]!, lo[at] ?? 0, ranking[at]!);
  return list.index();
}

function afterCell(family: Family, hi: number, lo: number): [number, number] {
  if (family === 4) return [hi + 256, 0];
  const nextLo = (lo + 0x10000) % 0x1_0000_0000;
  return [nextLo === 0 ? hi + 1 : hi, nextLo];
}
