/**
 * What a node believes of a PoP, or of one service at a PoP: the verdict of the votes, what was said from outside, and
 * drains, merged by one rule. Pure.
 *
 *     first of:  external verdict on POP/SERVICE, on POP          up or down, whatever the checks say
 *                votes: down when the PoP is, or the service there
 *     then:      drain in force, of what is not down              draining
 *     promise:   until an announced drain, the end of what is in force, or what the votes promise
 */
import { LiveState } from './live.ts';
import type { LiveEntry } from './ports.ts';
import type { Verdict } from './votes.ts';

/** Said by API, with an end: live key `verdict/TARGET`. `none` takes back an earlier one. */
export interface ExternalVerdict {
  /** `POP` or `POP/SERVICE`. */
  readonly target: string;
  readonly state: 'up' | 'down' | 'none';
  readonly reason: string;
  readonly by: string;
  /** Wall clock; of two on one target the later counts. */
  readonly atMs: number;
  readonly untilMs: number;
}

/** Live key `drain/POP`. It is in force from `atMs` on, until it is removed, expires or `untilMs` has come. */
export interface Drain {
  readonly pop: string;
  /** In the future: announced. 0: in force. */
  readonly atMs: number;
  readonly untilMs?: number;
}

export interface Belief {
  readonly state: LiveState;
  /** The state, or what it means for answers, can change after this long at the earliest; 0: no change in sight. */
  readonly holdMs: number;
  readonly sinceMs: number;
}

/** The external verdicts among live entries; what is malformed is left out. */
export function readExternal(entries: readonly LiveEntry[]): ExternalVerdict[] {
  return entries.flatMap(({ key, value }) => {
    if (!key.startsWith('verdict/')) return [];
    const external = externalOf(key.slice('verdict/'.length), value);
    return external === undefined ? [] : [external];
  });
}

export function externalOf(target: string, value: unknown): ExternalVerdict | undefined {
  if (target === '' || typeof value !== 'object' || value === null) return undefined;
  const { state, reason, by, atMs, untilMs } = value as Record<string, unknown>;
  if (state !== 'up' && state !== 'down' && state !== 'none') return undefined;
  if (typeof atMs !== 'number' || typeof untilMs !== 'number') return undefined;
  return { target, state, reason: String(reason ?? ''), by: String(by ?? ''), atMs, untilMs };
}

/**
 * By target, the latest of each that has not ended. One that is missing from `found` stays: only its end or a later word
 * ends it, so that the loss of a store ends none.
 */
export function mergeExternal(
  known: Iterable<ExternalVerdict>,
  found: Iterable<ExternalVerdict>,
  nowMs: number,
): Map<string, ExternalVerdict> {
  const merged = new Map<string, ExternalVerdict>();
  for (const list of [known, found]) {
    for (const one of list) {
      const other = merged.get(one.target);
      if (one.untilMs > nowMs && (other === undefined || other.atMs < one.atMs)) merged.set(one.target, one);
    }
  }
  return merged;
}

/** The drains among live entries, by PoP. */
export function readDrains(entries: readonly LiveEntry[]): Map<string, Drain> {
  const drains = new Map<string, Drain>();
  for (const { key, value } of entries) {
    if (!key.startsWith('drain/')) continue;
    const { atMs, untilMs } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
    const pop = key.slice('drain/'.length);
    drains.set(pop, {
      pop,
      atMs: typeof atMs === 'number' ? atMs : 0,
      ...(typeof untilMs === 'number' ? { untilMs } : {}),
    });
  }
  return drains;
}

/** The votes on a PoP and on a service there, as one: down when either is, and no surer than the less sure. */
export function both(pop: Verdict, service: Verdict | undefined): Verdict {
  if (service === undefined) return pop;
  const state = [pop, service].some((one) => one.state === 'down')
    ? 'down'
    : [pop, service].some((one) => one.state === 'unknown')
      ? 'unknown'
      : 'up';
  const deciding = [pop, service].filter((one) => one.state === state);
  return {
    state,
    holdMs: sooner(pop.holdMs, service.holdMs),
    sinceMs: Math.max(...deciding.map((one) => one.sinceMs)),
    counted: Math.min(pop.counted, service.counted),
    flippedAtMs: Math.max(...deciding.map((one) => one.flippedAtMs)),
  };
}

/** `external`: the one on the service, else the one on the PoP; `none` and ended ones say nothing. */
export function believe(
  votes: Verdict,
  external: ExternalVerdict | undefined,
  drain: Drain | undefined,
  nowMs: number,
): Belief {
  const said = underExternal(votes, external, nowMs);
  if (said.state === LiveState.down || drain === undefined || hasEnded(drain, nowMs)) return said;
  if (drain.atMs > nowMs) return { ...said, holdMs: sooner(said.holdMs, drain.atMs - nowMs) };
  const endsMs = drain.untilMs === undefined ? 0 : drain.untilMs - nowMs;
  return {
    state: LiveState.draining,
    holdMs: sooner(said.holdMs, endsMs),
    sinceMs: drain.atMs > 0 ? drain.atMs : said.sinceMs,
  };
}

function underExternal(votes: Verdict, external: ExternalVerdict | undefined, nowMs: number): Belief {
  if (external === undefined || external.state === 'none' || external.untilMs <= nowMs) {
    return { state: LiveState[votes.state], holdMs: votes.holdMs, sinceMs: votes.sinceMs };
  }
  const leftMs = external.untilMs - nowMs;
  const same = votes.state === external.state;
  return {
    state: LiveState[external.state],
    // While it lasts no vote moves anything; after it they do, unless they are sure of the same.
    holdMs: same ? (votes.holdMs === 0 ? 0 : Math.max(leftMs, votes.holdMs)) : leftMs,
    sinceMs: same ? Math.min(votes.sinceMs, external.atMs) : external.atMs,
  };
}

function hasEnded({ untilMs }: Drain, nowMs: number): boolean {
  return untilMs !== undefined && untilMs <= nowMs;
}

/** Of two promises the shorter; 0 is none. */
function sooner(a: number, b: number): number {
  if (a === 0 || b === 0) return a + b;
  return Math.min(a, b);
}
