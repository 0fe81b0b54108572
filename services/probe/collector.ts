/**
 * What browsers speak to: the script, plans, and beacons, which are acknowledged when they are on disk.
 *
 *     POST /rum/beacon ─▶ parse ─▶ admit (admission.ts) ─▶ journal ─▶ 204
 *                           │           │                    └─✗ too much waiting, disk full: 503
 *                           │           └─✗ token forged, expired, another network's: 403; over a cap: 429
 *                           └─✗ too large: 413; no JSON, wrong field, a target not in the plan: 400
 *
 * Whom a sample is about: the peer, or the client that a trusted proxy names (clients.ts). Pages of any site may read every
 * answer here; nothing in it depends on who asks but the token. Agents (agents.ts) ask and report as browsers do.
 */
import type { IncomingMessage } from 'node:http';
import type { DesiredPop, DesiredState } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { type Address, cellOf, formatPrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log, Rng } from '@ufes/core/ports.ts';
import type { TrustedProxies } from '@ufes/core/proxies.ts';
import type { RefusalReason } from '@ufes/core/quarantine-words.ts';
import { type Beacon, checkBeacon, type Observation, type Plan, type SampleRecord } from '@ufes/core/samples.ts';
import type { BeaconBudget } from '@ufes/core/steering/asking.ts';
import { weightOf } from '@ufes/core/steering/targets.ts';
import { createHttp, type HttpApp, type HttpReply } from '@ufes/io/http.ts';
import type { Admission } from './admission.ts';
import type { Agents } from './agents.ts';
import type { Believed, PlanDemand } from './beliefs.ts';
import { clientOf } from './clients.ts';
import type { ProbeListener } from './listen.ts';
import { chooseTargets, fetches } from './plan.ts';
import { createReceiver, type Receiver } from './receive.ts';
import { Refusal } from './refusals.ts';
import type { BeaconScript } from './script.ts';
import { labelOf, newTokenId, signToken, type TokenClaims } from './token.ts';
import type { TokenKeys } from './token-keys.ts';

export type Outcome = 'accepted' | 'too-large' | 'malformed' | 'token' | 'too-many' | 'refused';

export interface CollectorParts {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly tokenKeys: TokenKeys;
  readonly script: BeaconScript;
  /** Base URLs of `probes.collectors`; none: the one a plan was asked from. */
  readonly collectors: readonly string[];
  readonly desired: () => DesiredState | undefined;
  readonly believed: (client: Address, pops: readonly DesiredPop[]) => Believed;
  readonly budget: BeaconBudget;
  readonly demand: PlanDemand;
  readonly trusted: TrustedProxies;
  readonly admission: Admission;
  readonly agents: Agents;
  /** A beacon of a client that was not taken. */
  readonly onRefusal: (reason: RefusalReason, client: Address, source: string) => void;
  /** Resolves when the record is durable. */
  readonly append: (record: SampleRecord) => Promise<void>;
  readonly onPlan: () => void;
  readonly onBeacon: (outcome: Outcome, source: string) => void;
}

export type Door = Pick<ProbeListener, 'source' | 'tls' | 'proxy'>;

/** The routes of one listener: `source` is the name under which its evidence is kept; `tls` is how plans name it. */
export function createCollector(parts: CollectorParts, listener: Door): HttpApp {
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
    const client = clientOf(request.raw, listener, parts.trusted);
    parts.onPlan();
    const isAgent = refusing(parts, client, listener, () => parts.agents.of(request.raw, '', client)) !== undefined;
    return makePlan(parts, client, isAgent, sinksFor(parts, request.raw, listener.tls));
  });

  app.options('/rum/beacon', (_, reply) => preflight(reply));
  return app;
}

/** Beacons of one listener; all else is the app's. */
export function beaconReceiver(parts: CollectorParts, listener: Door): Receiver {
  return createReceiver({
    log: parts.log,
    take: (request, body) => takeBeacon(parts, listener, request, body),
    onStatus: (status) => parts.onBeacon(outcomeOf(status), listener.source),
  });
}

/** Counts why somebody is refused. */
function refusing<T>({ onRefusal }: CollectorParts, client: Address, { source }: Door, act: () => T): T {
  try {
    return act();
  } catch (thrown) {
    if (thrown instanceof Refusal) onRefusal(thrown.reason, client, source);
    throw thrown;
  }
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

function sinksFor({ collectors }: CollectorParts, request: IncomingMessage, tls: boolean): string[] {
  const { host } = request.headers;
  const bases = collectors.length > 0 ? collectors : [`${tls ? 'https' : 'http'}://${host ?? 'localhost'}`];
  return bases.map((base) => `${base.replace(/\/$/, '')}/rum/beacon`);
}

function makePlan(parts: CollectorParts, client: Address, isAgent: boolean, sinks: readonly string[]): Plan {
  const desired = parts.desired();
  if (desired === undefined) {
    throw new OperatingError('NOT_RUNNING', 'no desired state yet: nothing is known that could be measured');
  }
  const nowMs = parts.clock.nowMs();
  const beliefs = parts.believed(client, desired.pops);
  const asked = isAgent ? 1 : parts.budget.chance(beliefs.uncertaintyMs * parts.demand.count(client, nowMs), nowMs);
  const chosen = asked < 1 && parts.rng.next() >= asked ? [] : chooseTargets(desired, beliefs, parts.rng);
  const expiresAtMs = nowMs + limits.probe.tokenMs;
  // The label is new for each plan: it joins what dns and edge saw of this client, and no cache can answer for it.
  const id = newTokenId(parts.rng);
  const label = labelOf(id);
  const targets = new Map(chosen.map(({ id: target, p }) => [target, weightOf(asked * p)]));
  const claims = { id, expiresAtMs, prefix: formatPrefix(cellOf(client)), targets };
  return {
    token: signToken(parts.tokenKeys.current, claims),
    expiresAtMs,
    fetches,
    targets: chosen.map(({ id: target, url }) => ({ id: target, url: url.replace('*', label) })),
    sinks,
  };
}

async function takeBeacon(parts: CollectorParts, door: Door, request: IncomingMessage, body: string): Promise<void> {
  const client = clientOf(request, door, parts.trusted);
  const beacon = parseBeacon(body);
  const atMs = parts.clock.nowMs();
  const { admission, agents } = parts;
  const { agent, claims, prefix, isLoose } = refusing(parts, client, door, () => {
    const agent = agents.of(request, body, client);
    const admitted = admission.admit(beacon.token, client, atMs, agent === undefined);
    if (agent !== undefined) agents.count(agent, client);
    return { agent, ...admitted };
  });
  await parts.append({
    token: claims.id,
    tokenExpiresAtMs: claims.expiresAtMs,
    atMs,
    source: agent === undefined ? door.source : 'agent',
    kind: agent === undefined ? 'browser' : 'agent',
    prefix,
    observations: observationsOf(beacon, claims),
    ...(isLoose && { isLoose }),
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
  if (status === 429) return 'too-many';
  return status < 500 ? 'malformed' : 'refused';
}
