/** PROXY v2 against the bytes of its specification, against mutations, and before real http and https servers. */
import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { limits } from '@ufes/core/limits.ts';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from './clock.ts';
import { testCertificate } from './health/certificate.fixture.ts';
import { clientAddress, createProxyServer, encodeProxyV2, type ProxyHeader, parseProxyV2 } from './proxy-protocol.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const signature = '0d0a0d0a000d0a515549540a';

describe('parse', () => {
  it.each([
    ['TCP4', `${signature} 21 11 000c c0000201 c6336402 1f90 01bb`, '192.0.2.1', 8080, '198.51.100.2', 443],
    [
      'TCP4 with TLVs',
      `${signature} 21 11 0013 c0000201 c6336402 1f90 01bb 0400040000 0000`,
      '192.0.2.1',
      8080,
      '198.51.100.2',
      443,
    ],
    [
      'TCP6',
      `${signature} 21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 1f90 01bb`,
      '2001:db8:0:0:0:0:0:1',
      8080,
      '2001:db8:0:0:0:0:0:2',
      443,
    ],
  ])('%s', (_, text, address, port, toAddress, toPort) => {
    const bytes = hex(text);
    expect(parseProxyV2(bytes)).toEqual({
      length: bytes.length,
      client: { source: { address, port }, destination: { address: toAddress, port: toPort } },
    });
  });

  it.each([
    ['LOCAL', `${signature} 20 00 0000`, 16],
    ['LOCAL with addresses to skip', `${signature} 20 11 000c c0000201 c6336402 1f90 01bb`, 28],
    ['unspecified family', `${signature} 21 00 0003 010203`, 19],
  ])('%s is the peer itself', (_, text, length) => {
    expect(parseProxyV2(hex(text))).toEqual({ length, client: undefined });
  });

  it.each([
    ['version 1', Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n').toString('hex')],
    ['http', Buffer.from('GET / HTTP/1.1\r\n\r\n').toString('hex')],
    ['another version', `${signature} 31 11 000c c0000201 c6336402 1f90 01bb`],
    ['another command', `${signature} 22 11 000c c0000201 c6336402 1f90 01bb`],
    ['UDP', `${signature} 21 12 000c c0000201 c6336402 1f90 01bb`],
    ['a Unix socket', `${signature} 21 31 00d8`],
    ['addresses cut short', `${signature} 21 11 000b c0000201 c6336402 1f90 01`],
    ['TCP6 of TCP4 length', `${signature} 21 21 000c c0000201 c6336402 1f90 01bb`],
    ['longer than the bound', `${signature} 21 11 ffff`],
  ])('%s is invalid', (_, text) => {
    expect(parseProxyV2(hex(text))).toBe('invalid');
  });

  const endpoint4 = fc.record({ address: fc.ipV4(), port: fc.integer({ min: 0, max: 65535 }) });
  const endpoint6 = fc.record({
    address: fc
      .uint8Array({ minLength: 16, maxLength: 16 })
      .map((bytes) => Buffer.from(bytes).toString('hex').match(/.{4}/g)!.join(':')),
    port: fc.integer({ min: 0, max: 65535 }),
  });

  it('reads back what it wrote, needs every byte of it, and no byte after it', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.tuple(endpoint4, endpoint4), fc.tuple(endpoint6, endpoint6)),
        fc.uint8Array(),
        ([from, to], rest) => {
          const bytes = encodeProxyV2(from, to);
          const plain = (one: { address: string; port: number }) => ({
            ...one,
            address: one.address.replace(/\b0+(?=[0-9a-f])/g, ''),
          });
          const read = parseProxyV2(Uint8Array.from([...bytes, ...rest])) as ProxyHeader;
          expect(read).toEqual({ length: bytes.length, client: { source: plain(from), destination: plain(to) } });
          for (let cut = 0; cut < bytes.length; cut++) expect(parseProxyV2(bytes.subarray(0, cut))).toBe('more');
        },
      ),
    );
  });

  it('survives mutations: never throws, never reads past the end, never decides differently with more bytes', () => {
    const seed = encodeProxyV2({ address: '192.0.2.1', port: 1 }, { address: '192.0.2.2', port: 2 });
    const mutated = fc
      .tuple(fc.array(fc.tuple(fc.nat(27), fc.nat(255)), { maxLength: 4 }), fc.uint8Array())
      .map(([edits, rest]) => {
        const bytes = Uint8Array.from([...seed, ...rest]);
        for (const [at, value] of edits) bytes[at] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 600 })), fc.nat(600), (bytes, cut) => {
        const whole = parseProxyV2(bytes);
        if (typeof whole === 'object') {
          expect(whole.length).toBeLessThanOrEqual(Math.min(bytes.length, limits.probe.proxyHeaderBytes));
        }
        const part = parseProxyV2(bytes.subarray(0, cut));
        if (part !== 'more') expect(part).toEqual(whole);
      }),
      { numRuns: 5_000 },
    );
  });

  it('refuses to write two families', () => {
    expect(() => encodeProxyV2({ address: '192.0.2.1', port: 1 }, { address: '2001:db8::1', port: 2 })).toThrow(
      'one family',
    );
  });
});

describe('server', () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  async function serve(target: Server, clock = systemClock as ManualClock | typeof systemClock, believed = true) {
    const refused: string[] = [];
    const believes = () => believed;
    const server = createProxyServer({ target, believes, clock, onRefused: (_, why) => refused.push(why) });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => server.close());
    return { port: (server.address() as AddressInfo).port, refused };
  }
  const answering = createHttpServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => response.end(`${clientAddress(request.socket)} ${body}`));
  });
  const header = encodeProxyV2({ address: '203.0.113.9', port: 1234 }, { address: '192.0.2.1', port: 80 });
  const text = 'POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: 3\r\n\r\nabc';

  function read(socket: ReturnType<typeof connect>): Promise<string> {
    return new Promise((resolve) => {
      let all = '';
      socket.on('data', (chunk) => {
        all += chunk;
        if (all.endsWith('abc')) socket.end();
      });
      socket.on('error', () => resolve(all));
      socket.on('close', () => resolve(all));
    });
  }

  it('hands over the client, and the first bytes of the request with it, however they are cut', async () => {
    const { port } = await serve(answering);
    const whole = Buffer.concat([header, Buffer.from(text)]);
    for (const cut of [1, 12, 16, 27, 28, 29, 40, whole.length]) {
      const socket = connect(port, '127.0.0.1');
      socket.setNoDelay(true);
      const answer = read(socket);
      await new Promise<void>((resolve) => socket.write(whole.subarray(0, cut), () => setImmediate(resolve)));
      if (cut < whole.length) socket.write(whole.subarray(cut));
      expect(await answer).toContain('203.0.113.9 abc');
    }
  });

  it('serves further requests of the connection under the same client', async () => {
    const { port } = await serve(answering);
    const socket = connect(port, '127.0.0.1');
    socket.write(header);
    const one = () =>
      new Promise<string>((resolve) => {
        const request = httpRequest({
          method: 'POST',
          createConnection: () => socket,
          headers: { connection: 'keep-alive' },
        });
        request.on('response', (response) => response.setEncoding('utf8').on('data', resolve));
        request.end('abc');
      });
    expect(await one()).toBe('203.0.113.9 abc');
    expect(await one()).toBe('203.0.113.9 abc');
    socket.destroy();
  });

  it('takes the peer for the client after LOCAL', async () => {
    const { port } = await serve(answering);
    const socket = connect(port, '127.0.0.1');
    const answer = read(socket);
    socket.write(hex(`${signature} 20 00 0000`));
    socket.write(text);
    expect(await answer).toContain('127.0.0.1 abc');
  });

  it('works before TLS', async () => {
    const https = createHttpsServer({ key: testCertificate.key, cert: testCertificate.certificate });
    https.on('request', (request, response) => response.end(`${clientAddress(request.socket)} abc`));
    const { port } = await serve(https);
    // A proxy may send the header by itself, or in one segment with the client's hello.
    for (const together of [false, true]) {
      const proxy = createServer((client) => {
        const upstream = connect(port, '127.0.0.1');
        if (!together) upstream.write(header);
        client.once('data', (hello: Buffer) => {
          upstream.write(together ? Buffer.concat([header, hello]) : hello);
          client.pipe(upstream).pipe(client);
        });
      });
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
      cleanups.push(() => proxy.close());
      const secure = tlsConnect({
        port: (proxy.address() as AddressInfo).port,
        ca: testCertificate.certificate,
        servername: 'node.example',
      });
      secure.write(text);
      expect(await read(secure)).toContain('203.0.113.9 abc');
    }
  });

  it.each([
    ['version 1', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n'],
    ['no header', text],
  ])('closes on %s', async (_, first) => {
    const { port, refused } = await serve(answering);
    const socket = connect(port, '127.0.0.1');
    const answer = read(socket);
    socket.write(first);
    expect(await answer).toBe('');
    expect(refused).toEqual(['no PROXY v2 header']);
  });

  it('takes a peer that is not believed for the client, and closes on one that names another', async () => {
    const { port, refused } = await serve(answering, systemClock, false);
    const socket = connect(port, '127.0.0.1');
    const answer = read(socket);
    socket.write(text);
    expect(await answer).toContain('127.0.0.1 abc');
    const liar = connect(port, '127.0.0.1');
    const nothing = read(liar);
    liar.write(Buffer.concat([header, Buffer.from(text)]));
    expect(await nothing).toBe('');
    expect(refused).toEqual(['a PROXY v2 header from a peer that is not in trustedProxies']);
  });

  it('lets a peer that is not believed take its time: the server behind has its own bounds', async () => {
    const clock = new ManualClock();
    const { port } = await serve(answering, clock, false);
    const socket = connect(port, '127.0.0.1');
    const answer = read(socket);
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    for (let i = 0; i < 50; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(100);
    }
    socket.write(text);
    expect(await answer).toContain('127.0.0.1 abc');
  });

  it('has the time-outs of the server behind it', async () => {
    const slow = createHttpServer({ headersTimeout: 50, requestTimeout: 50, connectionsCheckingInterval: 10 });
    const { port } = await serve(slow);
    const socket = connect(port, '127.0.0.1');
    socket.write(header);
    socket.write('GET / HTTP/1.1\r\nx: ');
    expect(await read(socket)).toContain('408');
    slow.close();
  });

  it('closes on a header that does not come', async () => {
    const clock = new ManualClock();
    const { port, refused } = await serve(answering, clock);
    const socket = connect(port, '127.0.0.1');
    const answer = read(socket);
    await new Promise<void>((resolve) => socket.write(header.subarray(0, 20), () => resolve()));
    while (refused.length === 0) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(100);
    }
    expect(await answer).toBe('');
    expect(refused).toEqual(['header too slow']);
  });
});
