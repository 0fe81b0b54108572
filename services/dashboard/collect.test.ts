import { withDefaults } from '@ufes/core/config/defaults.ts';
import { type Config, configSchema } from '@ufes/core/config/schema.ts';
import type { CompareState, DnsState, MapperPrefixes } from '@ufes/core/dashboard.ts';
import { decodeDesired } from '@ufes/core/desired.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Ask, type Collector, createCollector } from './collect.ts';
import { createEventHub } from './events.ts';
import type { Places } from './places.ts';
import { type Topology, topologyOfConfig, topologyOfDesired } from './topology.ts';

const config = withDefaults(configSchema, {
  pops: {
    lon: { title: 'London', location: [51.5, -0.1], vips: { v4: '192.0.2.1' } },
    sin: { location: [1.4, 104], vips: { v4: '203.0.113.1', v6: '2001:db8::1' } },
  },
  origins: { eu: { location: [50.1, 8.7], endpoints: ['http://192.0.2.80:9000'] } },
  services: { shop: { name: 'www.shop.example', pops: ['lon', 'sin'], origin: 'eu' } },
}) as Config;

const places: Places = {
  find: (prefix) => (prefix === '192.0.2.0/24' ? { country: 'GB', latitude: 51, longitude: 0 } : undefined),
  source: 'a test 2026-01-01',
  attribution: [{ text: 'a test' }],
  missing: () => undefined,
};
const series = (['direct', 'geo', 'steered'] as const).map((path) => ({
  path,
  count: 1,
  measured: 1,
  meanMs: 5,
  p50Ms: 5,
  p95Ms: 5,
  p99Ms: 5,
  quantilesMs: [5, 5],
}));
const comparison: CompareState = {
  atMs: 1,
  service: 'www.shop.example',
  origin: 'eu',
  k: 3,
  backbone: 'estimated',
  sources: ['rum'],
  all: { count: 1, series },
  countries: [],
};

/** node + path without query → what it answers; a missing one rejects. */
let answers: Map<string, unknown>;
let clock: ManualClock;
let collector: Collector;
let topology: Topology;
let asked: string[];

function dns(state: DnsState['pops'][number]['state']): DnsState {
  return { pops: [{ id: 'sin', state, sinceSeconds: 1_764_000_000, loadPerMille: 250 }] };
}
const measured: MapperPrefixes = {
  total: 2,
  prefixes: [
    { prefix: '192.0.2.0/24', n: 30, ranking: ['sin', 'lon'], clientMs: { sin: 12, lon: 40 } },
    { prefix: '198.51.100.0/24', n: 3, ranking: ['lon'], clientMs: { lon: 9 } },
  ],
};

beforeEach(() => {
  clock = new ManualClock();
  asked = [];
  answers = new Map<string, unknown>([
    ['dns/state', dns('up')],
    ['dns/answers', { last: 0, answers: [] }],
    ['mapper/prefixes', measured],
    ['mapper/compare', comparison],
  ]);
  const ask: Ask = {
    async json(node, path) {
      asked.push(`${node}${path}`);
      const key = `${node}${path.replace(/\?.*/, '')}`;
      if (!answers.has(key)) throw new Error(`no ufes ${node} runs`);
      return answers.get(key);
    },
    async any(node) {
      if (node === 'dns') return { status: 503, text: '{"code":"NOT_READY","message":"no desired state yet"}' };
      if (node === 'mapper') return { status: 200, text: '{}' };
      throw new Error('none');
    },
  };
  topology = topologyOfConfig(config);
  collector = createCollector({ topology: () => topology, clock, ask, places, hub: createEventHub() });
});

describe('the world', () => {
  test('is put together out of all parts', async () => {
    await collector.poll();
    const world = collector.world();
    expect(world.missing).toEqual([]);
    expect(world.pops).toMatchObject([
      { id: 'lon', title: 'London', state: 'unknown', capacity: 10_000, vips: ['192.0.2.1'] },
      { id: 'sin', title: 'sin', state: 'up', loadPerMille: 250, vips: ['203.0.113.1', '2001:db8::1'] },
    ]);
    expect(world.services).toEqual(['www.shop.example']);
    expect(world.versions).toEqual({ geoip: 'a test 2026-01-01' });
    // One whose place is not known is counted and not shown.
    expect(world.usersTotal).toBe(2);
    expect(world.users).toMatchObject([{ prefix: '192.0.2.0/24', pop: 'sin', ms: 12, country: 'GB' }]);
  });

  test('has the PoPs of the newest desired state, which follows reloads', async () => {
    const pop = {
      ...{ id: 'iad', title: 'Ashburn', latitude: 39, longitude: -77 },
      requestsPerSecond: 5,
      vips: { v4: '192.0.2.9' },
    };
    const at = { endpoints: [], latitude: 50, longitude: 8 };
    const services = [
      { name: 'www.shop.example.', owner: 'config' },
      { name: 'app.shop.example.', owner: 'shop/web' },
    ];
    const desired = {
      format: 1,
      pops: [pop],
      origins: [
        { id: 'us', ...at },
        { id: 'shop/web:80', ...at },
      ],
      services,
    };
    topology = topologyOfDesired(decodeDesired(Buffer.from(JSON.stringify(desired))));
    await collector.poll();
    const world = collector.world();
    expect(world.pops).toEqual([
      {
        ...{ id: 'iad', title: 'Ashburn', latitude: 39, longitude: -77, capacity: 5 },
        vips: ['192.0.2.9'],
        state: 'unknown',
      },
    ]);
    expect(world.origins).toEqual([{ id: 'us', latitude: 50, longitude: 8 }]);
    expect(world.services).toEqual(['www.shop.example']);
    expect((await collector.status()).nodes.map(({ node }) => node)).toContain('edge-iad');
  });

  test('sends users past a PoP that is down or draining, to the first when all are', async () => {
    for (const [state, pop] of [
      ['down', 'lon'],
      ['draining', 'lon'],
      ['unknown', 'sin'],
    ] as const) {
      answers.set('dns/state', dns(state));
      await collector.poll();
      expect(collector.world().users[0]).toMatchObject({ pop, ms: pop === 'lon' ? 40 : 12 });
    }
    const all = (['lon', 'sin'] as const).map((id) => ({ id, state: 'down', sinceSeconds: 0, loadPerMille: 0 }));
    answers.set('dns/state', { pops: all });
    await collector.poll();
    expect(collector.world().users[0]).toMatchObject({ pop: 'sin' });
  });

  test('without dns keeps its users, and says what is missing since when; states are unknown once they are old', async () => {
    await collector.poll();
    const before = clock.nowMs();
    answers.delete('dns/state');
    answers.delete('dns/answers');
    clock.advance(1_000);
    await collector.poll();
    let world = collector.world();
    expect(world.pops[1]!.state).toBe('up');
    expect(world.missing.map((one) => [one.part, one.node, one.sinceMs])).toEqual([
      ['Health and load of PoPs', 'dns', before],
      ['Recent answers', 'dns', before],
    ]);
    expect(world.missing[0]!.why).toBe('no ufes dns runs');
    clock.advance(10_000);
    world = collector.world();
    expect(world.pops[1]!.state).toBe('unknown');
    expect(world.pops[1]!.loadPerMille).toBeUndefined();
    expect(world.users).toHaveLength(1);
  });

  test('without anything at all is still a world', async () => {
    answers.clear();
    await collector.poll();
    const world = collector.world();
    expect(world.pops).toHaveLength(2);
    expect(world.users).toEqual([]);
    expect(new Set(world.missing.map((one) => one.node))).toEqual(new Set(['dns', 'mapper']));
    expect(collector.compare().compare).toBeUndefined();
    expect(collector.compare().missing).toHaveLength(1);
  });

  test('takes no answer of another shape, and says where it is off', async () => {
    await collector.poll();
    answers.set('dns/state', { pops: [{ id: 'sin', state: 'asleep', sinceSeconds: 0, loadPerMille: 0 }] });
    await collector.poll();
    const [missing] = collector.world().missing;
    expect(missing!.why).toMatch(/^\/state of dns: \/pops\/0/);
    expect(collector.world().pops[1]!.state).toBe('up');
  });

  test('asks dns for answers after the last one it has', async () => {
    const answer = { seq: 7, atMs: clock.nowMs(), name: 'www.shop.example', client: '192.0.2.0/24', pop: 'lon' };
    answers.set('dns/answers', { last: 7, answers: [answer] });
    await collector.poll();
    await collector.poll();
    expect(asked.filter((one) => one.startsWith('dns/answers'))).toEqual([
      'dns/answers?since=0',
      'dns/answers?since=7',
    ]);
    expect(collector.world().answers.byCountry).toEqual([{ country: 'GB', total: 1, byPop: { lon: 1 } }]);
  });
});

describe('status', () => {
  test('is the supervisor’s when there is one', async () => {
    answers.set('ufes/status', [
      { node: 'dns', pid: 7, state: 'ready', why: '', restarts: 1, upMs: 61_500, rssBytes: 5e7, more: true },
      { node: 'edge-lon', state: 'failed on purpose', why: 'ufes fail', restarts: 0, upMs: 0, rssBytes: 0 },
    ]);
    expect(await collector.status()).toMatchObject({
      missing: [],
      nodes: [
        { node: 'dns', pid: 7, state: 'ready', restarts: 1, uptimeSeconds: 61, rssBytes: 5e7 },
        { node: 'edge-lon', state: 'failed on purpose', why: 'ufes fail' },
      ],
    });
  });

  test('without a supervisor is what each process says of itself', async () => {
    const status = await collector.status();
    expect(status.nodes.slice(0, 3)).toEqual([
      { node: 'dns', state: 'not ready', why: 'no desired state yet' },
      { node: 'probe', state: 'not running' },
      { node: 'mapper', state: 'ready' },
    ]);
    expect(status.nodes.map((one) => one.node)).toContain('edge-sin');
    expect(status.missing).toHaveLength(1);
  });
});
