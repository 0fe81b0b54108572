/** Where things are on the screen: the projection, the land, users gathered into dots, labels that do not overlap. */
import type { WorldUser } from '@ufes/core/dashboard.ts';
import { type GeoProjection, geoEqualEarth, geoPath } from 'd3-geo';
import { feature, mesh } from 'topojson-client';
import atlas from 'world-atlas/countries-110m.json';

/** Nobody to show lives north or south of these, in degrees. */
const north = 83.7;
const south = -56;

type Topology = Parameters<typeof feature>[0];
const topology = atlas as unknown as Topology;
const all = topology.objects['countries']!;
const countries = feature(topology, all);
// Lines between two countries; a coast has one and the same on both sides.
const borders = mesh(topology, all as Parameters<typeof mesh>[1], (a, b) => a !== b);

export interface Geometry {
  readonly width: number;
  readonly height: number;
  readonly projection: GeoProjection;
  /** SVG path data. */
  readonly land: string;
  readonly borders: string;
  /** [x, y] in pixels. */
  point(longitude: number, latitude: number): readonly [number, number];
  /** Path data of the great circle between two places given as [longitude, latitude]. */
  arc(from: readonly [number, number], to: readonly [number, number]): string;
}

/** The world in `width` pixels. Turned by 11° so that no land is cut at the edge. */
export function geometryOf(width: number): Geometry {
  const projection = geoEqualEarth().rotate([-11, 0]).fitWidth(width, { type: 'Sphere' });
  const at = (latitude: number) => projection([11, latitude])![1];
  const [x, y] = projection.translate();
  const top = at(north);
  const height = Math.round(at(south) - top);
  projection.translate([x, y - top]).precision(0.3);
  const path = geoPath(projection).digits(1);
  return {
    width,
    height,
    projection,
    land: path(countries) ?? '',
    borders: path(borders) ?? '',
    point: (longitude, latitude) => projection([longitude, latitude]) ?? [-99, -99],
    arc: (from, to) => path({ type: 'LineString', coordinates: [[...from], [...to]] }) ?? '',
  };
}

/** Users that would cover each other, as one dot. */
export interface Dot {
  readonly key: string;
  readonly x: number;
  readonly y: number;
  readonly longitude: number;
  readonly latitude: number;
  readonly users: number;
  readonly place: string;
  /** Of most of its users. */
  readonly pop: string | undefined;
  /** Median of its users. */
  readonly ms: number | undefined;
}

const cellPixels = 5;

export function dotsOf(users: readonly WorldUser[], geometry: Geometry): Dot[] {
  const cells = new Map<string, WorldUser[]>();
  for (const user of users) {
    const [x, y] = geometry.point(user.longitude, user.latitude);
    const key = `${Math.round(x / cellPixels)} ${Math.round(y / cellPixels)}`;
    const cell = cells.get(key);
    if (cell === undefined) cells.set(key, [user]);
    else cell.push(user);
  }
  const dots: Dot[] = [];
  for (const [key, cell] of cells) {
    const first = cell[0]!;
    const [x, y] = geometry.point(first.longitude, first.latitude);
    const times = cell.flatMap((user) => user.ms ?? []).sort((a, b) => a - b);
    dots.push({
      key,
      x,
      y,
      longitude: first.longitude,
      latitude: first.latitude,
      users: cell.length,
      place: first.place ?? first.country ?? first.prefix,
      pop: mostOf(cell.map((user) => user.pop)),
      ms: times[Math.floor(times.length / 2)],
    });
  }
  // Large ones first, so that small ones lie on top.
  return dots.sort((a, b) => b.users - a.users || a.key.localeCompare(b.key));
}

function mostOf(values: readonly (string | undefined)[]): string | undefined {
  const counts = new Map<string | undefined, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

/** In pixels, for a map that wide. */
export function dotRadius(users: number, width: number): number {
  return Math.min(10, 2.6 + 0.9 * Math.sqrt(users)) * Math.min(1, Math.max(0.6, width / 900));
}

export interface Label {
  readonly x: number;
  readonly y: number;
  readonly anchor: 'start' | 'end' | 'middle';
}

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

const gap = 13;
const letterPixels = 7.4;
const linePixels = 15;

/** A place beside each mark for its text that covers no mark, and none of `others` if that can be; undefined where none is free. */
export function placeLabels(
  marks: readonly { x: number; y: number; text: string }[],
  others: readonly { x: number; y: number }[],
  width: number,
  height: number,
): (Label | undefined)[] {
  const taken: Box[] = marks.map((at) => square(at, gap - 1));
  const avoided: Box[] = others.map((at) => square(at, 6));
  return marks.map(({ x, y, text }) => {
    const wide = text.length * letterPixels;
    const places: [Label, Box][] = [
      [{ x: x + gap, y: y + 4, anchor: 'start' }, boxAt(x + gap, y - linePixels / 2, wide)],
      [{ x: x - gap, y: y + 4, anchor: 'end' }, boxAt(x - gap - wide, y - linePixels / 2, wide)],
      [{ x, y: y - gap - 2, anchor: 'middle' }, boxAt(x - wide / 2, y - gap - linePixels, wide)],
      [{ x, y: y + gap + 11, anchor: 'middle' }, boxAt(x - wide / 2, y + gap, wide)],
    ];
    const fits = ([, box]: readonly [Label, Box]) =>
      box.left >= 2 &&
      box.right <= width - 2 &&
      box.top >= 2 &&
      box.bottom <= height - 2 &&
      taken.every((other) => !overlap(box, other));
    const free =
      places.find((place) => fits(place) && avoided.every((other) => !overlap(place[1], other))) ?? places.find(fits);
    if (free === undefined) return undefined;
    taken.push(free[1]);
    return free[0];
  });
}

function square({ x, y }: { x: number; y: number }, reach: number): Box {
  return { left: x - reach, right: x + reach, top: y - reach, bottom: y + reach };
}

function boxAt(left: number, top: number, wide: number): Box {
  return { left, top, right: left + wide, bottom: top + linePixels };
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
