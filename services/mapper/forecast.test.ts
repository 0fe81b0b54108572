/** POST /plan of a mapper: predicted from its evidence, kept, and held against what came. */

import { limits } from '@ufes/core/limits.ts';
import type { Publication } from '@ufes/core/steering/publication.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import { afterEach, describe, expect, test } from 'vitest';
import { type Forecast, trial } from './forecast.ts';
import {
  beacon,
  clockOf,
  createMapper,
  desiredState,
  type Mapper,
  send,
  service,
  startMapper,
  stopMapper,
} from './testing.ts';

const near = { lon: '192.0.2.0/24', iad: '203.0.113.0/24' };
/** In London by GeoIP. */
const unmeasured = '198.51.100.0/24';
const running: Mapper[] = [];
afterEach(async () => {
  for (const mapper of running.splice(0)) await stopMapper(mapper);
});

/** Twice as many beacons from those near London. */
async function measured(): Promise<Mapper> {
  const mapper = await createMapper();
  running.push(mapper);
  await startMapper(mapper);
  const of = (prefix: string, count: number, rtts: Record<string, number>) =>
    Array.from({ length: count }, (_, i) => beacon(clockOf(mapper).nowMs() - 1_000 * i, prefix, rtts));
  await send(mapper, of(near.lon, 60, { 'pop:lon': 10, 'pop:iad': 90, 'pop:sin': 180 }));
  await send(mapper, of(near.iad, 30, { 'pop:lon': 90, 'pop:iad': 10, 'pop:sin': 240 }));
  await mapper.folder.step();
  await mapper.builder.step();
  return mapper;
}

/** And edges tell requests of cells in half a minute, and loads, requests a second. */
async function counted(cells: Record<string, number>, loads: Record<string, number>): Promise<Mapper> {
  const mapper = await measured();
  const { store, bus } = mapper.context;
  const ttlMs = 600_000;
  const demand = { atMs: clockOf(mapper).nowMs(), seconds: 30, cells };
  await store.live.put([
    { key: 'demand/lon', value: demand, ttlMs },
    ...Object.entries(loads).map(([pop, perSecond]) => ({
      key: `load/${pop}`,
      value: { requestsPerSecond: perSecond },
      ttlMs,
    })),
  ]);
  bus.wake('live');
  const known = async () => {
    clockOf(mapper).advance(limits.dns.feedbackMs / 2);
    await mapper.builder.step();
    return mapper.builder.known.traffic.cells;
  };
  await expect.poll(known).toBe(Object.keys(cells).length);
  return mapper;
}

async function ask(mapper: Mapper, body: object): Promise<Forecast> {
  const response = await mapper.context.admin.inject({ method: 'POST', url: '/plan', payload: body });
  expect([response.statusCode, response.statusCode === 200 ? '' : response.body]).toEqual([200, '']);
  return response.json<Forecast>();
}

async function plans(mapper: Mapper): Promise<Publication[]> {
  const response = await mapper.context.admin.inject('/history?limit=50');
  return response.json<{ publications: Publication[] }>().publications.filter(({ kind }) => kind === 'plan');
}

describe('a plan', () => {
  test('of a drain tells who goes where, and how much slower it is for whom', async () => {
    const mapper = await measured();
    const { prediction, changes, prefixes } = await ask(mapper, { drained: ['lon'] });
    expect(prefixes).toBe(2);
    expect(changes).toEqual([]);
    expect(prediction.moved).toBeCloseTo(2 / 3, 1);
    expect(prediction.pops.find(({ pop }) => pop === 'lon')).toMatchObject({ shareAfter: 0 });
    expect(prediction.harmed.worst[0]).toMatchObject({ prefix: near.lon, from: 'lon', to: 'iad', country: 'GB' });
    expect(prediction.harmed.worst[0]!.afterMs - prediction.harmed.worst[0]!.beforeMs).toBeGreaterThan(150);
    expect(prediction.response.meanAfterMs).toBeGreaterThan(prediction.response.meanBeforeMs + 100);
  });

  test('changes nothing: map, builds and evidence stay', async () => {
    const mapper = await measured();
    const before = [mapper.builder.mapVersion, mapper.builder.current, mapper.folder.table.keys];
    const desired = desiredState();
    await ask(mapper, {
      desired: {
        ...desired,
        pops: desired.pops.slice(0, 2),
        services: [{ ...service, candidates: service.candidates.slice(0, 2) }],
      },
    });
    expect([mapper.builder.mapVersion, mapper.builder.current, mapper.folder.table.keys]).toEqual(before);
  });

  test('of another TTL moves nobody, and says what it does', async () => {
    const mapper = await measured();
    const { prediction, changes } = await ask(mapper, { desired: desiredState([{ ...service, ttlSecondsMax: 300 }]) });
    expect(prediction.moved).toBe(0);
    expect(changes.map(({ text }) => text)).toEqual([expect.stringContaining('60 s → 300 s')]);
  });

  test('is held against what came when its configuration came, across a restart too', async () => {
    const mapper = await measured();
    const desired = desiredState([{ ...service, only: [1, 2] }]);
    const { prediction } = await ask(mapper, { desired, file: 'next.yaml', by: 'alice' });
    expect(prediction.moved).toBeGreaterThan(0.5);
    expect(await plans(mapper)).toMatchObject([{ by: 'alice', plan: { file: 'next.yaml', moved: prediction.moved } }]);
    await publishArtefact(
      mapper.context,
      'desired',
      new TextEncoder().encode(JSON.stringify({ ...desired, version: { ms: 2, writer: 'test' } })),
    );
    const onlyNow = async () => {
      await mapper.builder.step();
      return mapper.builder.current?.desired.services[0]?.only;
    };
    await expect.poll(onlyNow).toEqual([1, 2]);
    await mapper.forecasts.look();
    expect((await plans(mapper))[0]?.plan?.appliedAtMs).toBe(clockOf(mapper).nowMs());
    await mapper.forecasts.stop();
    await mapper.forecasts.start();
    clockOf(mapper).advance(limits.plan.measuredMs + 61_000);
    const measuredNow = async () => {
      await mapper.forecasts.look();
      return (await plans(mapper)).map(({ plan }) => plan?.measured?.moved);
    };
    await expect.poll(measuredNow).toEqual([expect.closeTo(prediction.moved, 1)]);
  });

  test('is made by the map that is built next: with room, what edges count, and PoPs that are degraded', async () => {
    const mapper = await counted({ [near.lon]: 30, [near.iad]: 6, [unmeasured]: 3 }, { lon: 1.3 });
    const { builder, context, folder } = mapper;
    const nowMs = clockOf(mapper).nowMs();
    folder.degradations.now.set('sin', { ms: 80, sinceMs: nowMs, toldAtMs: nowMs, cells: 20 });
    const usual = desiredState();
    const small = usual.pops.map((pop) => (pop.id === 'lon' ? { ...pop, requestsPerSecond: 1 } : pop));
    const desired = { ...usual, pops: small, version: { ms: 2, writer: 'test' } };
    const current = builder.current!;
    const { inService, known } = builder;
    const now = await builder.publisher.conditionsNow(desired);
    const input = { fed: current, desired: current.desired, inService, known, ...now, nowMs };
    const { next } = trial(input, { desired, drained: [] });
    expect(next.build.sentOn(0)).toBeGreaterThan(0);
    await publishArtefact(context, 'desired', new TextEncoder().encode(JSON.stringify(desired)));
    const begun = async () => {
      await builder.step();
      return builder.current?.build !== current.build;
    };
    await expect.poll(begun).toBe(true);
    const built = builder.current!.build;
    expect(next.build.cells.count).toBe(built.cells.count);
    for (let row = 0; row < built.cells.count; row++) {
      expect(next.build.rankings(0, row)).toEqual(built.rankings(0, row));
      expect(next.build.estimates(row)).toEqual(built.estimates(row));
    }
  });

  test('counts those who ask, measured or not, by what edges count', async () => {
    const mapper = await counted({ [near.lon]: 10, [near.iad]: 30, [unmeasured]: 20 }, { lon: 1, iad: 1 });
    const { prediction, prefixes, measured: own } = await ask(mapper, { drained: ['iad'] });
    expect({ prefixes, own }).toEqual({ prefixes: 3, own: 2 });
    expect(prediction.pops.find(({ pop }) => pop === 'iad')?.shareBefore).toBeCloseTo(1 / 2, 2);
    expect(prediction.moved).toBeCloseTo(1 / 2, 2);
    expect(prediction.response.known).toBeCloseTo(1, 2);
  });

  test('says what is wrong with it', async () => {
    const mapper = await measured();
    const refused = async (payload: object) =>
      (await mapper.context.admin.inject({ method: 'POST', url: '/plan', payload })).json();
    expect(await refused({ drained: ['par'] })).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('lon, iad, sin'),
    });
    expect(await refused({ desired: { pops: [] } })).toMatchObject({ code: 'REQUEST_INVALID' });
    expect(await refused({ drained: 'lon' })).toMatchObject({ code: 'REQUEST_INVALID' });
  });
});
