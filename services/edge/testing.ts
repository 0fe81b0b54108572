/** For the edge's tests: a plane on loopback with certificates of a CA of its own, origins, and clients that see raw bytes. */

import { mkdtemp, rm } from 'node:fs/promises';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { type ClientHttp2Session, connect as connectH2, type IncomingHttpHeaders } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { type AddressInfo, connect as connectTcp, createServer as createTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { DesiredHost, DesiredOrigin, DesiredPath, DesiredState } from '@ufes/core/desired.ts';
import { healthHost } from '@ufes/core/health.ts';
import { TrustedProxies } from '@ufes/core/proxies.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { ensureInternalCa, type InternalCa } from '@ufes/io/internal-ca.ts';
import { silentLog } from '@ufes/io/log.ts';
import { Registry } from '@ufes/io/metrics.ts';
import { systemRng } from '@ufes/io/rng.ts';
import { checked } from './certificates.ts';
import type { DataPlane, KeyPair } from './data-plane.ts';
import { createNodePlane } from './planes/node/plane.ts';
import { programOf } from './program.ts';

export async function freePort(): Promise<number> {
  const server = createTcp();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface TestOrigin {
  readonly endpoint: { address: string; port: number };
  close(): Promise<void>;
}

export async function startOrigin(listener: RequestListener, prepare?: (server: Server) => void): Promise<TestOrigin> {
  const server = createServer(listener);
  prepare?.(server);
  return listening(server, () => server.closeAllConnections());
}

/** An origin that speaks bytes. */
export async function startRawOrigin(onSocket: (socket: Socket) => void): Promise<TestOrigin> {
  const sockets = new Set<Socket>();
  const server = createTcp((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  return listening(server, () => {
    for (const socket of sockets) socket.destroy();
  });
}

async function listening(server: ReturnType<typeof createTcp>, cut: () => void): Promise<TestOrigin> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    cut();
    await closed;
  };
  return { endpoint: { address: '127.0.0.1', port }, close };
}

export function prefix(path: string, origin: string | undefined, timeoutMs = 5_000): DesiredPath {
  return { path, match: 'prefix', ...(origin === undefined ? {} : { origin }), timeoutMs };
}

export interface EdgeInit {
  readonly origins?: Readonly<Record<string, DesiredOrigin['endpoints']>>;
  readonly hosts?: readonly DesiredHost[];
  readonly healthPath?: string;
  /** At the start alone. */
  readonly proxy?: 'v2' | 'x-forwarded-for';
  readonly trustedProxies?: readonly string[];
}

export interface TestEdge {
  readonly plane: DataPlane;
  readonly ca: InternalCa;
  readonly httpsPort: number;
  readonly httpPort: number;
  readonly registry: Registry;
  /** Issues what `host` needs and puts the state in force. */
  apply(init: EdgeInit): Promise<void>;
  /** New certificate for a host; undefined takes it away. */
  setPair(host: string, pair: KeyPair | undefined): void;
  issue(...names: string[]): Promise<KeyPair>;
  close(): Promise<void>;
}

export async function startEdge(init: EdgeInit): Promise<TestEdge> {
  const state = await mkdtemp(join(tmpdir(), 'ufes-edge-'));
  const ca = await ensureInternalCa(state);
  const issue = async (...names: string[]): Promise<KeyPair> => checked(await ca.issue(names), names[0]);
  const [httpsPort, httpPort] = [await freePort(), await freePort()];
  const registry = new Registry();
  const plane = createNodePlane({
    pop: 'lon',
    trust: { by: init.proxy, proxies: new TrustedProxies(init.trustedProxies) },
    clock: systemClock,
    rng: systemRng,
    log: silentLog,
    registry,
    health: { intervalMs: 100, timeoutMs: 80, failures: 2, successes: 2 },
    defaultPair: await issue(healthHost),
  });
  const pairs = new Map<string, KeyPair>();
  let current: EdgeInit = init;
  const inForce = (): void => {
    const program = programOf(desiredState(current, httpsPort, httpPort), 'lon')!;
    plane.apply({ ...program, keyPairs: new Map(pairs) });
  };
  const apply = async (next: EdgeInit): Promise<void> => {
    current = next;
    for (const host of ['*.probe.example', ...(next.hosts ?? []).map((one) => one.host)]) {
      const name = `certificate/${host}`;
      if (!pairs.has(name)) pairs.set(name, await issue(host));
    }
    inForce();
  };
  await plane.start();
  const bound = new Promise<void>((resolve) => {
    plane.onListening(() => {
      const { listeners } = plane.stats();
      if (listeners.length === 2 && listeners.every((one) => one.state === 'listening')) resolve();
    });
  });
  await apply(init);
  await bound;
  return {
    plane,
    ca,
    httpsPort,
    httpPort,
    registry,
    apply,
    issue,
    setPair(host, pair) {
      if (pair === undefined) pairs.delete(`certificate/${host}`);
      else pairs.set(`certificate/${host}`, pair);
      inForce();
    },
    async close() {
      await plane.stop();
      await rm(state, { recursive: true, force: true });
    },
  };
}

export function desiredState(init: EdgeInit, httpsPort: number, httpPort: number): DesiredState {
  const health = init.healthPath === undefined ? {} : { healthPath: init.healthPath };
  return {
    format: 1,
    version: { ms: 1, writer: 'test' },
    createdAtMs: 1,
    pops: [
      {
        id: 'lon',
        title: 'London',
        latitude: 51.5,
        longitude: 0,
        vips: { v4: '127.0.0.1' },
        httpsPort,
        httpPort,
        requestsPerSecond: 1000,
        backboneRttMs: {},
      },
    ],
    origins: Object.entries(init.origins ?? {}).map(([id, endpoints]) => ({ id, endpoints, ...health })),
    zones: [],
    services: [],
    hosts: (init.hosts ?? []).map((host) => ({ secret: `certificate/${host.host}`, ...host })),
    vips: [],
    probe: { zone: 'probe.example.', sources: [] },
  };
}

export function host(name: string, ...paths: DesiredPath[]): DesiredHost {
  return { host: name, owner: 'config', paths };
}

// --- Clients -------------------------------------------------------------------------------------------------------

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Ask {
  readonly host?: string;
  /** SNI; default: the host. */
  readonly servername?: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
  /** Over clear text. */
  readonly plain?: boolean;
}

/** Over HTTP/1.1 on a connection of its own. */
export async function ask1(
  edge: TestEdge,
  { host: name = 'www.shop.example', plain = false, ...ask }: Ask = {},
): Promise<Answer> {
  const options = {
    host: '127.0.0.1',
    port: plain ? edge.httpPort : edge.httpsPort,
    path: ask.path ?? '/',
    method: ask.method ?? 'GET',
    headers: { host: name, ...ask.headers },
    agent: false as const,
  };
  const tls = { servername: ask.servername ?? name, ca: edge.ca.certificatePem, checkServerIdentity: () => undefined };
  const request = plain ? httpRequest(options) : httpsRequest({ ...options, ...tls });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject);
    request.end(ask.body);
  });
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const { statusCode = 0, headers, trailers } = response;
  return {
    status: statusCode,
    headers,
    trailers: trailers as IncomingHttpHeaders,
    body: Buffer.concat(chunks).toString(),
  };
}

export async function openH2(edge: TestEdge, servername = 'www.shop.example'): Promise<ClientHttp2Session> {
  const session = connectH2(`https://127.0.0.1:${edge.httpsPort}`, {
    servername,
    ca: edge.ca.certificatePem,
    checkServerIdentity: () => undefined,
  });
  await new Promise<void>((resolve, reject) => {
    session.once('connect', () => resolve());
    session.once('error', reject);
  });
  return session;
}

export async function ask2(
  session: ClientHttp2Session,
  { host: name = 'www.shop.example', ...ask }: Ask = {},
): Promise<Answer> {
  const stream = session.request(
    { ':method': ask.method ?? 'GET', ':path': ask.path ?? '/', ':authority': name, ...ask.headers },
    { endStream: ask.body === undefined },
  );
  if (ask.body !== undefined) stream.end(ask.body);
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  stream.on('response', (fields) => {
    headers = fields as IncomingHttpHeaders;
  });
  stream.on('trailers', (fields) => {
    trailers = fields;
  });
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { status: Number(headers[':status']), headers, trailers, body: Buffer.concat(chunks).toString() };
}

/** Writes bytes and gives all that came back before the other side closed (or `until` appeared). */
export async function raw(edge: TestEdge, bytes: string, until?: string): Promise<string> {
  const socket = await openTls(edge);
  socket.write(Buffer.from(bytes, 'latin1'));
  return readAll(socket, until);
}

export async function openTls(edge: TestEdge, servername = 'www.shop.example'): Promise<TLSSocket> {
  const socket = connectTls({
    host: '127.0.0.1',
    port: edge.httpsPort,
    servername,
    ca: edge.ca.certificatePem,
    checkServerIdentity: () => undefined,
    ALPNProtocols: ['http/1.1'],
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  socket.on('error', () => {});
  return socket;
}

export function openPlain(edge: TestEdge): Socket {
  return connectTcp(edge.httpPort, '127.0.0.1');
}

export function readAll(socket: Socket, until?: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const done = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (until !== undefined && text.includes(until)) done();
    });
    socket.on('close', done);
  });
}
