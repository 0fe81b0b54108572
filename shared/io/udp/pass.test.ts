import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { closeSocket, MmsgSocket, openUdp } from './mmsg.ts';
import { passSockets, SocketInbox } from './pass.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

const udp = { reusePort: false, timeoutMs: 500, socketBufferBytes: 1 << 16 };

function inbox(): { inbox: SocketInbox; path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'ufes-pass-'));
  const path = join(folder, 'inbox.sock');
  const made = new SocketInbox(path);
  closers.push(() => {
    made.close();
    rmSync(folder, { recursive: true });
  });
  return { inbox: made, path };
}

test('a socket that was passed has what came while nobody read it', async () => {
  const { inbox: box, path } = inbox();
  expect(box.take()).toBeUndefined();
  const bound = openUdp({ address: '127.0.0.1', port: 0 }, udp);
  const client = createSocket('udp4');
  closers.push(() => client.close());
  await new Promise((resolve) => client.send('early', bound.port, '127.0.0.1', resolve));
  passSockets(path, [bound.fd], 'one');
  closeSocket(bound.fd);
  const taken = box.take()!;
  expect(taken.text).toBe('one');
  const [fd] = taken.fds;
  closers.push(() => closeSocket(fd!));
  const socket = new MmsgSocket({ fd: fd!, address: '127.0.0.1', batch: 4, inBytes: 64, outBytes: 64 });
  expect(socket.receive()).toBe(1);
  expect(Buffer.from(socket.in.subarray(0, 5)).toString()).toBe('early');
});

test('more sockets than the kernel passes at once arrive whole and in order', () => {
  const { inbox: box, path } = inbox();
  const bound = Array.from({ length: 300 }, () => openUdp({ address: '127.0.0.1', port: 0 }, udp));
  const fds = bound.map(({ fd }) => fd);
  closers.push(() => fds.forEach(closeSocket));
  passSockets(path, fds, JSON.stringify(bound.map(({ port }) => port)));
  const taken = box.take()!;
  closers.push(() => taken.fds.forEach(closeSocket));
  expect(taken.fds).toHaveLength(300);
  expect(JSON.parse(taken.text)).toHaveLength(300);
});

test('says where nobody takes them', () => {
  expect(() => passSockets('/nowhere/at/all.sock', [0], '')).toThrow(/cannot pass sockets to \/nowhere/);
});
