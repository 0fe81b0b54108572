/**
 * The life of a request on this plane.
 *
 *     admit ──▶ local? ──▶ same certificate? ──▶ match ──▶ forward ──▶ record
 *       │400 404 431  │200        │421             │404 500    │502 503 504
 *
 * Everything before `forward` is pure look-up; the table and the book are those in force when the request came.
 */
import { healthHost } from '@ufes/core/health.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { checkRequestHeaders, cleanRequest, type Fields } from '@ufes/core/routing/headers.ts';
import { type Authority, normaliseTarget, parseAuthority } from '@ufes/core/routing/normal.ts';
import type { Reason } from '@ufes/core/routing/reasons.ts';
import { match, matchHost, type Route, type RouteTable } from '@ufes/core/routing/route-table.ts';
import type { SeenProbe } from '../../data-plane.ts';
import { clientOf, type ProxyTrust } from './clients.ts';
import type { Upgrade } from './connections.ts';
import type { Exchange } from './exchange.ts';
import { Forward } from './forward.ts';
import { type LocalAnswer, probeAnswer, probeId, readiness, redirect, refusal } from './local.ts';
import type { Origins } from './origins.ts';
import type { Recorder } from './record.ts';
import { serverTiming, type Timing } from './timing.ts';
import type { CertificateBook } from './tls.ts';
import { Tunnel } from './tunnel.ts';

/** In force now; replaced whole. */
export interface InForce {
  readonly table: RouteTable;
  readonly book: CertificateBook;
  readonly httpsPort: number;
}

export interface HandlerOptions {
  readonly pop: string;
  readonly trust: ProxyTrust;
  readonly clock: Clock;
  readonly origins: Origins;
  readonly recorder: Recorder;
  readonly inForce: () => InForce;
  /** Why /readyz fails, if it does. */
  readonly unready: () => Reason | undefined;
  readonly newRequestId: () => string;
  readonly onProbe: (seen: SeenProbe) => void;
  /** +1 when a request begins, −1 when all of it is over. */
  readonly count: (change: 1 | -1) => void;
}

interface Admitted {
  readonly host: string;
  /** As the client wrote it, in normal form, with the port if it gave one. */
  readonly authority: string;
  readonly path: string;
  readonly query: string;
}

/** One request: what is known of it, for its answer and its record. */
interface Transaction {
  readonly exchange: Exchange;
  /** Address, behind trusted proxies. */
  readonly client: string;
  readonly timing: Timing;
  requestId: string;
  host: string;
  path: string;
  status: number;
  reason: string;
  forward?: Forward;
  tunnel?: Tunnel;
  origin?: string;
}

export type Handler = (exchange: Exchange, upgrade?: Upgrade) => void;

export function createHandler(options: HandlerOptions): Handler {
  const { clock, pop, origins, recorder } = options;

  function handle(exchange: Exchange, upgrade?: Upgrade): void {
    const { connection } = exchange;
    const tlsMs = connection.requests++ === 0 ? connection.tlsMs : 0;
    connection.inFlight++;
    options.count(1);
    const timing = { tlsMs, queueMs: 0, originMs: 0, totalMs: 0 };
    const client = clientOf(exchange, options.trust);
    const transaction: Transaction = {
      exchange,
      client,
      timing,
      requestId: '',
      host: '',
      path: '',
      status: 0,
      reason: '',
    };
    exchange.onClose = () => over(transaction);
    const admitted = admit(exchange);
    if (typeof admitted === 'string') {
      answer(transaction, refusal(admitted));
      return;
    }
    transaction.host = admitted.host;
    transaction.path = admitted.path;
    const chosen = choose(transaction, admitted);
    if (typeof chosen === 'string') answer(transaction, refusal(chosen));
    else if ('status' in chosen) answer(transaction, chosen);
    else carry(transaction, admitted, chosen, upgrade);
  }

  /** An answer of ours, a reason for a refusal, or the route to take. */
  function choose({ exchange, client }: Transaction, { host, path, query }: Admitted): LocalAnswer | Reason | Route {
    const { table, book, httpsPort } = options.inForce();
    const { connection } = exchange;
    const { secure, certificate } = connection;
    if (host === healthHost) return path === '/readyz' ? readiness(options.unready()) : 'no-path';
    if (secure && book.choose(host).name !== certificate) return 'misdirected';
    const probe = probeId(host, table.probeZone, pop);
    if (probe !== undefined) {
      if (path !== '/p') return 'no-path';
      if (connection.probe !== probe) {
        connection.probe = probe;
        // A browser may ask for other names of the same certificate on a connection that it has.
        // And the handshake of a proxy says nothing of the clients behind it.
        const isOwn = connection.requests === 1 && client === connection.address;
        options.onProbe({
          id: probe,
          client,
          atMs: clock.nowMs(),
          handshake: isOwn ? connection.handshake : undefined,
        });
      }
      return probeAnswer();
    }
    if (exchange.method === 'CONNECT' || exchange.method === 'TRACE') return 'method-unsupported';
    // Only hosts that are served here: else anybody's link would look like one of ours.
    if (!secure) return matchHost(table, host) === undefined ? 'no-host' : redirect(host, httpsPort, path + query);
    if (path === '*') return matchHost(table, host) === undefined ? 'no-host' : { status: 204, fields: {}, body: '' };
    return match(table, host, path);
  }

  function carry(transaction: Transaction, admitted: Admitted, route: Route, upgrade?: Upgrade): void {
    const { exchange } = transaction;
    const { secure, address } = exchange.connection;
    const { headers, requestId } = cleanRequest(exchange.rawHeaders, {
      scheme: secure ? 'https' : 'http',
      clientAddress: address,
      authority: admitted.authority,
      httpVersion: exchange.httpVersion,
      requestId: options.newRequestId(),
      via: 'ufes',
    });
    transaction.requestId = requestId;
    transaction.origin = route.cluster!.id;
    const path = admitted.path + admitted.query;
    const request = { exchange, cluster: route.cluster!, path, headers, timeoutMs: route.timeoutMs };
    const hooks = {
      clock,
      origins,
      decorate: (leg: Forward | Tunnel, fields: Fields) => decorate(transaction, leg, fields),
      refuse: (_leg: Forward | Tunnel, reason: Reason) => answer(transaction, refusal(reason)),
    };
    if (upgrade !== undefined) {
      transaction.tunnel = new Tunnel(request, upgrade, hooks, () => over(transaction));
      transaction.tunnel.start();
      return;
    }
    transaction.forward = new Forward(request, hooks);
    transaction.forward.start();
    const forwardClosed = exchange.onClose;
    exchange.onClose = () => {
      forwardClosed?.();
      over(transaction);
    };
  }

  function decorate(transaction: Transaction, leg: Forward | Tunnel, fields: Fields): void {
    const { timing, exchange } = transaction;
    timing.totalMs = clock.monotonicMs() - exchange.startMs;
    if (leg.sentMs > 0) {
      timing.queueMs = leg.sentMs - exchange.startMs;
      timing.originMs = leg.headersMs - leg.sentMs;
    }
    const ours = serverTiming(pop, timing, `direct:${transaction.origin}`);
    const theirs = fields['server-timing'];
    fields['server-timing'] = theirs === undefined ? ours : [...(Array.isArray(theirs) ? theirs : [theirs]), ours];
    const via = fields['via'];
    const hop = '1.1 ufes';
    fields['via'] = via === undefined ? hop : `${Array.isArray(via) ? via.join(', ') : via}, ${hop}`;
    fields['x-request-id'] = transaction.requestId;
  }

  function answer(transaction: Transaction, local: LocalAnswer): void {
    const { exchange, timing } = transaction;
    transaction.status = local.status;
    transaction.reason = local.reason ?? '';
    timing.totalMs = clock.monotonicMs() - exchange.startMs;
    const fields: Fields = { ...local.fields, 'server-timing': serverTiming(pop, timing) };
    if (transaction.requestId !== '') fields['x-request-id'] = transaction.requestId;
    if (local.status !== 204) fields['content-length'] = String(Buffer.byteLength(local.body));
    const empty = local.body === '' || exchange.method === 'HEAD';
    if (exchange.closed || exchange.responded) return;
    exchange.respond(local.status, fields, empty);
    if (empty) return;
    exchange.write(Buffer.from(local.body));
    exchange.end();
  }

  const ended = new WeakSet<Transaction>();
  function over(transaction: Transaction): void {
    if (ended.has(transaction)) return;
    ended.add(transaction);
    const { exchange, client, forward, tunnel, timing, requestId, host, path, origin, reason } = transaction;
    exchange.connection.inFlight--;
    options.count(-1);
    const status = transaction.status || forward?.status || tunnel?.status || 499;
    const endpoint = (forward ?? tunnel)?.endpoint?.name;
    recorder.record({
      exchange,
      client,
      status,
      timing,
      reason: forward?.cut ? 'cut' : reason,
      requestId,
      host,
      path,
      ...(origin === undefined ? {} : { origin }),
      ...(endpoint === undefined ? {} : { endpoint }),
      retries: forward?.retries ?? 0,
    });
  }

  return handle;
}

function admit(exchange: Exchange): Admitted | Reason {
  const refused = exchange.problem ?? checkRequestHeaders(exchange.rawHeaders);
  if (refused !== undefined) return refused;
  const target = normaliseTarget(exchange.method, exchange.target);
  if (typeof target === 'string') return target === 'bad-authority' ? 'bad-host' : 'bad-path';
  // The absolute form's authority counts, but a Host that is none is refused all the same (RFC 9112 §3.2).
  const named = exchange.authority === undefined ? undefined : parseAuthority(exchange.authority);
  if (named === undefined && (exchange.authority !== undefined || target.authority === undefined)) return 'bad-host';
  const authority = target.authority ?? named!;
  return { host: authority.host, authority: formatAuthority(authority), path: target.path, query: target.query };
}

function formatAuthority({ host, port }: Authority): string {
  return port === undefined ? host : `${host}:${port}`;
}
