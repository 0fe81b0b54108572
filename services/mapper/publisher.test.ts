/** What becomes of maps: held when they are bad, rolled back when an operator says so, remembered either way. */
import { limits } from '@ufes/core/limits.ts';
import type { EvidenceRow } from '@ufes/core/ports.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { decodeMap } from '@ufes/core/steering/map-bytes.ts';
import type { Publication } from '@ufes/core/steering/publication.ts';
import { formatVersion } from '@ufes/core/version.ts';
import { afterEach, describe, expect, test } from 'vitest';
import { beacon, clockOf, createMapper, type Mapper, ranked, send, startMapper, stopMapper } from './testing.ts';

const running: Mapper[] = [];
afterEach(async () => {
  for (const mapper of running.splice(0).reverse()) await stopMapper(mapper);
});

async function started(init: Parameters<typeof createMapper>[0] = {}): Promise<Mapper> {
  const mapper = await createMapper(init);
  running.push(mapper);
  await startMapper(mapper);
  return mapper;
}

async function settle(mapper: Mapper): Promise<void> {
  await mapper.folder.step();
  await mapper.builder.step();
}

const prefixes = Array.from({ length: 40 }, (_, i) => `10.0.${2 * i}.0/24`);
const near = { 'pop:lon': 20, 'pop:iad': 100, 'pop:sin': 200 };
const inverted = { 'pop:lon': 200, 'pop:iad': 100, 'pop:sin': 20 };

const beacons = (mapper: Mapper, count: number, rtts: Record<string, number>, of: string) =>
  Array.from({ length: count }, (_, i) => beacon(clockOf(mapper).nowMs() - 100 * i, of, rtts));

/** Evidence as a fault would leave it: past the fold, so that no raw sample says so. */
function injected(mapper: Mapper, of: readonly string[], rtts: Record<string, number>, count: number): void {
  const nowMs = clockOf(mapper).nowMs();
  const rows = of.flatMap((prefix): EvidenceRow[] =>
    Object.entries(rtts).map(([target, ms]) => {
      const sketch = new Sketch();
      for (let i = 0; i < count; i++) sketch.add(ms, nowMs - 100 * i);
      return { key: `${prefix}|${target}|browser|rum`, bytes: sketch.encode() };
    }),
  );
  mapper.builder.evidenceChanged(mapper.folder.table.apply(rows));
}

const historyOf = async (mapper: Mapper, query = '') =>
  (await mapper.context.admin.inject(`/history?limit=100${query}`)).json() as {
    held?: { reasons: { guard: string; text: string }[]; wanted: number };
    publications: Publication[];
  };
const post = async (mapper: Mapper, url: string, payload: object) => {
  const answer = await mapper.context.admin.inject({ method: 'POST', url, payload });
  return { status: answer.statusCode, body: answer.json() as Record<string, string> };
};

describe('a bad build', () => {
  test('half of all sketches inverted: held, and everybody who looks sees why', async () => {
    const mapper = await started();
    for (const one of prefixes) await send(mapper, beacons(mapper, 20, near, one));
    await settle(mapper);
    const clock = clockOf(mapper);
    const half = prefixes.filter((_, i) => i % 2 === 0);
    for (let round = 1; round <= 4; round++) {
      clock.advance(round === 1 ? 11 * 60_000 : 5_000);
      injected(mapper, half, inverted, 20 + 10 * round);
      await settle(mapper);
    }
    for (const one of prefixes) expect(ranked(mapper, one)[0]).toBe('lon');
    const { held, publications } = await historyOf(mapper);
    expect(held!.reasons.map(({ guard }) => guard)).toEqual(['too-much', 'worse']);
    expect(held!.reasons[0]!.text).toContain('(20 cells) away from estimates in service');
    expect(held!.reasons[1]!.text).toContain('by samples of the last quarter of an hour');
    // Told once, not at each build.
    expect(publications.filter(({ kind }) => kind === 'hold')).toHaveLength(1);
    const [entry] = await mapper.context.store.live.list('hold/');
    expect(entry).toMatchObject({ key: 'hold/map', value: { reasons: [{ guard: 'too-much' }, { guard: 'worse' }] } });
    // Mended: published again, by itself, once the builder is as sure of that as it was of the fault.
    for (let round = 1; round <= 4; round++) {
      clock.advance(round === 1 ? 11 * 60_000 : 5_000);
      injected(mapper, half, near, 80 + 10 * round);
      await settle(mapper);
    }
    expect((await historyOf(mapper)).held).toBeUndefined();
    expect(await mapper.context.store.live.list('hold/')).toEqual([]);
  });
});

describe('rollback', () => {
  const ours = '10.0.0.0/24';
  const slow = { 'pop:lon': 180, 'pop:iad': 75 };

  async function moved(mapper: Mapper): Promise<void> {
    await send(mapper, beacons(mapper, 20, slow, ours));
    await settle(mapper);
    expect(ranked(mapper, ours)[0]).toBe('iad');
  }

  test('brings the map before the last move back under a new version, and nothing undoes it until it is released', async () => {
    const mapper = await started();
    const first = formatVersion(mapper.builder.mapVersion!);
    clockOf(mapper).advance(5_000);
    await moved(mapper);
    const second = mapper.builder.mapVersion!;
    clockOf(mapper).advance(5_000);
    expect(await post(mapper, '/rollback', { by: 'ann' })).toMatchObject({ status: 400 });
    expect(await post(mapper, '/rollback', { by: 'ann', why: 'x', version: '5-a' })).toMatchObject({ status: 404 });
    const { status, body } = await post(mapper, '/rollback', { by: 'ann', why: 'users complain' });
    expect({ status, restores: body['restores'] }).toEqual({ status: 200, restores: first });
    expect(body['version']! > formatVersion(second)).toBe(true);
    expect(ranked(mapper, ours)[0]).toBe('lon');
    for (let i = 0; i < 3; i++) {
      clockOf(mapper).advance(11 * 60_000);
      await send(mapper, beacons(mapper, 10, slow, ours));
      await settle(mapper);
      expect(ranked(mapper, ours)[0]).toBe('lon');
    }
    const { held, publications } = await historyOf(mapper);
    expect(held!.reasons.map(({ guard }) => guard)).toEqual(['rolled-back']);
    expect(publications[0]).toMatchObject({ kind: 'rollback', restores: first, by: 'ann', why: 'users complain' });
    expect(await mapper.context.store.audit.list(1)).toMatchObject([
      { actor: 'ann', action: 'rollback', subject: 'map', detail: { restores: first, why: 'users complain' } },
    ]);
    // The map itself says so, to whoever reads it.
    const kept = await mapper.builder.publisher.history.mapAt(clockOf(mapper).nowMs());
    expect(kept!.map.rolledBack).toMatchObject({ version: first, by: 'ann' });

    expect((await post(mapper, '/release', { by: 'bob', why: 'all is well' })).status).toBe(200);
    await settle(mapper);
    expect(ranked(mapper, ours)[0]).toBe('iad');
    expect((await historyOf(mapper)).publications.map(({ kind }) => kind)).toEqual([
      'publish',
      'release',
      'rollback',
      'publish',
      'publish',
    ]);
  });

  test('ends at its time, and outlives a restart until then', async () => {
    const mapper = await started();
    await moved(mapper);
    await post(mapper, '/rollback', { by: 'ann', why: 'x', forMs: 3_600_000 });
    await mapper.builder.stop();
    await mapper.folder.stop();
    const again = await started({ state: mapper.context.state, clock: clockOf(mapper), node: 'again' });
    await settle(again);
    expect(ranked(again, ours)[0]).toBe('lon');
    clockOf(mapper).advance(3_600_000);
    await settle(again);
    expect(ranked(again, ours)[0]).toBe('iad');
    expect(again.builder.inService!.rolledBack).toBeUndefined();
  });

  test('to a named version, of a week in which much was published', async () => {
    const mapper = await started();
    await moved(mapper);
    const wanted = mapper.builder.mapVersion!;
    for (let i = 0; i < 100; i++) {
      clockOf(mapper).advance(limits.mapper.estimatesMs);
      await send(mapper, beacons(mapper, 1, slow, '10.9.9.0/24'));
      await settle(mapper);
    }
    const { publications } = await historyOf(mapper, '&all=1');
    expect(publications.length).toBeGreaterThan(50);
    const { body } = await post(mapper, '/rollback', { by: 'ann', why: 'x', version: formatVersion(wanted) });
    expect(body['restores']).toBe(formatVersion(wanted));
    const { store } = mapper.context;
    const sealed = (await store.artefacts.get('map', mapper.builder.mapVersion!))!;
    expect(decodeMap(sealed.slice(144)).cells.v4).toHaveLength(1);
  });
});

test('the effect of a move is measured a quarter of an hour later, beside what was predicted', async () => {
  const mapper = await started();
  await send(mapper, beacons(mapper, 20, { 'pop:lon': 180, 'pop:iad': 75 }, '192.0.2.0/24'));
  await settle(mapper);
  clockOf(mapper).advance(60_000);
  await send(mapper, beacons(mapper, 20, { 'pop:lon': 150, 'pop:iad': 80 }, '192.0.2.0/24'));
  await settle(mapper);
  clockOf(mapper).advance(limits.publish.measuredMs);
  await expect.poll(async () => (await historyOf(mapper)).publications.find(({ measured }) => measured)).toBeDefined();
  const { measured } = (await historyOf(mapper)).publications.find((one) => one.measured)!;
  expect(measured!.known).toBe(1);
  expect(measured!.predictedGainMs).toBeGreaterThan(0);
  // k is 3, and Virginia is some 60 ms further from the origin.
  expect(measured!.gainMs).toBeCloseTo(3 * (150 - 80) - 60, -1);
});
