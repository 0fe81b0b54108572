import { createSocket } from 'node:dgram';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Config } from '@ufes/core/config/schema.ts';
import type { DesiredState } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import type { Store } from '@ufes/core/ports.ts';
import { encodeMap } from '@ufes/core/steering/map-bytes.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import { localBus } from '@ufes/io/bus.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { main } from './main.ts';
import { type Answer, buildMap, desiredState, type QueryInit, query, readAnswer } from './testing.ts';

/** How packets come in, in the suite that runs. */
let udp: Config['dns']['udp'] = 'batched';
const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A port that was free just now, for UDP and TCP. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const socket = createSocket('udp4');
  const free = await new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(false));
    socket.bind(port, '127.0.0.1', () => resolve(true));
  });
  await new Promise<void>((resolve) => socket.close(resolve));
  await new Promise((resolve) => server.close(resolve));
  return free ? port : freePort();
}

function ask(port: number, init: QueryInit = {}): Promise<Answer> {
  const socket = createSocket('udp4');
  return new Promise<Answer>((resolve, reject) => {
    socket.once('message', (bytes) => resolve(readAnswer(bytes)));
    socket.once('error', reject);
    socket.send(query(init), port, '127.0.0.1');
  }).finally(() => socket.close());
}

/** Nothing listens on port 1: this node's own checks fail, so it suspects itself and the votes of others decide. */
const desired = (over: Partial<DesiredState> = {}): DesiredState => {
  const state = desiredState(over);
  return { ...state, pops: state.pops.map((pop) => ({ ...pop, httpsPort: 1 })) };
};
const mapTo = (...ranking: string[]) => encodeMap(buildMap(desired(), [{ from: '0.0.0.0', ranking }]));
const goneStore = (): Store => {
  const gone = () => Promise.reject(new OperatingError('STORE_UNAVAILABLE', 'gone'));
  const part = new Proxy({}, { get: () => gone });
  return new Proxy({} as Store, { get: (_, name) => (name === 'close' ? async () => {} : part) });
};

const writer = async (): Promise<TestContext> => {
  const context = await testContext({ node: 'writer', bus: localBus() });
  cleanups.push(() => context.dispose());
  return context;
};

async function startDns(shared: TestContext, change: { store?: Store } = {}, dns: Partial<Config['dns']> = {}) {
  const port = await freePort();
  const context = await testContext({
    node: 'dns',
    state: shared.state,
    bus: shared.bus,
    config: {
      listeners: { ...shared.config.listeners, dns: [`127.0.0.1:${port}`] },
      dns: { ...shared.config.dns, threads: 2, udp, ...dns },
    },
  });
  let ready: string | true = 'not told';
  const service = main({
    ...context,
    ...change,
    ready: (ok, why) => {
      ready = ok ? true : (why ?? '');
    },
  });
  const stop = async () => {
    await service.stop();
    await context.dispose();
  };
  await service.start();
  let stopped: Promise<void> | undefined;
  const once = () => (stopped ??= stop());
  cleanups.push(once);
  const get = async (url: string) => {
    const reply = await context.admin.inject({ method: 'GET', url });
    return { status: reply.statusCode, body: reply.json() };
  };
  return { port, context, stop: once, get, ready: () => ready };
}

const publishDesired = (context: TestContext, state = desired()) =>
  publishArtefact(context, 'desired', (version) => new TextEncoder().encode(JSON.stringify({ ...state, version })));
const answers = (port: number, init: QueryInit = {}) => expect.poll(async () => (await ask(port, init)).answers);

describe.each(['batched', 'dgram'] as const)('dns, UDP %s', (source) => {
  beforeEach(() => {
    udp = source;
  });

  it('SERVFAILs until there is a desired state, then answers it at once', async () => {
    const shared = await writer();
    const dns = await startDns(shared);
    expect(await ask(dns.port)).toMatchObject({ rcode: 'SERVFAIL' });
    expect(dns.ready()).toBe('no desired state yet');
    expect((await dns.get('/explain?name=www.shop.example&client=192.0.2.1')).status).toBe(503);
    await publishDesired(shared);
    await answers(dns.port).toEqual(['www.shop.example 5 A 127.0.10.1']);
    expect(dns.ready()).toBe(true);
  });

  it('swaps to a new map and a new desired state', async () => {
    const shared = await writer();
    await publishDesired(shared);
    await publishArtefact(shared, 'map', mapTo('iad', 'lon', 'sin-2'));
    const dns = await startDns(shared);
    expect((await ask(dns.port)).answers).toEqual(['www.shop.example 5 A 127.0.20.1']);
    await publishArtefact(shared, 'map', mapTo('sin-2', 'lon', 'iad'));
    await answers(dns.port).toEqual(['www.shop.example 5 A 127.0.30.1']);
    await publishDesired(shared, desired({ services: [] }));
    await expect.poll(async () => (await ask(dns.port)).rcode).toBe('NXDOMAIN');
  });

  it('takes no corrupt map: the one before stays, over a restart without the store too', async () => {
    const shared = await writer();
    await publishDesired(shared);
    await publishArtefact(shared, 'map', mapTo('iad', 'lon', 'sin-2'));
    const first = await startDns(shared);
    await publishArtefact(shared, 'map', mapTo('sin-2', 'lon', 'iad'));
    await answers(first.port).toEqual(['www.shop.example 5 A 127.0.30.1']);
    await publishArtefact(shared, 'map', new TextEncoder().encode('no map at all'));
    const rejected = () => first.context.registry.getSingleMetricAsString('ufes_artefact_rejected_total');
    await expect.poll(rejected).toContain('kind="map",service="dns"} 1');
    expect((await ask(first.port)).answers).toEqual(['www.shop.example 5 A 127.0.30.1']);
    await first.stop();

    const restarted = await startDns(shared, { store: goneStore() });
    expect((await ask(restarted.port)).answers).toEqual(['www.shop.example 5 A 127.0.30.1']);
    expect(restarted.ready()).toBe(true);
    await restarted.stop();

    const folder = join(shared.state, 'nodes', 'dns');
    const damage = async (name: string) => {
      const bytes = await readFile(join(folder, name));
      bytes[bytes.length - 1]! ^= 1;
      await writeFile(join(folder, name), bytes);
    };
    expect(await readdir(folder)).toEqual(expect.arrayContaining(['map.current', 'map.previous']));
    await damage('map.current');
    const stepped = await startDns(shared, { store: goneStore() });
    expect((await ask(stepped.port)).answers).toEqual(['www.shop.example 5 A 127.0.20.1']);
    await stepped.stop();

    await damage('map.previous');
    const bare = await startDns(shared, { store: goneStore() });
    expect((await ask(bare.port)).answers).toEqual(['www.shop.example 5 A 127.0.10.1']);
    const told = await bare.get('/explain?name=www.shop.example&client=192.0.2.1');
    expect(told.body).toMatchObject({ why: 'default list', answers: ['127.0.10.1'] });
    expect(told.body.map).toBeUndefined();
  });

  it('takes no desired state that cannot be served', async () => {
    const shared = await writer();
    await publishDesired(shared);
    const dns = await startDns(shared);
    await publishDesired(shared, desired({ zones: [{ origin: 'shop.example.', records: [] }] }));
    const rejected = () => dns.context.registry.getSingleMetricAsString('ufes_artefact_rejected_total');
    await expect.poll(rejected).toContain('kind="desired",service="dns"} 1');
    expect((await ask(dns.port)).answers).toEqual(['www.shop.example 5 A 127.0.10.1']);
  });

  it('votes of other vantages and drains move answers, and back', async () => {
    const shared = await writer();
    await publishDesired(shared);
    const dns = await startDns(shared);
    const { live } = shared.store;
    const vote = async (state: 'up' | 'down') => {
      const value = (of: 'up' | 'down') => ({ state: of, holdMs: 0, sinceMs: 0, atMs: Date.now() });
      await live.put([
        { key: 'vote/probe/lon', value: value(state), ttlMs: 60_000 },
        { key: 'vote/probe/iad', value: value('up'), ttlMs: 60_000 },
        { key: 'vote/probe/sin-2', value: value('up'), ttlMs: 60_000 },
      ]);
      shared.bus.wake('live');
      return (await ask(dns.port)).answers[0]?.split(' ').at(-1);
    };
    await expect.poll(() => vote('down')).toBe('127.0.20.1');
    expect((await dns.get('/state')).body).toMatchObject({
      pops: [
        { id: 'lon', state: 'down' },
        { id: 'iad', state: 'up' },
        { id: 'sin-2', state: 'up' },
      ],
    });
    await expect.poll(() => vote('up')).toBe('127.0.10.1');
    await live.put([{ key: 'drain/lon', value: {}, ttlMs: 60_000 }]);
    await expect.poll(() => vote('up')).toBe('127.0.20.1');
    expect((await dns.get('/explain?name=www.shop.example&client=192.0.2.1')).body.pops[0]).toMatchObject({
      pop: 'lon',
      passed: 'draining',
    });
    await live.remove(['drain/lon']);
    await expect.poll(() => vote('up')).toBe('127.0.10.1');
  });

  it('tells what it answers, over its admin socket', async () => {
    const shared = await writer();
    await publishDesired(shared);
    const dns = await startDns(shared);
    await ask(dns.port, { ecs: { address: '192.0.2.0', source: 24 } });
    await ask(dns.port, { name: 'ab12-lon.probe.example.' });
    expect((await dns.get('/answers?since=0')).body).toMatchObject({
      last: 1,
      answers: [{ seq: 1, name: 'www.shop.example.', client: '192.0.2.0/24', pop: 'lon' }],
    });
    expect((await dns.get('/probe-queries')).body.queries).toMatchObject([
      { id: 'ab12', pop: 'lon', resolver: '127.0.0.1' },
    ]);
    expect((await dns.get('/answers?since=x')).status).toBe(400);
    expect((await dns.get('/explain?name=www.shop.example')).status).toBe(400);
    expect((await dns.get('/explain?name=www.shop.example&client=192.0.2.1&type=MX')).status).toBe(400);
    expect((await dns.get('/explain?name=www.other.test&client=192.0.2.1')).status).toBe(404);
    expect((await dns.get('/explain?name=www.shop.example&client=192.0.2.1')).body).toMatchObject({
      service: 'shop',
      answers: ['127.0.10.1'],
      scope: 0,
    });
    const metrics = await dns.context.registry.metrics();
    expect(metrics).toContain('ufes_dns_queries_total{transport="udp",rcode="NOERROR",service="dns"} 2');
    expect(metrics).toContain('ufes_dns_pop_state{pop="lon",service="dns"}');
  });
});
