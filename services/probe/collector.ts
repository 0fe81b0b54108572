/**
 * What browsers speak to: the script, plans, and beacons, which are acknowledged when they are on disk.
 *
 *     POST /rum/beacon ─▶ parse ─▶ check token ─▶ journal ─▶ 204
 *                           │           │            └─✗ too much waiting, disk full: 503
 *                           │           └─✗ forged, expired, another network's: 403; a target not in the plan: 400
 *                           └─✗ too large: 413; no JSON, wrong field: 400
 *
 * Whom a sample is about: the peer, or on a listener with `proxy: v2` the client that the proxy names. Pages of any site
 * may read every answer here; nothing in it depends on who asks but the token.
 */
import type { IncomingMessage } from 'node:http';
import type { DesiredPop, DesiredState } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { type Address, cellOf, formatPrefix, parseAddress } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log, Rng } from '@ufes/core/ports.ts';
import { type Beacon, checkBeacon, type Observation, type Plan, type SampleRecord } from '@ufes/core/samples.ts';
import { createHttp, type HttpApp, type HttpReply } from '@ufes/io/http.ts';
import { clientAddress } from '@ufes/io/proxy-protocol.ts';
import { chooseTargets, fetches, weightOf } from './plan.ts';
import { createReceiver, type Receiver } from './receive.ts';
import type { BeaconScript } from './script.ts';
import { newTokenId, signToken, type TokenClaims, verifyToken } from './token.ts';

export type Outcome = 'accepted' | 'too-large' | 'malformed' | 'token' | 'refused';

export interface CollectorParts {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly tokenKey: Uint8Array;
  readonly script: BeaconScript;
  /** Base URLs of `probes.collectors`; none: the one a plan was asked from. */
  readonly collectors: readonly string[];
  readonly desired: () => DesiredState | undefined;
  /** Index of the PoP nearest to a client by place, when that is known. */
  readonly nearest: (client: Address, pops: readonly DesiredPop[]) => number | undefined;
  /** Resolves when the record is durable. */
  readonly append: (record: SampleRecord) => Promise<void>;
  readonly onPlan: () => void;
  readonly onBeacon: (outcome: Outcome, source: string) => void;
}

/** The routes of one listener: `source` is the name under which its evidence is kept; `tls` is how plans name it. */
export function createCollector(parts: CollectorParts, listener: { source: string; tls: boolean }): HttpApp {
  const app = createHttp(parts.log, { bodyBytes: limits.probe.beaconBytes });
  app.addHook('onRequest', async (_, reply) => {
    reply.header('access-control-allow-origin', '*').header('timing-allow-origin', '*');
  });

  app.get('/healthz', () => ({ status: 'ok' }));

  app.get('/rum.js', (request, reply) => {
    const { body, etag } = parts.script;
    reply
      .header('etag', etag)
      .header('cache-control', 'public, max-age=300')
      .header('cross-origin-resource-policy', 'cross-origin');
    if (request.headers['if-none-match'] === etag) return reply.code(304).send();
    return reply.type('text/javascript; charset=utf-8').send(body);
  });

  app.get('/rum/plan', (request, reply) => {
    reply.header('cache-control', 'no-store');
    const client = clientOf(request.raw);
    parts.onPlan();
    return makePlan(parts, client, sinksFor(parts, request.raw, listener.tls));
  });

  app.options('/rum/beacon', (_, reply) => preflight(reply));
  return app;
}

/** Beacons of one listener; all else is the app's. */
export function beaconReceiver(parts: CollectorParts, { source }: { source: string }): Receiver {
  return createReceiver({
    log: parts.log,
    take: (request, body) => takeBeacon(parts, clientOf(request), source, body),
    onStatus: (status) => parts.onBeacon(outcomeOf(status), source),
  });
}

/** For a sender that sets a content type of its own; ours needs no preflight. */
function preflight(reply: HttpReply): HttpReply {
  return reply
    .code(204)
    .header('access-control-allow-methods', 'POST')
    .header('access-control-allow-headers', 'content-type')
    .header('access-control-max-age', '86400')
    .send();
}

function clientOf(request: IncomingMessage): Address {
  const address = parseAddress(clientAddress(request.socket) ?? '');
  if (address === undefined) throw new OperatingError('NOT_RUNNING', 'the client has gone');
  return address;
}

function sinksFor({ collectors }: CollectorParts, request: IncomingMessage, tls: boolean): string[] {
  const { host } = request.headers;
  const bases = collectors.length > 0 ? collectors : [`${tls ? 'https' : 'http'}://${host ?? 'localhost'}`];
  return bases.map((base) => `${base.replace(/\/$/, '')}/rum/beacon`);
}

function makePlan(parts: CollectorParts, client: Address, sinks: readonly string[]): Plan {
  const desired = parts.desired();
  if (desired === undefined) {
    throw new OperatingError('NOT_RUNNING', 'no desired state yet: nothing is known that could be measured');
  }
  const chosen = chooseTargets(desired, (pops) => parts.nearest(client, pops), parts.rng);
  const expiresAtMs = parts.clock.nowMs() + limits.probe.tokenMs;
  // The label is new for each plan: it joins what dns and edge saw of this client, and no cache can answer for it.
  const label = Buffer.from(parts.rng.bytes(8)).toString('hex');
  const targets = new Map(chosen.map(({ id, p }) => [id, weightOf(p)]));
  const claims = { id: newTokenId(parts.rng), expiresAtMs, prefix: formatPrefix(cellOf(client)), targets };
  return {
    token: signToken(parts.tokenKey, claims),
    expiresAtMs,
    fetches,
    targets: chosen.map(({ id, url }) => ({ id, url: url.replace('*', label) })),
    sinks,
  };
}

async function takeBeacon(parts: CollectorParts, client: Address, source: string, body: string): Promise<void> {
  const beacon = parseBeacon(body);
  const atMs = parts.clock.nowMs();
  const prefix = formatPrefix(cellOf(client));
  const claims = verifyToken(parts.tokenKey, beacon.token, prefix, atMs);
  await parts.append({
    token: claims.id,
    tokenExpiresAtMs: claims.expiresAtMs,
    atMs,
    source,
    kind: 'browser',
    prefix,
    observations: observationsOf(beacon, claims),
  });
}

function parseBeacon(body: string): Beacon {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (cause) {
    throw new OperatingError('REQUEST_INVALID', 'the body is not JSON', { cause });
  }
  const checked = checkBeacon(value);
  if ('problem' in checked) throw new OperatingError('REQUEST_INVALID', checked.problem);
  return checked.beacon;
}

function observationsOf({ results }: Beacon, { targets }: TokenClaims): Observation[] {
  const seen = new Set<string>();
  return results.map(({ target, ok, rttMs }, index) => {
    const weight = targets.get(target);
    if (weight === undefined)
      throw new OperatingError('REQUEST_INVALID', `results.${index}.target: "${target}" is not in the plan`);
    if (seen.has(target))
      throw new OperatingError('REQUEST_INVALID', `results.${index}.target: "${target}" is there twice`);
    seen.add(target);
    const median = medianOf(rttMs);
    return { target, ok, weight, ...(median === undefined ? {} : { rttMs: median }) };
  });
}

/** Of two, the lower: noise only ever adds. */
function medianOf(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1];
}

function outcomeOf(status: number): Outcome {
  if (status === 204) return 'accepted';
  if (status === 413) return 'too-large';
  if (status === 403) return 'token';
  return status < 500 ? 'malformed' : 'refused';
}
