/**
 * From an accepted socket to exchanges: TLS with SNI and ALPN, then node's HTTP/1.1 or HTTP/2 server. Sockets of all
 * listeners share the servers here, which never listen themselves.
 *
 *     socket ── secure ──▶ TLS ── ALPN h2 ───▶ http2 ── stream ───▶ exchange
 *        │                  └──── http/1.1 ──▶ http1 ── request ──▶ exchange
 *        └── clear ────────────────────────▶ http1
 */
import { createServer as createHttp, type IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttp2, type ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTls, type TLSSocket } from 'node:tls';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log, Rng } from '@ufes/core/ports.ts';
import { type Reason, reasons } from '@ufes/core/routing/reasons.ts';
import { clientAddress as proxiedAddress } from '@ufes/io/proxy-protocol.ts';
import type { HandshakeTime, KeyPair } from '../../data-plane.ts';
import { type ClientConnection, clientAddress, type Exchange } from './exchange.ts';
import { Http1Exchange } from './exchange-h1.ts';
import { Http2Exchange } from './exchange-h2.ts';
import type { Listener } from './listeners.ts';
import { type CertificateBook, tlsOptions } from './tls.ts';

export interface ConnectionsOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly defaultPair: KeyPair;
  readonly book: () => CertificateBook;
  /** New connections are told that they are the last. */
  readonly closing: () => boolean;
  readonly onExchange: (exchange: Exchange) => void;
  readonly onUpgrade: (exchange: Exchange, upgrade: Upgrade) => void;
  readonly onHandshake: (handshake: HandshakeTime) => void;
  /** A request that was answered before it became an exchange. */
  readonly onRefused: (reason: Reason) => void;
}

/** What a WebSocket needs beside its exchange: the client's socket, once nothing more will be answered through HTTP. */
export interface Upgrade {
  readonly rawHeaders: readonly string[];
  /** The socket, with what the client has sent after the request, and without node's HTTP on it. */
  take(): { socket: Duplex; head: Buffer };
}

export interface Connections {
  accept(listener: Listener, socket: Socket): void;
  close(): void;
}

interface Accepted {
  readonly listener: Listener;
  readonly atMs: number;
  readonly socket: Socket;
  /** Our part of a TLS 1.3 handshake was ready to be sent, the client's came in. */
  flightAtMs?: number;
  finishedAtMs?: number;
  flightBytes?: number;
}

/** Beginnings of what `keylog` tells: OpenSSL makes each key at that step of the handshake. */
const flightReady = Buffer.from('SERVER_TRAFFIC_SECRET_0 ');
const finishedRead = Buffer.from('CLIENT_TRAFFIC_SECRET_0 ');

export function createConnections(options: ConnectionsOptions): Connections {
  const { clock, book, log } = options;
  /** By the client's and our own end, between accept and the end of the handshake. */
  const shaking = new Map<string, Accepted>();
  const connections = new WeakMap<Duplex, Connection>();

  const tls = createTls({
    ...tlsOptions,
    // For clients without SNI.
    cert: options.defaultPair.certificate,
    key: options.defaultPair.key,
    ALPNProtocols: ['h2', 'http/1.1'],
    handshakeTimeout: limits.edge.headerMs,
    // One key for all certificates and addresses here: a client may resume on any of them.
    ticketKeys: Buffer.from(options.rng.bytes(48)),
    SNICallback: (name, done) => done(null, book().choose(name.toLowerCase()).context),
  });
  // Node has no event between ClientHello and the end of the handshake but this one. The keys go nowhere.
  tls.on('keylog', (line: Buffer, socket) => {
    const isFlight = begins(line, flightReady);
    if (!isFlight && !begins(line, finishedRead)) return;
    const accepted = shaking.get(ends(socket));
    if (accepted === undefined) return;
    if (isFlight) accepted.flightAtMs = clock.monotonicMs();
    else {
      accepted.finishedAtMs = clock.monotonicMs();
      accepted.flightBytes = accepted.socket.bytesWritten;
    }
  });
  tls.on('secureConnection', (socket) => {
    const accepted = shaking.get(ends(socket));
    if (accepted === undefined) {
      socket.destroy(); // its connection has gone meanwhile
      return;
    }
    shaking.delete(ends(socket));
    const name = typeof socket.servername === 'string' ? socket.servername.toLowerCase() : '';
    const tlsMs = clock.monotonicMs() - accepted.atMs;
    open(accepted, socket, book().choose(name).name, tlsMs, handshakeOf(accepted, socket));
  });
  tls.on('tlsClientError', (error, socket) => {
    log.debug({ client: socket.remoteAddress, error: error.message }, 'TLS handshake failed');
    socket.destroy();
  });

  const http1 = createHttp(
    {
      maxHeaderSize: limits.edge.headerBytes,
      headersTimeout: limits.edge.headerMs,
      requestTimeout: 0, // bodies may take long; the route's time-out bounds them
      keepAliveTimeout: limits.edge.idleMs,
      connectionsCheckingInterval: 1_000,
      requireHostHeader: false, // checked in admit, with a reason
      shouldUpgradeCallback: isWebSocket,
    },
    (request, response) => {
      const connection = connections.get(request.socket);
      if (connection === undefined) return void request.socket.destroy();
      // What follows a request whose end is in doubt may be part of it: its answer is the last.
      if (connection.last?.problem !== undefined) return;
      connection.last = new Http1Exchange(connection, request, response, clock.monotonicMs());
      options.onExchange(connection.last);
    },
  );
  http1.maxHeadersCount = 0; // node would drop the excess without a word; admit counts
  http1.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const connection = connections.get(socket);
    if (connection === undefined) return void socket.destroy();
    const response = new ServerResponse(request);
    response.assignSocket(request.socket);
    response.shouldKeepAlive = false;
    response.on('finish', () => socket.end());
    const exchange = new Http1Exchange(connection, request, response, clock.monotonicMs());
    socket.on('error', () => {});
    options.onUpgrade(exchange, {
      rawHeaders: request.rawHeaders,
      take: () => {
        response.detachSocket(request.socket);
        return { socket, head };
      },
    });
  });
  http1.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const reason = refusal(error.code);
    if (reason === undefined || !socket.writable) return void socket.destroy();
    const { inFlight = 0, last } = connections.get(socket) ?? {};
    if (inFlight === 0) {
      options.onRefused(reason);
      socket.end(rawAnswer(reason));
    } else if (inFlight === 1 && last?.responded === false && last.onInvalid !== undefined) last.onInvalid();
    // In the middle of an answer nothing sensible can be said any more.
    else socket.destroy();
  });
  http1.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    // Node has taken its HTTP off the socket: of answers under way nothing more can be said.
    if ((connections.get(socket)?.inFlight ?? 0) > 0) return void socket.destroy();
    options.onRefused('method-unsupported');
    socket.end(rawAnswer('method-unsupported'), () => socket.destroy());
  });
  // Starts node's check of header time-outs, which otherwise begins when a server listens by itself.
  http1.emit('listening');

  const http2 = createHttp2({
    settings: { maxConcurrentStreams: limits.edge.streams, maxHeaderListSize: limits.edge.headerBytes },
    maxHeaderListPairs: limits.edge.headers + 4, // pseudo-headers come on top
    // Only together do the two take effect.
    streamResetBurst: limits.edge.resetBurst,
    streamResetRate: limits.edge.resetsPerSecond,
    strictSingleValueFields: false,
  });
  http2.on('session', (session) => {
    session.on('error', () => {});
    const connection = opening;
    if (connection === undefined) return void session.destroy();
    connection.session = session;
    session.setTimeout(limits.edge.idleMs, () => connection.inFlight === 0 && session.close());
    session.on('stream', (stream, _headers, _flags, rawHeaders) => {
      options.onExchange(new Http2Exchange(connection, stream, rawHeaders as string[], clock.monotonicMs()));
    });
    if (options.closing()) connection.announceClose();
  });
  /** The connection that `http2` is being handed; its `session` event comes before `emit` returns. */
  let opening: Connection | undefined;

  function open(
    accepted: Accepted,
    socket: Socket,
    certificate: string,
    tlsMs: number,
    handshake?: HandshakeTime,
  ): void {
    const secure = socket !== accepted.socket;
    const address = clientAddress(proxiedAddress(accepted.socket));
    const connection = new Connection(socket, address, secure, certificate, tlsMs, handshake);
    if (handshake !== undefined) options.onHandshake(handshake);
    connections.set(socket, connection);
    if (accepted.listener.sockets.has(accepted.socket)) accepted.listener.sockets.set(accepted.socket, connection);
    if (options.closing() || accepted.listener.state === 'closing') connection.closing = true;
    socket.on('error', () => {});
    if (secure && (socket as TLSSocket).alpnProtocol === 'h2') {
      opening = connection;
      http2.emit('connection', socket);
      opening = undefined;
    } else http1.emit('connection', socket);
  }

  return {
    accept(listener, socket) {
      const accepted = { listener, atMs: clock.monotonicMs(), socket };
      if (!listener.at.secure) {
        open(accepted, socket, '', 0);
        return;
      }
      const key = ends(socket);
      shaking.set(key, accepted);
      socket.on('close', () => shaking.get(key) === accepted && shaking.delete(key));
      tls.emit('connection', socket);
    },
    close() {
      http1.close();
      http1.closeAllConnections();
    },
  };
}

function handshakeOf(
  { flightAtMs, finishedAtMs, flightBytes = 0 }: Accepted,
  socket: TLSSocket,
): HandshakeTime | undefined {
  if (flightAtMs === undefined || finishedAtMs === undefined) return undefined;
  return { rttMs: finishedAtMs - flightAtMs, isResumed: socket.isSessionReused(), flightBytes };
}

function begins(line: Buffer, label: Buffer): boolean {
  return line.length > label.length && line.compare(label, 0, label.length, 0, label.length) === 0;
}

function ends(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}

class Connection implements ClientConnection {
  readonly address: string;
  readonly secure: boolean;
  readonly certificate: string;
  readonly tlsMs: number;
  readonly handshake: HandshakeTime | undefined;
  requests = 0;
  probe = '';
  closing = false;
  session: ServerHttp2Session | undefined;
  /** The newest exchange over HTTP/1.x. */
  last: Exchange | undefined;
  readonly #socket: Socket;
  #inFlight = 0;
  #closeWhenIdle = false;

  constructor(
    socket: Socket,
    address: string,
    secure: boolean,
    certificate: string,
    tlsMs: number,
    handshake: HandshakeTime | undefined,
  ) {
    this.#socket = socket;
    this.address = address;
    this.secure = secure;
    this.certificate = certificate;
    this.tlsMs = tlsMs;
    this.handshake = handshake;
  }

  get inFlight(): number {
    return this.#inFlight;
  }
  set inFlight(value: number) {
    this.#inFlight = value;
    if (value === 0 && this.#closeWhenIdle && this.session === undefined) this.#socket.destroySoon();
  }

  announceClose(): void {
    this.closing = true;
    // RFC 9113 §6.8: first with the highest stream number, so that requests on their way are still taken.
    if (this.session?.closed === false && !this.session.destroyed) this.session.goaway(0, 2 ** 31 - 1);
  }

  closeWhenIdle(): void {
    this.closing = true;
    this.#closeWhenIdle = true;
    if (this.session !== undefined) this.session.close();
    else if (this.#inFlight === 0) this.#socket.destroySoon();
  }

  destroy(): void {
    this.session?.destroy();
    this.#socket.destroy();
  }
}

function isWebSocket(request: IncomingMessage): boolean {
  return request.method === 'GET' && request.headers.upgrade?.toLowerCase() === 'websocket';
}

/** What to say for an error of node's parser; undefined when the connection is simply gone. */
function refusal(code: string | undefined): Reason | undefined {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers-too-large';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request-timeout';
  return code?.startsWith('HPE_') ? 'bad-request' : undefined;
}

function rawAnswer(reason: Reason): string {
  const [status, text] = reasons[reason];
  const body = `${text} (${reason})\n`;
  const head = [
    `HTTP/1.1 ${status} ${statusTexts[status] ?? 'Error'}`,
    `ufes-reason: ${reason}`,
    'content-type: text/plain',
  ];
  return `${head.join('\r\n')}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
}

const statusTexts: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
};
