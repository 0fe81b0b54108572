/**
 * The distance prior: what a round trip between two places is likely to take when nothing was measured, and what it
 * cannot undercut. 25 ms + 17 ms per 1,000 km fits public measurements between cities; light in fibre needs about
 * 1 ms of round trip per 100 km.
 */
const earthRadiusKm = 6371;
const baseRttMs = 25;
const rttMsPerKm = 17 / 1000;
const floorRttMsPerKm = 1 / 100;
const radiansPerDegree = Math.PI / 180;

/** Great-circle distance (haversine), coordinates in degrees. */
export function distanceKm(latitudeA: number, longitudeA: number, latitudeB: number, longitudeB: number): number {
  const a = latitudeA * radiansPerDegree;
  const b = latitudeB * radiansPerDegree;
  const sinLatitude = Math.sin((b - a) / 2);
  const sinLongitude = Math.sin(((longitudeB - longitudeA) * radiansPerDegree) / 2);
  const h = sinLatitude * sinLatitude + Math.cos(a) * Math.cos(b) * sinLongitude * sinLongitude;
  return 2 * earthRadiusKm * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** Likely round trip over `km`. */
export function priorRttMs(km: number): number {
  return baseRttMs + rttMsPerKm * km;
}

/** No round trip over `km` is shorter; a sample that claims so is suspect, or the coordinates are wrong. */
export function floorRttMs(km: number): number {
  return floorRttMsPerKm * km;
}

/** Places as points on the unit sphere: x, y, z of each in turn. */
export function unitVectors(places: readonly (readonly [latitude: number, longitude: number])[]): Float64Array {
  const vectors = new Float64Array(places.length * 3);
  for (const [i, [latitude, longitude]] of places.entries()) {
    const across = Math.cos(latitude * radiansPerDegree);
    vectors[3 * i] = across * Math.cos(longitude * radiansPerDegree);
    vectors[3 * i + 1] = across * Math.sin(longitude * radiansPerDegree);
    vectors[3 * i + 2] = Math.sin(latitude * radiansPerDegree);
  }
  return vectors;
}

/**
 * Prior round trips, ms, from one location to each of `places` (unitVectors), into out[at], out[at + 1], …
 * NaN when the location has no coordinates. No allocation.
 */
export function priorRow(latitude: number, longitude: number, places: Float64Array, out: Float32Array, at = 0): void {
  const across = Math.cos(latitude * radiansPerDegree);
  const x = across * Math.cos(longitude * radiansPerDegree);
  const y = across * Math.sin(longitude * radiansPerDegree);
  const z = Math.sin(latitude * radiansPerDegree);
  for (let from = 0, to = at; from < places.length; from += 3, to++) {
    const cosine = x * places[from]! + y * places[from + 1]! + z * places[from + 2]!;
    out[to] = baseRttMs + rttMsPerKm * earthRadiusKm * Math.acos(Math.max(-1, Math.min(1, cosine)));
  }
}
