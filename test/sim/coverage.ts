/** How often 95% intervals hold the noise-free p25 of the client leg, by the tier that the estimate rests on. */
import type { SampleKind } from '@ufes/core/samples.ts';
import type { Draw } from './draws.ts';

export type Coverage = Record<string, { held: number; above: number; below: number; count: number }>;

/** Adds those of a draw. `above`: the truth lies above the interval. */
export function countCoverage({ steering, endMs }: Draw, kind: SampleKind, into: Coverage): void {
  const { world } = steering;
  for (const user of world.users.keys()) {
    const { estimates } = steering.believed(user);
    for (const [pop, id] of world.popIds.entries()) {
      const estimate = estimates[id];
      if (estimate === undefined) continue;
      const truth = world.noiseFreeMs(user, pop, endMs, kind);
      const own = estimate.tier === 'prefix' ? `prefix, n ${band(estimate.n)}` : estimate.tier;
      for (const tier of own === estimate.tier ? [own] : [estimate.tier, own]) {
        into[tier] ??= { held: 0, above: 0, below: 0, count: 0 };
        const counted = into[tier];
        counted.count++;
        // What is believed is told in tenths.
        if (truth > estimate.highMs + 0.05) counted.above++;
        else if (truth < estimate.lowMs - 0.05) counted.below++;
        else counted.held++;
      }
    }
  }
}

function band(n: number): string {
  return n < 5 ? '< 5' : n < 13 ? '5–12' : n < 20 ? '13–19' : '≥ 20';
}
