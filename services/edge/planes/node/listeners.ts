/**
 * Listening sockets: one per address and port, kept as the desired state says. What cannot be bound is tried again and
 * reported; the others serve meanwhile. A removed one takes no more connections; those it took end in their own time,
 * within the drain bound.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { formatEndpoint } from '@ufes/io/address.ts';
import { listenError } from '@ufes/io/http.ts';
import { rateLimited } from '@ufes/io/log.ts';
import { type HeaderOptions, readProxyHeader } from '@ufes/io/proxy-protocol.ts';
import type { ListenAddress, ListenerStats } from '../../data-plane.ts';
import type { ProxyTrust } from './clients.ts';
import type { ClientConnection } from './exchange.ts';

export interface Listener {
  readonly at: ListenAddress;
  readonly server: Server;
  /** Every open socket; of those that speak HTTP by now, also the connection. */
  readonly sockets: Map<Socket, ClientConnection | undefined>;
  state: 'binding' | 'listening' | 'closing' | 'failed';
  problem: string | undefined;
}

export interface ListenersOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly trust: ProxyTrust;
  readonly accept: (listener: Listener, socket: Socket) => void;
  readonly changed: () => void;
}

export interface Listeners {
  set(wanted: readonly ListenAddress[]): void;
  all(): Listener[];
  stats(): ListenerStats[];
  /** No more connections anywhere; resolves when those taken have ended, or by force after the drain bound. */
  drain(): Promise<void>;
}

export function createListeners({ clock, log, trust, accept, changed }: ListenersOptions): Listeners {
  const limit = rateLimited(10_000, () => clock.monotonicMs());
  const reading: HeaderOptions = {
    believes: (peer) => trust.proxies.has(peer),
    clock,
    onRefused: (peer, why) =>
      limit(why, (suppressed) => log.warn({ peer, why, suppressed }, 'connection refused: PROXY protocol')),
  };
  const open = new Map<string, Listener>();
  const closing = new Set<Listener>();
  let cancelRetry: (() => void) | undefined;

  function bind(key: string, at: ListenAddress): void {
    const sockets = new Map<Socket, ClientConnection | undefined>();
    const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: !at.secure });
    const listener: Listener = { at, server, sockets, state: 'binding', problem: undefined };
    open.set(key, listener);
    server.maxConnections = limits.edge.connections;
    server.on('connection', (socket) => {
      sockets.set(socket, undefined);
      socket.on('error', () => {}); // 'close' follows
      socket.on('close', () => sockets.delete(socket));
      if (trust.by === 'v2') readProxyHeader(socket, reading, () => accept(listener, socket));
      else accept(listener, socket);
    });
    server.on('listening', () => settle(listener, 'listening'));
    server.on('error', (error) => settle(listener, 'failed', describeError(listenError(error, at, 'TCP'))));
    server.listen({ host: at.address, port: at.port });
  }

  function settle(listener: Listener, state: 'listening' | 'failed', problem?: string): void {
    if (listener.state === 'closing') {
      listener.server.close();
      return;
    }
    const where = formatEndpoint(listener.at);
    if (state === 'failed' && before.get(where) !== problem) log.error({ where }, problem!);
    if (state === 'listening') log.info({ where, secure: listener.at.secure }, 'listening');
    if (problem === undefined) before.delete(where);
    else before.set(where, problem);
    listener.state = state;
    listener.problem = problem;
    if (state === 'failed') retryLater();
    changed();
  }
  /** Problems already told, so that a retry does not repeat them. */
  const before = new Map<string, string>();

  function retryLater(): void {
    cancelRetry ??= clock.after(limits.edge.rebindMs, () => {
      cancelRetry = undefined;
      for (const [key, listener] of [...open]) if (listener.state === 'failed') bind(key, listener.at);
    });
  }

  function close(key: string, listener: Listener): void {
    open.delete(key);
    before.delete(formatEndpoint(listener.at));
    const wasListening = listener.state === 'listening';
    listener.state = 'closing';
    if (!wasListening) return;
    closing.add(listener);
    const cancel = clock.after(limits.edge.drainMs - limits.edge.drainAcceptMs, () => {
      for (const [socket, connection] of listener.sockets)
        connection === undefined ? socket.destroy() : connection.destroy();
    });
    listener.server.close(() => {
      cancel();
      closing.delete(listener);
    });
    for (const [socket, connection] of listener.sockets)
      connection === undefined ? socket.destroy() : connection.closeWhenIdle();
  }

  return {
    set(wanted) {
      const byKey = new Map(wanted.map((at) => [`${formatEndpoint(at)} ${at.secure}`, at]));
      for (const [key, listener] of [...open]) if (!byKey.has(key)) close(key, listener);
      for (const [key, at] of byKey) if (!open.has(key)) bind(key, at);
    },
    all: () => [...open.values(), ...closing],
    stats: () =>
      [...open.values(), ...closing].map(({ at, state, problem, sockets }) => ({
        ...at,
        state: state === 'binding' ? 'failed' : state,
        ...(problem === undefined ? {} : { problem }),
        connections: sockets.size,
      })),
    async drain() {
      cancelRetry?.();
      cancelRetry = () => {}; // a failed bind is not tried again
      for (const [key, listener] of [...open]) close(key, listener);
      await Promise.all(
        [...closing].map(
          (one) =>
            new Promise<void>((resolve) =>
              one.server.listening || one.sockets.size > 0 ? one.server.once('close', resolve) : resolve(),
            ),
        ),
      );
    },
  };
}
