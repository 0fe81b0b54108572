/**
 * DNS over TCP (RFC 7766): messages with a two-byte length, pipelined, answered in order as they come.
 *
 * Bounds: at `tcpConnections` the one longest without a whole query gives way; a connection without a whole query for
 * `tcpIdleMs` ends, however slowly it dribbles bytes; one that does not read its answers is not read from.
 */
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { parsePeer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { type Endpoint, formatEndpoint } from '@ufes/io/address.ts';
import { bindError } from './bind-error.ts';
import type { Counters } from './counters.ts';
import { type AnswerFunction, type BatchSource, noPeer } from './source.ts';

const messageBytesMax = 65_535;

export interface TcpBounds {
  readonly tcpConnections: number;
  readonly tcpIdleMs: number;
  readonly tcpBacklogBytes: number;
  readonly tcpDrainMs: number;
}

export interface TcpInit {
  readonly endpoint: Endpoint;
  /** A listening socket of that endpoint, which becomes the source's; else it opens one. */
  readonly fd?: number;
  readonly answerer: AnswerFunction;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly bounds?: TcpBounds;
}

export function createTcpSource(init: TcpInit): BatchSource {
  const { endpoint, log, counters, bounds = limits.dns } = init;
  const label = `tcp ${formatEndpoint(endpoint)}`;
  /** Longest without a whole query first. */
  const connections = new Set<Connection>();
  let server: Server | undefined;
  let port = endpoint.port;

  function accept(socket: Socket): void {
    const oldest = connections.size >= bounds.tcpConnections ? connections.values().next().value : undefined;
    if (oldest !== undefined) {
      counters.tcpRefused++;
      oldest.end();
    }
    const connection: Connection = new Connection(socket, init, bounds, {
      active: () => {
        connections.delete(connection);
        connections.add(connection);
      },
      closed: () => connections.delete(connection),
    });
    connections.add(connection);
  }

  return {
    label,
    get port() {
      return port;
    },
    open: () =>
      new Promise((resolve, reject) => {
        server = createServer({ noDelay: true, highWaterMark: bounds.tcpBacklogBytes }, accept);
        const opening = server;
        opening.once('error', (cause) => reject(bindError(label, cause)));
        const { fd } = init;
        const own = { host: endpoint.address, port: endpoint.port, ipv6Only: isIPv6(endpoint.address) };
        opening.listen(fd === undefined ? own : { fd }, () => {
          opening.removeAllListeners('error');
          opening.on('error', (error) => log.warn({ listener: label, error: error.message }, 'dns: socket error'));
          const address = opening.address();
          if (address !== null && typeof address === 'object') port = address.port;
          resolve();
        });
      }),
    close: () =>
      new Promise((resolve) => {
        if (server === undefined) return resolve();
        server.close(() => resolve());
        server = undefined;
        for (const connection of connections) connection.finish();
        init.clock.after(bounds.tcpDrainMs, () => {
          for (const connection of connections) connection.end();
        });
      }),
  };
}

interface Owner {
  readonly active: () => void;
  readonly closed: () => void;
}

class Connection {
  readonly #socket: Socket;
  readonly #init: TcpInit;
  readonly #bounds: TcpBounds;
  readonly #owner: Owner;
  readonly #peer;
  #waiting: Buffer = Buffer.alloc(0);
  #cancelIdle: () => void = () => {};

  constructor(socket: Socket, init: TcpInit, bounds: TcpBounds, owner: Owner) {
    this.#socket = socket;
    this.#init = init;
    this.#bounds = bounds;
    this.#owner = owner;
    this.#peer = parsePeer(socket.remoteAddress ?? '') ?? noPeer;
    this.#restartIdle();
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('drain', () => this.#resume());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#cancelIdle();
      owner.closed();
    });
  }

  /** At once. */
  end(): void {
    this.#owner.closed();
    this.#socket.destroy();
  }

  /** After the answers under way. */
  finish(): void {
    this.#socket.end(() => this.#socket.destroy());
  }

  #restartIdle(): void {
    this.#cancelIdle();
    this.#cancelIdle = this.#init.clock.after(this.#bounds.tcpIdleMs, () => this.end());
  }

  #take(chunk: Buffer): void {
    this.#waiting = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk]);
    this.#answerWaiting();
  }

  #resume(): void {
    this.#socket.resume();
    this.#answerWaiting();
  }

  /** Answers whole messages until none is left or the peer lags behind in reading. */
  #answerWaiting(): void {
    const socket = this.#socket;
    const { answerer } = this.#init;
    let at = 0;
    let answered = false;
    socket.cork();
    while (this.#waiting.length - at >= 2) {
      if (socket.writableNeedDrain) {
        socket.pause();
        break;
      }
      const size = this.#waiting.readUInt16BE(at);
      if (this.#waiting.length - at - 2 < size) break;
      const length = answerer.answer(this.#waiting.subarray(at + 2, at + 2 + size), this.#peer, true);
      at += 2 + size;
      answered = true;
      if (length === 0) continue;
      const framed = Buffer.allocUnsafe(2 + Math.min(length, messageBytesMax));
      framed.writeUInt16BE(length, 0);
      framed.set(answerer.out.subarray(0, length), 2);
      socket.write(framed);
    }
    socket.uncork();
    this.#waiting = this.#waiting.subarray(at);
    if (!answered) return;
    this.#restartIdle();
    this.#owner.active();
  }
}
