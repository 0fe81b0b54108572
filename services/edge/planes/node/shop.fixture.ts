/** A shop with good and bad origins behind an edge, for the tests of the plane: what came through is seen. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { freePort, host, prefix, startEdge, startOrigin, startRawOrigin, type TestEdge } from '../../testing.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly raw: readonly string[];
}

export interface Shop {
  readonly edge: TestEdge;
  /** Requests at the good origin, oldest first. */
  readonly seen: readonly Seen[];
  /** Requests that the resetting origin was sent. */
  resets(): number;
  /** The next request for /hang: when the origin has it, and when the client's leg went away. */
  nextHang(): { readonly opened: Promise<void>; readonly closed: Promise<void> };
  close(): Promise<void>;
}

export async function startShop(): Promise<Shop> {
  const seen: Seen[] = [];
  let hangOpened: () => void = () => {};
  let hangClosed: () => void = () => {};
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

  const origin = await startOrigin(serve);
  const other = await startOrigin((_request, response) => void response.end('other'));
  const refusing = { endpoint: { address: '127.0.0.1', port: await freePort() } };
  const resetting = await startRawOrigin((socket) =>
    socket.on('data', () => {
      resets++;
      socket.destroy();
    }),
  );
  const silent = await startRawOrigin((socket) => void socket.resume());
  const cutting = await startRawOrigin((socket) =>
    socket.on('data', (chunk) => {
      const chunked = chunk.toString().includes('/cutting/chunked');
      socket.end(
        `HTTP/1.1 200 OK\r\n${chunked ? 'Transfer-Encoding: chunked\r\n\r\n9\r\n' : 'Content-Length: 100\r\n\r\n'}only this`,
      );
    }),
  );
  const garbage = await startRawOrigin((socket) => socket.on('data', () => socket.end('HELLO\r\n\r\n')));
  const edge = await startEdge({
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
  return {
    edge,
    seen,
    resets: () => resets,
    nextHang: () => ({
      opened: new Promise<void>((resolve) => (hangOpened = resolve)),
      closed: new Promise<void>((resolve) => (hangClosed = resolve)),
    }),
    async close() {
      await edge.close();
      for (const one of [origin, other, resetting, silent, cutting, garbage]) await one.close();
    },
  };
}
