/** What estimation works with: its constants, what it is given of distance, and what it gives. */
import { medianOfPart } from './medians.ts';

export const estimation = {
  /** κ: what is known of the place counts as this many samples. */
  shrinkage: 0.3,
  /**
   * Effective samples, rounded, from which a cell's own evidence may rank: the least that has a bound on either side. 30
   * beacons a day have some 19, since the older half of a day counts for a quarter.
   */
  ownN: 13,
  /** Effective edge-timed samples, rounded, at two PoPs from which these alone count for a cell. */
  edgeN: 20,
  /** Samples of the last quarter of an hour from which it may demote. */
  recentN: 20,
  /** Cells that an AS × metro estimate takes at least, and what the metro counts as beside them. */
  votes: 5,
  asnShrinkage: 2,
  /** Cells that a metro's estimate takes at least: one of them alone moves a median of three no further than to its neighbour. */
  metroVotes: 3,
  metroShrinkage: 1,
  /** Effective samples, rounded, that a vote takes. */
  voteN: 2,
  /** PoPs that a line known of no PoP counts as. */
  lineShrinkage: 1,
  /** Metros around that are taken in. */
  spatialPlaces: 16,
  /** Distance at which a metro counts half, kilometres; its weight across a border; the weight of the prior. */
  spatialKm: 1_000,
  spatialBorder: 0.3,
  spatialPrior: 0.02,
  /** What the residual to a PoP right beside another counts for that one, and the distance at which it counts half of it. */
  kinShare: 0.5,
  kinKm: 300,
  /** How far the true p25 may lie below that of one sample: milliseconds, and of the sample. */
  fewMs: 2,
  fewShare: 0.025,
};

/** Tier 4, by distance in kilometres. Milliseconds. */
export interface Prior {
  readonly expectedMs: (km: number) => number;
  /** No path is faster. */
  readonly floorMs: (km: number) => number;
  /** Few paths are slower. */
  readonly ceilingMs: (km: number) => number;
}

/** Estimates of one place, by PoP. NaN where nothing is known. */
export interface Estimates {
  readonly ms: Float32Array;
  readonly lowMs: Float32Array;
  readonly highMs: Float32Array;
  /** Own effective n, faded to now. */
  readonly n: Float32Array;
  readonly tier: Uint8Array;
}

export function createEstimates(pops: number): Estimates {
  const column = () => new Float32Array(pops);
  return { ms: column(), lowMs: column(), highMs: column(), n: column(), tier: new Uint8Array(pops) };
}

export function medianOf(values: readonly number[]): number {
  return medianOfPart(Float64Array.from(values), 0, values.length);
}

/** A median of few is drawn to nothing. The first `count` are sorted. */
export function shrunkMedian(values: Float64Array, count: number): number {
  return count === 0 ? 0 : (medianOfPart(values, 0, count) * count) / (count + estimation.lineShrinkage);
}
