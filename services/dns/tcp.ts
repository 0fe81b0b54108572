/**
 * DNS over TCP (RFC 7766): messages with a two-byte length, pipelined. Answers go out as they are made; a client may not
 * rely on their order.
 *
 * Nobody can keep the others out. Of one network (/24, /56) at most `tcpPerClient` connections are held and of all
 * `tcpConnections`: past either, the one longest without a whole query gives way. The time a connection may be without a
 * whole query, however it dribbles bytes or leaves answers unread, is `tcpIdleMs` while fewer than half are in use and
 * shrinks to `tcpIdleMsMin` as they fill. A network that pipelines gets `tcpTurn` answers, over all of its connections,
 * then everybody else is looked at: a round of the event loop.
 *
 * At `close` connections pass to the process that takes this one's place, and their clients notice nothing. Without one
 * they end: who asks for the keepalive is told 0 (RFC 7828 §3.2.2), the others get a FIN in a pause of their queries.
 */
import { createServer, isIPv6, type Server, Socket } from 'node:net';
import { describeError } from '@ufes/core/errors.ts';
import { type Peer, parsePeer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { type Endpoint, formatEndpoint } from '@ufes/io/address.ts';
import { duplicateSocket } from '@ufes/io/udp/mmsg.ts';
import { bindError } from './bind-error.ts';
import type { Counters } from './counters.ts';
import { type AnswerFunction, type BatchSource, noPeer } from './source.ts';
import { type ConnectionOwner, TcpConnection } from './tcp-connection.ts';

export interface TcpBounds {
  readonly tcpConnections: number;
  readonly tcpPerClient: number;
  readonly tcpIdleMs: number;
  readonly tcpIdleMsMin: number;
  readonly tcpLingerMs: number;
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

/** A connection on its way from one process to another. */
export interface OpenConnection {
  readonly fd: number;
  /** Came, and has not been answered. */
  readonly unread: Uint8Array;
}

/** Gives connections to another process: all or, when it is behind, none. Throws when it is not there. */
export type PassOn = (connections: readonly OpenConnection[]) => boolean;

export interface TcpSource extends BatchSource {
  /** Goes on with one of another process. */
  adopt(connection: OpenConnection): void;
  close(passOn?: PassOn): Promise<void>;
}

export function createTcpSource(init: TcpInit): TcpSource {
  const { endpoint, log, clock, bounds = limits.dns } = init;
  const label = `tcp ${formatEndpoint(endpoint)}`;
  const connections = new Connections(init, bounds);
  const socketOptions = { highWaterMark: bounds.tcpBacklogBytes };
  /** node accepts one connection a round of the event loop from each. */
  const servers: Server[] = [];
  let port = endpoint.port;
  let cancelSweep = () => {};

  /** On that descriptor, or one of its own. */
  function listenOn(fd: number | undefined): Promise<Server> {
    const server = createServer({ noDelay: true, ...socketOptions }, (socket) => connections.accept(socket));
    const own = { host: endpoint.address, port: endpoint.port, ipv6Only: isIPv6(endpoint.address) };
    return new Promise((resolve, reject) => {
      server.once('error', (cause) => reject(bindError(label, cause)));
      server.listen(fd === undefined ? own : { fd }, () => {
        server.removeAllListeners('error');
        server.on('error', (error) => log.warn({ listener: label, error: error.message }, 'dns: socket error'));
        const address = server.address();
        if (address !== null && typeof address === 'object') port = address.port;
        resolve(server);
      });
    });
  }

  return {
    label,
    get port() {
      return port;
    },
    async open() {
      const { fd } = init;
      const more = fd === undefined ? 0 : limits.dns.tcpAcceptors - 1;
      servers.push(await listenOn(fd));
      for (let i = 0; i < more; i++) servers.push(await listenOn(duplicateSocket(fd!)));
      cancelSweep = clock.every(limits.dns.tcpSweepMs, () => connections.sweep());
    },
    adopt({ fd, unread }) {
      const socket = new Socket({ fd, ...socketOptions });
      connections.accept(socket, Buffer.from(unread));
    },
    async close(passOn) {
      if (servers.length === 0) return;
      cancelSweep();
      const cancels = [
        passOn === undefined ? connections.drain() : passAll(connections, passOn, init),
        clock.after(bounds.tcpDrainMs / 2, () => connections.finishAll()),
        clock.after(bounds.tcpDrainMs, () => connections.endAll()),
      ];
      await Promise.all(servers.splice(0).map((one) => new Promise<void>((resolve) => one.close(() => resolve()))));
      for (const cancel of cancels) cancel();
    },
  };
}

/** Now and every moment what can go; drains them when there is nobody to take them. The result cancels. */
function passAll(connections: Connections, passOn: PassOn, { clock, log }: TcpInit): () => void {
  let cancel = () => {};
  const pass = () => {
    try {
      connections.pass(passOn);
    } catch (error) {
      log.warn({ error: describeError(error) }, 'dns: TCP connections end here: nobody takes them');
      cancel();
      connections.drain();
    }
  };
  cancel = clock.every(limits.dns.passMs, pass);
  pass();
  return () => cancel();
}

/** Those that are open, in the order of their last whole query, and by network. */
class Connections {
  readonly #init: TcpInit;
  readonly #bounds: TcpBounds;
  readonly #all = new Set<TcpConnection>();
  readonly #byClient = new Map<string, Client>();
  /** Networks with connections that wait for their turn. */
  readonly #waiting: Client[] = [];
  #round = 0;
  #isRoundOpen = false;

  constructor(init: TcpInit, bounds: TcpBounds) {
    this.#init = init;
    this.#bounds = bounds;
  }

  accept(socket: Socket, unread?: Buffer<ArrayBuffer>): void {
    const peer = parsePeer(socket.remoteAddress ?? '') ?? noPeer;
    const key = clientKey(peer);
    const client = this.#byClient.get(key) ?? { connections: new Set(), waiting: [], round: 0, answered: 0 };
    const same = client.connections;
    if (same.size >= this.#bounds.tcpPerClient) this.#giveWay(same);
    else if (this.#all.size >= this.#bounds.tcpConnections) this.#giveWay(this.#all);
    this.#byClient.set(key, client);
    const { answerer, clock } = this.#init;
    const owner: ConnectionOwner = {
      turn: () => this.#turnOf(client),
      active: (answered) => {
        client.answered += answered;
        connection.activeAtMs = clock.monotonicMs();
        for (const set of [this.#all, same]) {
          set.delete(connection);
          set.add(connection);
        }
      },
      closed: () => {
        this.#all.delete(connection);
        same.delete(connection);
        if (same.size === 0 && this.#byClient.get(key) === client) this.#byClient.delete(key);
      },
      unfinished: () => this.#queue(client, connection),
      afterQuiet: (fn) => clock.after(limits.dns.tcpQuietMs, fn),
    };
    const connection = new TcpConnection(socket, peer, answerer, owner, unread);
    connection.activeAtMs = clock.monotonicMs();
    this.#all.add(connection);
    same.add(connection);
    if (unread !== undefined && unread.length > 0) connection.turn();
  }

  /**
   * Ends those that have been without a whole query for too long; the longest stand first. Idle ones get a FIN, and a
   * while for what crosses it; those with half a query or answers unread are cut.
   */
  sweep(): void {
    const beforeMs = this.#init.clock.monotonicMs() - this.#idleMs();
    const lingeredMs = beforeMs - this.#bounds.tcpLingerMs;
    for (const connection of this.#all) {
      if (connection.activeAtMs > beforeMs) return;
      if (!connection.isIdle || connection.activeAtMs <= lingeredMs) connection.end();
      else connection.finish();
    }
  }

  drain(): () => void {
    for (const connection of this.#all) connection.drain();
    return () => {};
  }

  /** As many as can go now, a message full after the other. */
  pass(passOn: PassOn): void {
    for (;;) {
      const leaving: [TcpConnection, OpenConnection][] = [];
      let bytes = limits.dns.passBytes;
      for (const connection of this.#all) {
        const open = connection.handOver(bytes);
        if (open === undefined) continue;
        leaving.push([connection, open]);
        bytes -= open.unread.length;
        if (leaving.length === limits.dns.passConnections) break;
      }
      if (leaving.length === 0 || !passOn(leaving.map(([, open]) => open))) return;
      for (const [connection] of leaving) connection.end();
    }
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

  /** What is left of the network's turn in this round. */
  #turnOf(client: Client): number {
    this.#openRound();
    if (client.round !== this.#round) {
      client.round = this.#round;
      client.answered = 0;
    }
    return Math.max(0, this.#bounds.tcpTurn - client.answered);
  }

  #queue(client: Client, connection: TcpConnection): void {
    if (client.waiting.push(connection) === 1) this.#waiting.push(client);
    this.#openRound();
  }

  #openRound(): void {
    if (this.#isRoundOpen) return;
    this.#isRoundOpen = true;
    setImmediate(() => this.#nextRound());
  }

  /** After what others sent meanwhile has been read: turn after turn, until that is due again. */
  #nextRound(): void {
    const { clock } = this.#init;
    this.#isRoundOpen = false;
    this.#round++;
    const endMs = clock.monotonicMs() + limits.dns.tcpRoundMs;
    for (let client = this.#waiting.shift(); client !== undefined; client = this.#waiting.shift()) {
      client.round = this.#round;
      client.answered = 0;
      const waiting = client.waiting.splice(0);
      let next = 0;
      while (next < waiting.length && client.answered < this.#bounds.tcpTurn) waiting[next++]!.turn();
      // Those that had no turn are first in the next, before those that have more.
      client.waiting.unshift(...waiting.slice(next));
      if (client.waiting.length > 0 && !this.#waiting.includes(client)) this.#waiting.push(client);
      if (clock.monotonicMs() >= endMs) break;
    }
    if (this.#waiting.length > 0) this.#openRound();
  }
}

/** A network. */
interface Client {
  readonly connections: Set<TcpConnection>;
  /** With whole queries left from their last turn. */
  readonly waiting: TcpConnection[];
  /** How many of its queries were answered in which round. */
  round: number;
  answered: number;
}

function clientKey({ family, hi, lo }: Peer): string {
  return family === 4 ? `4 ${hi >>> 8}` : `6 ${hi} ${lo >>> 8}`;
}
