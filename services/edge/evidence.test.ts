/** What becomes of connections for probe names: samples on the stream, and IDs told; whole addresses nowhere. */

import { limits } from '@ufes/core/limits.ts';
import { type SampleRecord, shardOf } from '@ufes/core/samples.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { SeenProbe } from './data-plane.ts';
import { ProbeEvidence } from './evidence.ts';

const startMs = 1_790_000_000_000;
let clock: ManualClock;
let context: TestContext;
let arrived: SeenProbe[];
let evidence: ProbeEvidence;
beforeEach(async () => {
  clock = new ManualClock(startMs);
  context = await testContext({ node: 'edge-lon', clock });
  arrived = [];
  evidence = new ProbeEvidence(context, 'lon', () => arrived.splice(0));
  await evidence.start();
});
afterEach(async () => {
  await evidence.stop();
  await context.dispose();
});

const full = { rttMs: 42.25, isResumed: false, flightBytes: 1_500 };
const seen = (id: string, given: Partial<SeenProbe> = {}): SeenProbe => ({
  id,
  client: '192.0.2.77',
  atMs: clock.nowMs(),
  handshake: full,
  ...given,
});
async function samples(prefix = '192.0.2.0/24'): Promise<SampleRecord[]> {
  const records = await context.queue.samples.read(shardOf(prefix), 'edge-lon', 0, 1_000);
  const all = records.map(({ bytes }) => JSON.parse(new TextDecoder().decode(bytes)) as SampleRecord);
  return all.filter((one) => one.prefix === prefix);
}

it('makes an edge-timed sample of a full handshake, by prefix', async () => {
  arrived.push(seen('a'), seen('b', { client: '2001:db8:1:2::3', handshake: { ...full, rttMs: 7 } }));
  await evidence.step();
  expect(await samples()).toEqual([
    {
      token: 'a-lon',
      tokenExpiresAtMs: startMs + limits.probe.tokenMs,
      atMs: startMs,
      source: 'edge',
      kind: 'edge',
      prefix: '192.0.2.0/24',
      observations: [{ target: 'pop:lon', ok: true, rttMs: 42.25, weight: 1 }],
    },
  ]);
  expect((await samples('2001:db8:1::/48'))[0]).toMatchObject({ token: 'b-lon', prefix: '2001:db8:1::/48' });
});

it('keeps resumed handshakes, flights beyond the initial window and none at all apart', async () => {
  arrived.push(
    seen('a', { handshake: { ...full, isResumed: true } }),
    seen('b', { handshake: { ...full, flightBytes: 13_000 } }),
    seen('c', { handshake: undefined }),
  );
  await evidence.step();
  expect(await samples()).toEqual([]);
  const metrics = await context.registry.metrics();
  for (const outcome of ['resumed', 'long-flight', 'no-time'])
    expect(metrics).toContain(`ufes_edge_probes_total{outcome="${outcome}",service="edge-lon"} 1`);
});

it('takes as many of an address as the cap allows, and again ten minutes later', async () => {
  for (let i = 0; i < 15; i++) arrived.push(seen(`a${i}`));
  arrived.push(seen('other', { client: '192.0.2.78' }));
  await evidence.step();
  expect((await samples()).map(({ token }) => token)).toEqual([
    ...Array.from({ length: 10 }, (_, i) => `a${i}-lon`),
    'other-lon',
  ]);
  clock.advance(limits.edge.addressMs);
  arrived.push(seen('later'));
  await evidence.step();
  expect((await samples()).at(-1)?.token).toBe('later-lon');
});

it('goes on numbering where the stream is, which may be moved on or back', async () => {
  const shard = shardOf('192.0.2.0/24');
  arrived.push(seen('a'));
  await evidence.step();
  await context.queue.samples.trim(shard, 'edge-lon', 9);
  arrived.push(seen('b'));
  await evidence.step();
  expect(await context.queue.samples.lastSeq(shard, 'edge-lon')).toBe(10);
  await context.queue.samples.restart(shard, 'edge-lon', 2);
  arrived.push(seen('c'));
  await evidence.step();
  expect((await context.queue.samples.read(shard, 'edge-lon', 2, 10)).map(({ seq }) => seq)).toEqual([3]);
});

it('tells every ten seconds which prefix each ID came from, and forgets it', async () => {
  arrived.push(seen('a'), seen('b', { client: '198.51.100.9', handshake: undefined }));
  await evidence.step();
  expect(await context.store.live.list('seen/')).toEqual([]);
  clock.advance(limits.edge.tellIdsMs);
  await evidence.step();
  const [entry] = await context.store.live.list('seen/edge/');
  expect(entry).toMatchObject({
    key: 'seen/edge/lon',
    value: { share: 1, ids: { a: ['192.0.2.0/24', 42.3], b: ['198.51.100.0/24'] } },
  });
  expect(JSON.stringify(entry)).not.toContain('192.0.2.77');
  expect(evidence.seen().size).toBe(0);
});
