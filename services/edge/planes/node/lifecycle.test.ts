/** What changes while requests run: certificates, endpoints' health, listeners, and the drain. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  ask1,
  ask2,
  freePort,
  host,
  openH2,
  openPlain,
  openTls,
  prefix,
  readAll,
  startEdge,
  startOrigin,
  type TestEdge,
  type TestOrigin,
} from '../../testing.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

function opened<T extends { close(): Promise<void> }>(one: T): T {
  open.push(one);
  return one;
}

/** An origin that answers /wait only when told. */
async function waitingOrigin(): Promise<{ origin: TestOrigin; waiting: () => Promise<ServerResponse> }> {
  const held: ServerResponse[] = [];
  const origin = await startOrigin((request, response) => {
    if (request.url === '/wait') held.push(response);
    else response.end(request.url);
  });
  opened(origin);
  return { origin, waiting: () => vi.waitFor(() => held.shift() ?? Promise.reject(new Error('none yet'))) };
}

async function edgeOf(origin: TestOrigin, ...hosts: string[]): Promise<TestEdge> {
  const names = hosts.length === 0 ? ['www.shop.example'] : hosts;
  return opened(
    await startEdge({ origins: { eu: [origin.endpoint] }, hosts: names.map((name) => host(name, prefix('/', 'eu'))) }),
  );
}

const served = (socket: TLSSocket): string | undefined => socket.getPeerX509Certificate()?.subjectAltName;

describe('certificates', () => {
  it('are chosen by SNI: precise, wildcard, probe zone, else the default', async () => {
    const { origin } = await waitingOrigin();
    const edge = await edgeOf(origin, 'www.shop.example', '*.tenant.example');
    for (const [name, expected] of [
      ['www.shop.example', 'DNS:www.shop.example'],
      ['WWW.Shop.Example', 'DNS:www.shop.example'],
      ['a.tenant.example', 'DNS:*.tenant.example'],
      ['id-lon.probe.example', 'DNS:*.probe.example'],
      ['a.b.tenant.example', 'DNS:health.ufes.internal'],
      ['elsewhere.example', 'DNS:health.ufes.internal'],
      ['', 'DNS:health.ufes.internal'],
    ] as const) {
      const socket = await openTls(edge, name);
      expect(served(socket)).toBe(expected);
      socket.destroy();
    }
  });

  it('are replaced without dropping a connection', async () => {
    const { origin } = await waitingOrigin();
    const edge = await edgeOf(origin);
    const kept = await openTls(edge);
    const session = await openH2(edge);
    const before = kept.getPeerX509Certificate()!.fingerprint256;
    edge.setPair('www.shop.example', await edge.issue('www.shop.example'));
    const fresh = await openTls(edge);
    expect(fresh.getPeerX509Certificate()!.fingerprint256).not.toBe(before);
    kept.write('GET /kept HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n');
    expect(await readAll(kept)).toContain('/kept');
    expect((await ask2(session)).status).toBe(200);
    session.close();
    fresh.destroy();
  });

  it('one that is gone leaves the others alone, and a host with the same one may share a connection', async () => {
    const { origin } = await waitingOrigin();
    const edge = await edgeOf(origin, 'www.shop.example', 'api.shop.example');
    edge.setPair('api.shop.example', undefined);
    const lost = await openTls(edge, 'api.shop.example');
    expect(served(lost)).toBe('DNS:health.ufes.internal');
    lost.destroy();
    expect((await ask1(edge)).status).toBe(200);
    await edge.apply({
      origins: { eu: [origin.endpoint] },
      hosts: ['www.shop.example', 'm.shop.example'].map((name) => ({
        ...host(name, prefix('/', 'eu')),
        secret: 'certificate/www.shop.example',
      })),
    });
    expect((await ask1(edge, { host: 'm.shop.example', servername: 'www.shop.example' })).status).toBe(200);
  });

  it('takes TLS 1.2 and nothing older', async () => {
    const { origin } = await waitingOrigin();
    const edge = await edgeOf(origin);
    const { connect } = await import('node:tls');
    const base = { host: '127.0.0.1', port: edge.httpsPort, servername: 'www.shop.example', rejectUnauthorized: false };
    const old = connect({ ...base, maxVersion: 'TLSv1.2' });
    await once(old, 'secureConnect');
    expect(old.getProtocol()).toBe('TLSv1.2');
    old.destroy();
    const older = connect({ ...base, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' });
    await expect(once(older, 'secureConnect')).rejects.toThrow();
  });
});

describe('endpoints', () => {
  it('that fail their checks get no requests, and get them again after hysteresis; all down is 503', async () => {
    let well = true;
    const sick = opened(
      await startOrigin((request, response) => {
        if (request.url === '/healthz') response.writeHead(well ? 200 : 500).end();
        else response.end('sick');
      }),
    );
    const sound = opened(await startOrigin((_request, response) => void response.end('sound')));
    const hosts = [host('www.shop.example', prefix('/', 'eu'), prefix('/alone', 'alone'))];
    const origins = { eu: [sick.endpoint, sound.endpoint], alone: [sick.endpoint] };
    const edge = opened(await startEdge({ origins, hosts, healthPath: '/healthz' }));
    const health = () => edge.plane.stats().origins['alone']![0]!.health;
    await vi.waitFor(() => expect(health()).toBe('up'));
    well = false;
    await vi.waitFor(() => expect(health()).toBe('down'), 3_000);
    expect(edge.plane.stats().origins['alone']![0]!.error).toBe('status 500');
    for (let i = 0; i < 10; i++) expect((await ask1(edge)).body).toBe('sound');
    expect((await ask1(edge, { path: '/alone' })).headers['ufes-reason']).toBe('no-endpoint');
    well = true;
    await vi.waitFor(() => expect(health()).toBe('up'), 3_000);
    expect((await ask1(edge, { path: '/alone' })).body).toBe('sick');
  });

  it('that leave the table finish what they have begun', async () => {
    const { origin, waiting } = await waitingOrigin();
    const edge = await edgeOf(origin);
    const answer = ask1(edge, { path: '/wait' });
    const held = await waiting();
    await edge.apply({ origins: {}, hosts: [host('www.shop.example', prefix('/', 'eu'))] });
    expect((await ask1(edge)).headers['ufes-reason']).toBe('backend-missing');
    held.end('late');
    expect((await answer).body).toBe('late');
  });
});

describe('listeners', () => {
  it('a port in use is told, tried again, and the others serve', async () => {
    const { origin } = await waitingOrigin();
    const edge = await edgeOf(origin);
    const taken: Server = createServer();
    taken.listen(await freePort(), '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const listeners = () => edge.plane.stats().listeners;
    const program = { table: (await import('@ufes/core/routing/route-table.ts')).emptyRouteTable, keyPairs: new Map() };
    const listen = [
      { address: '127.0.0.1', port: edge.httpsPort, secure: true },
      { address: '127.0.0.1', port, secure: false },
      { address: '192.0.2.1', port, secure: true },
    ];
    edge.plane.apply({ ...program, listen, httpsPort: 443 });
    await vi.waitFor(() => expect(listeners().filter((one) => one.problem !== undefined)).toHaveLength(2));
    expect(listeners().find((one) => one.port === port && !one.secure)?.problem).toMatch(/in use by another process/);
    expect(listeners().find((one) => one.address === '192.0.2.1')?.problem).toMatch(/does not have the address/);
    expect((await ask1(edge, { host: 'health.ufes.internal', path: '/readyz' })).status).toBe(200);
    await expect(ask1(edge, { plain: true })).rejects.toThrow(/ECONNREFUSED/);
    taken.close();
    await vi.waitFor(() => expect(listeners().filter((one) => one.problem !== undefined)).toHaveLength(1), 5_000);
  });
});

describe('drain', () => {
  it('finishes open requests, says GOAWAY and Connection: close, and takes nothing new after that', async () => {
    const { origin, waiting } = await waitingOrigin();
    const edge = await edgeOf(origin);
    const session = await openH2(edge);
    const goaway = once(session, 'goaway');
    const slow2 = ask2(session, { path: '/wait' });
    const held2 = await waiting();
    const slow1 = ask1(edge, { path: '/wait', headers: { connection: 'keep-alive' } });
    const held1 = await waiting();
    const idle = openPlain(edge);
    await once(idle, 'connect');
    const stopped = edge.plane.stop();
    await goaway;
    // Still accepting: clients that have not heard yet are served, and told.
    const late = await ask1(edge, { path: '/late', headers: { connection: 'keep-alive' } });
    expect(late).toMatchObject({ status: 200, headers: { connection: 'close' } });
    expect((await ask1(edge, { host: 'health.ufes.internal', path: '/readyz' })).status).toBe(503);
    await once(idle, 'close');
    await expect(ask1(edge)).rejects.toThrow(/ECONNREFUSED/);
    held1.end('one');
    held2.end('two');
    expect((await slow1).body).toBe('one');
    expect((await slow1).headers.connection).toBe('close');
    expect((await slow2).body).toBe('two');
    await stopped;
    open.pop();
  });

  it('ends at its bound when a request does not', async () => {
    const { origin, waiting } = await waitingOrigin();
    const edge = await edgeOf(origin);
    const stuck = ask1(edge, { path: '/wait' }).catch((error: Error) => error.message);
    await waiting();
    const startMs = performance.now();
    await edge.plane.stop();
    open.pop();
    expect(performance.now() - startMs).toBeLessThan(4_800);
    expect(await stuck).toMatch(/hang up|reset|aborted/i);
  });
});
