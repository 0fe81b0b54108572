/** What the metros around a metro say of it, PoP by PoP. */
import { distanceKm, type Vectors } from './base.ts';
import { estimation } from './estimation.ts';
import { Basis } from './prediction-errors.ts';
import type { Residuals } from './residuals.ts';

/** PoPs farther from each other have no residuals in common. */
const kinKm = 1_100;
const nearKm = 150;
const middleKm = 700;

/** PoPs near a PoP, itself the first, and what their residuals weigh for it. */
interface Kin {
  readonly pops: Uint8Array;
  readonly weights: Float32Array;
}

export class Around {
  /** By PoP, when all metros are taken in: residuals weighted by distance, and what they rest on. */
  readonly ms: Float64Array;
  readonly basis: Uint8Array;
  readonly slackMs: Float64Array;
  /** How far one that stops voting could move `ms` beside that, since its metro is no longer taken in. */
  readonly frailMs: Float64Array;
  /** Votes of the metros that were taken in. */
  readonly votes: Uint16Array;
  readonly #kin: readonly Kin[];
  readonly #weights: Float64Array;
  readonly #taken: Uint8Array;
  readonly #nearestKm: Float64Array;
  /** Of metros that speak of it only while each of their cells votes, the one that weighs most: its weight, and what it says. */
  readonly #frail: Float64Array;
  readonly #frailResidualMs: Float64Array;

  constructor(popVectors: Vectors, pops: number) {
    this.ms = new Float64Array(pops);
    this.basis = new Uint8Array(pops);
    this.slackMs = new Float64Array(pops);
    this.#kin = Array.from({ length: pops }, (_, pop) => kinOf(popVectors, pop, pops));
    this.#weights = new Float64Array(pops);
    this.#taken = new Uint8Array(pops);
    this.#nearestKm = new Float64Array(pops);
    this.frailMs = new Float64Array(pops);
    this.votes = new Uint16Array(pops);
    this.#frail = new Float64Array(pops);
    this.#frailResidualMs = new Float64Array(pops);
  }

  clear(): void {
    this.ms.fill(0);
    this.slackMs.fill(0);
    this.votes.fill(0);
    this.#frail.fill(0);
    this.#taken.fill(0);
    this.#weights.fill(estimation.spatialPrior);
  }

  /**
   * What a metro says of each PoP by those near it: for all PoPs the sums of weights, then of residuals, then of slack, then
   * the most votes for one of them, below zero where one has the least that count.
   */
  kinOf(residuals: Residuals): Float64Array {
    const count = this.ms.length;
    const sums = new Float64Array(4 * count);
    for (let pop = 0; pop < count; pop++) {
      const { pops, weights } = this.#kin[pop]!;
      let most = 0;
      let isFrail = false;
      for (let i = 0; i < pops.length; i++) {
        const other = pops[i]!;
        const votes = residuals.votes(other);
        if (votes < estimation.metroVotes) continue;
        most = Math.max(most, votes);
        isFrail ||= votes === estimation.metroVotes;
        sums[pop]! += weights[i]!;
        sums[count + pop]! += weights[i]! * residuals.ms(other);
        sums[2 * count + pop]! += weights[i]! * residuals.slackMs(other);
      }
      sums[3 * count + pop] = isFrail ? -most : most;
    }
    return sums;
  }

  /** Another metro, from near to far, by its `kinOf`; `share`: what its weight is cut to by a border. */
  take(kin: Float64Array, km: number, share: number): void {
    const weight = share * kernel(km, estimation.spatialKm);
    const count = this.ms.length;
    for (let pop = 0; pop < count; pop++) {
      const own = weight * kin[pop]!;
      if (own === 0 || this.#taken[pop]! >= estimation.spatialPlaces) continue;
      if (this.#taken[pop] === 0) this.#nearestKm[pop] = km;
      this.#taken[pop]!++;
      this.ms[pop]! += weight * kin[count + pop]!;
      this.#weights[pop]! += own;
      const votes = kin[3 * count + pop]!;
      this.votes[pop]! += Math.abs(votes);
      if (votes < 0 && own > this.#frail[pop]!) {
        this.#frail[pop] = own;
        this.#frailResidualMs[pop] = kin[count + pop]! / kin[pop]!;
      }
      const slack = weight * kin[2 * count + pop]!;
      if (slack > this.slackMs[pop]!) this.slackMs[pop] = slack;
    }
  }

  end(): void {
    for (let pop = 0; pop < this.ms.length; pop++) {
      const km = this.#nearestKm[pop]!;
      const near = km < nearKm ? Basis.near : km < middleKm ? Basis.middle : Basis.far;
      this.basis[pop] = this.#taken[pop] === 0 ? Basis.prior : near;
      const weight = this.#weights[pop]!;
      this.ms[pop]! /= weight;
      this.slackMs[pop]! /= weight;
      const frail = this.#frail[pop]!;
      this.frailMs[pop] = (frail / (weight - frail)) * Math.abs(this.#frailResidualMs[pop]! - this.ms[pop]!);
    }
  }
}

function kernel(km: number, halfKm: number): number {
  return 1 / (1 + (km / halfKm) ** 2);
}

/** PoPs near each other are reached by much the same way. */
function kinOf(vectors: Vectors, pop: number, pops: number): Kin {
  const kin = [{ other: pop, weight: 1 }];
  for (let other = 0; other < pops; other++) {
    const km = distanceKm(vectors, pop, vectors, other);
    if (other !== pop && km < kinKm) kin.push({ other, weight: estimation.kinShare * kernel(km, estimation.kinKm) });
  }
  return { pops: Uint8Array.from(kin, ({ other }) => other), weights: Float32Array.from(kin, ({ weight }) => weight) };
}
