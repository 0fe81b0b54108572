import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRng } from '@ufes/core/seeded.ts';
import { floorRttMs } from '@ufes/geoip/prior.ts';
import { describe, expect, test } from 'vitest';
import { InputError, parseTable } from './csv.ts';
import { pickWeighted, sampleWeighted } from './draw.ts';
import { startMs } from './draws.ts';
import { geoipOfWorld } from './geoip.ts';
import { matrixOf, matrixWorld, readMatrix } from './matrix.ts';
import { noiseQuarter } from './noise.ts';
import { makeWrong, Truth, wrongKm } from './policies.ts';
import { cityTable, syntheticWorld } from './synthetic.ts';
import { kmBetween, type World } from './world.ts';

const small = { seed: 'a', pops: 6, prefixes: 120, cities: 15, drift: false, origins: [] };
const client = { name: 'client', k: 1, origin: undefined };

function fingerprint(world: World): string {
  const { users, latency, pops } = world.init;
  return JSON.stringify([pops, users, [...latency.restMs], [...latency.jitterMs]]);
}

describe('the built-in world', () => {
  test('has cities with coordinates, each once', () => {
    const cities = cityTable();
    expect(cities.length).toBeGreaterThanOrEqual(250);
    expect(new Set(cities.map(({ id }) => id)).size).toBe(cities.length);
  });

  test('is the same for a seed, and another for another', () => {
    expect(fingerprint(syntheticWorld(small))).toBe(fingerprint(syntheticWorld(small)));
    expect(fingerprint(syntheticWorld(small))).not.toBe(fingerprint(syntheticWorld({ ...small, seed: 'b' })));
  });

  test('has prefixes of both families, each once, and GeoIP finds the place and AS of each', () => {
    const world = syntheticWorld({ ...small, prefixes: 2_000 });
    expect(new Set(world.users.map(({ text }) => text)).size).toBe(2_000);
    expect(new Set(world.users.map(({ prefix }) => prefix.family)).size).toBe(2);
    const geoip = geoipOfWorld(world);
    for (const { prefix, place, asn } of world.users) {
      expect(geoip.locationId(prefix)).toBe(place);
      expect(geoip.asn(prefix)).toBe(asn);
    }
  });

  test('has no round trip that is faster than light', () => {
    const world = syntheticWorld({ ...small, prefixes: 500 });
    for (const user of world.users.keys()) {
      for (let pop = 0; pop < world.pops; pop++) {
        const km = kmBetween(world.place(user), world.popPlace(pop));
        expect(world.baseMs(user, pop, startMs)).toBeGreaterThanOrEqual(floorRttMs(km));
      }
    }
  });

  test('is slower in the evening of the user alone, and only with drift', () => {
    const world = syntheticWorld({ ...small, drift: true });
    const at = (hourUtc: number) => startMs + hourUtc * 3_600_000;
    const user = 0;
    const evening = (21 - world.place(user).longitude / 15 + 24) % 24;
    expect(world.evening(user, at(evening))).toBeCloseTo(1, 6);
    expect(world.evening(user, at(evening + 12))).toBe(0);
    expect(syntheticWorld(small).evening(user, at(evening))).toBe(0);
  });
});

describe('samples', () => {
  test.each(['browser', 'edge'] as const)(
    'of %s scatter about the noise-free p25, with a tail to the right',
    (kind) => {
      const world = syntheticWorld(small);
      const rng = seededRng('samples');
      const seen = Float64Array.from({ length: 20_000 }, () => world.observe(3, 2, startMs, kind, rng)).sort();
      const truth = world.noiseFreeMs(3, 2, startMs, kind);
      const below = seen.filter((ms) => ms < truth).length / seen.length;
      expect(below).toBeGreaterThan(0.24);
      expect(below).toBeLessThan(0.26);
      expect(seen[0]).toBeGreaterThanOrEqual(world.baseMs(3, 2, startMs));
      const mean = seen.reduce((sum, ms) => sum + ms, 0) / seen.length;
      expect(mean).toBeGreaterThan(seen[seen.length >> 1]!);
    },
  );

  test('of an edge, one handshake, scatter more than medians of three', () => {
    expect(noiseQuarter('edge')).toBeLessThan(noiseQuarter('browser'));
  });

  test('take a step into account while it lasts', () => {
    const world = syntheticWorld(small);
    const before = world.baseMs(0, 1, startMs);
    world.steps.push({ pop: 1, fromMs: startMs, toMs: startMs + 10, addMs: 100 });
    expect(world.baseMs(0, 1, startMs)).toBe(before + 100);
    expect(world.baseMs(0, 1, startMs + 10)).toBe(before);
    expect(world.baseMs(0, 0, startMs)).toBe(syntheticWorld(small).baseMs(0, 0, startMs));
  });
});

describe('draws', () => {
  test('by weight come as often as the weights say', () => {
    const rng = seededRng(1);
    const counts = [0, 0, 0];
    for (let i = 0; i < 30_000; i++) counts[pickWeighted(rng, [1, 0, 3])]!++;
    expect(counts[1]).toBe(0);
    expect(counts[2]! / counts[0]!).toBeCloseTo(3, 0);
    expect(new Set(sampleWeighted(rng, [1, 2, 3, 4], 4)).size).toBe(4);
  });

  test('of wrong places lie far away and change what GeoIP says alone', () => {
    const world = syntheticWorld({ ...small, prefixes: 1_000 });
    const wrong = makeWrong(world, 0.05, 's');
    expect(wrong.size).toBeGreaterThan(25);
    expect(wrong.size).toBeLessThan(80);
    for (const user of world.users.keys()) {
      const km = kmBetween(world.place(user), world.init.places[world.toldPlace[user]!]!);
      expect(km > wrongKm).toBe(wrong.has(user));
    }
  });
});

const latency = 'source,destination,avg,min\na,b,10,1\nb,a,12,11\na,c,50,49\nb,c,45,44\n';
const places = 'id,city,country,latitude,longitude\na,A,AA,0,0\nb,B,AA,1,1\nc,C,CC,2,2\n';
const read = (one: string, other: string) =>
  matrixOf(
    'latency.csv',
    parseTable(one, 'latency.csv', ['source', 'destination', 'avg']),
    parseTable(other, 'places.csv', ['id', 'city', 'country', 'latitude', 'longitude']),
  );
const complaint = (make: () => unknown): string => {
  try {
    make();
  } catch (thrown) {
    if (thrown instanceof InputError) return thrown.message;
    throw thrown;
  }
  return '';
};

describe('a matrix', () => {
  test('counts the smaller direction of a pair, and takes the only one there is', () => {
    const { rttMs } = read(latency, places);
    expect(rttMs[0 * 3 + 1]).toBe(10);
    expect(rttMs[1 * 3 + 0]).toBe(10);
    expect(rttMs[2 * 3 + 0]).toBe(50);
  });

  test('makes a world of clients where no PoP is, whose best PoP is the nearest by round trip', () => {
    const matrix = read(latency, places);
    const world = matrixWorld(matrix, { seed: 's', pops: ['a', 'b'], prefixes: 4, origins: ['c'], drift: false });
    expect(new Set(world.users.map(({ place }) => matrix.places[place]!.id))).toEqual(new Set(['c']));
    expect(new Truth(world, client, startMs, 'browser').best(0)).toBe(1);
    expect(world.init.backboneMs).toEqual([[50, 45]]);
  });

  test('tells what is wrong with a file, where, and what would be right', () => {
    expect(complaint(() => read('a,b\n1,2', places))).toContain('latency.csv:1: no column source, destination, avg');
    expect(complaint(() => read(`${latency}a,b,fast,1\n`, places))).toBe(
      'latency.csv:6: avg is "fast"; a number from 0.001 to 60000 is expected',
    );
    expect(complaint(() => read(`${latency}a,x,1,1\n`, places))).toContain('latency.csv:6: destination "x"');
    expect(complaint(() => read(`${latency}a,b\n`, places))).toContain(
      'latency.csv:6: 2 fields, but the first line names 4',
    );
    expect(complaint(() => read(latency, `${places}c,C,CC,2,2\n`))).toContain('places.csv:5: place "c" is there twice');
    expect(complaint(() => read(latency, `${places}d,D,DD,95,2\n`))).toContain('places.csv:5: latitude is "95"');
    expect(
      complaint(() =>
        matrixWorld(read(latency, places), { seed: 's', pops: ['z'], prefixes: 1, origins: [], drift: false }),
      ),
    ).toContain('"z"');
  });

  test('is read from files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ufes-sim-'));
    try {
      writeFileSync(join(folder, 'l.csv'), latency);
      writeFileSync(join(folder, 'p.csv'), places);
      expect(readMatrix(join(folder, 'l.csv'), join(folder, 'p.csv')).places.map(({ id }) => id)).toEqual([
        'a',
        'b',
        'c',
      ]);
      expect(complaint(() => readMatrix(join(folder, 'none.csv'), join(folder, 'p.csv')))).toContain(
        'none.csv: cannot be read (ENOENT)',
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
