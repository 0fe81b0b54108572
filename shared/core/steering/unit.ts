/**
 * The unit that shares are dealt by: a /16 (v6 /32) of the client, or the resolver where it tells no subnet. Its place on
 * the circle of 32 bits depends on the unit and a salt alone, so every node and every restart deals alike, and a share
 * that grows from 5 to 6% takes one percent and lets go of none.
 *
 * Coarse, because every unit that is dealt out by hash is a scope of its own: 1% of random /24s would break one uniform
 * /12 into some 337 scopes.
 */
import type { Address } from '../ip.ts';

/** Scope that comes with a look at the unit, by family. */
export const unitLength4 = 16;
export const unitLength6 = 32;

/** The whole circle. */
export const circle = 2 ** 32;

export function unitOfClient({ family, hi }: Address): number {
  return family === 4 ? hi >>> 16 : mix(hi ^ 0x6b43_a9b5);
}

export function unitOfResolver({ family, hi, lo }: Address): number {
  return mix((family === 4 ? hi : mix(hi) ^ lo) ^ 0x2f8a_1c3d);
}

/** Place of a unit on the circle: 0 to 2³² − 1. */
export function placeOf(unit: number, salt: number): number {
  return mix(unit ^ salt);
}

/** The salt of a text, e.g. a PoP's id. */
export function saltOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** A salt that changes with every week. */
export function weeklySalt(salt: number, week: number): number {
  return mix(salt ^ Math.imul(week, 0x9e3779b1));
}

/** MurmurHash3's finaliser: every bit of the input moves half of those of the output. */
function mix(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
