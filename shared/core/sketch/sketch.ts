/**
 * What was measured for one key (prefix, target, kind, source): a DDSketch whose weights decay with a half-life of 6 h.
 *
 * Decay is forward (Cormode et al., ICDE 2009): a value that came at time t weighs 2^((t − landmark) / 6 h), and nothing
 * has to be aged afterwards. Landmarks are whole days, four half-lives apart, so moving one multiplies by a power of two
 * exactly: merging commutes, and is associative up to float rounding.
 *
 * Beside it, apart: undecayed counts, and the last quarter of an hour in two slots of 7.5 min that rotate.
 *
 * Bytes, little-endian: u8 format, u8 0, u16 buckets, u16 buckets of the newer slot, u16 of the older one, u16 landmark
 * (days), u16 0, u32 last (s), u32 count, u32 failures, u32 newer slot, f64 Σw², f64 demand, then u16 indexes less
 * `bucketMin` of all three, f32 weights of the first, u16 counts of the other two.
 */
import { OperatingError } from '../errors.ts';
import { Buckets, bucketMax, bucketMin, bucketOf } from './buckets.ts';
import { orderRanks } from './order.ts';

export const halfLifeMs = 6 * 3_600_000;
const landmarkMs = 4 * halfLifeMs;
const slotMs = 7.5 * 60_000;
/** A weight this small against the newest sample's (5 days old) is forgotten. */
const weightMin = 2 ** -20;
/** Evidence whose newest sample is older than this fades with the half-life: a 24 h window would have lost it at once. */
const wholeMs = 24 * 3_600_000;
/** The ranking statistic: low enough that a quarter of good samples shows what the path can do. */
export const rankedQuantile = 0.25;
const format = 1;
const headerBytes = 44;

/** A quantile with the bounds that hold the true one with 95%. Milliseconds; n is effective. */
export interface QuantileBounds {
  readonly ms: number;
  /** 0 when n is too small to say. */
  readonly lowMs: number;
  /** Infinity when n is too small to say. */
  readonly highMs: number;
  readonly n: number;
}

export class Sketch {
  /** Samples ever, undecayed. */
  count = 0;
  /** Fetches that failed (availability), undecayed. */
  failures = 0;
  /** When the newest sample came, whole seconds. */
  lastSeconds = 0;
  #landmark = 0;
  #sumSquares = 0;
  #demand = 0;
  #buckets = new Buckets();
  #slot = 0;
  #newer = new Buckets();
  #older = new Buckets();

  /** Within a key samples weigh by age alone; `demand` (1/p of being sampled) is summed beside, for aggregates. */
  add(rttMs: number, atMs: number, demand = 1): void {
    const day = Math.floor(atMs / landmarkMs);
    if (this.count === 0) this.#landmark = day;
    else if (day > this.#landmark) this.#moveLandmark(day);
    const weight = 2 ** ((atMs - this.#landmark * landmarkMs) / halfLifeMs);
    const index = bucketOf(rttMs);
    this.#buckets.add(index, weight);
    this.#sumSquares += weight * weight;
    this.#demand += weight * demand;
    this.count++;
    this.lastSeconds = Math.max(this.lastSeconds, Math.floor(atMs / 1000));
    this.#turnTo(Math.floor(atMs / slotMs));
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
    merged.#landmark = Math.max(this.count > 0 ? this.#landmark : 0, other.count > 0 ? other.#landmark : 0);
    const mine = this.#factorAt(merged.#landmark);
    const theirs = other.#factorAt(merged.#landmark);
    merged.#buckets = Buckets.sum(this.#buckets, mine, other.#buckets, theirs, weightMin);
    merged.#sumSquares = this.#sumSquares * mine * mine + other.#sumSquares * theirs * theirs;
    merged.#demand = this.#demand * mine + other.#demand * theirs;
    merged.#slot = Math.max(this.#slot, other.#slot);
    merged.#newer = Buckets.sum(this.#at(merged.#slot), 1, other.#at(merged.#slot), 1, 0);
    merged.#older = Buckets.sum(this.#at(merged.#slot - 1), 1, other.#at(merged.#slot - 1), 1, 0);
    return merged;
  }

  /** Value at a quantile of the decayed weights, milliseconds; NaN when there are no samples. */
  quantile(quantile: number): number {
    const total = this.#buckets.total();
    return this.#buckets.at(quantile * (total - this.#sumSquares / total), total);
  }

  /** (Σw)² / Σw²; from a day after the newest sample on it halves every 6 h. */
  effectiveN(nowMs: number): number {
    if (this.count === 0) return 0;
    return (this.#buckets.total() ** 2 / this.#sumSquares) * fade(this.lastSeconds, nowMs);
  }

  /** Σ of 1/p, decayed to `nowMs`. */
  demand(nowMs: number): number {
    return this.#demand * 2 ** ((this.#landmark * landmarkMs - nowMs) / halfLifeMs);
  }

  /** p25 with its bounds. `n` as if now were the time of the newest sample: fading is the caller's (`fade`). */
  ranked(): QuantileBounds {
    return bounds(this.#buckets, this.#sumSquares);
  }

  /** p25 of the last 7.5 to 15 min alone. */
  recent(nowMs: number): QuantileBounds {
    const age = Math.floor(nowMs / slotMs) - this.#slot;
    if (this.count === 0 || age > 1) return bounds(new Buckets(), 0);
    const buckets = age <= 0 ? Buckets.sum(this.#newer, 1, this.#older, 1, 0) : this.#newer;
    return bounds(buckets, buckets.total());
  }

  #moveLandmark(day: number): void {
    const factor = this.#factorAt(day);
    this.#buckets = Buckets.sum(this.#buckets, factor, new Buckets(), 1, weightMin);
    this.#sumSquares *= factor * factor;
    this.#demand *= factor;
    this.#landmark = day;
  }

  #factorAt(landmark: number): number {
    return 2 ** ((this.#landmark - landmark) * (landmarkMs / halfLifeMs));
  }

  #turnTo(slot: number): void {
    if (slot <= this.#slot) return;
    this.#older = slot === this.#slot + 1 ? this.#newer : new Buckets();
    this.#newer = new Buckets();
    this.#slot = slot;
  }

  #at(slot: number): Buckets {
    return slot === this.#slot ? this.#newer : slot === this.#slot - 1 ? this.#older : new Buckets();
  }

  encode(): Uint8Array {
    const parts = [this.#buckets, this.#newer, this.#older];
    const entries = parts.reduce((sum, part) => sum + part.size, 0);
    const bytes = new Uint8Array(headerBytes + 4 * entries + 2 * this.#buckets.size);
    const view = new DataView(bytes.buffer);
    view.setUint8(0, format);
    for (const [i, part] of parts.entries()) view.setUint16(2 + 2 * i, part.size, true);
    view.setUint16(8, this.#landmark, true);
    view.setUint32(12, this.lastSeconds, true);
    view.setUint32(16, this.count, true);
    view.setUint32(20, this.failures, true);
    view.setUint32(24, this.#slot, true);
    view.setFloat64(28, this.#sumSquares, true);
    view.setFloat64(36, this.#demand, true);
    let at = headerBytes;
    for (const part of parts) {
      for (let i = 0; i < part.size; i++, at += 2) view.setUint16(at, part.index[i]! - bucketMin, true);
    }
    for (let i = 0; i < this.#buckets.size; i++, at += 4) view.setFloat32(at, this.#buckets.weight[i]!, true);
    for (const part of parts.slice(1)) {
      for (let i = 0; i < part.size; i++, at += 2) view.setUint16(at, Math.min(65_535, part.weight[i]!), true);
    }
    return bytes;
  }

  /** Throws ARTEFACT_CORRUPT unless `bytes` are a whole sketch that makes sense. */
  static decode(bytes: Uint8Array): Sketch {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < headerBytes || view.getUint8(0) !== format) throw corrupt('no sketch, or of another format');
    const sizes = [view.getUint16(2, true), view.getUint16(4, true), view.getUint16(6, true)] as const;
    const entries = sizes[0] + sizes[1] + sizes[2];
    if (bytes.length !== headerBytes + 4 * entries + 2 * sizes[0]) throw corrupt('its length does not fit its header');
    const sketch = new Sketch();
    sketch.#landmark = view.getUint16(8, true);
    sketch.lastSeconds = view.getUint32(12, true);
    sketch.count = view.getUint32(16, true);
    sketch.failures = view.getUint32(20, true);
    sketch.#slot = view.getUint32(24, true);
    sketch.#sumSquares = view.getFloat64(28, true);
    sketch.#demand = view.getFloat64(36, true);
    const indexes = { at: headerBytes };
    const weights = { at: headerBytes + 2 * entries };
    sketch.#buckets = readBuckets(view, sizes[0], indexes, weights, 4);
    sketch.#newer = readBuckets(view, sizes[1], indexes, weights, 2);
    sketch.#older = readBuckets(view, sizes[2], indexes, weights, 2);
    checkSums(sketch.count, sketch.#buckets.size, sketch.#sumSquares, sketch.#demand);
    return sketch;
  }
}

/** The share of its n that evidence keeps when its newest sample is this old: all for a day, then half every 6 h. */
export function fade(lastSeconds: number, nowMs: number): number {
  const beyondMs = nowMs - lastSeconds * 1000 - wholeMs;
  return beyondMs <= 0 ? 1 : 2 ** (-beyondMs / halfLifeMs);
}

function bounds(buckets: Buckets, sumSquares: number): QuantileBounds {
  const total = buckets.total();
  if (total === 0) return { ms: Number.NaN, lowMs: 0, highMs: Number.POSITIVE_INFINITY, n: 0 };
  const n = total ** 2 / sumSquares;
  const ranks = orderRanks(n, rankedQuantile);
  const count = Math.max(1, Math.round(n));
  return {
    ms: buckets.at(rankedQuantile * (total - sumSquares / total), total),
    lowMs: ranks.low < 1 ? 0 : buckets.at(((ranks.low - 1) / count) * total, total),
    highMs: ranks.high > count ? Number.POSITIVE_INFINITY : buckets.at(((ranks.high - 1) / count) * total, total),
    n,
  };
}

function readBuckets(
  view: DataView,
  size: number,
  indexes: { at: number },
  weights: { at: number },
  width: 2 | 4,
): Buckets {
  const index = new Int16Array(size);
  const weight = new Float32Array(size);
  for (let i = 0; i < size; i++, indexes.at += 2, weights.at += width) {
    const at = view.getUint16(indexes.at, true) + bucketMin;
    if (at > bucketMax || (i > 0 && at <= index[i - 1]!)) throw corrupt('its buckets do not rise');
    index[i] = at;
    weight[i] = width === 4 ? view.getFloat32(weights.at, true) : view.getUint16(weights.at, true);
    if (!(weight[i]! > 0 && weight[i]! < 1e30)) throw corrupt('a bucket has no weight');
  }
  return new Buckets(index, weight);
}

function checkSums(count: number, buckets: number, sumSquares: number, demand: number): void {
  const empty = count === 0;
  if (empty !== (buckets === 0)) throw corrupt('its count does not fit its buckets');
  if (!(empty ? sumSquares === 0 : sumSquares > 0 && sumSquares < 1e60)) throw corrupt('its sum of squares is none');
  if (!(demand >= 0 && demand < 1e60)) throw corrupt('its demand is none');
}

function corrupt(why: string): OperatingError {
  return new OperatingError('ARTEFACT_CORRUPT', `evidence sketch: ${why}`);
}
