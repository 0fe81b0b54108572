/**
 * PROXY protocol version 2: a load balancer in front of us says, in a binary header before the first byte of a
 * connection, who the client is (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, §2.2).
 *
 *      0               12         13         14      16
 *     ┌────────────────┬──────────┬──────────┬───────┬───────────┬──────┐
 *     │ signature      │ ver, cmd │ fam, prot│ length│ addresses │ TLVs │
 *     └────────────────┴──────────┴──────────┴───────┴───────────┴──────┘
 *
 * A listener that expects the header takes nothing else: whoever speaks without one, in version 1 or in garbage is
 * closed. So only peers that are believed may reach such a listener.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { addressBytes } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import type { Endpoint } from './address.ts';

const signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const fixedBytes = 16;
const commandLocal = 0x20;
const commandProxy = 0x21;
/** Family and protocol → bytes of one address. Datagrams and Unix sockets cannot be clients of ours. */
const familyUnspecified = 0x00;
const addressLength: Readonly<Record<number, number>> = { 17: 4, 33: 16 };

export interface ProxyHeader {
  /** Bytes of the header; what follows is the client's. */
  readonly length: number;
  /** Undefined: LOCAL or unspecified, the connection is the peer's own. */
  readonly client: { readonly source: Endpoint; readonly destination: Endpoint } | undefined;
}

/** The header at the start of `bytes`; `more`: the beginning of one; `invalid`: nothing that could become one. */
export function parseProxyV2(bytes: Uint8Array): ProxyHeader | 'more' | 'invalid' {
  for (let i = 0; i < Math.min(bytes.length, signature.length); i++) if (bytes[i] !== signature[i]) return 'invalid';
  if (bytes.length < fixedBytes) return 'more';
  const command = bytes[12]!;
  if (command !== commandLocal && command !== commandProxy) return 'invalid';
  const length = fixedBytes + ((bytes[14]! << 8) | bytes[15]!);
  if (length > limits.probe.proxyHeaderBytes) return 'invalid';
  const family = bytes[13]!;
  if (command === commandLocal || family === familyUnspecified) {
    return bytes.length < length ? 'more' : { length, client: undefined };
  }
  const size = addressLength[family];
  if (size === undefined || length < fixedBytes + 2 * size + 4) return 'invalid';
  if (bytes.length < length) return 'more';
  const address = (at: number): string => addressText(bytes.subarray(at, at + size));
  const port = (at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
  const ports = fixedBytes + 2 * size;
  return {
    length,
    client: {
      source: { address: address(fixedBytes), port: port(ports) },
      destination: { address: address(fixedBytes + size), port: port(ports + 2) },
    },
  };
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return groups.join(':');
}

/** The header a client sends. Both addresses of one family, else it throws. */
export function encodeProxyV2(source: Endpoint, destination: Endpoint): Uint8Array {
  const from = addressBytes(source.address);
  const to = addressBytes(destination.address);
  if (from === undefined || to === undefined || from.length !== to.length) {
    throw new Error(`PROXY v2 wants two addresses of one family, not ${source.address} and ${destination.address}`);
  }
  const ports = [source.port >> 8, source.port & 255, destination.port >> 8, destination.port & 255];
  const body = [...from, ...to, ...ports];
  return Uint8Array.from([...signature, commandProxy, from.length === 4 ? 0x11 : 0x21, 0, body.length, ...body]);
}

const clients = new WeakMap<Socket, string>();

/** Address of the client behind a socket of a proxy server: the header's, else the peer's. Undefined once it is gone. */
export function clientAddress(socket: Socket): string | undefined {
  return clients.get(socket) ?? socket.remoteAddress;
}

export interface ProxyServerOptions {
  /** Gets each connection through its `connection` event; a node:http, node:https or node:tls server that does not listen itself. */
  readonly target: Server;
  readonly clock: Clock;
  /** The whole header must arrive within. */
  readonly headerMs?: number;
  readonly onRefused?: (peer: string, why: string) => void;
}

/** A server that reads the header from each new socket and hands the rest to `target`. The caller listens and closes. */
export function createProxyServer({ target, clock, headerMs, onRefused }: ProxyServerOptions): Server {
  // Over TLS a request's socket is the TLS one: it inherits the client of the connection beneath, known by its peer.
  const byPeer = new Map<string, string>();
  const peerOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;
  target.on('secureConnection', (socket: Socket) => {
    const client = byPeer.get(peerOf(socket));
    if (client !== undefined) clients.set(socket, client);
  });

  const server = createServer((socket) => {
    let held: Uint8Array = new Uint8Array();
    const peer = peerOf(socket);
    const refuse = (why: string): void => {
      cancelTimer();
      socket.off('readable', take);
      socket.destroy();
      onRefused?.(peer, why);
    };
    const cancelTimer = clock.after(headerMs ?? limits.probe.proxyHeaderMs, () => refuse('header too slow'));
    // Read by `readable`, so that the socket is handed over as if never touched: http lets it flow, TLS reads its handle.
    const take = (): void => {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const header = parseProxyV2(held);
      if (header === 'invalid') refuse('no PROXY v2 header');
      else if (header !== 'more') handOver(header);
    };
    const handOver = ({ length, client }: ProxyHeader): void => {
      cancelTimer();
      socket.off('readable', take);
      if (client !== undefined) {
        clients.set(socket, client.source.address);
        byPeer.set(peer, client.source.address);
        socket.once('close', () => byPeer.delete(peer));
      }
      if (held.length > length) socket.unshift(held.subarray(length));
      target.emit('connection', socket);
    };
    socket.on('readable', take);
    socket.on('error', () => {});
    socket.once('close', cancelTimer);
  });
  // node:http watches over slow requests only from its `listening` event on.
  server.once('listening', () => target.emit('listening'));
  return server;
}
