/** Cumulative distributions on one axis, out of quantiles. Pure. */
import type { CompareGroup, ComparePath } from '@ufes/core/dashboard.ts';

/** Share of users, 0–1, that wait at most `ms`, when `quantilesMs[i]` is the quantile i/(N−1). */
export function shareWithin(quantilesMs: readonly number[], ms: number): number {
  const last = quantilesMs.length - 1;
  if (last < 0 || ms < quantilesMs[0]!) return 0;
  if (ms >= quantilesMs[last]!) return 1;
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (quantilesMs[middle]! <= ms) low = middle;
    else high = middle;
  }
  const from = quantilesMs[low]!;
  const to = quantilesMs[low + 1]!;
  return (low + (to > from ? (ms - from) / (to - from) : 0)) / last;
}

export interface CdfData {
  /** Milliseconds, rising. */
  readonly x: number[];
  /** Percent of users, in the order of `paths`. */
  readonly y: number[][];
}

const points = 400;

/** From 0 to a little beyond the slowest path's 99th percentile. Undefined when there is nobody. */
export function cdfData(group: CompareGroup, paths: readonly ComparePath[]): CdfData | undefined {
  const series = paths.map((path) => group.series.find((one) => one.path === path));
  const endMs = Math.max(0, ...series.map((one) => one?.p99Ms ?? 0)) * 1.06;
  if (!(endMs > 0)) return undefined;
  const x = Array.from({ length: points + 1 }, (_, i) => (endMs * i) / points);
  return { x, y: series.map((one) => x.map((ms) => 100 * shareWithin(one?.quantilesMs ?? [], ms))) };
}
