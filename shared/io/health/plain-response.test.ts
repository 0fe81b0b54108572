/** The reader of plain responses, against node's own server and parser, and against anything at all. */
import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PlainReader, type PlainResponse } from './plain-response.ts';

const server = createServer((incoming, response) => {
  const { status, body, headers } = JSON.parse(Buffer.from(incoming.url!.slice(1), 'base64url').toString());
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers as Record<string, string>)) response.setHeader(name, value);
  response.end(body);
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => void server.close());
const port = () => (server.address() as AddressInfo).port;

/** The bytes that the server sends for it. */
function bytesOf(path: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port(), '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n`);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
  });
}
const byNode = (path: string): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: port(), path }, (response) => {
      let body = '';
      response.setEncoding('latin1').on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, body }));
    })
      .on('error', reject)
      .end();
  });

/** Fed in pieces cut at these places. */
function readInPieces(bytes: Uint8Array, cuts: readonly number[]): PlainResponse | 'odd' | undefined {
  const reader = new PlainReader();
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  for (let i = 1; i < places.length; i++) {
    const found = reader.read(Buffer.from(bytes.slice(places[i - 1], places[i])));
    if (found !== undefined) return found;
  }
  return undefined;
}
const read = (text: string) => readInPieces(Buffer.from(text, 'latin1'), []);

describe('a plain response', () => {
  it('is read as node reads it, however it is cut', async () => {
    const responses = fc.record({
      status: fc.constantFrom(200, 201, 301, 404, 500, 503),
      body: fc.string({ maxLength: 300 }),
      headers: fc.dictionary(fc.stringMatching(/^x-[a-z]{1,8}$/), fc.stringMatching(/^[ -~]{0,20}$/), { maxKeys: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(responses, fc.array(fc.nat(), { maxLength: 6 }), async (response, cuts) => {
        const path = `/${Buffer.from(JSON.stringify(response)).toString('base64url')}`;
        const length = Buffer.byteLength(response.body);
        const bytes = await bytesOf(path);
        expect(bytes.includes(`Content-Length: ${length}\r\n`)).toBe(true);
        const found = readInPieces(bytes, cuts);
        expect(found).toEqual({ ...(await byNode(path)), kept: false });
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ['kept', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', { status: 200, body: 'ok', kept: true }],
    ['no reason', 'HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n', { status: 503, body: '', kept: true }],
    [
      'keep-alive',
      'HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n',
      { status: 200, body: '', kept: true },
    ],
    [
      'to be closed',
      'HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 1\r\n\r\na',
      { status: 200, body: 'a', kept: false },
    ],
    ['more than announced', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc', { status: 200, body: 'a', kept: false }],
    ['not whole', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc', undefined],
    ['no end of head', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n', undefined],
  ])('%s', (_, text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  it.each([
    ['an old version', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['an interim response', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['no body by definition', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n'],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['both', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n'],
    ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 0, 0\r\n\r\n'],
    ['no length', 'HTTP/1.1 200 OK\r\n\r\n'],
    ['a folded line', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['a bare line feed', 'HTTP/1.1 200 OK\r\nX: a\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n'],
    ['something else', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(20_000)}`],
  ])('is not: %s', (_, text) => {
    expect(read(text)).toBe('odd');
  });

  it('takes any bytes without throwing, and says the same however they are cut', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        'HTTP/1.1 200 OK',
        '\r\n',
        '\r\n\r\n',
        'Content-Length: 3',
        'Transfer-Encoding: chunked',
        ': ',
        'abc',
        '\n',
      ),
      fc.string({ unit: 'binary', maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 8 }), (pieces, cuts) => {
        const bytes = Buffer.from(pieces.join(''), 'latin1');
        const whole = readInPieces(bytes, []);
        const cut = readInPieces(bytes, cuts);
        // A connection is kept only when nothing came after: that is known when it came along.
        const plain = (found: typeof whole) => (typeof found === 'object' ? { ...found, kept: false } : found);
        expect(plain(cut)).toEqual(plain(whole));
      }),
      { numRuns: 2_000 },
    );
  });
});
