/** Random numbers of the machine. Seeded ones that replay: core/seeded.ts. */
import { randomBytes } from 'node:crypto';
import type { Rng } from '@ufes/core/ports.ts';

export const systemRng: Rng = {
  next: () => Math.random(),
  bytes: (length) => new Uint8Array(randomBytes(length)),
};
