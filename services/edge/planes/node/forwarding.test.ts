/** Requests and answers through the plane, over real sockets: what is carried, what is changed, what is held back. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask1,
  ask2,
  host,
  openH2,
  openTls,
  prefix,
  raw,
  readAll,
  startEdge,
  startOrigin,
  startRawOrigin,
  type TestEdge,
} from '../../testing.ts';
import { type Shop, startShop } from './shop.fixture.ts';

let shop: Shop;
let edge: TestEdge;
beforeAll(async () => {
  shop = await startShop();
  edge = shop.edge;
});
afterAll(() => shop.close());

describe('forwarding', () => {
  it('carries HTTP/1.1 and HTTP/2 to the origin of the path', async () => {
    expect(await ask1(edge, { path: '/a/../b?q=%2f' })).toMatchObject({ status: 200, body: 'GET /b?q=%2f' });
    expect(await ask1(edge, { path: '/us/x' })).toMatchObject({ status: 200, body: 'other' });
    const session = await openH2(edge);
    expect(await ask2(session, { path: '/%7Euser' })).toMatchObject({ status: 200, body: 'GET /~user' });
    expect(await ask2(session, { path: '/us' })).toMatchObject({ status: 200, body: 'other' });
    session.close();
  });

  it('writes the headers that only the edge may say, and strips those of the hop', async () => {
    await ask1(edge, {
      path: '/headers',
      headers: {
        connection: 'x-secret',
        'x-secret': '1',
        te: 'trailers',
        'x-forwarded-for': '192.0.2.7',
        'x-forwarded-proto': 'gopher',
        'ufes-hop': '9',
      },
    });
    const { headers } = shop.seen.at(-1)!;
    expect(headers).toMatchObject({
      host: 'www.shop.example',
      'x-forwarded-for': '192.0.2.7, 127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'www.shop.example',
      via: '1.1 ufes',
      te: 'trailers',
    });
    expect(headers['x-request-id']).toMatch(/^[0-9a-f]{12}-/);
    for (const gone of ['x-secret', 'ufes-hop']) expect(headers[gone]).toBeUndefined();
  });

  it('tells where the time went, beside what the origin says', async () => {
    const { headers } = await ask1(edge, { path: '/hop' });
    expect(headers['server-timing']).toMatch(
      /^db;dur=3, tls;dur=[\d.]+, queue;dur=[\d.]+, path;desc="direct:eu", origin;dur=[\d.]+, total;dur=[\d.]+, pop;desc="lon"$/,
    );
    expect(headers).toMatchObject({ 'x-kept': '1', via: '1.1 ufes' });
    for (const gone of ['x-hop', 'ufes-internal']) expect(headers[gone]).toBeUndefined();
    const session = await openH2(edge);
    const [first, second] = [await ask2(session), await ask2(session)];
    session.close();
    expect(first.headers['server-timing']).not.toMatch(/^tls;dur=0,/);
    expect(second.headers['server-timing']).toMatch(/^tls;dur=0,/);
    expect(await edge.registry.metrics()).toMatch(/ufes_edge_phase_seconds_count\{phase="origin"\} [1-9]/);
  });

  it('carries bodies, trailers, HEAD, 204 and 304', async () => {
    const session = await openH2(edge);
    for (const ask of [(a: object) => ask1(edge, a), (a: object) => ask2(session, a)]) {
      expect(await ask({ path: '/echo', method: 'POST', body: 'hello' })).toMatchObject({ status: 200, body: 'hello' });
      expect(await ask({ path: '/trailers' })).toMatchObject({ body: 'body', trailers: { 'x-sum': '42' } });
      expect(await ask({ path: '/x', method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
      expect(await ask({ path: '/none' })).toMatchObject({ status: 204, body: '' });
      expect(await ask({ path: '/same' })).toMatchObject({ status: 304, body: '', headers: { etag: '"1"' } });
      expect((await ask({ path: '/trailers' })).trailers).not.toHaveProperty('ufes-x');
    }
    session.close();
  });

  it('passes 103 on', async () => {
    const text = await raw(edge, 'GET /hints HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1.1 103 [\s\S]*preload[\s\S]*HTTP\/1.1 200 OK[\s\S]*late/);
  });

  it('drops 103 that cannot be passed on, and the answer still comes', async () => {
    const hinting = await startRawOrigin((socket) =>
      socket.on('data', () =>
        socket.write(
          'HTTP/1.1 103 Early Hints\r\nLink: nonsense\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate',
        ),
      ),
    );
    const one = await startEdge({
      origins: { eu: [hinting.endpoint] },
      hosts: [host('www.shop.example', prefix('/', 'eu'))],
    });
    const session = await openH2(one);
    for (const answer of [await ask1(one), await ask2(session)]) {
      expect(answer).toMatchObject({ status: 200, body: 'late' });
    }
    session.close();
    await one.close();
    await hinting.close();
  });

  it.each(['099', '600', '999'])('refuses an answer of status %s, to a WebSocket too', async (status) => {
    const odd = await startRawOrigin((socket) =>
      socket.on('data', () => socket.end(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`)),
    );
    const one = await startEdge({
      origins: { eu: [odd.endpoint] },
      hosts: [host('www.shop.example', prefix('/', 'eu'))],
    });
    const upgrade =
      'GET / HTTP/1.1\r\nHost: www.shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n';
    expect(await raw(one, upgrade)).toMatch(/^HTTP\/1.1 502 [\s\S]*ufes-reason: origin-invalid/);
    const session = await openH2(one);
    for (const answer of [await ask1(one), await ask2(session)]) {
      expect(answer).toMatchObject({ status: 502, headers: { 'ufes-reason': 'origin-invalid' } });
    }
    session.close();
    expect(one.plane.stats().inFlight).toBe(0);
    await one.close();
    await odd.close();
  });

  it('survives trailers that are said twice, and streams reset as they open', async () => {
    const odd = await startRawOrigin((socket) =>
      socket.on('data', () =>
        socket.write(
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nEtag: "1"\r\nEtag: "2"\r\nAge: 1\r\nAge: 2\r\nx-a: \xff\r\n\r\n',
          'latin1',
        ),
      ),
    );
    const one = await startEdge({
      origins: { eu: [odd.endpoint] },
      hosts: [host('www.shop.example', prefix('/', 'eu'))],
    });
    const session = await openH2(one);
    for (let i = 0; i < 20; i++) {
      const reset = session.request({ ':path': '/', ':authority': 'www.shop.example', expect: '100-continue' });
      reset.on('error', () => {});
      reset.close(8); // CANCEL
    }
    expect(await ask2(session)).toMatchObject({ status: 200, body: 'x' });
    expect(await ask1(one)).toMatchObject({ status: 200, body: 'x' });
    session.close();
    await one.close();
    await odd.close();
  });

  it('keeps memory flat for a large body and a slow reader, and loses no byte', async () => {
    const size = 64 << 20;
    const big = await startOrigin((_request, response) => {
      let left = size;
      const more = (): void => {
        while (left > 0) {
          left -= 65_536;
          if (!response.write(Buffer.alloc(65_536, 1))) {
            response.once('drain', more);
            return;
          }
        }
        response.end();
      };
      response.writeHead(200);
      more();
    });
    const tight = await startEdge({
      origins: { big: [big.endpoint] },
      hosts: [host('www.shop.example', prefix('/', 'big'))],
    });
    const session = await openH2(tight);
    const stream = session.request({ ':path': '/', ':authority': 'www.shop.example' });
    await once(stream, 'response');
    // Nothing is read: what is on its way stays bounded by windows and buffers, far below the whole.
    const before = process.memoryUsage();
    for (let i = 0; i < 20; i++) await delay(10);
    const after = process.memoryUsage();
    expect(after.external + after.arrayBuffers - before.external - before.arrayBuffers).toBeLessThan(24 << 20);
    let got = 0;
    for await (const chunk of stream) got += (chunk as Buffer).length;
    expect(got).toBe(size);
    session.close();
    await tight.close();
    await big.close();
  });

  it('holds a fast sender back when the origin does not read', async () => {
    const request = httpsRequest({
      host: '127.0.0.1',
      port: edge.httpsPort,
      path: '/silent/upload',
      method: 'POST',
      headers: { host: 'www.shop.example', 'transfer-encoding': 'chunked' },
      servername: 'www.shop.example',
      ca: edge.ca.certificatePem,
      agent: false,
    });
    const answer = once(request, 'response') as Promise<[IncomingMessage]>;
    request.on('error', () => {});
    request.write('x');
    const [response] = await answer;
    expect(response.statusCode).toBe(504);
    expect(response.headers.connection).toBe('close');
    request.destroy();
  });

  it('drops the request to the origin when the client goes away', async () => {
    const { opened, closed } = shop.nextHang();
    const session = await openH2(edge);
    const stream = session.request({ ':path': '/hang', ':authority': 'www.shop.example' });
    stream.on('error', () => {});
    await opened;
    stream.close(8);
    await closed;
    session.close();
    const again = shop.nextHang();
    const socket = await openTls(edge);
    socket.write('GET /hang HTTP/1.1\r\nHost: www.shop.example\r\n\r\n');
    await again.opened;
    socket.destroy();
    await again.closed;
  });

  it('joins a WebSocket, and hands on what is none', async () => {
    const websocket = await startOrigin(
      (_request, response) => void response.writeHead(426).end('no'),
      (server) =>
        server.on('upgrade', (request, socket, head) => {
          if (request.url === '/refuse')
            return void socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno');
          socket.write(
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n',
          );
          socket.write(head);
          socket.pipe(socket);
        }),
    );
    const one = await startEdge({
      origins: { ws: [websocket.endpoint] },
      hosts: [host('www.shop.example', prefix('/', 'ws'))],
    });
    const upgrade =
      'Host: www.shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n';
    const joined = await raw(one, `GET / HTTP/1.1\r\n${upgrade}early`, 'early');
    expect(joined).toMatch(/^HTTP\/1.1 101 [\s\S]*sec-websocket-accept: x[\s\S]*early$/);
    expect(await raw(one, `GET /refuse HTTP/1.1\r\n${upgrade}`)).toMatch(
      /^HTTP\/1.1 403 [\s\S]*connection: close[\s\S]*no/i,
    );
    await one.close();
    await websocket.close();
  });
});

it('answers a request that comes in many small pieces', async () => {
  const socket = await openTls(edge);
  for (const char of 'GET /slow HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n') socket.write(char);
  expect(await readAll(socket)).toContain('GET /slow');
});
