/** A TCP proxy for tests: what passes it can be late, go nowhere, or be cut off. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface TestProxy {
  readonly port: number;
  /** Every byte arrives so much later, in both directions. */
  delayMs: number;
  /** Connections stay open and nothing passes, for as long as it is set. */
  isSilent: boolean;
  /** Connections are refused, and those that are open cut off. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function startProxy(targetPort: number): Promise<TestProxy> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const pass = (from: Socket, to: Socket): void => {
    from.on('data', (chunk) => {
      // One that is silent swallows: who waits for an answer waits for ever.
      if (proxy.isSilent) return;
      if (proxy.delayMs === 0) to.write(chunk);
      else setTimeout(() => to.destroyed || to.write(chunk), proxy.delayMs);
    });
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
    from.on('error', () => to.destroy());
    sockets.add(from);
  };
  const server = createServer((client) => {
    if (isCut) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(targetPort, '127.0.0.1');
    pass(client, upstream);
    pass(upstream, client);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  const end = (): void => {
    for (const socket of [...sockets]) socket.destroy();
  };
  const proxy: TestProxy = {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    delayMs: 0,
    isSilent: false,
    cut: () => {
      isCut = true;
      end();
    },
    mend: () => {
      isCut = false;
    },
    close: async () => {
      end();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
