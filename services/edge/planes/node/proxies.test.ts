/** Clients behind load balancers, over real sockets: who is believed, and whose handshake is timed. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { encodeProxyV2 } from '@ufes/io/proxy-protocol.ts';
import { afterEach, describe, expect, it } from 'vitest';
import {
  ask1,
  ask2,
  type EdgeInit,
  host,
  openH2,
  prefix,
  readAll,
  startEdge,
  startOrigin,
  type TestEdge,
} from '../../testing.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function started(init: EdgeInit): Promise<TestEdge> {
  const origin = await startOrigin((request, response) => response.end(String(request.headers['x-forwarded-for'])));
  cleanups.push(() => origin.close());
  const edge = await startEdge({
    origins: { eu: [origin.endpoint] },
    hosts: [host('www.shop.example', prefix('/', 'eu'))],
    ...init,
  });
  cleanups.push(() => edge.close());
  return edge;
}

const probe = { host: 'abc123-lon.probe.example', path: '/p' };
const by = (chain: string) => ({ headers: { 'x-forwarded-for': chain } });

describe('proxy: x-forwarded-for', () => {
  const trusting = { proxy: 'x-forwarded-for', trustedProxies: ['127.0.0.1', '192.0.2.0/24'] } as const;

  it.each([
    ['203.0.113.9', '203.0.113.9'],
    ['8.8.8.8, 203.0.113.9, 192.0.2.7', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['2001:db8::9', '2001:db8::9'],
  ])('%s: the client is %s, its requests are counted as its, and nobody times it', async (chain, client) => {
    const edge = await started(trusting);
    await ask1(edge, { ...probe, ...by(chain) });
    expect(edge.plane.takeProbes()).toMatchObject([{ id: 'abc123', client, handshake: undefined }]);
    const { body } = await ask1(edge, by(chain));
    expect(body).toBe(`${chain}, 127.0.0.1`);
    expect([...edge.plane.takeClients().keys()]).toEqual([client]);
  });

  it('tells clients apart that share a connection, over HTTP/2 too', async () => {
    const edge = await started(trusting);
    const session = await openH2(edge);
    for (const client of ['203.0.113.9', '198.51.100.9', '203.0.113.9']) await ask2(session, by(client));
    session.close();
    expect([...edge.plane.takeClients()]).toEqual([
      ['203.0.113.9', 2],
      ['198.51.100.9', 1],
    ]);
  });

  it('a stranger names nobody', async () => {
    const edge = await started({ ...trusting, trustedProxies: ['192.0.2.0/24'] });
    await ask1(edge, { ...probe, ...by('203.0.113.9') });
    expect(edge.plane.takeProbes()).toMatchObject([{ client: '127.0.0.1', handshake: { isResumed: false } }]);
  });
});

describe('by default', () => {
  it('the client is the peer, whatever headers say', async () => {
    const edge = await started({});
    await ask1(edge, { ...probe, ...by('203.0.113.9') });
    expect(edge.plane.takeProbes()).toMatchObject([{ client: '127.0.0.1' }]);
  });
});

describe('proxy: v2', () => {
  const header = encodeProxyV2({ address: '203.0.113.9', port: 4711 }, { address: '192.0.2.1', port: 443 });

  function behind(edge: TestEdge, first: Uint8Array | undefined): Socket {
    const socket = connect(edge.httpsPort, '127.0.0.1');
    if (first !== undefined) socket.write(first);
    const { certificatePem: ca } = edge.ca;
    return connectTls({ socket, ca, servername: probe.host, checkServerIdentity: () => undefined });
  }
  async function ask(edge: TestEdge, first: Uint8Array | undefined): Promise<string> {
    const secure = behind(edge, first);
    secure.on('error', () => {});
    secure.write(`GET /p HTTP/1.1\r\nhost: ${probe.host}\r\nconnection: close\r\n\r\n`);
    return readAll(secure);
  }

  it('the header names the client of the connection, and its handshake is timed', async () => {
    const edge = await started({ proxy: 'v2', trustedProxies: ['127.0.0.0/8'] });
    expect(await ask(edge, header)).toContain('200 OK');
    expect(edge.plane.takeProbes()).toMatchObject([{ client: '203.0.113.9', handshake: { isResumed: false } }]);
    expect([...edge.plane.takeClients().keys()]).toEqual(['203.0.113.9']);
  });

  it('a trusted proxy without one is closed', async () => {
    const edge = await started({ proxy: 'v2', trustedProxies: ['127.0.0.0/8'] });
    expect(await ask(edge, undefined)).toBe('');
  });

  it('others are clients themselves, and closed when they send one', async () => {
    const edge = await started({ proxy: 'v2', trustedProxies: ['192.0.2.0/24'] });
    expect(await ask(edge, undefined)).toContain('200 OK');
    expect(edge.plane.takeProbes()).toMatchObject([{ client: '127.0.0.1' }]);
    expect(await ask(edge, header)).toBe('');
    expect(edge.plane.takeProbes()).toEqual([]);
  });

  it('clear text too', async () => {
    const edge = await started({ proxy: 'v2', trustedProxies: ['127.0.0.0/8'] });
    const socket = connect(edge.httpPort, '127.0.0.1');
    socket.write(header);
    socket.write('GET / HTTP/1.1\r\nhost: www.shop.example\r\nconnection: close\r\n\r\n');
    expect(await readAll(socket)).toContain('308');
    expect([...edge.plane.takeClients().keys()]).toEqual(['203.0.113.9']);
  });
});
