/**
 * Raw samples of the last quarter of an hour, as they came, in a ring: what maps are judged by. A build does not read it,
 * so that a fault in sketches, their decay or the estimation cannot vouch for itself.
 */
import { cellOf, type Family, parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { orderRanks } from '@ufes/core/sketch/order.ts';
import { type QuantileBounds, rankedQuantile } from '@ufes/core/sketch/sketch.ts';
import { cellKey } from '@ufes/core/steering/cells.ts';
import type { RawLookup } from '@ufes/core/steering/judging.ts';
import type { JudgedCells } from '@ufes/core/steering/moves.ts';
import { sampleKinds } from './record.ts';

/** One number for both families. */
const keyOf = (family: Family, hi: number, lo: number): number =>
  family === 4 ? -1 - cellKey(4, hi, lo) : cellKey(6, hi, lo);

export class RawRing {
  readonly #size: number;
  #cell = new Float64Array(0);
  #atMs = new Float64Array(0);
  #ms = new Float32Array(0);
  /** Number of (target, kind, source). */
  #label = new Uint16Array(0);
  #count = 0;
  #next = 0;
  readonly #labels: { readonly pop: string; readonly kind: number; readonly source: string }[] = [];
  readonly #numbers = new Map<string, number>();

  constructor(size: number) {
    this.#size = size;
  }

  add({ prefix, kind, source, atMs, observations }: SampleRecord): void {
    const cell = cellOf(parsePrefix(prefix)!);
    const key = keyOf(cell.family, cell.hi, cell.lo);
    for (const { target, ok, rttMs } of observations) {
      if (ok && rttMs !== undefined && target.startsWith('pop:')) this.#put(key, target, kind, source, atMs, rttMs);
    }
  }

  #put(cell: number, target: string, kind: SampleRecord['kind'], source: string, atMs: number, ms: number): void {
    const label = this.#labelOf(target, kind, source);
    if (label < 0) return;
    if (this.#count === this.#ms.length && this.#count < this.#size) this.#grow();
    this.#cell[this.#next] = cell;
    this.#atMs[this.#next] = atMs;
    this.#ms[this.#next] = ms;
    this.#label[this.#next] = label;
    this.#next = (this.#next + 1) % this.#size;
    this.#count = Math.min(this.#size, this.#count + 1);
  }

  /** -1: there are too many. */
  #labelOf(target: string, kind: SampleRecord['kind'], source: string): number {
    const text = `${target}|${kind}|${source}`;
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    if (this.#labels.length > 65_535) return -1;
    this.#labels.push({ pop: target.slice('pop:'.length), kind: sampleKinds.indexOf(kind), source });
    this.#numbers.set(text, this.#labels.length - 1);
    return this.#labels.length - 1;
  }

  #grow(): void {
    const size = Math.min(this.#size, Math.max(1_024, 2 * this.#ms.length));
    const wider = <T extends Float64Array | Float32Array | Uint16Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.#cell = wider(new Float64Array(size), this.#cell);
    this.#atMs = wider(new Float64Array(size), this.#atMs);
    this.#ms = wider(new Float32Array(size), this.#ms);
    this.#label = wider(new Uint16Array(size), this.#label);
  }

  /** Samples of some cells since `sinceMs` from some sources, gone through once. */
  lookup(cells: JudgedCells, wanted: Uint8Array, sources: ReadonlySet<string>, sinceMs: number): RawLookup {
    const keyAt = (cell: number) => keyOf(cell < cells.count4 ? 4 : 6, cells.hi[cell]!, cells.lo[cell]!);
    const keys = new Set<number>();
    for (let cell = 0; cell < cells.count; cell++) if (wanted[cell] === 1) keys.add(keyAt(cell));
    const counts = this.#labels.map(({ source }) => sources.has(source));
    /** Key → kind → PoP → round trips. */
    const found = new Map<number, Map<string, number[]>[]>();
    for (let i = 0; i < this.#count; i++) {
      const cell = this.#cell[i]!;
      if (this.#atMs[i]! < sinceMs || !counts[this.#label[i]!] || !keys.has(cell)) continue;
      const { pop, kind } = this.#labels[this.#label[i]!]!;
      let kinds = found.get(cell);
      if (kinds === undefined) {
        kinds = sampleKinds.map(() => new Map());
        found.set(cell, kinds);
      }
      const values = kinds[kind]!.get(pop);
      if (values === undefined) kinds[kind]!.set(pop, [this.#ms[i]!]);
      else values.push(this.#ms[i]!);
    }
    const chosen = new Map<number, Map<string, QuantileBounds>>();
    for (const [cell, kinds] of found) chosen.set(cell, summarised(kinds));
    return (cell, pop) => chosen.get(keyAt(cell))?.get(pop);
  }
}

/** Of the first kind that compares two PoPs; a gain compares two on one kind. */
function summarised(kinds: readonly ReadonlyMap<string, number[]>[]): Map<string, QuantileBounds> {
  const enough = (values: readonly number[]) => values.length >= limits.publish.rawN;
  const comparing = kinds.find((pops) => [...pops.values()].filter(enough).length >= 2);
  const bounds = new Map<string, QuantileBounds>();
  for (const [pop, values] of comparing ?? []) if (enough(values)) bounds.set(pop, boundsOf(values));
  return bounds;
}

function boundsOf(values: number[]): QuantileBounds {
  const sorted = Float32Array.from(values).sort();
  const n = sorted.length;
  const { low, high } = orderRanks(n, rankedQuantile);
  return {
    ms: sorted[Math.floor(rankedQuantile * (n - 1))]!,
    lowMs: low < 1 ? 0 : sorted[low - 1]!,
    highMs: high > n ? Number.POSITIVE_INFINITY : sorted[high - 1]!,
    n,
  };
}
