/**
 * PROXY protocol version 2: a load balancer in front of us says, in a binary header before the first byte of a
 * connection, who the client is (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, §2.2).
 *
 *      0               12         13         14      16
 *     ┌────────────────┬──────────┬──────────┬───────┬───────────┬──────┐
 *     │ signature      │ ver, cmd │ fam, prot│ length│ addresses │ TLVs │
 *     └────────────────┴──────────┴──────────┴───────┴───────────┴──────┘
 *
 * From peers that are believed nothing else is taken: without a header, in version 1 or in garbage they are closed. Other
 * peers are clients themselves; one that begins with a header is closed, since its operator meant it to be believed.
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

export interface HeaderOptions {
  /** Whether the header of a peer is believed; one that is not is a client itself, and may not begin with a header. */
  readonly believes: (peer: string) => boolean;
  readonly clock: Clock;
  /** The whole header must arrive within. */
  readonly headerMs?: number;
  readonly onRefused?: (peer: string, why: string) => void;
}

/**
 * Reads the header from a new socket, then calls `handOver` with the client it names (undefined: the peer itself). What is
 * refused is destroyed. The socket is read by `readable`, so that it is handed over as if never touched: http lets it
 * flow, TLS reads its handle.
 */
export function readProxyHeader(
  socket: Socket,
  options: HeaderOptions,
  handOver: (client: string | undefined) => void,
): void {
  const { clock, headerMs = limits.probe.proxyHeaderMs, onRefused } = options;
  const peer = `${socket.remoteAddress} ${socket.remotePort}`;
  const isBelieved = options.believes(socket.remoteAddress ?? '');
  let held: Uint8Array = new Uint8Array();
  const end = (): void => {
    cancelTimer();
    socket.off('readable', take);
  };
  const refuse = (why: string): void => {
    end();
    socket.destroy();
    onRefused?.(peer, why);
  };
  const pass = (client: string | undefined, from: number): void => {
    end();
    if (client !== undefined) clients.set(socket, client);
    if (held.length > from) socket.unshift(held.subarray(from));
    handOver(client);
  };
  const cancelTimer = clock.after(headerMs, () => (isBelieved ? refuse('header too slow') : pass(undefined, 0)));
  const take = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const header = parseProxyV2(held);
    if (header === 'more') return;
    if (!isBelieved) {
      if (header === 'invalid') pass(undefined, 0);
      else refuse('a PROXY v2 header from a peer that is not in trustedProxies');
    } else if (header === 'invalid') refuse('no PROXY v2 header');
    else pass(header.client?.source.address, header.length);
  };
  socket.on('readable', take);
  socket.on('error', () => {});
  socket.once('close', cancelTimer);
}

export interface ProxyServerOptions extends HeaderOptions {
  /** Gets each connection through its `connection` event; a node:http, node:https or node:tls server that does not listen itself. */
  readonly target: Server;
}

/** A server that reads the header from each new socket and hands the rest to `target`. The caller listens and closes. */
export function createProxyServer(options: ProxyServerOptions): Server {
  const { target } = options;
  // Over TLS a request's socket is the TLS one: it inherits the client of the connection beneath, known by its peer.
  const byPeer = new Map<string, string>();
  const peerOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;
  target.on('secureConnection', (socket: Socket) => {
    const client = byPeer.get(peerOf(socket));
    if (client !== undefined) clients.set(socket, client);
  });
  const server = createServer((socket) => {
    const peer = peerOf(socket);
    readProxyHeader(socket, options, (client) => {
      if (client !== undefined) {
        byPeer.set(peer, client);
        socket.once('close', () => byPeer.delete(peer));
      }
      target.emit('connection', socket);
    });
  });
  // node:http watches over slow requests only from its `listening` event on.
  server.once('listening', () => target.emit('listening'));
  return server;
}
