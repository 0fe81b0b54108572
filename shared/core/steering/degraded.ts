/**
 * PoPs that became slow for everybody: what edges timed in the last minutes, paired with what each cell had there before.
 *
 *     cell      of the last 5 min   own p25 of 24 h   beyond
 *     a              131                 24             107  ⎫
 *     b              155                 61              94  ⎬ median of 20 cells at least, one vote a cell: 104 ms
 *     …                                                      ⎭ more than 25 ms and than 50%: degraded, by 104 ms
 *
 * A p25 over a quarter of an hour turns only when three quarters of its window are new, and that of a cell with few samples
 * after half a day; of all cells together minutes are enough. Where fewer than 20 measured it in 5 min, the newest 20 of a
 * quarter of an hour count: half of them are new twice as soon as all of them. It ends when they say that less than half of it is left, and
 * when nobody has measured the PoP for an hour. Clients' own timing counts for nothing here. Pure.
 */
import type { Family } from '../ip.ts';
import { limits } from '../limits.ts';
import type { Cells } from './cells.ts';

export const degrading = {
  windowMs: 5 * 60_000,
  /** Where fewer cells measured it in that time: back to the newest so many, no further than this. */
  windowMaxMs: 15 * 60_000,
  /** Cells that measured it in the window. */
  cells: 20,
  /** Beyond what they had before: milliseconds, and of that. */
  beyondMs: 25,
  beyondShare: 0.5,
  /** Ends below this share of the bounds. */
  endShare: 0.5,
  /** Nobody measured it: what was known last holds so long. */
  holdMs: 3_600_000,
  /** Effective samples of the day that a cell has there at least. */
  ownN: 5,
};

/** Kind of evidence that edges time themselves. */
const edgeTimed = 0;

interface Seen {
  readonly usualMs: number;
  readonly ms: number;
}

/** Newest edge-timed samples of one PoP, in a ring. */
class Recent {
  readonly #family = new Uint8Array(limits.mapper.recentSamples);
  readonly #hi = new Uint32Array(limits.mapper.recentSamples);
  readonly #lo = new Uint32Array(limits.mapper.recentSamples);
  readonly #ms = new Float32Array(limits.mapper.recentSamples);
  readonly #atMs = new Float64Array(limits.mapper.recentSamples);
  #count = 0;

  add(family: Family, hi: number, lo: number, ms: number, atMs: number): void {
    const at = this.#count++ % limits.mapper.recentSamples;
    this.#family[at] = family;
    this.#hi[at] = hi;
    this.#lo[at] = lo;
    this.#ms[at] = ms;
    this.#atMs[at] = atMs;
  }

  /** By cell that has evidence of a day there, its newest sample: one before it may be of before. */
  newest(cells: Cells, pop: number, nowMs: number): Map<number, Seen> {
    const { recentSamples } = limits.mapper;
    const found = new Map<number, Seen>();
    for (let i = this.#count - 1; i >= Math.max(0, this.#count - recentSamples); i--) {
      const at = i % recentSamples;
      const ageMs = nowMs - this.#atMs[at]!;
      if (ageMs > (found.size < degrading.cells ? degrading.windowMaxMs : degrading.windowMs)) break;
      const row = cells.rowOf(this.#family[at] === 4 ? 4 : 6, this.#hi[at]!, this.#lo[at]!);
      if (row < 0 || found.has(row)) continue;
      const usual = usualMs(cells, row, pop);
      if (usual !== undefined) found.set(row, { usualMs: usual, ms: this.#ms[at]! });
    }
    return found;
  }
}

export interface Degraded {
  readonly ms: number;
  readonly sinceMs: number;
  /** When cells last said so, and how many. */
  readonly toldAtMs: number;
  readonly cells: number;
}

export class Degradations {
  /** By PoP id. */
  readonly now = new Map<string, Degraded>();
  readonly #recent = new Map<string, Recent>();

  /** An edge-timed sample; `hi` and `lo` are those of its cell. */
  add(pop: string, family: Family, hi: number, lo: number, ms: number, atMs: number): void {
    let recent = this.#recent.get(pop);
    if (recent === undefined) {
      recent = new Recent();
      this.#recent.set(pop, recent);
    }
    recent.add(family, hi, lo, ms, atMs);
  }

  /** Looks at all PoPs (ids by number) again. True when another one is degraded, or one by something else. */
  step(cells: Cells, pops: readonly string[], nowMs: number): boolean {
    let changed = false;
    for (const [pop, id] of pops.entries()) changed = this.#look(cells, pop, id, nowMs) || changed;
    for (const id of this.now.keys()) if (!pops.includes(id)) changed = this.now.delete(id) || changed;
    return changed;
  }

  #look(cells: Cells, pop: number, id: string, nowMs: number): boolean {
    const before = this.now.get(id);
    const { beyondMs, beyondShare, endShare } = degrading;
    const said = this.#beyond(cells, pop, id, nowMs);
    if (said === undefined) {
      return before !== undefined && nowMs - before.toldAtMs > degrading.holdMs && this.now.delete(id);
    }
    const share = before === undefined ? 1 : endShare;
    if (said.ms <= share * beyondMs || said.share <= share * beyondShare) return this.now.delete(id);
    // What it is beyond moves with every sample: only a change that could matter is news.
    const stays = before !== undefined && Math.abs(before.ms - said.ms) <= 0.2 * before.ms;
    const ms = stays ? before.ms : said.ms;
    this.now.set(id, { ms, sinceMs: before?.sinceMs ?? nowMs, toldAtMs: nowMs, cells: said.cells });
    return !stays;
  }

  /** Medians over cells; undefined: too few measured it. */
  #beyond(cells: Cells, pop: number, id: string, nowMs: number) {
    const seen = this.#recent.get(id)?.newest(cells, pop, nowMs);
    if (seen === undefined || seen.size < degrading.cells) return undefined;
    const beyond = [...seen.values()].map((one) => one.ms - one.usualMs);
    const shares = [...seen.values()].map((one) => one.ms / one.usualMs - 1);
    return { ms: lowerMedian(beyond), share: lowerMedian(shares), cells: seen.size };
  }
}

/** Of an even number the lower one: half of them are not enough. */
function lowerMedian(values: readonly number[]): number {
  return Float64Array.from(values).sort()[(values.length - 1) >> 1]!;
}

/** The cell's edge-timed p25 of a day. */
function usualMs({ first, entries, entryKind, entryPop, n, p25 }: Cells, row: number, pop: number): number | undefined {
  for (let at = first[row]!; at < first[row]! + entries[row]!; at++) {
    if (entryKind[at] === edgeTimed && entryPop[at] === pop && n[at]! >= degrading.ownN) return p25[at]!;
  }
  return undefined;
}
