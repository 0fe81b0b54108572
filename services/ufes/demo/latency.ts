/**
 * The demo's world: what a synthetic user would measure. Distance first, then what makes measuring worth while: each
 * (network, place) pair has a lasting factor of its own (a skewed one; one in five takes a detour), and each fetch jitter.
 */
import type { Rng } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';

const detourShare = 0.2;

/** Lasting round trip of a prefix to a place `priorMs` away by distance, milliseconds. Same seed, same world. */
export function lastingRttMs(seed: string, prefix: string, place: string, priorMs: number): number {
  const rng = seededRng(`${seed}|${prefix}|${place}`);
  const skew = Math.exp(0.3 * gaussian(rng));
  const detour = rng.next() < detourShare ? 2 + 2.5 * rng.next() : 1;
  return Math.max(1, 0.85 * priorMs * skew * detour);
}

/** One fetch: the lasting time plus queueing, never less. */
export function fetchRttMs(lastingMs: number, rng: Rng): number {
  return lastingMs + (1 + 0.05 * lastingMs) * -Math.log(1 - rng.next());
}

function gaussian(rng: Rng): number {
  return Math.sqrt(-2 * Math.log(1 - rng.next())) * Math.cos(2 * Math.PI * rng.next());
}
