import { DDSketch } from '@datadog/sketches-js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OperatingError } from '../errors.ts';
import { seededRng } from '../seeded.ts';
import { bucketMs, bucketOf } from './buckets.ts';
import { orderRanks } from './order.ts';
import { fade, halfLifeMs, hourWeights, Sketch } from './sketch.ts';
import { putVarint, Varints, varintMax } from './varint.ts';

const startMs = 1_764_000_000_000;
const hourMs = 3_600_000;
const rtt = fc.double({ min: 0.05, max: 10_000, noNaN: true });
const sample = fc.tuple(rtt, fc.integer({ min: 0, max: 72 * hourMs }));
const samples = fc.array(sample, { maxLength: 80 });

function sketchOf(values: readonly (readonly [number, number])[]): Sketch {
  const sketch = new Sketch();
  for (const [ms, afterMs] of values) sketch.add(ms, startMs + afterMs);
  return sketch;
}

/** Bytes as they were written before weights were whole numbers (format1.ts). */
function format1Of(values: readonly (readonly [number, number])[], failures: number): Uint8Array {
  const times = values.map(([, afterMs]) => startMs + afterMs);
  const landmark = Math.floor(Math.max(...times) / (24 * hourMs));
  const slot = Math.floor(Math.max(...times) / 450_000);
  const weightOf = (atMs: number) => Math.fround(2 ** ((atMs - landmark * 24 * hourMs) / halfLifeMs));
  const indexOf = ([ms]: readonly [number, number]) => bucketOf(ms) - bucketOf(0.01);
  const sums = (weigh: (atMs: number) => number) => {
    const sum = new Map<number, number>();
    for (const [i, value] of values.entries()) {
      const weight = weigh(times[i]!);
      if (weight > 0) sum.set(indexOf(value), (sum.get(indexOf(value)) ?? 0) + weight);
    }
    return [...sum].sort(([a], [b]) => a - b);
  };
  const inSlot = (one: number) => sums((atMs) => (Math.floor(atMs / 450_000) === one ? 1 : 0));
  const parts = [sums(weightOf), inSlot(slot), inSlot(slot - 1)] as const;
  const entries = parts[0].length + parts[1].length + parts[2].length;
  const view = new DataView(new ArrayBuffer(44 + 4 * entries + 2 * parts[0].length));
  view.setUint8(0, 1);
  for (const [i, part] of parts.entries()) view.setUint16(2 + 2 * i, part.length, true);
  view.setUint16(8, landmark, true);
  view.setUint32(12, Math.floor(Math.max(...times) / 1000), true);
  view.setUint32(16, values.length, true);
  view.setUint32(20, failures, true);
  view.setUint32(24, slot, true);
  view.setFloat64(
    28,
    times.reduce((sum, atMs) => sum + weightOf(atMs) ** 2, 0),
    true,
  );
  view.setFloat64(
    36,
    times.reduce((sum, atMs) => sum + weightOf(atMs), 0),
    true,
  );
  let at = 44;
  const put = (value: number, bytes: 2 | 4): void => {
    if (bytes === 2) view.setUint16(at, value, true);
    else view.setFloat32(at, value, true);
    at += bytes;
  };
  for (const part of parts) for (const [index] of part) put(index, 2);
  for (const [, weight] of parts[0]) put(weight, 4);
  for (const part of parts.slice(1)) for (const [, count] of part) put(count, 2);
  return new Uint8Array(view.buffer);
}

/** Everything that can be asked of a sketch. */
function view(sketch: Sketch) {
  const nowMs = startMs + 72 * hourMs;
  const { count, failures, lastSeconds } = sketch;
  const quantiles = [0, 0.25, 0.5, 0.75, 1].map((q) => sketch.quantile(q));
  return { count, failures, lastSeconds, quantiles, n: sketch.effectiveN(nowMs), recent: sketch.recent(nowMs) };
}

describe('sketch', () => {
  test('a bucket is within 1% of every value in it', () => {
    fc.assert(
      fc.property(rtt, (ms) => {
        expect(Math.abs(bucketMs(bucketOf(ms)) - ms) / ms).toBeLessThanOrEqual(0.01 + 1e-9);
      }),
    );
  });

  test('quantiles equal those of sketches-js when nothing has decayed', () => {
    fc.assert(
      fc.property(fc.array(rtt, { minLength: 1, maxLength: 300 }), (values) => {
        const oracle = new DDSketch({ relativeAccuracy: 0.01 });
        const ours = new Sketch();
        for (const value of values) {
          oracle.accept(value);
          ours.add(value, startMs);
        }
        for (const q of [0, 0.1, 0.25, 0.5, 0.9, 1]) {
          expect(ours.quantile(q) / oracle.getValueAtQuantile(q)).toBeCloseTo(1, 6);
        }
      }),
    );
  });

  test('quantiles are within 1% of the exact order statistic', () => {
    fc.assert(
      fc.property(
        fc.array(rtt, { minLength: 1, maxLength: 200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, q) => {
          const sketch = new Sketch();
          for (const value of values) sketch.add(value, startMs);
          const exact = values.toSorted((a, b) => a - b)[Math.floor(q * (values.length - 1) + 1e-6)]!;
          expect(Math.abs(sketch.quantile(q) - exact) / exact).toBeLessThanOrEqual(0.0101);
        },
      ),
    );
  });

  test('merging commutes exactly and is associative up to rounding', () => {
    fc.assert(
      fc.property(samples, samples, samples, (a, b, c) => {
        const [x, y, z] = [sketchOf(a), sketchOf(b), sketchOf(c)] as const;
        expect(x.merge(y).encode()).toEqual(y.merge(x).encode());
        const left = x.merge(y).merge(z);
        const right = x.merge(y.merge(z));
        expect(left.count).toBe(right.count);
        expect(left.effectiveN(startMs)).toBeCloseTo(right.effectiveN(startMs), 1);
        expect(left.recent(startMs + 72 * hourMs)).toEqual(right.recent(startMs + 72 * hourMs));
        const nudge = 2e-3;
        if (left.count > 0) {
          // Rounding may move a quantile by one bucket; never past its neighbours in rank.
          expect(left.quantile(0.5)).toBeGreaterThanOrEqual(right.quantile(0.5 - nudge) * 0.999);
          expect(left.quantile(0.5)).toBeLessThanOrEqual(right.quantile(0.5 + nudge) * 1.001);
        }
      }),
    );
  });

  test('adding in any order and merging in parts give the same evidence', () => {
    fc.assert(
      fc.property(samples, fc.nat(80), (values, cut) => {
        const whole = view(sketchOf(values));
        const parts = view(sketchOf(values.slice(cut)).merge(sketchOf(values.slice(0, cut))));
        expect(parts.count).toBe(whole.count);
        expect(parts.recent).toEqual(whole.recent);
        expect(parts.n).toBeCloseTo(whole.n, 1);
      }),
    );
  });

  test('bytes hold everything', () => {
    fc.assert(
      fc.property(samples, fc.nat(9), (values, failures) => {
        const sketch = sketchOf(values);
        for (let i = 0; i < failures; i++) sketch.fail();
        const bytes = sketch.encode();
        const read = Sketch.decode(bytes);
        expect(read.encode()).toEqual(bytes);
        expect(view(read)).toEqual(view(sketch));
      }),
    );
  });

  test('any other bytes are refused as corrupt, or are a sketch that answers', () => {
    const whole = sketchOf([...Array(30).keys()].map((i) => [10 + i, i * 60_000] as const)).encode();
    const damaged = fc
      .tuple(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.nat(8))
      .map(([edits, cut]) => {
        const bytes = whole.slice(0, whole.length - (cut > 5 ? cut : 0));
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        let read: Sketch;
        try {
          read = Sketch.decode(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(OperatingError);
          expect((thrown as OperatingError).code).toBe('ARTEFACT_CORRUPT');
          return;
        }
        if (read.count > 0) expect(read.ranked().ms).toBeGreaterThan(0);
        expect(read.encode()).toEqual(Sketch.decode(read.encode()).encode());
      }),
      { numRuns: 2_000 },
    );
  });

  test('a sample weighs half as much after 6 h', () => {
    const sketch = new Sketch();
    for (let i = 0; i < 10; i++) sketch.add(100, startMs);
    for (let i = 0; i < 4; i++) sketch.add(20, startMs + halfLifeMs);
    // 10 × ½ against 4: the old ones still hold the upper 5/9.
    expect(sketch.quantile(0.4)).toBeCloseTo(20, 0);
    expect(sketch.quantile(0.6)).toBeCloseTo(100, 0);
    expect(sketch.effectiveN(startMs + halfLifeMs)).toBeCloseTo(81 / (2.5 + 4), 4);
  });

  test('equal samples of one minute keep n whole, and lose it only after a day without news', () => {
    const sketch = new Sketch();
    for (let i = 0; i < 20; i++) sketch.add(75, startMs + i * 3_000);
    const lastMs = startMs + 19 * 3_000;
    expect(Math.round(sketch.effectiveN(lastMs))).toBe(20);
    expect(Math.round(sketch.effectiveN(lastMs + 24 * hourMs))).toBe(20);
    expect(Math.round(sketch.effectiveN(lastMs + 30 * hourMs + 1_000))).toBe(10);
    expect(fade(sketch.lastSeconds, lastMs + 36 * hourMs + 1_000)).toBeCloseTo(0.25, 2);
  });

  test('the last quarter of an hour stands apart and passes', () => {
    const sketch = new Sketch();
    for (let i = 0; i < 100; i++) sketch.add(20, startMs);
    for (let i = 0; i < 20; i++) sketch.add(120, startMs + hourMs + i * 1_000);
    const now = startMs + hourMs + 60_000;
    expect(sketch.ranked().ms).toBeCloseTo(20, 0);
    expect(sketch.recent(now)).toMatchObject({ n: 20 });
    expect(sketch.recent(now).ms / 120).toBeCloseTo(1, 1);
    expect(sketch.recent(now + 15 * 60_000).n).toBe(0);
  });

  test('order statistics enclose the true quantile in at least 95% of trials', () => {
    const rng = seededRng('order');
    for (const n of [20, 30, 100]) {
      let held = 0;
      for (let trial = 0; trial < 1_000; trial++) {
        const values = Float64Array.from({ length: n }, () => rng.next()).sort();
        const { low, high } = orderRanks(n, 0.25);
        if (values[low - 1]! <= 0.25 && values[high - 1]! >= 0.25) held++;
      }
      expect(held).toBeGreaterThanOrEqual(940);
    }
  });

  test('order statistics say so when n is too small for a bound', () => {
    expect(orderRanks(0, 0.25)).toEqual({ low: 0, high: 1 });
    expect(orderRanks(2, 0.25)).toEqual({ low: 0, high: 3 });
    expect(orderRanks(20, 0.25)).toEqual({ low: 2, high: 10 });
    const [exact, approximate] = [orderRanks(1_000, 0.25), orderRanks(1_001, 0.25)];
    expect(Math.abs(exact.low - approximate.low)).toBeLessThanOrEqual(2);
    expect(Math.abs(exact.high - approximate.high)).toBeLessThanOrEqual(2);
  });

  test('thirty samples take under 400 bytes', () => {
    const rng = seededRng('bytes');
    const sketch = new Sketch();
    for (let i = 0; i < 30; i++) sketch.add(40 + 20 * rng.next(), startMs + i * 48 * 60_000);
    expect(sketch.encode().length).toBeLessThan(100);
  });

  test('quantiles and n are those of hourly buckets of a half-life of 6 h', () => {
    const timed = fc.array(fc.tuple(rtt, fc.integer({ min: 0, max: 24 * hourMs })), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(timed, fc.double({ min: 0.05, max: 0.95, noNaN: true }), (values, q) => {
        const sketch = sketchOf(values);
        const exact = values
          .map(([ms, afterMs]) => ({ ms: bucketMs(bucketOf(ms)), w: 2 ** (Math.floor(afterMs / hourMs) / 6) }))
          .sort((a, b) => a.ms - b.ms);
        const total = exact.reduce((sum, { w }) => sum + w, 0);
        const squares = exact.reduce((sum, { w }) => sum + w * w, 0);
        expect(sketch.effectiveN(startMs) / (total ** 2 / squares)).toBeCloseTo(1, 1.5);
        const at = (rank: number): number => {
          let running = 0;
          for (const { ms, w } of exact) {
            running += w;
            if (running > rank) return ms;
          }
          return exact.at(-1)!.ms;
        };
        // Weights are within 1% of powers of two: so are ranks.
        const rank = q * (total - squares / total);
        expect(sketch.quantile(q)).toBeGreaterThanOrEqual(at(rank - 0.015 * total) * 0.999999);
        expect(sketch.quantile(q)).toBeLessThanOrEqual(at(rank + 0.015 * total) * 1.000001);
      }),
    );
  });

  test('weights double with every octave, and rise within one', () => {
    for (const [hour, weight] of hourWeights.entries()) {
      expect(weight / (hourWeights[0]! * 2 ** (hour / 6))).toBeCloseTo(1, 1.7);
    }
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 1, max: 20 }), (octaves, many) => {
        const sketch = new Sketch();
        for (let i = 0; i < many; i++) sketch.add(10, startMs);
        sketch.add(1_000, startMs + octaves * halfLifeMs);
        // The new one holds everything above the share of the old ones, which halve exactly for 36 h.
        const old = many * 0.5 ** octaves;
        const n = (old + 1) ** 2 / (many * 0.25 ** octaves + 1);
        expect(sketch.effectiveN(startMs)).toBeCloseTo(n, 4);
        const between = (1 - (many * 0.25 ** octaves + 1) / (old + 1) ** 2) * (old + 1);
        const q = (old * 0.999) / between;
        if (q < 1) expect(sketch.quantile(q) / 10).toBeCloseTo(1, 1);
        const r = (old * 1.001) / between;
        if (r < 1) expect(sketch.quantile(r) / 1_000).toBeCloseTo(1, 1);
      }),
    );
  });

  test('a sketch that is read over another is that alone', () => {
    const reused = new Sketch();
    fc.assert(
      fc.property(samples, fc.nat(50), (values, before) => {
        const bytes = sketchOf(values).encode();
        const around = new Uint8Array(bytes.length + before + 3).fill(255);
        around.set(bytes, before);
        reused.read(around, before, before + bytes.length);
        expect(reused.encode()).toEqual(bytes);
        const nowMs = startMs + 72 * hourMs;
        expect([reused.ranked(), reused.recent(nowMs)]).toEqual([
          sketchOf(values).ranked(),
          sketchOf(values).recent(nowMs),
        ]);
      }),
    );
  });

  test('what was written in format 1 is read', () => {
    const early = fc.array(fc.tuple(rtt, fc.integer({ min: 0, max: 30 * hourMs })), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(early, fc.nat(5), (values, failures) => {
        const read = Sketch.decode(format1Of(values, failures));
        const now = sketchOf(values);
        expect(read.count).toBe(now.count);
        expect(read.failures).toBe(failures);
        expect(read.lastSeconds).toBe(now.lastSeconds);
        expect(read.recent(startMs + 30 * hourMs)).toEqual(now.recent(startMs + 30 * hourMs));
        expect(read.effectiveN(startMs) / now.effectiveN(startMs)).toBeGreaterThan(0.88);
        expect(read.effectiveN(startMs) / now.effectiveN(startMs)).toBeLessThan(1.12);
        expect(Sketch.decode(read.encode()).encode()).toEqual(read.encode());
      }),
    );
  });

  test('whole numbers of any size take as few bytes as they need', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(300), fc.integer({ min: 0, max: varintMax }))), (values) => {
        const bytes = new Uint8Array(7 * values.length);
        let at = 0;
        for (const value of values) at = putVarint(bytes, at, value);
        expect(at).toBe(
          values.reduce((sum, value) => sum + Math.max(1, Math.ceil(Math.log2(value + 1) / 7 - 1e-12)), 0),
        );
        const read = new Varints();
        read.bytes = bytes;
        read.end = at;
        expect(values.map(() => read.next())).toEqual(values);
        expect(read.next()).toBe(-1);
      }),
    );
  });
});
