/** The plane as clients and origins see it, over real sockets. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Ask,
  ask1,
  ask2,
  freePort,
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
  type TestOrigin,
} from '../../testing.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly raw: readonly string[];
}

let edge: TestEdge;
let origin: TestOrigin;
let other: TestOrigin;
let refusing: TestOrigin;
let resetting: TestOrigin;
let silent: TestOrigin;
let cutting: TestOrigin;
let garbage: TestOrigin;
const seen: Seen[] = [];
/** Called by the origin for /hang when the client's leg went away. */
let hangClosed: () => void = () => {};
let hangOpened: () => void = () => {};
let resets = 0;

function serve(request: IncomingMessage, response: ServerResponse): void {
  const { method = '', url = '', headers, rawHeaders } = request;
  seen.push({ method, url, headers, raw: rawHeaders });
  if (url.startsWith('/echo')) {
    response.writeHead(200, { 'content-type': request.headers['content-type'] ?? 'text/plain' });
    request.pipe(response);
  } else if (url === '/trailers') {
    response.writeHead(200, { trailer: 'x-sum', 'content-type': 'text/plain' });
    response.write('body');
    response.addTrailers({ 'x-sum': '42', 'ufes-x': 'no' });
    response.end();
  } else if (url === '/none') response.writeHead(204).end();
  else if (url === '/same') response.writeHead(304, { etag: '"1"' }).end();
  else if (url === '/hints') {
    response.writeEarlyHints({ link: '</a.css>; rel=preload' });
    response.end('late');
  } else if (url === '/hang') {
    request.on('close', () => hangClosed());
    hangOpened();
  } else if (url === '/hop') {
    response.writeHead(200, {
      connection: 'close, x-hop',
      'x-hop': '1',
      'ufes-internal': '1',
      'x-kept': '1',
      'server-timing': 'db;dur=3',
    });
    response.end('hop');
  } else response.end(`${method} ${url}`);
}

beforeAll(async () => {
  origin = await startOrigin(serve);
  other = await startOrigin((_request, response) => void response.end('other'));
  refusing = { endpoint: { address: '127.0.0.1', port: await freePort() }, close: async () => {} };
  resetting = await startRawOrigin((socket) =>
    socket.on('data', () => {
      resets++;
      socket.destroy();
    }),
  );
  silent = await startRawOrigin((socket) => void socket.resume());
  cutting = await startRawOrigin((socket) =>
    socket.on('data', (chunk) => {
      const chunked = chunk.toString().includes('/cutting/chunked');
      socket.end(
        `HTTP/1.1 200 OK\r\n${chunked ? 'Transfer-Encoding: chunked\r\n\r\n9\r\n' : 'Content-Length: 100\r\n\r\n'}only this`,
      );
    }),
  );
  garbage = await startRawOrigin((socket) => socket.on('data', () => socket.end('HELLO\r\n\r\n')));
  edge = await startEdge({
    origins: {
      eu: [origin.endpoint],
      us: [other.endpoint],
      refusing: [refusing.endpoint],
      resetting: [resetting.endpoint],
      silent: [silent.endpoint],
      cutting: [cutting.endpoint],
      garbage: [garbage.endpoint],
      half: [refusing.endpoint, origin.endpoint],
      flaky: [resetting.endpoint, origin.endpoint],
      empty: [],
    },
    hosts: [
      host(
        'www.shop.example',
        prefix('/', 'eu'),
        prefix('/us', 'us'),
        prefix('/refusing', 'refusing'),
        prefix('/resetting', 'resetting'),
        prefix('/silent', 'silent', 150),
        prefix('/cutting', 'cutting'),
        prefix('/garbage', 'garbage'),
        prefix('/half', 'half'),
        prefix('/flaky', 'flaky'),
        prefix('/empty', 'empty'),
        prefix('/missing', 'nowhere'),
      ),
      host('api.shop.example', prefix('/v1', 'us')),
      host('*.tenant.example', prefix('/', 'us')),
    ],
  });
});

afterAll(async () => {
  await edge.close();
  for (const one of [origin, other, resetting, silent, cutting, garbage]) await one.close();
});

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
    const { headers } = seen.at(-1)!;
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
    const opened = new Promise<void>((resolve) => (hangOpened = resolve));
    const closed = new Promise<void>((resolve) => (hangClosed = resolve));
    const session = await openH2(edge);
    const stream = session.request({ ':path': '/hang', ':authority': 'www.shop.example' });
    stream.on('error', () => {});
    await opened;
    stream.close(8);
    await closed;
    session.close();
    const openedAgain = new Promise<void>((resolve) => (hangOpened = resolve));
    const closedAgain = new Promise<void>((resolve) => (hangClosed = resolve));
    const socket = await openTls(edge);
    socket.write('GET /hang HTTP/1.1\r\nHost: www.shop.example\r\n\r\n');
    await openedAgain;
    socket.destroy();
    await closedAgain;
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

describe('refusals say why', () => {
  it.each<[Ask, number, string]>([
    [{ host: 'nowhere.example', servername: '' }, 404, 'no-host'],
    [{ host: 'api.shop.example', path: '/v2' }, 404, 'no-path'],
    [{ host: 'a.b.tenant.example', servername: '' }, 404, 'no-host'],
    [{ path: '/missing' }, 500, 'backend-missing'],
    [{ path: '/refusing' }, 502, 'origin-connect'],
    [{ path: '/resetting', method: 'POST', body: 'x' }, 502, 'origin-reset'],
    [{ path: '/garbage' }, 502, 'origin-invalid'],
    [{ path: '/empty' }, 503, 'no-endpoint'],
    [{ path: '/silent' }, 504, 'origin-timeout'],
    [{ path: '/a%2fb' }, 400, 'bad-path'],
    [{ headers: { x_y: '1' } }, 400, 'bad-header'],
    [{ host: 'api.shop.example', servername: 'www.shop.example' }, 421, 'misdirected'],
    [{ servername: '' }, 421, 'misdirected'],
  ])('%j: %i %s', async (ask, status, reason) => {
    const session = await openH2(edge, ask.servername ?? ask.host ?? 'www.shop.example');
    for (const answer of [await ask1(edge, ask), await ask2(session, ask)]) {
      expect({ status: answer.status, reason: answer.headers['ufes-reason'] }).toEqual({ status, reason });
      expect(answer.body).toContain(reason);
      if (status === 503) expect(answer.headers['retry-after']).toBe('1');
    }
    session.close();
  });

  it('a wildcard covers one label', async () => {
    expect(await ask1(edge, { host: 'a.tenant.example' })).toMatchObject({ status: 200, body: 'other' });
  });

  it('retries once at another endpoint, without the client noticing', async () => {
    for (let i = 0; i < 12; i++) {
      expect((await ask1(edge, { path: '/half' })).status).toBe(200);
      expect((await ask1(edge, { path: '/half', method: 'POST', body: 'sent whole' })).status).toBe(200);
      expect((await ask1(edge, { path: '/flaky' })).status).toBe(200);
    }
  });

  it('does not send a POST twice', async () => {
    const before = resets;
    await ask1(edge, { path: '/resetting', method: 'POST', body: 'x' });
    expect(resets - before).toBe(1);
  });

  it('resets when the origin fails after its headers, never ends quietly', async () => {
    const session = await openH2(edge);
    for (const path of ['/cutting', '/cutting/chunked']) {
      await expect(ask1(edge, { path })).rejects.toThrow(/aborted|hang up|reset/i);
      await expect(ask2(session, { path })).rejects.toThrow('NGHTTP2_INTERNAL_ERROR');
    }
    session.close();
    expect(await edge.registry.metrics()).toContain('ufes_edge_responses_total{class="2xx",http="2.0",reason="cut"} 2');
  });
});

describe('smuggling', () => {
  const head = 'Host: www.shop.example\r\n';
  it.each([
    [
      'Content-Length and Transfer-Encoding',
      `POST / HTTP/1.1\r\n${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['two Content-Lengths', `POST / HTTP/1.1\r\n${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`],
    ['Content-Length with a sign', `POST / HTTP/1.1\r\n${head}Content-Length: +1\r\n\r\nx`],
    ['Content-Length as a list', `POST / HTTP/1.1\r\n${head}Content-Length: 1, 1\r\n\r\nx`],
    ['an unknown coding', `POST / HTTP/1.1\r\n${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['chunked not last', `POST / HTTP/1.1\r\n${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    [
      'two Transfer-Encodings',
      `POST / HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
    ],
    ['a space before the colon', `POST / HTTP/1.1\r\n${head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
    ['a folded header', `GET / HTTP/1.1\r\n${head}X-A: 1\r\n Content-Length: 5\r\n\r\n`],
    ['a bare LF after a header', `GET / HTTP/1.1\r\n${head}X-A: 1\nX-B: 2\r\n\r\n`],
    ['a bare CR in a header', `GET / HTTP/1.1\r\n${head}X-A: 1\rX-B: 2\r\n\r\n`],
    ['NUL in a header', `GET / HTTP/1.1\r\n${head}X-A: a\0b\r\n\r\n`],
    ['two hosts', `GET / HTTP/1.1\r\n${head}Host: api.shop.example\r\n\r\n`],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['a host with a path', 'GET / HTTP/1.1\r\nHost: www.shop.example/x\r\n\r\n'],
    ['an encoded slash', `GET /us%2f..%2fadmin HTTP/1.1\r\n${head}\r\n`],
    ['a backslash', `GET /us\\..\\admin HTTP/1.1\r\n${head}\r\n`],
    ['another version', `GET / HTTP/3.7\r\n${head}\r\n`],
    ['a bad chunk size', `POST /echo HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n`],
    [
      'a chunk longer than said',
      `POST /echo HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n`,
    ],
  ])('%s does not pass', async (_name, bytes) => {
    const before = seen.length;
    const text = await raw(edge, `${bytes}GET /smuggled HTTP/1.1\r\n${head}Connection: close\r\n\r\n`);
    expect(seen.slice(before).map((one) => one.url)).not.toContain('/admin');
    if (text !== '') expect(text).toMatch(/^HTTP\/1\.1 (400|501|404) [\s\S]*ufes-reason: /);
    // The refused bytes are the last on their connection, or their end is beyond doubt and the next request is its own.
    const smuggled = seen.slice(before).filter((one) => one.url === '/smuggled');
    expect(smuggled.length).toBeLessThanOrEqual(1);
    for (const one of smuggled) expect(one.headers['x-b']).toBeUndefined();
  });

  it.each([
    ['CONNECT', `CONNECT www.shop.example:443 HTTP/1.1\r\n${head}\r\n`, '501', 'method-unsupported'],
    ['a version of another framing', `GET /x HTTP/2.0\r\n${head}\r\n`, '400', 'bad-request'],
    ['HTTP/0.9 with headers', `GET /x HTTP/0.9\r\n${head}\r\n`, '400', 'bad-request'],
    [
      'Transfer-Encoding before it was known',
      `POST /echo HTTP/1.0\r\n${head}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
      '400',
      'bad-header',
    ],
    [
      'a length that readers round',
      `POST /echo HTTP/1.1\r\n${head}Content-Length: 9007199254740993\r\n\r\nx`,
      '400',
      'bad-header',
    ],
    [
      'a body whose chunks break off',
      `POST /silent HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nZZ\r\n`,
      '400',
      'bad-request',
    ],
  ])('%s is refused with a reason, and the connection ends', async (_name, bytes, status, reason) => {
    const before = seen.length;
    const text = await raw(edge, `${bytes}GET /smuggled HTTP/1.1\r\n${head}\r\n`);
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*ufes-reason: ${reason}`));
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(seen.slice(before).map((one) => one.url)).not.toContain('/smuggled');
  });

  it('the absolute form replaces Host', async () => {
    const text = await raw(
      edge,
      'GET https://www.shop.example/abs HTTP/1.1\r\nHost: api.shop.example\r\nConnection: close\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 [\s\S]*GET \/abs/);
    expect(seen.at(-1)!.headers.host).toBe('www.shop.example');
  });

  it('too many and too large headers are refused with 431', async () => {
    const many = Array.from({ length: 130 }, (_, i) => `X-${i}: 1\r\n`).join('');
    expect(await raw(edge, `GET / HTTP/1.1\r\n${head}${many}\r\n`, '431')).toContain('431');
    expect(await raw(edge, `GET / HTTP/1.1\r\n${head}X: ${'a'.repeat(40_000)}\r\n\r\n`, '431')).toContain('431');
  });

  it('HTTP/2 cannot carry what HTTP/1.1 would read differently', async () => {
    const session = await openH2(edge);
    expect((await ask2(session, { headers: { host: 'api.shop.example' } })).headers['ufes-reason']).toBe('bad-host');
    // nghttp2 drops a field whose value it refuses; what matters is that the origin sees no part of it.
    await ask2(session, { headers: { 'x-a': '1\r\nx-b: 2' } });
    expect(seen.at(-1)!.raw.join('\n')).not.toMatch(/x-[ab]/i);
    await expect(ask2(session, { headers: { 'transfer-encoding': 'chunked' } })).rejects.toThrow();
    session.close();
  });
});

describe('what the edge answers itself', () => {
  it('health, on every address', async () => {
    const ask = { host: 'health.ufes.internal', path: '/readyz' };
    expect(await ask1(edge, ask)).toMatchObject({ status: 200, body: 'ready\n' });
    expect((await ask1(edge, { ...ask, plain: true })).status).toBe(200);
    edge.plane.setDraining(true);
    expect(await ask1(edge, ask)).toMatchObject({ status: 503, headers: { 'ufes-reason': 'draining' } });
    expect((await ask1(edge)).status).toBe(200);
    edge.plane.setDraining(false);
    expect((await ask1(edge, ask)).status).toBe(200);
  });

  it('probe names of this PoP, and remembers who asked', async () => {
    const answer = await ask1(edge, { host: 'abc123-lon.probe.example', path: '/p' });
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'timing-allow-origin': '*', 'access-control-allow-origin': '*', 'cache-control': 'no-store' },
    });
    expect(answer.headers['server-timing']).toContain('pop;desc="lon"');
    expect(edge.plane.probeJoins().at(-1)).toMatchObject({ id: 'abc123', client: '127.0.0.1' });
    expect((await ask1(edge, { host: 'abc123-iad.probe.example', path: '/p' })).status).toBe(404);
  });

  it('redirects clear text to https with method and path, for its own hosts alone', async () => {
    expect(await ask1(edge, { plain: true, path: '/a/./b?q=1', method: 'POST' })).toMatchObject({
      status: 308,
      headers: { location: `https://www.shop.example:${edge.httpsPort}/a/b?q=1` },
    });
    expect((await ask1(edge, { plain: true, host: 'evil.example' })).status).toBe(404);
  });

  it('OPTIONS *', async () => {
    expect(await raw(edge, 'OPTIONS * HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 204 /,
    );
  });
});

it('answers a request that comes in many small pieces', async () => {
  const socket = await openTls(edge);
  for (const char of 'GET /slow HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n') socket.write(char);
  expect(await readAll(socket)).toContain('GET /slow');
});
