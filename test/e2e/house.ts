/**
 * A house of its own for a browser: its connections leave from an address that is the house's, and its names are looked
 * up at the resolver that the house uses. To the browser it is a SOCKS5 proxy (RFC 1928), which it gives names to, not
 * addresses; what goes through it is the browser's own TLS, untouched.
 */
import { Resolver } from 'node:dns/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface House {
  /** `socks5://…` */
  readonly proxy: string;
  stop(): void;
}

/** `oneWayMs`: that every byte is held back on its way, in each direction. */
export async function openHouse(
  address: string,
  resolver: { address: string; port: number },
  oneWayMs = 0,
): Promise<House> {
  const names = new Resolver({ timeout: 3_000, tries: 2 });
  names.setServers([`${resolver.address}:${resolver.port}`]);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    // Greeting, then a request; a browser sends each in one piece and waits for the answer.
    socket.once('data', () => {
      socket.write(Uint8Array.of(5, 0));
      socket.once('data', (request: Buffer) => void open(socket, request).catch(() => socket.destroy()));
    });
  });

  async function open(socket: Socket, request: Buffer): Promise<void> {
    if (request[1] !== 1 || request[3] !== 3) throw new Error('only CONNECT to a name');
    const end = 5 + request[4]!;
    const [host] = await names.resolve4(request.toString('latin1', 5, end));
    const outward = connect({ host: host!, port: request.readUInt16BE(end), localAddress: address, noDelay: true });
    sockets.add(outward);
    outward.on('close', () => socket.destroy());
    outward.on('error', () => socket.destroy());
    socket.on('close', () => outward.destroy());
    outward.on('connect', () => {
      socket.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
      carry(socket, outward, oneWayMs);
      carry(outward, socket, oneWayMs);
    });
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    proxy: `socks5://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function carry(from: Socket, to: Socket, afterMs: number): void {
  if (afterMs === 0) {
    from.pipe(to);
    return;
  }
  from.on('data', (bytes) => setTimeout(() => to.write(bytes), afterMs));
  from.on('end', () => setTimeout(() => to.end(), afterMs));
}
