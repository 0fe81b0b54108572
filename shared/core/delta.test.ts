import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applyDelta, makeDelta } from './delta.ts';
import { OperatingError } from './errors.ts';
import { seededRng } from './seeded.ts';

/** Bytes of few values, so that runs repeat and hashes meet. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 400 }),
  fc.array(fc.nat(2), { maxLength: 600 }).map((values) => Uint8Array.from(values)),
);
const edits = fc.array(fc.record({ at: fc.nat(600), remove: fc.nat(80), insert: fc.uint8Array({ maxLength: 80 }) }), {
  maxLength: 6,
});

function edited(old: Uint8Array, list: readonly { at: number; remove: number; insert: Uint8Array }[]): Uint8Array {
  let now = [...old];
  for (const { at, remove, insert } of list) now.splice(Math.min(at, now.length), remove, ...insert);
  now = now.map((byte) => byte & 255);
  return Uint8Array.from(now);
}

describe('what changed between two runs of bytes', () => {
  test('applied to the old it is the new, whatever they are', () => {
    fc.assert(
      fc.property(bytes, bytes, (old, now) => {
        expect(applyDelta(old, makeDelta(old, now))).toEqual(now);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(bytes, edits, (old, list) => {
        const now = edited(old, list);
        expect(applyDelta(old, makeDelta(old, now))).toEqual(now);
      }),
      { numRuns: 1_000 },
    );
  });

  test('is small where little changed: in place, put in, taken out', () => {
    const rng = seededRng('delta');
    const old = Uint8Array.from({ length: 200_000 }, () => Math.floor(rng.next() * 256));
    const now = [...old];
    for (let i = 0; i < 100; i++) now[i * 1_900] = 255 - now[i * 1_900]!;
    now.splice(50_000, 0, ...[1, 2, 3, 4, 5, 6, 7]);
    now.splice(120_000, 333);
    const delta = makeDelta(old, Uint8Array.from(now));
    expect(applyDelta(old, delta)).toEqual(Uint8Array.from(now));
    expect(delta.length).toBeLessThan(100 * 12 + 200);
    expect(makeDelta(old, old).length).toBeLessThan(32);
  });

  test('other bytes are refused as corrupt, or make what they say', () => {
    const old = Uint8Array.from({ length: 300 }, (_, i) => i * 7);
    const good = makeDelta(old, Uint8Array.from([...old.subarray(100), ...old.subarray(0, 100), 1, 2, 3]));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), (list) => {
        const bad = good.slice();
        for (const [at, value] of list) bad[at] = value;
        try {
          expect(applyDelta(old, bad).length).toBeLessThan(2 ** 31);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(OperatingError);
        }
      }),
      { numRuns: 1_000 },
    );
    expect(() => applyDelta(old.subarray(1), good)).toThrow('these are 299');
  });
});
