/** Random draws on top of a seeded generator. */
import type { Rng } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';

/** Standard normal (Box–Muller). */
export function normal(rng: Rng): number {
  return Math.sqrt(-2 * Math.log(1 - rng.next())) * Math.cos(2 * Math.PI * rng.next());
}

/** exp of a normal with this spread; its median is 1. */
export function lognormal(rng: Rng, spread: number): number {
  return Math.exp(spread * normal(rng));
}

/** Mean 1. */
export function exponential(rng: Rng): number {
  return -Math.log(1 - rng.next());
}

/** Mean 0, deviation 1, a long tail to the right. */
export function skewed(rng: Rng): number {
  return (exponential(rng) + exponential(rng) - 2) / Math.SQRT2;
}

export function pick<T>(rng: Rng, items: readonly T[]): T {
  return items[Math.floor(rng.next() * items.length)]!;
}

/** An index by weight. */
export function pickWeighted(rng: Rng, weights: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i]!;
  let left = rng.next() * total;
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return weights.length - 1;
}

/** `count` different indexes by weight, in the order drawn (Efraimidis–Spirakis). */
export function sampleWeighted(rng: Rng, weights: readonly number[], count: number): number[] {
  return weights
    .map((weight, index) => ({ index, key: exponential(rng) / weight }))
    .sort((a, b) => a.key - b.key)
    .slice(0, count)
    .map(({ index }) => index);
}

/** Values that depend on their key alone, whatever was asked before. */
export class Keyed<T> {
  readonly #seed: string;
  readonly #make: (rng: Rng) => T;
  readonly #known = new Map<string, T>();

  constructor(seed: string, make: (rng: Rng) => T) {
    this.#seed = seed;
    this.#make = make;
  }

  of(key: string): T {
    let value = this.#known.get(key);
    if (value === undefined) {
      value = this.#make(seededRng(`${this.#seed}/${key}`));
      this.#known.set(key, value);
    }
    return value;
  }
}
