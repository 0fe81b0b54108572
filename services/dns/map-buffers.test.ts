/** Memory of maps: never handed out while somebody reads it, all used again, no more kept than said. */
import { limits } from '@ufes/core/limits.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MapBuffers } from './map-buffers.ts';

const kilobyte = 1 << 10;

/** A map filled and served with `buffers`; its number is what readers move to. */
function chain(readers: number) {
  const at = Array<number>(readers).fill(0);
  const buffers = new MapBuffers(() => Math.min(...at));
  const served: { readonly number: number; readonly buffer: SharedArrayBuffer }[] = [];
  let number = 0;
  return {
    buffers,
    at,
    newest: () => number,
    /** What readers of maps that are not left yet look at. */
    read: () => served.filter((one) => one.number >= Math.min(...at)).map(({ buffer }) => buffer),
    take: (bytes: number) => buffers.take(bytes),
    serve(buffer: SharedArrayBuffer) {
      number++;
      buffers.serve(number);
      served.push({ number, buffer });
    },
  };
}

it('is never handed out while a reader may look at it, whoever moves when', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ map: fc.integer({ min: 1, max: 900 * kilobyte }), isGood: fc.boolean() }) },
    { weight: 4, arbitrary: fc.record({ reader: fc.nat(2), behind: fc.nat(3) }) },
    // It failed, and begins again with the newest.
    { weight: 1, arbitrary: fc.record({ fails: fc.nat(2) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const { take, serve, read, at, newest } = chain(3);
      for (const one of steps) {
        if ('map' in one) {
          const buffer = take(one.map);
          expect(buffer.byteLength).toBeGreaterThanOrEqual(one.map);
          expect(read()).not.toContain(buffer);
          if (one.isGood) serve(buffer);
        } else if ('reader' in one) at[one.reader] = Math.max(at[one.reader]!, newest() - one.behind);
        else at[one.fails] = newest();
      }
    }),
  );
});

it('comes back when all readers have left, and serves any number of maps in turn', () => {
  const { take, serve, at, newest } = chain(2);
  const seen = new Set<SharedArrayBuffer>();
  for (let i = 0; i < 100; i++) {
    // Lengths differ within the slack.
    const buffer = take(500 * kilobyte + (i % 7) * 10 * kilobyte);
    seen.add(buffer);
    serve(buffer);
    // One is a map behind the other, at times.
    at[0] = newest();
    at[1] = Math.max(at[1]!, newest() - (i % 2));
  }
  expect(seen.size).toBeLessThanOrEqual(3);
});

it('comes back from a map that was refused', () => {
  const { take, serve, at, newest } = chain(1);
  const first = take(kilobyte);
  expect(take(kilobyte)).toBe(first);
  serve(first);
  at[0] = newest();
  const second = take(kilobyte);
  expect(second).not.toBe(first);
  expect(take(kilobyte)).toBe(second);
});

it('is kept for two more maps, however many a late reader held', () => {
  const { take, serve, at, newest } = chain(1);
  const serveMany = (count: number) =>
    new Set(
      Array.from({ length: count }, () => {
        const buffer = take(kilobyte);
        serve(buffer);
        return buffer;
      }),
    );
  const held = serveMany(10);
  expect(held.size).toBe(10);
  at[0] = newest();
  // The newest is still read; of nine that came back one is taken at once.
  const again = serveMany(10);
  expect(held.intersection(again).size).toBe(1 + limits.dns.spareMaps);
});

it('is left when it is too small, or much too large', () => {
  const { take, serve, at, newest } = chain(1);
  const put = (bytes: number) => {
    const buffer = take(bytes);
    serve(buffer);
    at[0] = newest();
    return buffer;
  };
  const small = [put(100 * kilobyte), put(100 * kilobyte)];
  expect(small).not.toContain(put(4_000 * kilobyte));
  const large = put(4_000 * kilobyte);
  expect(small).not.toContain(put(100 * kilobyte));
  expect(put(100 * kilobyte)).not.toBe(large);
});
