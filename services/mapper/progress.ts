/**
 * How far a shard is folded, as the store keeps it with the sketches: names and numbers.
 *
 *     probe-1f0c   4711            the last record of this collector
 *     @probe-1f0c  1764000000000   until then it accepted nothing that is not folded; `left`: nor ever will it
 *
 * A token may be forgotten only when every collector has passed its expiry: until then one of them may still bring the
 * same beacon a second time, out of a journal that could not be forwarded for a while.
 */
import { limits } from '@ufes/core/limits.ts';

export type Progress = Readonly<Record<string, number>>;

const sign = '@';
/** Of a collector that left for good. */
export const left = Number.MAX_SAFE_INTEGER;

export const offsetOf = (progress: Progress, collector: string): number => progress[collector] ?? 0;

/** Every collector with its offset. */
export function offsetsOf(progress: Progress): [collector: string, seq: number][] {
  return Object.entries(progress).filter(([name]) => !name.startsWith(sign));
}

/** Notes in `progress` that the collector is past a time, unless it is already known to be further. */
export function notePassed(progress: Record<string, number>, collector: string, atMs: number): void {
  const name = sign + collector;
  const passedMs = atMs === left ? left : Math.floor(atMs - limits.evidence.passedMarginMs);
  if (passedMs > (progress[name] ?? 0)) progress[name] = passedMs;
}

/**
 * Tokens that expired at or before this may be forgotten. Collectors that were silent for too long do not count: they are
 * gone with their journals, or they come back and bring few beacons twice.
 */
export function forgetMs(progress: Progress, nowMs: number): number {
  let least = nowMs - limits.evidence.tokenGraceMs;
  for (const [name, passedMs] of Object.entries(progress)) {
    if (name.startsWith(sign) && passedMs > nowMs - limits.evidence.silentMs) least = Math.min(least, passedMs);
  }
  return Math.max(0, least);
}

export function sameProgress(a: Progress, b: Progress): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}
