/** Bytes that two readers could take for different requests do not pass. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask2, openH2, raw, type TestEdge } from '../../testing.ts';
import { type Shop, startShop } from './shop.fixture.ts';

let shop: Shop;
let edge: TestEdge;
beforeAll(async () => {
  shop = await startShop();
  edge = shop.edge;
});
afterAll(() => shop.close());

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
    const before = shop.seen.length;
    const text = await raw(edge, `${bytes}GET /smuggled HTTP/1.1\r\n${head}Connection: close\r\n\r\n`);
    expect(shop.seen.slice(before).map((one) => one.url)).not.toContain('/admin');
    if (text !== '') expect(text).toMatch(/^HTTP\/1\.1 (400|501|404) [\s\S]*ufes-reason: /);
    // The refused bytes are the last on their connection, or their end is beyond doubt and the next request is its own.
    const smuggled = shop.seen.slice(before).filter((one) => one.url === '/smuggled');
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
    const before = shop.seen.length;
    const text = await raw(edge, `${bytes}GET /smuggled HTTP/1.1\r\n${head}\r\n`);
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*ufes-reason: ${reason}`));
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(shop.seen.slice(before).map((one) => one.url)).not.toContain('/smuggled');
  });

  it('the absolute form replaces Host', async () => {
    const text = await raw(
      edge,
      'GET https://www.shop.example/abs HTTP/1.1\r\nHost: api.shop.example\r\nConnection: close\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 [\s\S]*GET \/abs/);
    expect(shop.seen.at(-1)!.headers.host).toBe('www.shop.example');
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
    expect(shop.seen.at(-1)!.raw.join('\n')).not.toMatch(/x-[ab]/i);
    await expect(ask2(session, { headers: { 'transfer-encoding': 'chunked' } })).rejects.toThrow();
    session.close();
  });
});
