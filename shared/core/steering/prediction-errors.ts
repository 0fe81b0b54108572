/**
 * What predictions were wrong by, learned where the truth came to be known: every vote is also predicted as if its own
 * cell had not been measured, and the differences are kept by the kind of prediction. Their quantiles are the interval of
 * the next prediction of that kind (split conformal prediction), so intervals are honest in any world, with no model of it.
 *
 *     kind of prediction × whether the line is known × how long the round trip is said to be → ring of errors
 */
export const Basis = { prior: 0, far: 1, middle: 2, near: 3, metro: 4, asn: 5 } as const;
const bases = 6;
const bandsMs = [50, 110, 190];
const bands = bandsMs.length + 1;
const ring = 1_024;
/** Fewer say nothing of the ends. */
const errorsMin = 80;
/** Share left out at either end, for 95%: errors of a metro come together, and what comes next is of another one. */
const tail = 0.02;

export class Errors {
  readonly #rings: Float32Array[] = Array.from({ length: bases * 2 * bands }, () => new Float32Array(0));
  readonly #counts = new Uint32Array(bases * 2 * bands);
  /** By bin, how far the truth lies below and above a prediction; NaN: not known yet. */
  readonly low = new Float32Array(bases * 2 * bands);
  readonly high = new Float32Array(bases * 2 * bands);
  readonly #isStale = new Uint8Array(bases * 2 * bands).fill(1);

  /** `errorMs`: what was measured less what was said. */
  add(basis: number, line: boolean, saidMs: number, errorMs: number): void {
    const bin = binOf(basis, line, saidMs);
    if (this.#rings[bin]!.length === 0) this.#rings[bin] = new Float32Array(ring);
    this.#rings[bin]![this.#counts[bin]!++ % ring] = errorMs;
    this.#isStale[bin] = 1;
  }

  /** The bin of a prediction, its bounds up to date. */
  bin(basis: number, line: boolean, saidMs: number): number {
    const bin = binOf(basis, line, saidMs);
    if (this.#isStale[bin] === 0) return bin;
    this.#isStale[bin] = 0;
    const count = Math.min(ring, this.#counts[bin]!);
    const sorted = this.#rings[bin]!.slice(0, count).sort();
    const isKnown = count >= errorsMin;
    this.low[bin] = isKnown ? sorted[Math.floor(tail * (count + 1)) - 1]! : Number.NaN;
    this.high[bin] = isKnown ? sorted[Math.min(count - 1, Math.ceil((1 - tail) * (count + 1)) - 1)]! : Number.NaN;
    return bin;
  }
}

function binOf(basis: number, line: boolean, saidMs: number): number {
  let band = 0;
  while (band < bandsMs.length && saidMs > bandsMs[band]!) band++;
  return (basis * 2 + (line ? 1 : 0)) * bands + band;
}
