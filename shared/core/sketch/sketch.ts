/**
 * What was measured for one key (prefix, target, kind, source): a DDSketch whose weights decay with a half-life of 6 h.
 *
 * Decay is forward (Cormode et al., ICDE 2009): nothing has to be aged afterwards. A sample weighs by the hour in which it
 * came, in whole numbers, `hourWeights` in the six hours of an octave; with each octave that begins all weights halve,
 * which is exact for a day and a half, and rounds down then. So merging commutes, and up to that rounding it is
 * associative; quantiles are those of hourly buckets.
 *
 *     hour     0     1     2     3     4     5  │  6     7   …    of the newest octave: 2048 to 3648
 *     weight  2048  2304  2560  2880  3264  3648│ 4096  4608      halved until the newest octave is theirs
 *
 * Beside it, apart: undecayed counts, and the last quarter of an hour in two slots of 7.5 min that rotate. Slots and
 * octaves are those of the newest sample, so its time says which they are.
 *
 * Bytes: u8 format, u32 last (s), f32 Σw², f32 demand (little-endian), then varints: count, failures, buckets of the whole,
 * of the newer slot, of the older one, and each bucket in turn as the distance of its index from the one before (the first
 * from `bucketMin` - 1) and its weight. Format 1, which is still read, has floats for weights (format1.ts).
 */
import { OperatingError } from '../errors.ts';
import { Buckets, bucketMin, bucketMs, bucketOf, relativeAccuracy } from './buckets.ts';
import { isFormat1, readFormat1 } from './format1.ts';
import { orderRanks } from './order.ts';
import { putVarint, Varints, varintMax } from './varint.ts';

export const halfLifeMs = 6 * 3_600_000;
const hourMs = 3_600_000;
const octaveSeconds = halfLifeMs / 1000;
const slotMs = 7.5 * 60_000;
/** 2^(hour / 6), within 1%, of a unit that halves exactly six times. */
export const hourWeights = [32, 36, 40, 45, 51, 57].map((weight) => 64 * weight);
/** Evidence whose newest sample is older than this fades with the half-life: a 24 h window would have lost it at once. */
const wholeMs = 24 * 3_600_000;
/** The ranking statistic: low enough that a quarter of good samples shows what the path can do. */
export const rankedQuantile = 0.25;
/** What guards look at: how slow every fourth request is, and effective samples, rounded, from which it is said. */
const tailQuantile = 0.75;
export const tailN = 20;
const format = 2;
const headerBytes = 13;

/** A quantile with the bounds that hold the true one with 95%. Milliseconds; n is effective. */
export interface QuantileBounds {
  readonly ms: number;
  /** 0 when n is too small to say. */
  readonly lowMs: number;
  /** Infinity when n is too small to say. */
  readonly highMs: number;
  readonly n: number;
  /** p75; absent or NaN where n is below `tailN`. */
  readonly tailMs?: number;
}

const noBounds: QuantileBounds = {
  ms: Number.NaN,
  lowMs: 0,
  highMs: Number.POSITIVE_INFINITY,
  n: 0,
  tailMs: Number.NaN,
};
const noBuckets = new Buckets();

export class Sketch {
  /** Samples ever, undecayed. */
  count = 0;
  /** Fetches that failed (availability), undecayed. */
  failures = 0;
  /** When the newest sample came, whole seconds. */
  lastSeconds = 0;
  #sumSquares = 0;
  #demand = 0;
  #buckets = new Buckets();
  #newer = new Buckets();
  #older = new Buckets();

  /** Within a key samples weigh by age alone; `demand` (1/p of being sampled) is summed beside, for aggregates. */
  add(rttMs: number, atMs: number, demand = 1): void {
    this.#advance(Math.floor(atMs / 1000));
    const hour = Math.floor(atMs / hourMs);
    const halvings = this.#octave - Math.floor(hour / 6);
    const weight = Math.floor(hourWeights[hour % 6]! * 0.5 ** halvings);
    const index = bucketOf(rttMs);
    this.count++;
    if (weight === 0) return;
    this.#buckets.add(index, weight);
    this.#sumSquares = Math.fround(this.#sumSquares + weight * weight);
    this.#demand = Math.fround(this.#demand + weight * demand);
    const behind = this.#slot - Math.floor(atMs / slotMs);
    if (behind === 0) this.#newer.add(index, 1);
    else if (behind === 1) this.#older.add(index, 1);
  }

  fail(): void {
    this.failures++;
  }

  /** The evidence of both. `this` and `other` stay as they are. */
  merge(other: Sketch): Sketch {
    const merged = new Sketch();
    merged.count = this.count + other.count;
    merged.failures = this.failures + other.failures;
    merged.lastSeconds = Math.max(this.lastSeconds, other.lastSeconds);
    if (merged.count === 0) return merged;
    const mine = this.count === 0 ? 0 : merged.#octave - this.#octave;
    const theirs = other.count === 0 ? 0 : merged.#octave - other.#octave;
    merged.#buckets = Buckets.sum(this.#buckets, mine, other.#buckets, theirs);
    merged.#sumSquares = Math.fround(this.#sumSquares * 0.25 ** mine + other.#sumSquares * 0.25 ** theirs);
    merged.#demand = Math.fround(this.#demand * 0.5 ** mine + other.#demand * 0.5 ** theirs);
    const slot = merged.#slot;
    merged.#newer = Buckets.sum(this.#at(slot), 0, other.#at(slot), 0);
    merged.#older = Buckets.sum(this.#at(slot - 1), 0, other.#at(slot - 1), 0);
    return merged;
  }

  /** Value at a quantile of the decayed weights, milliseconds; NaN when there are no samples. */
  quantile(quantile: number): number {
    const { total } = this.#buckets;
    return this.#buckets.at(quantile * (total - this.#sumSquares / total));
  }

  /** (Σw)² / Σw²; from a day after the newest sample on it halves every 6 h. */
  effectiveN(nowMs: number): number {
    if (this.count === 0) return 0;
    return (this.#buckets.total ** 2 / this.#sumSquares) * fade(this.lastSeconds, nowMs);
  }

  /** Σ of 1/p, decayed to `nowMs`. */
  demand(nowMs: number): number {
    return (this.#demand / hourWeights[0]!) * 2 ** ((this.#octave * halfLifeMs - nowMs) / halfLifeMs);
  }

  /** p25 with its bounds. `n` as if now were the time of the newest sample: fading is the caller's (`fade`). */
  ranked(): QuantileBounds {
    return bounds(this.#buckets, this.#sumSquares);
  }

  /** p25 of the last 7.5 to 15 min alone. */
  recent(nowMs: number): QuantileBounds {
    const age = Math.floor(nowMs / slotMs) - this.#slot;
    if (this.count === 0 || age > 1) return noBounds;
    const isBoth = age <= 0 && this.#older.size > 0;
    const buckets = isBoth ? Buckets.sum(this.#newer, 0, this.#older, 0) : this.#newer;
    return bounds(buckets, buckets.total);
  }

  /** Six hours in which all weights are of one scale, counted from 1970. */
  get #octave(): number {
    return Math.floor(this.lastSeconds / octaveSeconds);
  }

  get #slot(): number {
    return Math.floor((this.lastSeconds * 1000) / slotMs);
  }

  /** Brings octave and slots to where a sample of this time belongs, unless they are already beyond. */
  #advance(seconds: number): void {
    if (this.count > 0 && seconds <= this.lastSeconds) return;
    const [octave, slot] = [this.#octave, this.#slot];
    this.lastSeconds = seconds;
    if (this.count === 0) return;
    const halvings = this.#octave - octave;
    if (halvings > 0) {
      this.#buckets = Buckets.sum(this.#buckets, halvings, noBuckets, 0);
      this.#sumSquares = Math.fround(this.#sumSquares * 0.25 ** halvings);
      this.#demand = Math.fround(this.#demand * 0.5 ** halvings);
    }
    if (this.#slot === slot) return;
    this.#older = this.#slot === slot + 1 ? this.#newer : new Buckets();
    this.#newer = new Buckets();
  }

  #at(slot: number): Buckets {
    if (this.count === 0) return noBuckets;
    return slot === this.#slot ? this.#newer : slot === this.#slot - 1 ? this.#older : noBuckets;
  }

  encode(): Uint8Array {
    const parts = [this.#buckets, this.#newer, this.#older];
    const entries = parts.reduce((sum, part) => sum + part.size, 0);
    // Two bytes for an index, seven for a number at most.
    const bytes = new Uint8Array(headerBytes + 5 * 7 + 9 * entries);
    const view = new DataView(bytes.buffer);
    view.setUint8(0, format);
    view.setUint32(1, this.lastSeconds, true);
    view.setFloat32(5, this.#sumSquares, true);
    view.setFloat32(9, this.#demand, true);
    let at = headerBytes;
    for (const value of [this.count, this.failures, ...parts.map(({ size }) => size)]) at = putVarint(bytes, at, value);
    for (const { index, weight, size } of parts) {
      let before = bucketMin - 1;
      for (let i = 0; i < size; i++) {
        at = putVarint(bytes, at, index[i]! - before);
        at = putVarint(bytes, at, Math.min(varintMax, weight[i]!));
        before = index[i]!;
      }
    }
    return bytes.slice(0, at);
  }

  /** Throws ARTEFACT_CORRUPT unless `bytes` are a whole sketch that makes sense. */
  static decode(bytes: Uint8Array): Sketch {
    const sketch = new Sketch();
    sketch.read(bytes, 0, bytes.length);
    return sketch;
  }

  /** Becomes the sketch that stands in bytes `from` to `end`, without allocation where it held as many buckets before. */
  read(bytes: Uint8Array, from: number, end: number): void {
    if (isFormat1(bytes, from, end)) this.#readFormat1(bytes.subarray(from, end));
    else this.#readFormat2(bytes, from, end);
    checkSums(this.count, this.#buckets.size, this.#sumSquares, this.#demand);
  }

  #readFormat2(bytes: Uint8Array, from: number, end: number): void {
    if (end - from < headerBytes || bytes[from] !== format) throw corrupt('no sketch, or of another format');
    this.lastSeconds = u32(bytes, from + 1);
    this.#sumSquares = f32(bytes, from + 5);
    this.#demand = f32(bytes, from + 9);
    varints.bytes = bytes;
    varints.at = from + headerBytes;
    varints.end = end;
    this.count = varints.next();
    this.failures = varints.next();
    const [sizeWhole, sizeNewer, sizeOlder] = [varints.next(), varints.next(), varints.next()];
    const areGood =
      this.#buckets.read(varints, sizeWhole) &&
      this.#newer.read(varints, sizeNewer) &&
      this.#older.read(varints, sizeOlder);
    if (!areGood) throw corrupt('its buckets do not rise, or have no weight');
    if (this.count < 0 || this.failures < 0 || varints.at !== end) throw corrupt('its length does not fit its header');
  }

  #readFormat1(bytes: Uint8Array): void {
    const { count, failures, lastSeconds, slot, ...rest } = readFormat1(bytes, octaveSeconds, hourWeights[0]!);
    this.count = count;
    this.failures = failures;
    this.lastSeconds = lastSeconds;
    this.#sumSquares = Math.fround(rest.sumSquares);
    this.#demand = Math.fround(rest.demand);
    this.#buckets = rest.buckets;
    const isOfLast = slot === this.#slot;
    this.#newer = isOfLast ? rest.newer : new Buckets();
    this.#older = isOfLast ? rest.older : new Buckets();
  }
}

/** The share of its n that evidence keeps when its newest sample is this old: all for a day, then half every 6 h. */
export function fade(lastSeconds: number, nowMs: number): number {
  const beyondMs = nowMs - lastSeconds * 1000 - wholeMs;
  return beyondMs <= 0 ? 1 : 2 ** (-beyondMs / halfLifeMs);
}

/**
 * One pass, from the lowest rank to the highest. Within a bucket samples are taken to lie evenly: a bucket is wider than
 * many a path's noise, and bounds at its middle would leave the true value out.
 */
function bounds(buckets: Buckets, sumSquares: number): QuantileBounds {
  const { total } = buckets;
  if (total === 0) return noBounds;
  const n = total ** 2 / sumSquares;
  const ranks = orderRanks(n, rankedQuantile);
  const count = Math.max(1, Math.round(n));
  const nudge = 1e-6 * total;
  const whole = total - sumSquares / total;
  const highAbove = ((ranks.high - 1) / count) * total + nudge;
  const tailAbove = tailQuantile * whole + nudge;
  const [hasHigh, hasTail] = [ranks.high <= count, count >= tailN];
  climb.begin(buckets, sumSquares / total / 2);
  const lowMs = ranks.low < 1 ? 0 : climb.to(((ranks.low - 1) / count) * total + nudge);
  const ms = climb.to(rankedQuantile * whole + nudge);
  let highMs = Number.POSITIVE_INFINITY;
  if (hasHigh && highAbove <= tailAbove) highMs = climb.to(highAbove);
  const tailMs = hasTail ? climb.to(tailAbove) : Number.NaN;
  if (hasHigh && highAbove > tailAbove) highMs = climb.to(highAbove);
  return { ms, lowMs, highMs, n, tailMs };
}

/** Goes up through buckets: weights asked for rise. */
class Climb {
  #buckets = noBuckets;
  #halfSample = 0;
  #at = 0;
  /** Weight up to the bucket at hand, and with it. */
  #before = 0;
  #running = 0;

  begin(buckets: Buckets, halfSample: number): void {
    this.#buckets = buckets;
    this.#halfSample = halfSample;
    this.#at = 0;
    this.#before = 0;
    this.#running = buckets.weight[0]!;
  }

  /** The value at which the running weight exceeds `above`, milliseconds. */
  to(above: number): number {
    const { index, weight, size } = this.#buckets;
    while (this.#running <= above) {
      if (this.#at + 1 === size) return bucketMs(index[this.#at]!);
      this.#before = this.#running;
      this.#running += weight[++this.#at]!;
    }
    // What lies at this weight above the lower edge of the bucket.
    const share = Math.max(0, Math.min(1, (above + this.#halfSample - this.#before) / weight[this.#at]!));
    return bucketMs(index[this.#at]!) * (1 + relativeAccuracy * (2 * share - 1));
  }
}

const climb = new Climb();
const varints = new Varints();
const words = new DataView(new ArrayBuffer(4));

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function f32(bytes: Uint8Array, at: number): number {
  words.setUint32(0, u32(bytes, at));
  return words.getFloat32(0);
}

function checkSums(count: number, buckets: number, sumSquares: number, demand: number): void {
  const empty = count === 0;
  if (empty !== (buckets === 0)) throw corrupt('its count does not fit its buckets');
  if (!(empty ? sumSquares === 0 : sumSquares > 0 && sumSquares < 1e38)) throw corrupt('its sum of squares is none');
  if (!(demand >= 0 && demand < 1e38)) throw corrupt('its demand is none');
}

function corrupt(why: string): OperatingError {
  return new OperatingError('ARTEFACT_CORRUPT', `evidence sketch: ${why}`);
}
