/**
 * The dashboard over HTTP: one document for every page's address, its assets, and the API.
 *
 *     request ─▶ Host is this machine's? ─▶ route ─▶ security headers ─▶ answer
 *                     └ no: 421                └ unknown: 404 {code, message}
 */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { type MapChanges, parseMapperHistory, parseRollup, type Trend } from '@ufes/core/dashboard.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { parseAddress, parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { type Evidence, type Explanation, withEvidence } from '@ufes/core/steering/explanation.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { createHttp, type HttpApp, type HttpReply } from '@ufes/io/http.ts';
import { isLoopbackHost } from './address.ts';
import { apartState } from './apart.ts';
import type { Asset, Site } from './bundle.ts';
import type { Ask, Collector } from './collect.ts';
import type { EventHub } from './events.ts';
import { openApi } from './openapi.ts';
import { Part } from './part.ts';

export interface ServerInit {
  readonly log: Log;
  readonly site: Site;
  readonly collector: Collector;
  readonly hub: EventHub;
  readonly ask: Ask;
  /** Adds the routes of jobs, /api/jobs. */
  readonly addJobs: (app: HttpApp) => void;
  /** Undefined: ready; else why not. */
  readonly notReady: () => string | undefined;
  /** Prometheus text and its type. */
  readonly metrics: () => Promise<{ type: string; text: string }>;
}

const securityHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const;

const pages = ['/', '/world', '/compare', '/explain', '/changes', '/quarantine', '/services', '/jobs'];

export function createServer(init: ServerInit): HttpApp {
  const { log, collector } = init;
  const app = createHttp(log, { bodyBytes: 1024 });
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(securityHeaders);
    if (!isLoopbackHost(request.headers.host ?? '')) return misdirected(reply);
    if (request.method === 'GET' || request.method === 'HEAD' || isOwn(request.headers)) return;
    return reply
      .code(403)
      .send({ code: 'REQUEST_INVALID', message: 'orders come from the dashboard’s own pages alone' });
  });
  addSite(app, init.site);
  addEvents(app, init.hub);

  app.get('/api/world', async (_request, reply) => fresh(reply).send(collector.world()));
  app.get('/api/compare', async (_request, reply) => fresh(reply).send(collector.compare()));
  app.get('/api/status', async (_request, reply) => fresh(reply).send(await collector.status()));
  app.get('/api/explain', async (request, reply) => fresh(reply).send(await explain(init.ask, request.query)));
  app.get('/api/changes', async (request, reply) => fresh(reply).send(await changes(init.ask, request.query)));
  app.get('/api/quarantine', async (request, reply) => fresh(reply).send(await apartState(init.ask, request.query)));
  app.get('/api/trend', async (request, reply) => fresh(reply).send(await trend(init.ask, request.query)));
  init.addJobs(app);
  app.get('/openapi.json', async () => openApi);

  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const why = init.notReady();
    return why === undefined ? { status: 'ready' } : reply.code(503).send({ code: 'NOT_READY', message: why });
  });
  app.get('/metrics', async (_request, reply) => {
    const { type, text } = await init.metrics();
    return reply.type(type).send(text);
  });
  return app;
}

function misdirected(reply: HttpReply): HttpReply {
  return reply.code(421).send({
    code: 'REQUEST_INVALID',
    message: 'the dashboard answers to localhost and loopback addresses alone; open http://127.0.0.1:PORT/',
  });
}

/** Another site's page that sends an order says where it is; what is no browser says nothing. */
function isOwn({ 'sec-fetch-site': site, origin, host }: IncomingHttpHeaders): boolean {
  if (origin !== undefined && origin !== `http://${host}`) return false;
  return site === undefined || site === 'same-origin';
}

type Reply = { header(name: string, value: string): Reply; send(value: unknown): unknown };
const fresh = <R extends Reply>(reply: R): R => {
  reply.header('cache-control', 'no-store');
  return reply;
};

function addSite(app: HttpApp, site: Site): void {
  for (const path of pages) {
    app.get(path, async (request, reply) => {
      // Not stored: it names the assets of this very process.
      reply.header('cache-control', 'no-cache');
      return sendAsset(reply, request.headers['accept-encoding'], site.document);
    });
  }
  for (const [path, asset] of site.assets) {
    app.get(path, async (request, reply) => {
      const hashed = path.startsWith('/assets/');
      reply.header('cache-control', hashed ? 'public, max-age=31536000, immutable' : 'public, max-age=86400');
      return sendAsset(reply, request.headers['accept-encoding'], asset);
    });
  }
}

function sendAsset(reply: Reply, accepted: string | string[] | undefined, asset: Asset): unknown {
  reply.header('content-type', asset.type).header('vary', 'accept-encoding');
  if (!/\bgzip\b/.test(String(accepted ?? ''))) return reply.send(asset.plain);
  return reply.header('content-encoding', 'gzip').send(asset.gzipped);
}

function addEvents(app: HttpApp, hub: EventHub): void {
  app.get('/api/events', async (_request, reply) => {
    const raw: ServerResponse = reply.raw;
    if (hub.clients() >= limits.dashboard.eventClients) {
      return reply
        .code(503)
        .header('retry-after', '10')
        .send({
          code: 'QUEUE_FULL',
          message: `${limits.dashboard.eventClients} pages are open already; close some`,
        });
    }
    reply.hijack();
    hub.join(raw, securityHeaders);
    return reply;
  });
}

function isPrefix(text: unknown): text is string {
  return typeof text === 'string' && parsePrefix(text) !== undefined;
}

/** What was published, as the mapper keeps it. Without the mapper there is nothing, and why. */
async function changes(ask: Ask, query: unknown): Promise<MapChanges> {
  const { limit = '100', all } = query as Readonly<Record<string, unknown>>;
  const count = Number(limit);
  if (!(Number.isInteger(count) && count > 0 && count <= limits.dashboard.changes)) {
    throw new OperatingError('REQUEST_INVALID', `limit: a whole number up to ${limits.dashboard.changes} is wanted`);
  }
  const part = new Part<Omit<MapChanges, 'missing'>>({
    part: 'What was published',
    node: 'mapper',
    everyMs: 0,
    clock: systemClock,
    ask: async () =>
      parseMapperHistory(await ask.json('mapper', `/history?limit=${count}${all === '1' ? '&all=1' : ''}`)),
  });
  await part.poll();
  const missing = part.missing();
  return { publications: [], ...part.value, missing: missing === undefined ? [] : [missing] };
}

/** Hours as the mapper rolled them up. Without the mapper there are none, and why. */
async function trend(ask: Ask, query: unknown): Promise<Trend> {
  const { hours = '168' } = query as Readonly<Record<string, unknown>>;
  const count = Number(hours);
  if (!(Number.isInteger(count) && count > 0 && count * 3_600_000 <= limits.mapper.rollupKeptMs)) {
    throw new OperatingError('REQUEST_INVALID', 'hours: a whole number up to 744 is wanted');
  }
  const part = new Part<Omit<Trend, 'missing'>>({
    part: 'Response times by hour',
    node: 'mapper',
    everyMs: 0,
    clock: systemClock,
    ask: async () => parseRollup(await ask.json('mapper', `/rollup?hours=${count}`)),
  });
  await part.poll();
  const missing = part.missing();
  return { hours: part.value?.hours ?? [], missing: missing === undefined ? [] : [missing] };
}

/** Checked here, so that a typing mistake is told in words; the decision is dns's own, the evidence the mapper's. */
async function explain(ask: Ask, query: unknown): Promise<Explanation> {
  const { name, client, resolver, at, type = 'A' } = query as Readonly<Record<string, unknown>>;
  if (typeof name !== 'string' || name === '' || name.length > limits.dashboard.queryChars) {
    throw new OperatingError('REQUEST_INVALID', 'name: a steered name is wanted, e.g. www.shop.example');
  }
  if ((client === undefined && resolver === undefined) || (client !== undefined && !isPrefix(client))) {
    throw new OperatingError(
      'REQUEST_INVALID',
      'client: an address or prefix is wanted, e.g. 192.0.2.7 or 192.0.2.0/24, or the address of a resolver',
    );
  }
  if (resolver !== undefined && (typeof resolver !== 'string' || parseAddress(resolver) === undefined)) {
    throw new OperatingError('REQUEST_INVALID', 'resolver: an address is wanted, e.g. 198.51.100.53');
  }
  if (typeof type !== 'string' || !['A', 'AAAA', 'HTTPS'].includes(type)) {
    throw new OperatingError('REQUEST_INVALID', 'type: A, AAAA or HTTPS is wanted');
  }
  if (at !== undefined && !(typeof at === 'string' && /^\d{1,15}$/.test(at))) {
    throw new OperatingError('REQUEST_INVALID', 'at: milliseconds since 1970 are wanted');
  }
  const asked = new URLSearchParams();
  for (const [key, value] of Object.entries({ name, client, resolver, type, at })) {
    if (value !== undefined) asked.set(key, value);
  }
  // Of the past a map is read and unpacked first.
  const timeoutMs = at === undefined ? limits.dashboard.askMs : limits.dashboard.pastMs;
  const decision = (await ask.json('dns', `/explain?${asked}`, timeoutMs)) as Explanation;
  const about = new URLSearchParams({ client: decision.placed.replace(/\/.*/, ''), service: decision.name });
  const evidence = (await ask.json('mapper', `/evidence?${about}`).catch(() => undefined)) as Evidence | undefined;
  return withEvidence(decision, evidence);
}
