/**
 * What a sample adds to the round trip at rest, in units of its scale: never negative, skewed to the right.
 *
 *     browser   median of three fetches, which share the state of the line; edge: one handshake
 *     now and then all of it is twenty times as long: a full queue in front of the client
 */
import type { Rng } from '@ufes/core/ports.ts';
import type { SampleKind } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { lognormal } from './draw.ts';

const spikeShare = 0.03;
const spikeFactor = 20;

export function drawNoise(kind: SampleKind, rng: Rng): number {
  const shared = 0.5 * lognormal(rng, 0.8);
  const noise = shared + (kind === 'edge' ? lognormal(rng, 1) : medianOfThree(rng));
  return rng.next() < spikeShare ? spikeFactor * noise : noise;
}

function medianOfThree(rng: Rng): number {
  const [a, b, c] = [lognormal(rng, 1), lognormal(rng, 1), lognormal(rng, 1)];
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

const quarters = new Map<string, number>();

/** The true p25 of `drawNoise`, from a large sample that is always the same: within 0.3%. */
export function noiseQuarter(kind: SampleKind): number {
  const timed = kind === 'edge' ? 'edge' : 'browser';
  let quarter = quarters.get(timed);
  if (quarter === undefined) {
    const rng = seededRng(`noise/${timed}`);
    const draws = Float64Array.from({ length: 400_000 }, () => drawNoise(timed, rng)).sort();
    quarter = draws[draws.length >> 2]!;
    quarters.set(timed, quarter);
  }
  return quarter;
}
