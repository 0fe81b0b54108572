/** The distance prior: known distances, the bulk form against the plain one, and the floor. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { distanceKm, floorRttMs, priorRow, priorRttMs, unitVectors } from './prior.ts';

const london = [51.5074, -0.1278] as const;
const ashburn = [39.0438, -77.4874] as const;
const singapore = [1.3521, 103.8198] as const;

test('distances between cities', () => {
  expect(distanceKm(...london, ...ashburn)).toBeCloseTo(5_916, -1.5);
  expect(distanceKm(...london, ...singapore)).toBeCloseTo(10_850, -1.5);
  expect(distanceKm(0, 0, 0, 180)).toBeCloseTo(Math.PI * 6371, 3);
  expect(distanceKm(0, 179.5, 0, -179.5)).toBeCloseTo(distanceKm(0, 0, 0, 1), 6);
  expect(distanceKm(...london, ...london)).toBe(0);
});

test('25 ms and 17 ms per 1,000 km; never under the floor of 1 ms per 100 km', () => {
  expect(priorRttMs(0)).toBe(25);
  expect(priorRttMs(1_000)).toBe(42);
  expect(floorRttMs(1_000)).toBe(10);
  fc.assert(fc.property(fc.double({ min: 0, max: 20_038, noNaN: true }), (km) => priorRttMs(km) > floorRttMs(km)));
});

test('the bulk form agrees with the plain one', () => {
  const place = fc.tuple(
    fc.double({ min: -90, max: 90, noNaN: true }),
    fc.double({ min: -180, max: 180, noNaN: true }),
  );
  fc.assert(
    fc.property(place, fc.array(place, { minLength: 1, maxLength: 8 }), ([latitude, longitude], places) => {
      const out = new Float32Array(places.length + 1).fill(-1);
      priorRow(latitude, longitude, unitVectors([...places, [latitude, longitude]]).subarray(0, -3), out, 1);
      expect(out[0]).toBe(-1);
      for (const [i, [toLatitude, toLongitude]] of places.entries()) {
        expect(out[i + 1]).toBeCloseTo(priorRttMs(distanceKm(latitude, longitude, toLatitude, toLongitude)), 2);
      }
    }),
  );
});

test('no coordinates, no prior', () => {
  const out = new Float32Array(1);
  priorRow(Number.NaN, Number.NaN, unitVectors([london]), out);
  expect(out[0]).toBeNaN();
});
