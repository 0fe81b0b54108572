import type { HeldApart } from '@ufes/core/quarantine.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import { afterEach, expect, test } from 'vitest';
import { beacon, clockOf, createMapper, type Mapper, send, startMapper, stopMapper } from './testing.ts';

const open: Mapper[] = [];
afterEach(async () => {
  for (const mapper of open.splice(0)) await stopMapper(mapper);
});

async function started(init: Parameters<typeof createMapper>[0] = {}): Promise<Mapper> {
  const mapper = await createMapper(init);
  open.push(mapper);
  await startMapper(mapper);
  return mapper;
}

const [london, other, third] = ['192.0.2.0/24', '192.0.3.0/24', '192.0.4.0/24'];

async function fold(mapper: Mapper, more: Partial<SampleRecord>, rtts: Record<string, number>, count = 30) {
  const nowMs = clockOf(mapper).nowMs();
  const records = Array.from({ length: count }, () => ({ ...beacon(nowMs, more.prefix ?? london, rtts), ...more }));
  await send(mapper, records);
  await mapper.folder.step();
  await mapper.builder.step();
}

async function report(mapper: Mapper, limit = 100): Promise<HeldApart> {
  clockOf(mapper).advance(1_000);
  return (await mapper.context.admin.inject(`/quarantine?limit=${limit}`)).json();
}

test('tells what was claimed, what the place allows, which places edges dispute, and what counts for less', async () => {
  const mapper = await started();
  expect(await report(mapper)).toMatchObject({
    quarantined: { prefixes: 0, samples: 0, rows: [] },
    disputed: { prefixes: 0, rows: [] },
    loose: { prefixes: 0, samples: 0, outranked: 0 },
    aside: { reasons: [], rows: [] },
  });
  await fold(mapper, {}, { 'pop:lon': 12, 'pop:sin': 40 });
  await fold(mapper, { kind: 'edge', prefix: other }, { 'pop:lon': 180, 'pop:sin': 40 });
  await fold(mapper, { isLoose: true, prefix: third }, { 'pop:lon': 15 });
  await fold(mapper, { isLoose: true, prefix: other }, { 'pop:lon': 15 }, 10);
  const { quarantined, disputed, loose } = await report(mapper);
  expect(quarantined).toMatchObject({
    prefixes: 1,
    samples: 30,
    rows: [{ prefix: london, place: expect.stringContaining('GB'), asn: 'AS64496 Example', isDisputed: false }],
  });
  const [claim, ...more] = quarantined.rows[0]!.claims;
  expect(more).toEqual([]);
  expect(claim).toMatchObject({ target: 'pop:sin', samples: 30, ms: expect.closeTo(40, 0) });
  // 10,850 km.
  expect(claim!.floorMs).toBeCloseTo(108.5, 0);
  expect(disputed).toMatchObject({
    prefixes: 1,
    rows: [{ prefix: other, target: 'pop:sin', samples: 30, ms: expect.closeTo(40, 0), floorMs: claim!.floorMs }],
  });
  expect(loose).toEqual({ prefixes: 2, samples: 40, outranked: 1 });
});

test('tells what was set aside, and why', async () => {
  const mapper = await started();
  const once = beacon(clockOf(mapper).nowMs(), london, { 'pop:lon': 12 });
  await send(mapper, [once, once]);
  await mapper.folder.step();
  const { aside } = await report(mapper);
  expect(aside.reasons).toEqual([{ reason: 'token-repeated', total: 1 }]);
  expect(aside.rows).toMatchObject([{ reason: 'token-repeated', collector: expect.any(String), seq: 2 }]);
});

test('outlives the mapper', async () => {
  const first = await started();
  await fold(first, {}, { 'pop:sin': 40 });
  const { state } = first.context;
  const clock = clockOf(first);
  const second = await started({ state, clock, node: 'mapper-2' });
  expect((await report(second)).quarantined).toMatchObject({ prefixes: 1, samples: 30 });
});

test('lists as many as are asked for, and counts all', async () => {
  const mapper = await started();
  await fold(mapper, {}, { 'pop:sin': 40 }, 1);
  await fold(mapper, { prefix: other }, { 'pop:sin': 40 }, 1);
  const { quarantined } = await report(mapper, 1);
  expect([quarantined.prefixes, quarantined.rows.length]).toEqual([2, 1]);
  expect((await mapper.context.admin.inject('/quarantine?limit=x')).statusCode).toBe(400);
});
