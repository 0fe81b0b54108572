/** Nearest metros, against measuring all distances. */
import { expect, test } from 'vitest';
import { seededRng } from '../seeded.ts';
import { distanceKm, vectorsOf } from './base.ts';
import { NearMetros } from './near-metros.ts';
import { metrosOf } from './spots.ts';

test('each metro has the nearest of those that are known, in whatever order they came to be', () => {
  const rng = seededRng('near');
  const latitude = Float64Array.from({ length: 700 }, (_, i) =>
    i % 2 === 0 ? 48 + 6 * rng.next() : 170 * rng.next() - 85,
  );
  const longitude = Float64Array.from({ length: 700 }, (_, i) =>
    i % 2 === 0 ? 20 * rng.next() : 360 * rng.next() - 180,
  );
  const metros = metrosOf(latitude, longitude, undefined, vectorsOf(latitude, longitude));
  const near = new NearMetros(metros);
  const known = Array.from({ length: metros.count }, (_, metro) => metro).filter(() => rng.next() < 0.6);
  known.sort(() => rng.next() - 0.5);
  for (const [i, metro] of known.entries()) {
    near.announce(metro);
    if (i !== 10 && i !== 100 && i + 1 < known.length) continue;
    for (let other = 0; other < metros.count; other++) {
      const found: number[] = [];
      near.forEach(other, (_, km) => found.push(km));
      const all = known.slice(0, i + 1).map((of) => distanceKm(metros.vectors, other, metros.vectors, of));
      const expected = Float32Array.from(all).sort().subarray(0, 24);
      expect(found).toEqual([...expected]);
    }
  }
});
