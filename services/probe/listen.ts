/**
 * The collector's listeners: for each of `listeners.probe` a server, with TLS of the internal CA and a PROXY v2 reader in
 * front where the configuration says so.
 *
 *     net (proxy: v2) ─▶ https or http ─▶ beacons (receive.ts)
 *                                      └▶ routes (collector.ts)
 */
import { createServer as createHttpServer, type Server as HttpServer, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { isIP, type Server, type Socket } from 'node:net';
import type { Config } from '@ufes/core/config/schema.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, Log } from '@ufes/core/ports.ts';
import type { TrustedProxies } from '@ufes/core/proxies.ts';
import { type Endpoint, formatEndpoint, parseEndpoint } from '@ufes/io/address.ts';
import { type HttpApp, listenTcp } from '@ufes/io/http.ts';
import type { InternalCa } from '@ufes/io/internal-ca.ts';
import { rateLimited } from '@ufes/io/log.ts';
import { createProxyServer } from '@ufes/io/proxy-protocol.ts';
import type { Receiver } from './receive.ts';

export type ProbeListener = Config['listeners']['probe'][number];

export interface ListenOptions {
  readonly listener: ProbeListener;
  readonly app: HttpApp;
  /** Asked first. */
  readonly receiver: Receiver;
  /** Called for a listener with `tls` alone. */
  readonly ca: () => Promise<InternalCa>;
  /** Base URLs of `probes.collectors`: their hosts are in the certificate. */
  readonly collectors: readonly string[];
  readonly trusted: TrustedProxies;
  readonly clock: Clock;
  readonly log: Log;
}

export interface CollectorServer extends Component {
  /** Where it listens, after start. */
  address(): Endpoint;
}

const serverOptions: ServerOptions = {
  headersTimeout: limits.probe.requestMs,
  requestTimeout: limits.probe.requestMs,
  connectionsCheckingInterval: limits.probe.requestCheckMs,
  keepAliveTimeout: limits.probe.idleMs,
  maxHeaderSize: 16 << 10,
};

/** `start` rejects with ADDRESS_IN_USE or ADDRESS_UNAVAILABLE. */
export function createCollectorServer(options: ListenOptions): CollectorServer {
  const { listener, app, receiver, trusted, clock, log } = options;
  let bound = parseEndpoint(listener.address);
  let front: Server | undefined;
  let http: HttpServer | undefined;
  const open = new Set<Socket>();

  async function start(): Promise<void> {
    await app.ready();
    http = await createServer(options);
    http.on('request', (request, response) => {
      if (!receiver(request, response)) app.routing(request, response);
    });
    const limit = rateLimited(10_000, () => clock.monotonicMs());
    const onRefused = (peer: string, why: string): void =>
      limit('proxy', (suppressed) =>
        log.warn({ peer, why, suppressed, listener: listener.address }, 'connection refused'),
      );
    const believes = (peer: string): boolean => trusted.has(peer);
    front = listener.proxy === 'v2' ? createProxyServer({ target: http, believes, clock, onRefused }) : http;
    front.maxConnections = limits.probe.connections;
    front.on('connection', (socket: Socket) => {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
    });
    bound = await listenTcp(front, bound);
    const { tls, source, proxy } = listener;
    log.info({ address: formatEndpoint(bound), tls, source, proxy }, 'collector listens');
  }

  return {
    start,
    /** Requests under way are answered, for up to a second. */
    async stop() {
      const closed = new Promise<void>((resolve) => (front === undefined ? resolve() : front.close(() => resolve())));
      http?.closeIdleConnections();
      const cancelIdle = clock.every(20, () => http?.closeIdleConnections());
      const cancel = clock.after(limits.probe.drainMs, () => {
        for (const socket of open) socket.destroy();
      });
      await closed;
      cancelIdle();
      cancel();
      await app.close();
    },
    address: () => bound,
  };
}

async function createServer({ listener, ca, collectors }: ListenOptions): Promise<HttpServer> {
  if (!listener.tls) return createHttpServer(serverOptions);
  const names = certificateNames(listener.address, collectors);
  const { certificate, key } = await (await ca()).issue(names);
  return createHttpsServer({ ...serverOptions, cert: certificate, key });
}

/** What the certificate covers: hosts of the collectors' URLs, localhost, and the listener's own address. */
function certificateNames(address: string, collectors: readonly string[]): string[] {
  const hosts = collectors.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''));
  const own = parseEndpoint(address).address;
  return [...new Set([...hosts, 'localhost', ...(isIP(own) !== 0 && !/^[0.:]+$/.test(own) ? [own] : [])])];
}
