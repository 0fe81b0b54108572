/**
 * Which PoPs a plan asks a client to measure, given what the map in service says of it: the incumbent, the two that may
 * yet turn out best (lowest lower bound), the best by distance, and the rest at random. Each with the probability it had.
 */
import type { Rng } from '../ports.ts';

export interface Beliefs {
  /** PoPs, best first, as the client is steered now. */
  readonly ranking: ArrayLike<number>;
  /** PoP → 95% lower bound of its round trip, milliseconds; NaN: not known. */
  readonly lowMs: ArrayLike<number>;
  /** PoP → what distance alone says, milliseconds; NaN: not known. */
  readonly priorMs: ArrayLike<number>;
}

export interface PlannedPop {
  readonly pop: number;
  /** Probability that a plan made now has it. */
  readonly p: number;
}

/** PoPs that a plan has for sure, and how many it has of the others. */
export interface TargetChoice {
  readonly sure: readonly number[];
  readonly others: readonly number[];
  readonly random: number;
}

/** An observation that was unlikely to be asked for counts for at most this many. */
export const weightMax = 20;
const optimistic = 2;

/** 1/p, capped: a sample that stands for many must not speak for all of them alone. */
export function weightOf(p: number): number {
  return Math.min(weightMax, 1 / p);
}

/** For `slots` targets; all PoPs of the ranking when they fit. */
export function chooseAmong({ ranking, lowMs, priorMs }: Beliefs, slots: number): TargetChoice {
  const others = Array.from(ranking);
  if (others.length <= slots) return { sure: others, others: [], random: 0 };
  const sure = others.splice(0, 1);
  const takeLowest = (values: ArrayLike<number>): void => {
    let best = -1;
    for (let i = 0; i < others.length; i++) {
      const value = values[others[i]!]!;
      if (!Number.isNaN(value) && (best < 0 || value < values[others[best]!]!)) best = i;
    }
    if (best >= 0) sure.push(...others.splice(best, 1));
  };
  for (let i = 0; i < optimistic && sure.length < slots - 1; i++) takeLowest(lowMs);
  if (sure.length < slots - 1) takeLowest(priorMs);
  return { sure, others, random: slots - sure.length };
}

export function chanceOf({ sure, others, random }: TargetChoice, pop: number): number {
  return sure.includes(pop) ? 1 : others.includes(pop) ? random / others.length : 0;
}

/** The PoPs of one plan. */
export function drawFrom({ sure, others, random }: TargetChoice, rng: Rng): number[] {
  return [...sure, ...drawSome(others, random, rng)];
}

/** `slots` of the PoPs in the ranking, all of them when they fit. */
export function planTargets(beliefs: Beliefs, slots: number, rng: Rng): PlannedPop[] {
  const choice = chooseAmong(beliefs, slots);
  return drawFrom(choice, rng).map((pop) => ({ pop, p: chanceOf(choice, pop) }));
}

/** `count` of `items`, each subset as likely as any other (Fisher–Yates). */
export function drawSome<T>(items: readonly T[], count: number, rng: Rng): T[] {
  const pool = [...items];
  const taken = Math.min(count, pool.length);
  for (let i = 0; i < taken; i++) {
    const j = i + Math.floor(rng.next() * (pool.length - i));
    [pool[i], pool[j]] = [pool[j]!, pool[i]!];
  }
  return pool.slice(0, taken);
}
