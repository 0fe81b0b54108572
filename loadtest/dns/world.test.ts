import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createQuery, Decoded, decodeQuery } from '@ufes/core/dns/message.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { findInterval } from '@ufes/core/steering/map.ts';
import { decodeMap } from '@ufes/core/steering/map-bytes.ts';
import { afterAll, describe, expect, test } from 'vitest';
import { atMost, medians } from './bench.ts';
import { writeQueries } from './queries.ts';
import { plot } from './svg.ts';
import { encodeWorld } from './ufes.ts';
import { makeWorld, popOf, randomV4, randomV6 } from './world.ts';

const folder = mkdtempSync(join(tmpdir(), 'ufes-loadtest-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const size = { names: 3, pops: 30, v4: 5_000, v6: 5_000 };
const world = makeWorld('test', size);

describe('the world', () => {
  test('is the same for the same seed, another for another', () => {
    expect(makeWorld('test', size)).toEqual(world);
    expect(makeWorld('other', size).v4).not.toEqual(world.v4);
  });

  test('has as many prefixes as asked, sorted, each once, none of PoP 0', () => {
    for (const his of [world.v4, world.v6hi]) expect(his.length).toBe(5_000);
    for (let i = 1; i < world.v4.length; i++) expect(world.v4[i]!).toBeGreaterThan(world.v4[i - 1]!);
    expect(Math.min(...world.v4Pop, ...world.v6Pop)).toBe(1);
    expect(Math.max(...world.v4Pop, ...world.v6Pop)).toBe(29);
  });

  test('has IPv6 prefixes clustered: a tenth of the allocations holds over a third of them', () => {
    const counts = new Map<number, number>();
    for (const hi of world.v6hi) counts.set(hi, (counts.get(hi) ?? 0) + 1);
    const top = [...counts.values()].sort((a, b) => b - a).slice(0, world.v6Blocks.length / 10);
    expect(top.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(5_000 / 3);
  });

  test.each([false, true])('says the same as its map (shifted: %s)', (shifted) => {
    const map = decodeMap(encodeWorld(world, 'key', { rankings: 300, cells: 10, shifted }));
    const { v4, v6, rankings, width } = map.groups[0]!;
    const first = (row: number) => rankings[row * width]!;
    const moved = (pop: number) => (shifted ? (pop + 1) % 30 : pop);
    const rng = seededRng('clients');
    const client: [number, number] = [0, 0];
    for (let i = 0; i < 20_000; i++) {
      const hi = i % 2 === 0 ? randomV4(rng) : world.v4[i % world.v4.length]!;
      expect(first(v4.ranking[findInterval(v4, hi + 7, 0)]!)).toBe(moved(popOf(world, 4, hi, 0)));
      if (i % 2 === 0) randomV6(rng, world.v6Blocks, client);
      else [client[0], client[1]] = [world.v6hi[i % 5_000]!, world.v6lo[i % 5_000]!];
      expect(first(v6.ranking[findInterval(v6, client[0], client[1] + 9)]!)).toBe(moved(popOf(world, 6, ...client)));
    }
    expect(map.cells.estimate.length).toBe(300);
  });
});

describe('queries', () => {
  test.each([4, 6, 'none'] as const)('with client subnet %s are whole and every other one hits', (ecs) => {
    const files = writeQueries(world, { names: 3, ecs, count: 1_000 }, join(folder, `q-${ecs}`));
    const stream = readFileSync(files.stream);
    const expected = readFileSync(files.expected);
    const query = createQuery();
    let count = 0;
    for (let at = 0; at < stream.length; count++) {
      const length = stream.readUInt16BE(at);
      expect(decodeQuery(new Uint8Array(stream.subarray(at + 2, at + 2 + length)), query)).toBe(Decoded.ok);
      expect(query.edns.subnet.present).toBe(ecs !== 'none');
      at += 2 + length;
    }
    expect(count).toBe(1_000);
    expect(expected.filter((pop) => pop !== 0).length).toBe(ecs === 'none' ? 0 : 500);
  });
});

describe('results', () => {
  const sample = (server: string, round: number, cpuUsPerQuery: number) => ({
    ...{ case: 'ecs4', server, round, load: 0, values: { cpuUsPerQuery } },
  });
  const samples = [sample('a<b', 1, 4), sample('a<b', 2, 9), sample('a<b', 3, 5), sample('c', 1, 6), sample('c', 2, 7)];

  test('are medians by server', () => {
    expect(medians(samples)).toEqual({ 'a<b': { cpuUsPerQuery: 5 }, c: { cpuUsPerQuery: 6.5 } });
  });

  test('hold at the bound and not beyond it', () => {
    expect(atMost('x', 1, 1).holds).toBe(true);
    expect(atMost('x', 1.01, 1).holds).toBe(false);
    expect(atMost('x', Number.NaN, 1).holds).toBe(false);
  });

  test('are drawn, a dot a sample', () => {
    const result = { name: 'ecs4', title: 'A & B', medians: medians(samples), samples, claims: [] };
    const svg = plot('title', [{ result, key: 'cpuUsPerQuery' }]);
    expect(svg.match(/<circle/g)).toHaveLength(5);
    expect(svg).toContain('A &amp; B');
    expect(svg).toContain('a&lt;b');
  });
});
