/**
 * Which PoPs a plan asks a client to measure, given what the map in service says of it: the incumbent, the two that may
 * yet turn out best (lowest lower bound), the best by distance, and the rest at random. Each with the probability it had.
 */
import type { Rng } from '@ufes/core/ports.ts';

export interface Beliefs {
  /** PoPs, best first, as the client is steered now. */
  readonly ranking: ArrayLike<number>;
  /** PoP → 95% lower bound of its round trip, milliseconds. */
  readonly lowMs: ArrayLike<number>;
  /** PoP → what distance alone says, milliseconds. */
  readonly priorMs: ArrayLike<number>;
}

export interface PlannedPop {
  readonly pop: number;
  /** Probability that a plan made now has it. */
  readonly p: number;
}

const optimistic = 2;

/** `slots` of the PoPs in the ranking, all of them when they fit. */
export function planTargets({ ranking, lowMs, priorMs }: Beliefs, slots: number, rng: Rng): PlannedPop[] {
  const left = Array.from(ranking);
  const chosen: PlannedPop[] = [];
  const take = (at: number, p: number): void => {
    chosen.push({ pop: left[at]!, p });
    left.splice(at, 1);
  };
  const takeLowest = (values: ArrayLike<number>): void => {
    let best = -1;
    for (let i = 0; i < left.length; i++) {
      const value = values[left[i]!]!;
      if (!Number.isNaN(value) && (best < 0 || value < values[left[best]!]!)) best = i;
    }
    if (best >= 0) take(best, 1);
  };
  if (left.length <= slots) return left.map((pop) => ({ pop, p: 1 }));
  take(0, 1);
  for (let i = 0; i < optimistic && chosen.length < slots - 1; i++) takeLowest(lowMs);
  if (chosen.length < slots - 1) takeLowest(priorMs);
  const rest = left.length;
  const random = slots - chosen.length;
  for (let i = 0; i < random; i++) take(Math.floor(rng.next() * left.length), random / rest);
  return chosen;
}
