/** The collector over real sockets: what it gives out, what it takes, what it refuses and how it says so. */

import { createConnection } from 'node:net';
import type { Plan, SampleRecord } from '@ufes/core/samples.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import { ManualClock, systemClock } from '@ufes/io/clock.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { call, desired, type Listeners, type Probe, plain, startProbe } from './probe.fixture.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function started(...init: Parameters<typeof startProbe>): Promise<Probe & { at: string }> {
  const probe = await startProbe(...init);
  cleanups.push(() => probe.stop());
  return { ...probe, at: probe.addresses[0]! };
}

async function planOf(at: string, client?: string): Promise<Plan> {
  const answer = await call(at, '/rum/plan', client === undefined ? {} : { client });
  expect(answer.status).toBe(200);
  return JSON.parse(answer.text) as Plan;
}
const beacon = (plan: Plan, rttMs: number[] = [30, 10, 20]): string =>
  JSON.stringify({ token: plan.token, results: plan.targets.map(({ id }) => ({ target: id, ok: true, rttMs })) });
const post = (at: string, body: string, more = {}) => call(at, '/rum/beacon', { method: 'POST', body, ...more });

/** Samples that reached the stream. */
async function samples({ context }: Probe): Promise<SampleRecord[]> {
  const found: SampleRecord[] = [];
  for (let shard = 0; shard < 16; shard++) {
    for (const collector of await context.queue.samples.collectors(shard)) {
      for (const { bytes } of await context.queue.samples.read(shard, collector, 0, 1000))
        found.push(JSON.parse(Buffer.from(bytes).toString()) as SampleRecord);
    }
  }
  return found;
}

describe('plans and beacons', () => {
  it('plans every PoP under a fresh label, and takes the beacon: one sample a target, the median', async () => {
    const probe = await started();
    const [plan, other] = [await planOf(probe.at), await planOf(probe.at)];
    expect(plan.targets.map(({ id }) => id).sort()).toEqual(['pop:iad', 'pop:lon', 'pop:sin']);
    const label = /^https:\/\/([0-9a-f]{16})-(lon|iad|sin)\.probe\.example:9\/p$/;
    for (const { id, url } of plan.targets) expect(`pop:${label.exec(url)?.[2]}`).toBe(id);
    expect(label.exec(plan.targets[0]!.url)![1]).not.toBe(label.exec(other.targets[0]!.url)![1]);
    expect(plan.sinks).toEqual([`http://${probe.at}/rum/beacon`]);
    expect(plan.fetches).toBe(3);
    expect(plan.expiresAtMs - systemClock.nowMs()).toBeGreaterThan(290_000);

    const answer = await post(probe.at, beacon(plan));
    expect([answer.status, answer.text]).toEqual([204, '']);
    await vi.waitFor(async () => expect(await samples(probe)).toHaveLength(1));
    expect((await samples(probe))[0]).toMatchObject({
      source: 'rum',
      kind: 'browser',
      prefix: '127.0.0.0/24',
      tokenExpiresAtMs: plan.expiresAtMs,
      observations: plan.targets.map(({ id }) => ({ target: id, ok: true, rttMs: 20, weight: 1 })),
    });
  });

  it('keeps that a target failed, and leaves the median out when no fetch counted', async () => {
    const probe = await started();
    const plan = await planOf(probe.at);
    const results = [
      { target: 'pop:lon', ok: false, rttMs: [] },
      { target: 'pop:iad', ok: true, rttMs: [40, 30] },
    ];
    expect((await post(probe.at, JSON.stringify({ token: plan.token, results }))).status).toBe(204);
    await vi.waitFor(async () => expect(await samples(probe)).toHaveLength(1));
    expect((await samples(probe))[0]!.observations).toEqual([
      { target: 'pop:lon', ok: false, weight: 1 },
      { target: 'pop:iad', ok: true, weight: 1, rttMs: 30 },
    ]);
  });

  it('may be read by pages of any site, and is not cached', async () => {
    const { at } = await started();
    const plan = await call(at, '/rum/plan', { headers: { origin: 'https://www.shop.example' } });
    expect(plan.headers).toMatchObject({ 'access-control-allow-origin': '*', 'cache-control': 'no-store' });
    const refused = await post(at, '{}');
    expect(refused.headers).toMatchObject({ 'access-control-allow-origin': '*' });
    const preflight = await call(at, '/rum/beacon', { method: 'OPTIONS' });
    expect([preflight.status, preflight.headers['access-control-allow-headers']]).toEqual([204, 'content-type']);
  });

  it('names the configured collectors as sinks, in order', async () => {
    const { at } = await started([plain], { collectors: ['https://a.example/', 'https://b.example:8443'] });
    expect((await planOf(at)).sinks).toEqual(['https://a.example/rum/beacon', 'https://b.example:8443/rum/beacon']);
  });

  it('has no plan before there is a desired state', async () => {
    const { at } = await started([plain], { desired: null });
    const answer = await call(at, '/rum/plan');
    expect([answer.status, answer.text]).toEqual([503, expect.stringContaining('no desired state yet')]);
  });

  it('takes PoPs from a newer desired state', async () => {
    const probe = await started();
    await publishArtefact(
      probe.context,
      'desired',
      Buffer.from(JSON.stringify({ ...desired, pops: desired.pops.slice(0, 1) })),
    );
    await vi.waitFor(async () => expect((await planOf(probe.at)).targets.map(({ id }) => id)).toEqual(['pop:lon']));
  });
});

describe('refusals', () => {
  it.each<[string, (plan: Plan) => string, number, string]>([
    ['no JSON', () => 'ok', 400, 'not JSON'],
    ['another shape', () => '[]', 400, 'the beacon'],
    ['no token', (plan) => JSON.stringify({ results: JSON.parse(beacon(plan)).results }), 400, 'token'],
    [
      'an unknown field',
      (plan) => JSON.stringify({ ...JSON.parse(beacon(plan)), client: '192.0.2.1' }),
      400,
      'client is not a known field',
    ],
    ['a round trip of zero', (plan) => beacon(plan, [0]), 400, 'results.0.rttMs.0'],
    ['a round trip beyond the bound', (plan) => beacon(plan, [1, 10_001]), 400, 'results.0.rttMs.1'],
    ['a fourth fetch', (plan) => beacon(plan, [1, 2, 3, 4]), 400, 'results.0.rttMs'],
    [
      'a target not in the plan',
      (plan) => beacon({ ...plan, targets: [{ id: 'pop:fra', url: '' }] }),
      400,
      '\\"pop:fra\\" is not in the plan',
    ],
    ['a target twice', (plan) => beacon({ ...plan, targets: [plan.targets[0]!, plan.targets[0]!] }), 400, 'twice'],
    [
      'a forged token',
      (plan) => beacon({ ...plan, token: `x${plan.token.slice(1)}` }),
      403,
      'not one of this collector',
    ],
    ['a token of garbage', (plan) => beacon({ ...plan, token: 'a.b' }), 403, 'not one of this collector'],
    ['a body over the bound', (plan) => beacon(plan) + ' '.repeat(9_000), 413, '8192 bytes'],
  ])('%s', async (_, body, status, message) => {
    const probe = await started();
    const answer = await post(probe.at, body(await planOf(probe.at)));
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(message)]);
    expect(JSON.parse((await probe.context.admin.inject('/state')).body).journal.seq).toBe(0);
  });

  it('an expired token', async () => {
    const clock = new ManualClock();
    const { at } = await started([plain], { clock });
    const plan = await planOf(at);
    clock.advance(300_000);
    expect(await post(at, beacon(plan))).toMatchObject({ status: 403, text: expect.stringContaining('expired') });
  });

  it('more than an address may send in an hour, and tells why', async () => {
    const clock = new ManualClock();
    const probe = await started([{ ...plain, proxy: 'x-forwarded-for' }], {
      clock,
      caps: { addressPerHour: 3, prefixPerHour: 5 },
    });
    const send = async (client: string) => {
      const headers = { 'x-forwarded-for': client };
      const plan = JSON.parse((await call(probe.at, '/rum/plan', { headers })).text) as Plan;
      return (await post(probe.at, beacon(plan), { headers })).status;
    };
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push(await send('192.0.2.1'));
    expect(statuses).toEqual([204, 204, 204, 429]);
    expect([await send('192.0.2.2'), await send('192.0.2.2'), await send('192.0.2.2')]).toEqual([204, 204, 429]);
    expect(await send('198.51.100.1')).toBe(204);
    const { reasons, prefixes } = (await probe.context.admin.inject('/refused')).json();
    expect(reasons).toContainEqual({ reason: 'over-address-cap', total: 1, day: 1 });
    expect(reasons).toContainEqual({ reason: 'over-prefix-cap', total: 1, day: 1 });
    expect(prefixes).toContainEqual(
      expect.objectContaining({ prefix: '192.0.2.0/24', reason: 'over-prefix-cap', count: 1 }),
    );
    const metrics = await probe.context.registry.metrics();
    expect(metrics).toContain('ufes_probe_refused_total{reason="over-address-cap",source="rum",service="probe"} 1');
    clock.advance(3_600_000);
    expect(await send('192.0.2.1')).toBe(204);
  });

  it('another method or path', async () => {
    const { at } = await started();
    expect((await call(at, '/rum/beacon')).status).toBe(404);
    expect((await call(at, '/state')).status).toBe(404);
  });
});

describe('listeners', () => {
  const proxied: Listeners[number] = { ...plain, proxy: 'v2', source: 'demo' };

  it.each([
    ['203.0.113.77', '203.0.113.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
    ['::ffff:203.0.113.77', '203.0.113.0/24'],
  ])('proxy: v2 attributes by the header: %s', async (client, prefix) => {
    const probe = await started([plain, proxied]);
    const at = probe.addresses[1]!;
    const plan = await planOf(at, client);
    expect((await post(at, beacon(plan), { client })).status).toBe(204);
    // The plan's network sends the beacon, no other one.
    expect((await post(at, beacon(plan), { client: '198.51.100.1' })).status).toBe(403);
    expect((await post(probe.at, beacon(plan))).status).toBe(403);
    await vi.waitFor(async () => expect(await samples(probe)).toMatchObject([{ prefix, source: 'demo' }]));
  });

  const forwarded: Listeners[number] = { ...plain, proxy: 'x-forwarded-for' };
  const by = (text: string) => ({ headers: { 'x-forwarded-for': text } });

  it.each([
    ['203.0.113.77', '203.0.113.0/24'],
    ['192.0.2.9, 203.0.113.77', '203.0.113.0/24'],
    ['203.0.113.77, 127.0.0.1', '203.0.113.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
    ['::ffff:203.0.113.77', '203.0.113.0/24'],
    ['garbage', '127.0.0.0/24'],
  ])('proxy: x-forwarded-for attributes by the last hop that is no proxy: %s', async (chain, prefix) => {
    const probe = await started([forwarded]);
    const plan = JSON.parse((await call(probe.at, '/rum/plan', by(chain))).text) as Plan;
    expect((await post(probe.at, beacon(plan), by(chain))).status).toBe(204);
    expect((await post(probe.at, beacon(plan), by('198.51.100.1'))).status).toBe(403);
    await vi.waitFor(async () => expect(await samples(probe)).toMatchObject([{ prefix }]));
  });

  it('takes nobody’s word who is not trusted, and not in a way that the listener does not expect', async () => {
    const strangers = await started([forwarded, proxied], { trustedProxies: ['192.0.2.1'] });
    const plan = JSON.parse((await call(strangers.at, '/rum/plan', by('203.0.113.77'))).text) as Plan;
    expect((await post(strangers.at, beacon(plan))).status).toBe(204);
    await vi.waitFor(async () => expect(await samples(strangers)).toMatchObject([{ prefix: '127.0.0.0/24' }]));
    await expect(call(strangers.addresses[1]!, '/healthz', { client: '203.0.113.77' })).rejects.toThrow();
    expect((await call(strangers.addresses[1]!, '/healthz')).status).toBe(200);
    const other = await started([plain, proxied]);
    const own = JSON.parse((await call(other.at, '/rum/plan', by('203.0.113.77'))).text) as Plan;
    expect((await post(other.at, beacon(own))).status).toBe(204);
  });

  it('proxy: v2 closes on peers without a header; a header on a plain listener is no HTTP', async () => {
    const probe = await started([plain, proxied]);
    await expect(call(probe.addresses[1]!, '/healthz')).rejects.toThrow();
    expect((await call(probe.addresses[0]!, '/healthz', { client: '192.0.2.1' })).status).toBe(400);
    expect((await call(probe.addresses[0]!, '/healthz')).status).toBe(200);
    expect((await call(probe.addresses[1]!, '/healthz', { client: '192.0.2.1' })).status).toBe(200);
  });

  it('tls: serves https with a certificate of the internal CA, behind a proxy too', async () => {
    const probe = await started([
      { ...plain, tls: true },
      { ...proxied, tls: true },
    ]);
    const { certificatePem: ca } = await ensureInternalCa(probe.context.state);
    const [at, behind] = probe.addresses as [string, string];
    const plan = JSON.parse((await call(at, '/rum/plan', { ca })).text) as Plan;
    expect(plan.sinks[0]).toBe(`https://${at}/rum/beacon`);
    expect((await post(at, beacon(plan), { ca })).status).toBe(204);
    const theirs = JSON.parse((await call(behind, '/rum/plan', { ca, client: '192.0.2.7' })).text) as Plan;
    expect((await post(behind, beacon(theirs), { ca, client: '192.0.2.7' })).status).toBe(204);
    await vi.waitFor(async () =>
      expect((await samples(probe)).map(({ prefix }) => prefix).sort()).toEqual(['127.0.0.0/24', '192.0.2.0/24']),
    );
  });

  it('says which address is taken', async () => {
    const { at } = await started();
    await expect(startProbe([{ ...plain, address: at }])).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  });

  it('answers beacons under way when it stops, and closes idle connections', async () => {
    const probe = await startProbe();
    const at = probe.addresses[0]!;
    const idle = createConnection(Number(at.split(':')[1]), '127.0.0.1');
    const closed = new Promise((resolve) => idle.once('close', resolve));
    idle.resume();
    const plan = await planOf(at);
    const answers = Promise.all(Array.from({ length: 20 }, () => post(at, beacon(plan))));
    await vi.waitFor(async () => {
      const { body } = await probe.context.admin.inject('/state');
      expect(JSON.parse(body).journal.seq).toBeGreaterThan(0);
    });
    await probe.stop();
    expect((await answers).map(({ status }) => status)).toEqual(Array(20).fill(204));
    await closed;
  });
});

it('shows health, journal and counts to its operator', async () => {
  const probe = await started();
  await post(probe.at, beacon(await planOf(probe.at)));
  await post(probe.at, 'x');
  await vi.waitFor(async () => {
    const { body } = await probe.context.admin.inject('/state');
    expect(JSON.parse(body)).toMatchObject({ journal: { seq: 1, waiting: 0, lag: 0, lost: 0 }, listeners: [probe.at] });
  });
  const metrics = await probe.context.registry.metrics();
  expect(metrics).toContain('ufes_probe_beacons_total{outcome="accepted",source="rum",service="probe"} 1');
  expect(metrics).toContain('ufes_probe_beacons_total{outcome="malformed",source="rum",service="probe"} 1');
  expect(metrics).toMatch(/ufes_probe_journal_sync_seconds_count\{service="probe"\} 1/);
});
