/**
 * What cells ask of PoPs: requests as edges count them, averaged over days, so that neither an hour nor a burst moves
 * anybody. Of a mapper that has just begun it is the average since then.
 *
 *     rate = Σ requests · 2^(−age / half-life) / Σ seconds · 2^(−age / half-life)
 */
import { type Address, cellOf, type Family } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { CellIndex, widened } from '@ufes/core/steering/cell-index.ts';

const halfLifeMs = 24 * 3_600_000;
/** Exponents stay far from where doubles end. */
const scaleMax = 400;

export class Traffic {
  readonly #index = new CellIndex();
  /** Requests, weighted as of `#zeroMs`. */
  #sum = new Float64Array(0);
  #zeroMs = 0;
  #beganMs: number | undefined;
  /** What was told is of until then. */
  #toldMs = 0;

  get cells(): number {
    return this.#index.count;
  }

  /** Requests of an address in the `seconds` up to `atMs`. */
  add(address: Address, requests: number, seconds: number, atMs: number): void {
    const { family, hi, lo } = cellOf(address);
    if (this.#beganMs === undefined) {
      this.#beganMs = atMs - 1000 * seconds;
      this.#zeroMs = atMs;
    }
    this.#toldMs = Math.max(this.#toldMs, atMs);
    const weighted = requests * this.#weight(atMs);
    let number = this.#index.find(family, hi, lo);
    if (number < 0) {
      if (this.cells >= limits.mapper.trafficCells) return;
      number = this.#index.add(family, hi, lo);
      this.#sum = widened(this.#sum, number + 1);
    }
    this.#sum[number]! += weighted;
  }

  /** Requests a second of each, as of what was told last, or of an earlier time. */
  forEach(nowMs: number, visit: (family: Family, hi: number, lo: number, perSecond: number) => void): void {
    const { family, hi, lo } = this.#index;
    for (let number = 0; number < this.cells; number++) {
      visit(family[number] === 4 ? 4 : 6, hi[number]!, lo[number]!, this.#rateOf(this.#sum[number]!, nowMs));
    }
  }

  #rateOf(sum: number, nowMs: number): number {
    if (this.#beganMs === undefined) return 0;
    // Of the time since nothing was told: it is no time without requests.
    const untilMs = Math.min(nowMs, this.#toldMs);
    const octaves = Math.max(0, untilMs - this.#beganMs) / halfLifeMs;
    const seconds = (halfLifeMs / 1000 / Math.LN2) * (1 - 2 ** -octaves);
    return seconds === 0 ? 0 : (sum * 2 ** ((this.#zeroMs - untilMs) / halfLifeMs)) / seconds;
  }

  #weight(atMs: number): number {
    const exponent = (atMs - this.#zeroMs) / halfLifeMs;
    if (exponent < scaleMax) return 2 ** exponent;
    const factor = 2 ** -exponent;
    for (let number = 0; number < this.cells; number++) this.#sum[number]! *= factor;
    this.#zeroMs = atMs;
    return 1;
  }
}
