/**
 * What the edge times of handshakes, against the delay that there is: clients come over TCP proxies that hold back every
 * byte for a known time each way.
 */
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SeenProbe } from '../../data-plane.ts';
import type { TestEdge } from '../../testing.ts';
import { type Shop, startShop } from './shop.fixture.ts';

let shop: Shop;
let edge: TestEdge;
const closers: (() => void)[] = [];
beforeAll(async () => {
  shop = await startShop();
  edge = shop.edge;
});
afterAll(async () => {
  for (const close of closers) close();
  await shop.close();
});

/** A way to the edge that takes `oneWayMs` in each direction and a little more: how much it took, it says itself. */
interface Way {
  readonly port: number;
  /** Of the newest connection: from the arrival of the edge's flight at the near end to the client's next bytes there. */
  tookMs(): number;
}

async function farAway(oneWayMs: number): Promise<Way> {
  const sockets = new Set<Socket>();
  let fromEdge: number[] = [];
  let toEdge: number[] = [];
  const server: Server = createServer((client) => {
    const edgeSide = connectTcp(edge.httpsPort, '127.0.0.1');
    const came: number[] = [];
    const went: number[] = [];
    fromEdge = came;
    toEdge = went;
    edgeSide.on('data', () => came.push(performance.now()));
    for (const [from, to] of [
      [client, edgeSide],
      [edgeSide, client],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => {});
      from.on('data', (bytes) =>
        setTimeout(() => {
          if (to === edgeSide) went.push(performance.now());
          to.write(bytes);
        }, oneWayMs),
      );
      from.on('close', () => setTimeout(() => to.destroy(), oneWayMs));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    tookMs() {
      const from = fromEdge[0]!;
      return toEdge.find((atMs) => atMs > from)! - from;
    },
  };
}

let names = 0;
interface Visit {
  readonly id?: string;
  readonly session?: Buffer | undefined;
  readonly maxVersion?: 'TLSv1.2';
  readonly curves?: string;
}

/** Handshake and one request for a name of its own; what the edge saw, and a ticket. */
async function visit(port: number, { id = `hs${names++}`, session, maxVersion, curves }: Visit = {}) {
  const host = `${id}-lon.probe.example`;
  let ticket: Buffer | undefined;
  const socket: TLSSocket = connectTls({
    host: '127.0.0.1',
    port,
    servername: host,
    ca: edge.ca.certificatePem,
    ALPNProtocols: ['http/1.1'],
    ...(session && { session }),
    ...(maxVersion && { maxVersion }),
    ...(curves && { ecdhCurve: curves }),
  });
  socket.on('session', (given) => {
    ticket = given;
  });
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('secureConnect', () => socket.write(`GET /p HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
    socket.on('data', () => {});
    socket.on('close', () => resolve());
  });
  const seen: SeenProbe | undefined = edge.plane.takeProbes().find((one) => one.id === id);
  return { id, seen, handshake: seen?.handshake, ticket };
}

function medianOf(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

describe('the leg of the handshake that depends on the client', () => {
  it.each([10, 40, 120])('is the round trip, not more of the handshake: %i ms', async (roundTripMs) => {
    const way = await farAway(roundTripMs / 2);
    await visit(way.port);
    const errors: number[] = [];
    for (let i = 0; i < 9; i++) {
      const { rttMs } = (await visit(way.port)).handshake!;
      // Timers are rounded to the millisecond, twice.
      expect(rttMs).toBeGreaterThan(roundTripMs - 2);
      errors.push(rttMs - way.tookMs());
    }
    // Beyond what the way itself took.
    expect(medianOf(errors)).toBeGreaterThan(-1);
    expect(medianOf(errors)).toBeLessThan(4);
  });

  it('tells full handshakes from resumed ones', async () => {
    const { port } = await farAway(5);
    const first = await visit(port);
    expect(first.handshake!.isResumed).toBe(false);
    const again = await visit(port, { id: first.id, session: first.ticket });
    expect(again.handshake!.isResumed).toBe(true);
    const metrics = await edge.registry.metrics();
    expect(metrics).toMatch(/ufes_edge_handshake_seconds_count\{handshake="resumed"\} 1\n/);
  });

  it('is not there with TLS 1.2, nor where a client is asked for another key share first', async () => {
    expect((await visit(edge.httpsPort, { maxVersion: 'TLSv1.2' })).seen).toMatchObject({ handshake: undefined });
    // Node tells nothing of what comes after a HelloRetryRequest when SNI has changed the context.
    const asked = await visit(edge.httpsPort, { curves: 'P-521:X25519' });
    expect(asked.seen).toMatchObject({ handshake: undefined });
  });

  it('says how long our flight was: ours fits the initial window', async () => {
    const { handshake } = await visit(edge.httpsPort);
    expect(handshake!.flightBytes).toBeGreaterThan(500);
    expect(handshake!.flightBytes).toBeLessThan(4_000);
  });
});
