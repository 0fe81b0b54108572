import type { SampleRecord } from '@ufes/core/samples.ts';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { partByFloor } from './quarantine.ts';
import { beacon, clockOf, createMapper, type Mapper, ranked, send, startMapper, stopMapper } from './testing.ts';

const open: Mapper[] = [];
afterEach(async () => {
  for (const mapper of open.splice(0)) await stopMapper(mapper);
});

async function started(): Promise<Mapper> {
  const mapper = await createMapper();
  open.push(mapper);
  await startMapper(mapper);
  return mapper;
}

const london = '192.0.2.0/24';
/** London to Singapore is 10,850 km: 108.5 ms at least. */
const impossible = { 'pop:lon': 12, 'pop:sin': 40 };

async function evidence({ context }: Mapper): Promise<Record<string, unknown>> {
  const answer = await context.admin.inject('/evidence?client=192.0.2.1');
  return answer.json<Record<string, unknown>>();
}

async function fold(mapper: Mapper, kind: SampleRecord['kind'], rtts: Record<string, number>, count = 30) {
  const nowMs = clockOf(mapper).nowMs();
  const records = Array.from({ length: count }, () => ({ ...beacon(nowMs, london, rtts), kind }));
  await send(mapper, records);
  await mapper.folder.step();
  await mapper.builder.step();
}

test('what a client timed faster than light is kept apart, counted, shown, and moves nothing', async () => {
  const mapper = await started();
  await fold(mapper, 'browser', impossible);
  expect(mapper.folder.quarantined).toBe(30);
  expect(ranked(mapper, '192.0.2.1')[0]).toBe('lon');
  expect(mapper.folder.table.get(`${london}|pop:sin|browser|rum`)).toBeUndefined();
  expect(mapper.folder.table.get(`${london}|pop:sin|quarantine|rum`)).toBeDefined();
  const { quarantined, isDisputed, estimates } = await evidence(mapper);
  expect(quarantined).toEqual({ sin: { samples: 30, ms: expect.closeTo(40, 0), lastAtMs: expect.any(Number) } });
  expect(isDisputed).toBeUndefined();
  expect(estimates).toMatchObject({ lon: { n: 30, tier: 'prefix' }, sin: { n: 0 } });
});

test('the same from an edge counts, disputes the place, and drops the prior', async () => {
  const mapper = await started();
  await fold(mapper, 'edge', { 'pop:lon': 180, 'pop:sin': 40 });
  expect(mapper.folder.quarantined).toBe(0);
  expect(ranked(mapper, '192.0.2.1')[0]).toBe('sin');
  const { isDisputed, estimates } = (await evidence(mapper)) as { isDisputed?: boolean; estimates: object };
  expect(isDisputed).toBe(true);
  // By the place that GeoIP has, iad would be nearer than from Singapore.
  const { iad } = estimates as { iad: { clientMs: number } };
  expect(iad.clientMs).toBeGreaterThan(200);
});

test('of a place that is disputed, clients may have timed anything', async () => {
  const mapper = await started();
  await fold(mapper, 'edge', { 'pop:lon': 180, 'pop:sin': 40 });
  await fold(mapper, 'browser', { 'pop:lon': 190, 'pop:sin': 45 });
  expect(mapper.folder.quarantined).toBe(0);
  expect(mapper.folder.table.get(`${london}|pop:sin|browser|rum`)).toBeDefined();
});

test('what is loose counts until an edge has timed the prefix, and not against it', async () => {
  const mapper = await started();
  const loose = async (rtts: Record<string, number>) => {
    const nowMs = clockOf(mapper).nowMs();
    await send(
      mapper,
      Array.from({ length: 60 }, () => ({ ...beacon(nowMs, london, rtts), isLoose: true })),
    );
    await mapper.folder.step();
    await mapper.builder.step();
  };
  await loose({ 'pop:lon': 180, 'pop:iad': 70 });
  expect(mapper.folder.table.get(`${london}|pop:iad|loose|rum`)).toBeDefined();
  expect(ranked(mapper, '192.0.2.1')[0]).toBe('iad');
  // One sample of an edge says more than sixty of these.
  await fold(mapper, 'edge', { 'pop:lon': 20 }, 1);
  const { estimates } = (await evidence(mapper)) as { estimates: { lon: object; iad: object } };
  expect(estimates).toMatchObject({ lon: { n: 1 }, iad: { n: 0 } });
  await fold(mapper, 'edge', { 'pop:lon': 20, 'pop:iad': 90 });
  expect(ranked(mapper, '192.0.2.1')[0]).toBe('lon');
});

test('what is loose and faster than light is kept apart too', async () => {
  const mapper = await started();
  const nowMs = clockOf(mapper).nowMs();
  await send(mapper, [{ ...beacon(nowMs, london, impossible), isLoose: true }]);
  await mapper.folder.step();
  expect(mapper.folder.quarantined).toBe(1);
});

test('a backlog that waited for the mapper is parted too', async () => {
  const mapper = await createMapper();
  open.push(mapper);
  await send(mapper, [beacon(clockOf(mapper).nowMs(), london, impossible)]);
  await startMapper(mapper);
  expect(mapper.folder.quarantined).toBe(1);
});

test('every observation ends on one side, and what counts is below no floor', () => {
  const observation = fc.record({
    target: fc.constantFrom('pop:lon', 'pop:iad', 'pop:sin', 'origin:eu'),
    ok: fc.boolean(),
    rttMs: fc.option(fc.double({ min: 0.1, max: 200, noNaN: true }), { nil: undefined }),
    weight: fc.constant(1),
  });
  const record = fc.record({
    kind: fc.constantFrom('edge' as const, 'browser' as const, 'agent' as const),
    observations: fc.array(observation, { maxLength: 5 }),
  });
  const floors: Record<string, number> = { 'pop:lon': 1, 'pop:iad': 59, 'pop:sin': 108 };
  fc.assert(
    fc.property(fc.array(record), (drawn) => {
      const records = drawn.map((one) => ({ ...beacon(1, london, {}), ...one }) as SampleRecord);
      const { counted, apart } = partByFloor(records, (_, target) => floors[target] ?? Number.NaN);
      const all = (list: readonly SampleRecord[]) => list.flatMap(({ observations }) => observations);
      expect(new Set([...all(counted), ...all(apart)])).toEqual(new Set(all(records)));
      expect(all(counted).length + all(apart).length).toBe(all(records).length);
      for (const { kind, observations } of counted) {
        if (kind !== 'browser') continue;
        for (const { target, rttMs } of observations) {
          if (rttMs !== undefined && target in floors) expect(rttMs).toBeGreaterThanOrEqual(floors[target]!);
        }
      }
      expect(apart.every(({ kind }) => kind === 'browser')).toBe(true);
    }),
  );
});
