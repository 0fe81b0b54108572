/** One HTTP request over a connection of its own that says by PROXY v2 whom it speaks for. */
import { connect } from 'node:net';
import type { Endpoint } from '@ufes/io/address.ts';
import { encodeProxyV2 } from '@ufes/io/proxy-protocol.ts';

const timeoutMs = 5_000;

/** Status 0: the connection closed without an answer. Rejects when there is no connection. */
export function viaProxy(
  door: Endpoint,
  client: string,
  method: string,
  path: string,
  body = '',
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(door.port, door.address);
    let received = '';
    socket.setEncoding('utf8');
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`${path}: no answer within ${timeoutMs} ms`)));
    socket.on('connect', () => {
      socket.write(encodeProxyV2({ address: client, port: 40_000 }, door));
      const head = [
        `${method} ${path} HTTP/1.1`,
        `Host: ${door.address}:${door.port}`,
        'Content-Type: text/plain',
        `Content-Length: ${Buffer.byteLength(body)}`,
        'Connection: close',
      ];
      socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
    });
    socket.on('data', (chunk: string) => {
      received += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1] ?? 0);
      const at = received.indexOf('\r\n\r\n');
      resolve({ status, body: at < 0 ? '' : received.slice(at + 4) });
    });
  });
}
