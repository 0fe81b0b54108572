import { expect, test } from 'vitest';
import { dotRadius, dotsOf, geometryOf, placeLabels } from './geometry.ts';

test('the world fits its width, and inhabited places lie inside', () => {
  for (const width of [320, 1000]) {
    const geometry = geometryOf(width);
    expect(geometry.height).toBeGreaterThan(width * 0.35);
    expect(geometry.height).toBeLessThan(width * 0.6);
    for (const [longitude, latitude] of [
      [-0.1, 51.5],
      [-165, 64],
      [178, -18],
      [-70, -54],
      [25, 71],
    ] as const) {
      const [x, y] = geometry.point(longitude, latitude);
      expect(x > 0 && x < width && y > 0 && y < geometry.height).toBe(true);
    }
    expect(geometry.arc([0, 51], [104, 1])).toMatch(/^M/);
  }
});

test('users that would cover each other are one dot, with most of their PoPs and the median of their times', () => {
  const at = { latitude: 51.5, longitude: -0.1, n: 1 };
  const dots = dotsOf(
    [
      { ...at, prefix: '192.0.2.0/24', pop: 'lon', ms: 10 },
      { ...at, prefix: '198.51.100.0/24', pop: 'lon', ms: 30, place: 'London' },
      { ...at, prefix: '203.0.113.0/24', pop: 'iad', ms: 20 },
      { latitude: 1.3, longitude: 103.8, n: 1, prefix: '2001:db8::/48' },
    ],
    geometryOf(800),
  );
  expect(dots).toMatchObject([
    { users: 3, pop: 'lon', ms: 20, place: '192.0.2.0/24' },
    { users: 1, place: '2001:db8::/48' },
  ]);
  expect(dots[1]!.ms).toBeUndefined();
  expect(dotRadius(1_000_000, 1_000)).toBeLessThanOrEqual(10);
});

test('labels keep off marks, off each other and inside; where none fits there is none', () => {
  const right = placeLabels([{ x: 100, y: 100, text: 'London' }], [], 400, 200);
  expect(right[0]).toMatchObject({ anchor: 'start' });
  const byOrigin = placeLabels([{ x: 100, y: 100, text: 'London' }], [{ x: 120, y: 100 }], 400, 200);
  expect(byOrigin[0]).toMatchObject({ anchor: 'end' });
  const atEdge = placeLabels([{ x: 390, y: 100, text: 'London' }], [], 400, 200);
  expect(atEdge[0]).toMatchObject({ anchor: 'end' });
  const two = placeLabels(
    [
      { x: 100, y: 100, text: 'London' },
      { x: 130, y: 100, text: 'Paris' },
    ],
    [],
    400,
    200,
  );
  expect(two.map((label) => label?.anchor)).toEqual(['end', 'start']);
  expect(placeLabels([{ x: 20, y: 10, text: 'a name that is far too long' }], [], 40, 20)).toEqual([undefined]);
});
