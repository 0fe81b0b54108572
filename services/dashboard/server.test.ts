import { withDefaults } from '@ufes/core/config/defaults.ts';
import { type Config, configSchema } from '@ufes/core/config/schema.ts';
import type { LiveEvent } from '@ufes/core/dashboard.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { type HttpApp, listenTcp } from '@ufes/io/http.ts';
import { silentLog } from '@ufes/io/log.ts';
import { registerJobsApi } from '@ufes/io/queue/jobs-api.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildSite, type Site } from './bundle.ts';
import { type Ask, createCollector } from './collect.ts';
import { createEventHub, type EventHub } from './events.ts';
import { noPlaces } from './places.ts';
import { createServer } from './server.ts';
import { topologyOfConfig } from './topology.ts';

const config = withDefaults(configSchema, {
  pops: { lon: { location: [51.5, -0.1], vips: { v4: '192.0.2.1' } } },
  origins: {},
  services: {},
}) as Config;
const headers = { host: '127.0.0.1:8090' };

let site: Site;
let app: HttpApp;
let hub: EventHub;
let asked: string[];
let json: Ask['json'];
let notReady: string | undefined;
let context: TestContext;

beforeAll(async () => {
  site = await buildSite();
  hub = createEventHub();
  asked = [];
  context = await testContext({ node: 'dashboard', config });
  const ask: Ask = {
    json: (node, path) => {
      asked.push(`${node}${path}`);
      return json(node, path);
    },
    any: async () => ({ status: 200, text: '{}' }),
  };
  json = async () => {
    throw new OperatingError('NOT_RUNNING', 'no ufes dns runs');
  };
  const collector = createCollector({
    topology: () => topologyOfConfig(config),
    clock: new ManualClock(),
    ask,
    places: noPlaces,
    hub,
  });
  app = createServer({
    log: silentLog,
    site,
    collector,
    hub,
    ask,
    addJobs: (to) => registerJobsApi(to, context, '/api/jobs'),
    metrics: async () => ({ type: 'text/plain; version=0.0.4', text: 'up 1\n' }),
    notReady: () => notReady,
  });
});
afterAll(async () => {
  hub.close();
  await app.close();
  await context.dispose();
});
const get = (url: string, more: Record<string, string> = {}) => app.inject({ url, headers: { ...headers, ...more } });

describe('pages', () => {
  test('every page’s address gives the one document, which names hashed assets that are kept for ever', async () => {
    const { body } = await get('/');
    for (const path of ['/world', '/compare?country=GB', '/explain', '/services']) {
      expect((await get(path)).body).toBe(body);
    }
    const named = [...body.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((match) => match[1]!);
    expect(named).toHaveLength(3);
    for (const path of named) {
      const response = await get(path, { 'accept-encoding': 'gzip, br' });
      expect(response.statusCode).toBe(200);
      expect(response.headers['cache-control']).toBe('public, max-age=31536000, immutable');
      expect(response.headers['content-encoding']).toBe('gzip');
      expect(response.headers['vary']).toContain('accept-encoding');
    }
    expect((await get('/nothing')).statusCode).toBe(404);
    expect((await get('/assets/..%2fmain.ts')).statusCode).toBe(404);
  });

  test('the same sources give the same names', async () => {
    expect([...(await buildSite()).assets.keys()]).toEqual([...site.assets.keys()]);
  });

  test('hold no script or style of their own, so that the policy can forbid any', async () => {
    const text = site.document.plain.toString();
    expect(text).not.toMatch(/<style|style=|\son[a-z]+=|<script(?![^>]*\bsrc=)/);
    for (const path of ['/', '/api/world', '/nothing', '/favicon.svg', '/healthz']) {
      const found = (await get(path)).headers;
      expect(found['content-security-policy']).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
      expect(found['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(found['content-security-policy']).not.toContain('unsafe');
      expect(found['x-content-type-options']).toBe('nosniff');
    }
  });
});

describe('the API', () => {
  test('answers to this machine’s names alone', async () => {
    expect((await get('/api/world', { host: 'localhost:1234' })).statusCode).toBe(200);
    const refused = await get('/api/world', { host: 'rebound.example:8090' });
    expect(refused.statusCode).toBe(421);
    expect(refused.json().message).toContain('http://127.0.0.1:PORT/');
  });

  test('has a world, a comparison and a status when nothing else runs', async () => {
    expect((await get('/api/world')).json().pops).toMatchObject([{ id: 'lon', state: 'unknown' }]);
    expect((await get('/api/compare')).json().compare).toBeUndefined();
    expect((await get('/api/status')).json().nodes[0]).toEqual({ node: 'dns', state: 'ready' });
    expect((await get('/api/world')).headers['cache-control']).toBe('no-store');
  });

  test('explains: a wrong question in words, a missing dns as such, evidence added when there is some', async () => {
    for (const [query, word] of [
      ['client=192.0.2.1', 'name'],
      ['name=www.shop.example', 'client'],
      ['name=www.shop.example&client=<b>', 'client'],
      ['name=www.shop.example&client=192.0.2.1&type=MX', 'type'],
      ['name=www.shop.example&resolver=there', 'resolver'],
      ['name=www.shop.example&client=192.0.2.1&at=yesterday', 'at'],
      [`name=${'a'.repeat(300)}&client=192.0.2.1`, 'name'],
      ['name=a&name=b&client=192.0.2.1', 'name'],
    ]) {
      const response = await get(`/api/explain?${query}`);
      expect(response.statusCode).toBe(400);
      expect(response.json().message).toMatch(new RegExp(`^${word}:`));
    }
    const good = '/api/explain?name=www.shop.example&client=192.0.2.0/24';
    expect((await get(good)).statusCode).toBe(503);

    const decision = { name: 'www.shop.example.', placed: '192.0.2.0/24', pops: [{ pop: 'lon', rank: 1 }] };
    const estimate = { clientMs: 9, lowMs: 8, highMs: 10, n: 21, tier: 'prefix' };
    json = async (node) =>
      node === 'dns' ? decision : { place: 'London, GB', asn: 64_500, estimates: { lon: estimate } };
    asked.length = 0;
    expect((await get(good)).json()).toEqual({
      ...decision,
      place: 'London, GB',
      asn: 64_500,
      pops: [{ pop: 'lon', rank: 1, estimate }],
    });
    expect(asked).toEqual([
      'dns/explain?name=www.shop.example&client=192.0.2.0%2F24&type=A',
      'mapper/evidence?client=192.0.2.0&service=www.shop.example.',
    ]);
  });

  test('hands the resolver and the time on', async () => {
    json = async () => ({ name: 'www.shop.example.', placed: '198.51.100.53', past: { sinceMs: 1 }, pops: [] });
    asked.length = 0;
    await get('/api/explain?name=www.shop.example&resolver=198.51.100.53&at=1764000000000');
    expect(asked[0]).toBe('dns/explain?name=www.shop.example&resolver=198.51.100.53&type=A&at=1764000000000');
  });

  test('lists changes as the mapper keeps them; without it nothing, and why', async () => {
    expect((await get('/api/changes')).json()).toMatchObject({ publications: [], missing: [{ node: 'mapper' }] });
    expect((await get('/api/changes?limit=0')).statusCode).toBe(400);
    const one = { atMs: 1, kind: 'hold', reasons: [{ guard: 'worse', text: 'worse' }], more: 1 };
    json = async () => ({ held: { sinceMs: 1, reasons: one.reasons, wanted: 0.4 }, publications: [one] });
    asked.length = 0;
    expect((await get('/api/changes?all=1')).json()).toMatchObject({
      held: { wanted: 0.4 },
      publications: [one],
      missing: [],
    });
    expect(asked).toEqual(['mapper/history?limit=100&all=1']);
    json = async () => ({ publications: 'none' });
    expect((await get('/api/changes')).json().missing[0].why).toContain('/history of mapper');
  });

  test('is described by an OpenAPI document whose references lead somewhere', async () => {
    const document = (await get('/openapi.json')).json();
    expect(document.openapi).toBe('3.1.0');
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
    expect(references.length).toBeGreaterThan(2);
    for (const [, name] of references) expect(document.components.schemas[name!]).toBeDefined();
    for (const path of Object.keys(document.paths)) {
      if (path === '/api/events') continue;
      const isOrder = document.paths[path].post !== undefined;
      const answer = isOrder ? await app.inject({ method: 'POST', url: path, headers, payload: {} }) : await get(path);
      expect(answer.statusCode).not.toBe(404);
    }
  });

  test('hours are shown as the mapper rolled them up; without it, why', async () => {
    const hour = {
      hourMs: 0,
      atMs: 1,
      paths: [],
      pairs: [{ country: 'GB', pop: 'lon', samples: 4, p50Ms: 9, p95Ms: 12 }],
    };
    json = async () => ({ hours: [hour] });
    expect((await get('/api/trend?hours=24')).json()).toEqual({ hours: [hour], missing: [] });
    expect((await get('/api/trend?hours=745')).json().message).toMatch(/^hours: /);
    json = async () => {
      throw new OperatingError('NOT_RUNNING', 'no ufes mapper runs');
    };
    expect((await get('/api/trend')).json()).toMatchObject({ hours: [], missing: [{ node: 'mapper' }] });
  });

  test('jobs are shown as the queue has them, and orders of its own pages carried out', async () => {
    const { jobs } = context.queue;
    expect((await get('/api/jobs')).json()).toMatchObject({ summary: [], jobs: [] });
    await jobs.schedule('rollup', 'hours', 3_600_000, null);
    await jobs.add('build', 'one', { cause: 'test' });
    const { summary, jobs: listed } = (await get('/api/jobs?state=waiting&limit=5')).json();
    expect(summary).toMatchObject([
      { name: 'build', waiting: 1 },
      { name: 'rollup', schedules: [{ id: 'hours' }] },
    ]);
    expect(listed).toMatchObject([{ name: 'build', id: 'one', state: 'waiting', data: { cause: 'test' } }]);
    expect((await get('/api/jobs?limit=0')).json().message).toMatch(/^limit: a whole number/);
    expect((await get('/api/jobs?state=lost')).json().message).toMatch(/^state: /);

    const order = (path: string, payload: object, more: Record<string, string> = {}) =>
      app.inject({ method: 'POST', url: `/api/jobs/${path}`, headers: { ...headers, ...more }, payload });
    expect((await order('retry', { name: 'build', id: 'one' })).statusCode).toBe(404);
    expect((await order('run', { name: 'build' })).json().message).toContain('there are: rollup');
    const foreigners: Record<string, string>[] = [
      { 'sec-fetch-site': 'cross-site' },
      { origin: 'http://www.shop.example' },
    ];
    for (const foreign of foreigners) {
      expect((await order('run', { name: 'rollup' }, foreign)).statusCode).toBe(403);
    }
    const own = { 'sec-fetch-site': 'same-origin', origin: 'http://127.0.0.1:8090' };
    expect((await order('run', { name: 'rollup', by: 'ops' }, own)).statusCode).toBe(200);
    expect(await jobs.list({ name: 'rollup', limit: 5 })).toMatchObject([{ id: expect.stringMatching(/^by hand /) }]);
    expect(await context.store.audit.list(1)).toMatchObject([{ actor: 'ops', action: 'jobs run' }]);
  });

  test('says whether it serves', async () => {
    expect((await get('/healthz')).statusCode).toBe(200);
    expect((await get('/readyz')).statusCode).toBe(200);
    notReady = 'starting';
    expect((await get('/readyz')).statusCode).toBe(503);
    notReady = undefined;
    expect((await get('/metrics')).body).toContain('up 1');
  });
});

describe('events', () => {
  test('a page is sent the newest of each kind at once, then what comes; a bounded number of pages', async () => {
    const bound = await listenTcp(app, '127.0.0.1:0');
    const url = `http://127.0.0.1:${bound.port}/api/events`;
    const users = (n: number): LiveEvent => ({
      type: 'users',
      data: [{ prefix: '192.0.2.0/24', latitude: n, longitude: 0, n, place: 'a\nb' }],
    });
    hub.send(users(1), true);
    hub.send(users(1), true);
    const abort = new AbortController();
    const first = await fetch(url, { signal: abort.signal });
    expect(first.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(first.headers.get('content-security-policy')).toContain("default-src 'none'");
    const reader = first.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const until = async (part: string) => {
      while (!text.includes(part)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`ended without ${part}`);
        text += value;
      }
    };
    await until('"latitude":1');
    expect(text).toMatch(/^retry: 2000\n\nevent: users\nid: 1\ndata: \[.*\]\n\n$/);
    hub.send(users(2), true);
    await until('"latitude":2');
    expect(text).toContain('id: 2\n');

    const others = await Promise.all(
      Array.from({ length: limits.dashboard.eventClients - 1 }, () => fetch(url, { signal: abort.signal })),
    );
    expect(others.every((one) => one.status === 200)).toBe(true);
    const refused = await fetch(url);
    expect(refused.status).toBe(503);
    expect(((await refused.json()) as { message: string }).message).toContain('close some');
    abort.abort();
    await expect.poll(() => hub.clients()).toBe(0);
    expect((await fetch(url, { signal: AbortSignal.timeout(5_000) })).status).toBe(200);
  });
});
