/**
 * DNS over TCP (RFC 7766): messages with a two-byte length, pipelined. Answers go out as they are made; a client may not
 * rely on their order.
 *
 * Nobody can keep the others out. Of one network (/24, /56) at most `tcpPerClient` connections are held and of all
 * `tcpConnections`: past either, the one longest without a whole query gives way. The time a connection may be without a
 * whole query, however it dribbles bytes or leaves answers unread, is `tcpIdleMs` while fewer than half are in use and
 * shrinks to `tcpIdleMsMin` as they fill. One that pipelines gets `tcpTurn` answers, then it is the next one's turn.
 */
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { type Peer, parsePeer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { type Endpoint, formatEndpoint } from '@ufes/io/address.ts';
import { bindError } from './bind-error.ts';
import type { Counters } from './counters.ts';
import { type AnswerFunction, type BatchSource, noPeer } from './source.ts';
import { TcpConnection } from './tcp-connection.ts';

export interface TcpBounds {
  readonly tcpConnections: number;
  readonly tcpPerClient: number;
  readonly tcpIdleMs: number;
  readonly tcpIdleMsMin: number;
  readonly tcpTurn: number;
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
  const { endpoint, log, clock, bounds = limits.dns } = init;
  const label = `tcp ${formatEndpoint(endpoint)}`;
  const connections = new Connections(init, bounds);
  let server: Server | undefined;
  let port = endpoint.port;
  let cancelSweep = () => {};

  return {
    label,
    get port() {
      return port;
    },
    open: () =>
      new Promise((resolve, reject) => {
        server = createServer({ noDelay: true, highWaterMark: bounds.tcpBacklogBytes }, (socket) =>
          connections.accept(socket),
        );
        const opening = server;
        opening.once('error', (cause) => reject(bindError(label, cause)));
        const { fd } = init;
        const own = { host: endpoint.address, port: endpoint.port, ipv6Only: isIPv6(endpoint.address) };
        opening.listen(fd === undefined ? own : { fd }, () => {
          opening.removeAllListeners('error');
          opening.on('error', (error) => log.warn({ listener: label, error: error.message }, 'dns: socket error'));
          const address = opening.address();
          if (address !== null && typeof address === 'object') port = address.port;
          cancelSweep = clock.every(limits.dns.tcpSweepMs, () => connections.sweep());
          resolve();
        });
      }),
    close: () =>
      new Promise((resolve) => {
        if (server === undefined) return resolve();
        cancelSweep();
        // Each ends in a pause after its next answer; who asks nothing for half the time, or without a pause, then.
        connections.drain();
        const cancels = [
          clock.after(bounds.tcpDrainMs / 2, () => connections.finishAll()),
          clock.after(bounds.tcpDrainMs, () => connections.endAll()),
        ];
        server.close(() => {
          for (const cancel of cancels) cancel();
          resolve();
        });
        server = undefined;
      }),
  };
}

/** Those that are open, in the order of their last whole query, and by network. */
class Connections {
  readonly #init: TcpInit;
  readonly #bounds: TcpBounds;
  readonly #all = new Set<TcpConnection>();
  readonly #byClient = new Map<string, Set<TcpConnection>>();
  /** With whole queries left from their last turn. */
  #waiting: TcpConnection[] = [];

  constructor(init: TcpInit, bounds: TcpBounds) {
    this.#init = init;
    this.#bounds = bounds;
  }

  accept(socket: Socket): void {
    const peer = parsePeer(socket.remoteAddress ?? '') ?? noPeer;
    const client = clientOf(peer);
    const same = this.#byClient.get(client) ?? new Set();
    if (same.size >= this.#bounds.tcpPerClient) this.#giveWay(same);
    else if (this.#all.size >= this.#bounds.tcpConnections) this.#giveWay(this.#all);
    this.#byClient.set(client, same);
    const { answerer, clock } = this.#init;
    const connection: TcpConnection = new TcpConnection(socket, peer, answerer, this.#bounds.tcpTurn, {
      active: () => {
        connection.activeAtMs = clock.monotonicMs();
        for (const set of [this.#all, same]) {
          set.delete(connection);
          set.add(connection);
        }
      },
      closed: () => {
        this.#all.delete(connection);
        same.delete(connection);
        if (same.size === 0 && this.#byClient.get(client) === same) this.#byClient.delete(client);
      },
      unfinished: () => this.#queue(connection),
      afterQuiet: (fn) => clock.after(limits.dns.tcpQuietMs, fn),
    });
    connection.activeAtMs = clock.monotonicMs();
    this.#all.add(connection);
    same.add(connection);
  }

  /** Ends those that have been without a whole query for too long; the longest stand first. */
  sweep(): void {
    const beforeMs = this.#init.clock.monotonicMs() - this.#idleMs();
    for (const connection of this.#all) {
      if (connection.activeAtMs > beforeMs) return;
      connection.end();
    }
  }

  drain(): void {
    for (const connection of this.#all) connection.drain();
  }

  finishAll(): void {
    for (const connection of this.#all) connection.finish();
  }

  endAll(): void {
    for (const connection of this.#all) connection.end();
  }

  #giveWay(among: Set<TcpConnection>): void {
    const longest = among.values().next().value;
    if (longest === undefined) return;
    this.#init.counters.tcpRefused++;
    longest.end();
  }

  #idleMs(): number {
    const { tcpConnections, tcpIdleMs, tcpIdleMsMin } = this.#bounds;
    const pressure = Math.max(0, (2 * this.#all.size) / tcpConnections - 1);
    return Math.max(tcpIdleMsMin, tcpIdleMs - pressure * (tcpIdleMs - tcpIdleMsMin));
  }

  #queue(connection: TcpConnection): void {
    if (this.#waiting.push(connection) === 1) setImmediate(() => this.#nextTurns());
  }

  /** After what others sent meanwhile has been read. */
  #nextTurns(): void {
    const turn = this.#waiting;
    this.#waiting = [];
    for (const connection of turn) connection.turn();
  }
}

function clientOf({ family, hi, lo }: Peer): string {
  return family === 4 ? `4 ${hi >>> 8}` : `6 ${hi} ${lo >>> 8}`;
}
