import { parseCompareState, parseMapperPrefixes } from '@ufes/core/dashboard.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { shardOf } from '@ufes/core/samples.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import type { Evidence } from '@ufes/core/steering/explanation.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { decodeMap } from '@ufes/core/steering/map-bytes.ts';
import { formatVersion } from '@ufes/core/version.ts';
import { followArtefact } from '@ufes/io/artefact.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { testContext } from '@ufes/io/testing.ts';
import { afterEach, describe, expect, test } from 'vitest';
import { isMark, readRecord } from './record.ts';
import {
  beacon,
  clockOf,
  createMapper,
  desiredState,
  type Mapper,
  ranked,
  send,
  service,
  startMapper,
  stopMapper,
} from './testing.ts';

const ours = '192.0.2.0/24';
const others = ['192.0.3.0/24', '198.51.100.0/24', '203.0.113.0/24', '2001:db8::/48', '10.0.0.0/24'];
const slowLondon = { 'pop:lon': 180, 'pop:iad': 75 };

const running: Mapper[] = [];
afterEach(async () => {
  // Those that share a state folder before the one that owns it.
  for (const mapper of running.splice(0).reverse()) await stopMapper(mapper);
});

async function started(init: Parameters<typeof createMapper>[0] = {}): Promise<Mapper> {
  const mapper = await createMapper(init);
  running.push(mapper);
  await startMapper(mapper);
  return mapper;
}

const beacons = (mapper: Mapper, count: number, rtts: Record<string, number> = slowLondon, of = ours) =>
  Array.from({ length: count }, (_, i) => beacon(clockOf(mapper).nowMs() - 1_000 * i, of, rtts));

/** Folds and builds what there is. */
async function settle(mapper: Mapper): Promise<void> {
  await mapper.folder.step();
  await mapper.builder.step();
}

const countOf = ({ folder }: Mapper, key: string) => Sketch.decode(folder.table.get(key)!).count;

describe('from beacons to a map', () => {
  test('twenty beacons of a London /24 that show Virginia nearer move that cell and no other', async () => {
    const mapper = await started();
    const before = others.map((one) => ranked(mapper, one));
    expect(ranked(mapper, ours)).toEqual(['lon', 'iad', 'sin']);
    await send(mapper, beacons(mapper, 20));
    await settle(mapper);
    expect(ranked(mapper, ours)).toEqual(['iad', 'lon', 'sin']);
    expect(others.map((one) => ranked(mapper, one))).toEqual(before);
  });

  test('nineteen do not', async () => {
    const mapper = await started();
    const version = mapper.builder.mapVersion;
    await send(mapper, beacons(mapper, 12));
    await settle(mapper);
    expect(ranked(mapper, ours)[0]).toBe('lon');
    await send(mapper, beacons(mapper, 1));
    await settle(mapper);
    expect(ranked(mapper, ours)[0]).toBe('iad');
    expect(mapper.builder.mapVersion).not.toEqual(version);
  });

  test('a flood from one prefix moves no other, measured or not', async () => {
    const mapper = await started();
    for (const one of others.slice(0, 3))
      await send(mapper, beacons(mapper, 25, { 'pop:lon': 12, 'pop:iad': 90 }, one));
    await settle(mapper);
    const before = others.map((one) => ranked(mapper, one));
    await send(mapper, beacons(mapper, 400, { 'pop:lon': 5_000, 'pop:iad': 1, 'pop:sin': 1 }));
    for (let i = 0; i < 4; i++) {
      await settle(mapper);
      clockOf(mapper).advance(11 * 60_000);
    }
    expect(others.map((one) => ranked(mapper, one))).toEqual(before);
  });

  test('is woken by samples, and the map reaches another process', async () => {
    const mapper = await started();
    const { context } = mapper;
    const dns = await testContext({ node: 'dns', state: context.state, clock: context.clock, bus: context.bus });
    let map: SteeringMap | undefined;
    const flipped = Promise.withResolvers<void>();
    const follower = followArtefact(dns, 'map', (payload) => {
      map = decodeMap(payload);
      if (map.cells.v4.length > 0) flipped.resolve();
    });
    await follower.start();
    await send(mapper, beacons(mapper, 20));
    context.bus.wake('samples');
    await mapper.folder.step();
    clockOf(mapper).advance(limits.mapper.spacingMs + limits.mapper.debounceMs);
    await flipped.promise;
    expect(map?.pops).toEqual(['iad', 'lon', 'sin']);
    expect(map?.cells.n[0]).toBe(20);
    await follower.stop();
    await dns.dispose();
  });

  test('sources that the desired state does not name count for nothing', async () => {
    const mapper = await started();
    await send(
      mapper,
      beacons(mapper, 30).map((record) => ({ ...record, source: 'demo' })),
    );
    await settle(mapper);
    expect(ranked(mapper, ours)[0]).toBe('lon');
    expect(mapper.folder.table.prefixes).toBe(1);
  });

  test('a change of estimates alone waits its turn; of a ranking it does not', async () => {
    const mapper = await started();
    const clock = clockOf(mapper);
    clock.advance(limits.mapper.estimatesMs);
    await mapper.builder.step();
    const maps = async () => (await mapper.context.store.artefacts.list('map', 100)).length;
    const first = await maps();
    for (let i = 0; i < 5; i++) {
      await send(mapper, beacons(mapper, 1, { 'pop:lon': 10 + i }));
      await settle(mapper);
      clock.advance(1_000);
    }
    expect((await maps()) - first).toBeLessThanOrEqual(1);
    await send(mapper, beacons(mapper, 20, slowLondon, '198.51.100.0/24'));
    await settle(mapper);
    expect(ranked(mapper, '198.51.100.0/24')[0]).toBe('iad');
  });

  test('a service added later gets its group, and the others keep what they have', async () => {
    const mapper = await started();
    await send(mapper, beacons(mapper, 20));
    await settle(mapper);
    const geo = { ...service, id: 'geo', name: 'geo.shop.example.', policy: 'geo' as const };
    await startMapper(mapper, desiredState([service, geo]));
    await settle(mapper);
    expect(mapper.builder.inService?.groups.map(({ key }) => key)).toEqual([
      'iad,lon,sin|eu|3|latency',
      'iad,lon,sin|eu|3|geo',
    ]);
    expect(ranked(mapper, ours)[0]).toBe('iad');
  });
});

describe('a restart', () => {
  test('keeps evidence and rankings, and publishes nothing new for it', async () => {
    const first = await started();
    await send(first, beacons(first, 20));
    await settle(first);
    // Not enough to move back: a fresh mapper without the map in service would rank London first.
    await send(first, beacons(first, 20, { 'pop:lon': 40, 'pop:iad': 75 }));
    await settle(first);
    expect(ranked(first, ours)[0]).toBe('iad');
    const version = first.builder.mapVersion!;
    await first.builder.stop();
    await first.folder.stop();

    const second = await createMapper({ state: first.context.state, clock: clockOf(first) });
    running.push(second);
    await second.folder.start();
    await second.builder.start();
    await settle(second);
    expect(countOf(second, `${ours}|pop:lon|browser|rum`)).toBe(40);
    expect(ranked(second, ours)[0]).toBe('iad');
    expect(formatVersion(second.builder.mapVersion!)).toBe(formatVersion(version));
    await send(second, beacons(second, 20, slowLondon, '192.0.3.0/24'));
    await settle(second);
    expect(ranked(second, '192.0.3.0/24')[0]).toBe('iad');
    expect(formatVersion(second.builder.mapVersion!)).not.toBe(formatVersion(version));
  });
});

describe('records that cannot be folded', () => {
  const shard = shardOf(ours);
  const text = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

  test('are set aside, shown, and stop nothing', async () => {
    const mapper = await started();
    const nowMs = clockOf(mapper).nowMs();
    const good = beacon(nowMs, ours, slowLondon);
    const bad = [
      'no json',
      [1, 2],
      { ...good, prefix: '192.0.2.0/25' },
      { ...good, prefix: '192.0.2.7/24' },
      { ...good, source: 'RUM|x' },
      { ...good, kind: 'rumour' },
      { ...good, atMs: nowMs + 3_600_000 },
      { ...good, observations: [{ target: 'pop:lon', ok: true, rttMs: -1, weight: 1 }] },
      { ...good, observations: [{ target: 'lon', ok: true, rttMs: 1, weight: 1 }] },
    ];
    await send(mapper, [
      beacon(nowMs, ours, slowLondon),
      ...bad.map((value) => ({ shard, bytes: text(value) })),
      { shard: (shard + 1) % limits.evidence.shards, bytes: text(good) },
      beacon(nowMs, ours, slowLondon),
    ]);
    await mapper.folder.step();
    expect(countOf(mapper, `${ours}|pop:lon|browser|rum`)).toBe(2);
    expect(mapper.folder.rejected.map(({ why }) => why).sort()).toEqual(
      ['json', 'shape', 'prefix', 'prefix', 'shape', 'shape', 'future', 'shape', 'shape', 'shard'].sort(),
    );
    expect(await mapper.folder.lag()).toBe(0);
    const state = (await mapper.context.admin.inject('/state')).json();
    expect(state.rejected[0]).toMatchObject({ collector: 'probe-1', why: expect.any(String) });
  });

  test('a token counts once: in a batch, in a later one, and after a restart', async () => {
    const mapper = await started();
    const record = beacon(clockOf(mapper).nowMs(), ours, slowLondon);
    await send(mapper, [record, record]);
    await mapper.folder.step();
    await send(mapper, [record], 'probe-2');
    await mapper.folder.step();
    await mapper.folder.stop();
    const second = await createMapper({ state: mapper.context.state, clock: clockOf(mapper) });
    running.push(second);
    await send(second, [record]);
    await second.folder.start();
    expect(countOf(second, `${ours}|pop:lon|browser|rum`)).toBe(1);
    expect(second.folder.rejected.map(({ why }) => why)).toEqual(['token-repeated']);
  });

  test('a record is a record or has a reason, whatever its bytes', () => {
    const good = beacon(1_764_000_000_000, ours, slowLondon);
    const bytes = text(good);
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0, 0x22, 0x2d, 0x7b, 0xff]) {
        const damaged = bytes.slice();
        damaged[at] = value;
        const read = readRecord(damaged, shard, good.atMs);
        if (typeof read !== 'string' && !isMark(read)) expect(shardOf(read.prefix)).toBe(shard);
      }
    }
    expect(readRecord(bytes, shard, good.atMs)).toEqual(good);
  });
});

describe('without the store', () => {
  test('samples and maps wait, and nothing is lost or counted twice', async () => {
    let isGone = false;
    const gone = async () => {
      if (isGone) throw new OperatingError('STORE_UNAVAILABLE', 'gone');
    };
    const wrap = (context: ServiceContext): ServiceContext => ({
      ...context,
      store: withEvidence(context.store, { fold: gone }),
    });
    const mapper = await started({ wrap });
    isGone = true;
    await send(mapper, beacons(mapper, 20));
    await settle(mapper);
    expect(mapper.folder.table.prefixes).toBe(0);
    expect(await mapper.folder.lag()).toBe(20);
    isGone = false;
    await settle(mapper);
    expect(countOf(mapper, `${ours}|pop:lon|browser|rum`)).toBe(20);
    expect(ranked(mapper, ours)[0]).toBe('iad');
  });

  test('no map is built before the evidence is loaded: it would undo the one in service', async () => {
    const first = await started();
    await send(first, beacons(first, 20));
    await settle(first);
    await first.builder.stop();
    await first.folder.stop();
    let isGone = true;
    const wrap = (context: ServiceContext): ServiceContext => ({
      ...context,
      store: withEvidence(context.store, {
        rows: async () => {
          if (isGone) throw new OperatingError('STORE_UNAVAILABLE', 'gone');
        },
      }),
    });
    const second = await createMapper({ state: first.context.state, clock: clockOf(first), wrap });
    running.push(second);
    await second.folder.start();
    await second.builder.start();
    expect(second.builder.current).toBeUndefined();
    expect(ranked(second, ours)[0]).toBe('iad');
    isGone = false;
    await settle(second);
    expect(second.builder.current).toBeDefined();
    expect(ranked(second, ours)[0]).toBe('iad');
  });
});

test('a bad quarter of an hour shows in the estimate, and passes', async () => {
  const mapper = await started();
  const clock = clockOf(mapper);
  await send(mapper, beacons(mapper, 60, { 'pop:lon': 20 }));
  await settle(mapper);
  clock.advance(60 * 60_000);
  await send(mapper, beacons(mapper, 20, { 'pop:lon': 200 }));
  await settle(mapper);
  const ask = async () =>
    ((await mapper.context.admin.inject('/evidence?client=192.0.2.7')).json() as Evidence).estimates['lon']!.clientMs;
  expect(await ask()).toBeGreaterThan(100);
  clock.advance(20 * 60_000);
  await mapper.builder.step();
  expect(await ask()).toBeLessThan(40);
});

/** The store with a check before some calls on its evidence. */
function withEvidence(
  store: ServiceContext['store'],
  before: { fold?: () => Promise<void>; rows?: () => Promise<void> },
): ServiceContext['store'] {
  const { evidence } = store;
  return {
    ...store,
    evidence: {
      offsets: (shard) => evidence.offsets(shard),
      usedTokens: (shard, ids) => evidence.usedTokens(shard, ids),
      rows: async (shard) => {
        await before.rows?.();
        return evidence.rows(shard);
      },
      fold: async (fold, nowMs) => {
        await before.fold?.();
        return evidence.fold(fold, nowMs);
      },
    },
  };
}

describe('two mappers', () => {
  test('fold each record once, when one loses its leases in the middle of a fold', async () => {
    let interfere = async () => {};
    const wrap = (context: ServiceContext): ServiceContext => ({
      ...context,
      store: withEvidence(context.store, { fold: () => interfere() }),
    });
    const first = await started({ wrap });
    const second = await createMapper({ state: first.context.state, clock: clockOf(first), node: 'mapper-2' });
    running.push(second);
    await second.folder.start();
    await second.builder.start();
    expect(second.folder.shardsHeld()).toBe(0);

    await send(first, beacons(first, 20));
    interfere = async () => {
      interfere = async () => {};
      clockOf(first).advance(limits.evidence.leaseMs + 1);
      await second.folder.step();
    };
    await first.folder.step();
    expect(second.folder.shardsHeld()).toBeGreaterThan(0);
    await send(first, beacons(first, 5));
    await first.folder.step();
    await second.folder.step();
    await first.folder.step();
    for (const mapper of [first, second]) expect(countOf(mapper, `${ours}|pop:lon|browser|rum`)).toBe(25);
    expect(first.folder.samplesFolded + second.folder.samplesFolded).toBe(25);
  });
});

describe('what it tells', () => {
  test('evidence of a client: measured PoPs by prefix, the others by distance, with costs', async () => {
    const mapper = await started();
    await send(mapper, beacons(mapper, 20));
    await settle(mapper);
    const { admin } = mapper.context;
    const evidence = (await admin.inject('/evidence?client=192.0.2.7&service=www.shop.example')).json() as Evidence;
    expect(evidence).toMatchObject({ prefix: ours, asn: 64_496 });
    expect(evidence.estimates['iad']).toMatchObject({ n: 20, tier: 'prefix', costMs: expect.any(Number) });
    expect(evidence.estimates['sin']).toMatchObject({ n: 0, tier: 'prior' });
    expect(evidence.estimates['lon']!.clientMs).toBeGreaterThan(evidence.estimates['iad']!.clientMs);
    const unmeasured = (await admin.inject('/evidence?client=198.51.100.9')).json() as Evidence;
    expect(unmeasured.estimates['lon']).toMatchObject({ n: 0, tier: 'prior' });
  });

  test('users on three paths and measured prefixes, in the shapes that the dashboard checks', async () => {
    const mapper = await started();
    await send(mapper, beacons(mapper, 20, { ...slowLondon, 'origin:eu': 90 }));
    await send(mapper, beacons(mapper, 20, { 'pop:lon': 12, 'pop:iad': 90 }, '198.51.100.0/24'));
    await settle(mapper);
    const { admin } = mapper.context;
    const compared = parseCompareState((await admin.inject('/compare')).json());
    expect(compared).toMatchObject({ service: 'www.shop.example', origin: 'eu', k: 3, backbone: 'estimated' });
    expect(compared.all.count).toBe(2);
    const [direct, geo, steered] = compared.all.series;
    expect([direct!.measured, geo!.measured, steered!.measured]).toEqual([1, 2, 2]);
    expect(steered!.meanMs).toBeLessThan(geo!.meanMs);
    expect(steered!.quantilesMs.length).toBe(101);
    const { total, prefixes } = parseMapperPrefixes((await admin.inject('/prefixes?limit=1')).json());
    expect(total).toBe(2);
    expect(prefixes).toHaveLength(1);
  });

  test('what is wrong with a question', async () => {
    const mapper = await started();
    const { admin } = mapper.context;
    expect((await admin.inject('/evidence?client=nobody')).statusCode).toBe(400);
    expect((await admin.inject('/evidence')).statusCode).toBe(400);
    expect((await admin.inject('/prefixes?limit=-1')).statusCode).toBe(400);
    const missing = await admin.inject('/compare?service=none');
    expect(missing.statusCode).toBe(404);
    expect(missing.json().message).toContain('www.shop.example');
  });

  test('that it is not ready, before there is a desired state', async () => {
    const mapper = await createMapper();
    running.push(mapper);
    const answer = await mapper.context.admin.inject('/compare');
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toMatchObject({ code: 'NOT_RUNNING' });
  });
});
