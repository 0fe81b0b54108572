import { createSocket, type RemoteInfo } from 'node:dgram';
import { afterEach, describe, expect, test } from 'vitest';
import { closeSocket, MmsgSocket, openTcp, openUdp, Poller, type UdpOptions } from './mmsg.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function open(address: string, more: Partial<UdpOptions> = {}, port = 0): { socket: MmsgSocket; port: number } {
  const bound = openUdp({ address, port }, { reusePort: false, timeoutMs: 500, socketBufferBytes: 1 << 20, ...more });
  closers.push(() => closeSocket(bound.fd));
  return { socket: new MmsgSocket({ fd: bound.fd, address, batch: 8, inBytes: 512, outBytes: 512 }), port: bound.port };
}

function client(family: 'udp4' | 'udp6') {
  const socket = createSocket(family);
  closers.push(() => socket.close());
  const received: [string, RemoteInfo][] = [];
  socket.on('message', (message, info) => received.push([message.toString(), info]));
  return {
    received,
    send: (text: string, port: number, address: string) =>
      new Promise<void>((resolve, reject) =>
        socket.send(text, port, address, (error) => (error ? reject(error) : resolve())),
      ),
  };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

/** Answers `text` with `re:text`, but for what starts with `no`. */
function echo(socket: MmsgSocket): number {
  const count = socket.receive();
  for (let i = 0; i < count; i++) {
    const length = socket.length[i]!;
    const text = length < 0 ? 'cut' : Buffer.from(socket.in.subarray(i * 512, i * 512 + length)).toString();
    socket.outLength[i] = text.startsWith('no') ? 0 : Buffer.from(socket.out.buffer).write(`re:${text}`, i * 512);
  }
  socket.send();
  return count;
}

describe('a batched socket', () => {
  test.each([
    ['127.0.0.1', 'udp4', '127.0.0.1'],
    ['::1', 'udp6', '::1'],
    ['0.0.0.0', 'udp4', '127.7.7.7'],
    ['::', 'udp6', '::1'],
  ] as const)('bound to %s answers from the address it was asked at', async (bound, family, asked) => {
    const { socket, port } = open(bound);
    const { send, received } = client(family);
    await send('a', port, asked);
    await send('no', port, asked);
    await send('bc', port, asked);
    await settle();
    expect(echo(socket)).toBe(3);
    await settle();
    expect(received.map(([text, info]) => [text, info.address, info.port])).toEqual([
      ['re:a', asked, port],
      ['re:bc', asked, port],
    ]);
    // A slot that moved up in one round is in its own place in the next.
    await send('d', port, asked);
    await send('ef', port, asked);
    await settle();
    echo(socket);
    await settle();
    expect(received.slice(2).map(([text]) => text)).toEqual(['re:d', 're:ef']);
    expect(socket.sendErrors).toBe(0);
  });

  test('says that a datagram was cut', async () => {
    const { socket, port } = open('127.0.0.1');
    const { send } = client('udp4');
    await send('x'.repeat(513), port, '127.0.0.1');
    await send('x'.repeat(512), port, '127.0.0.1');
    await settle();
    expect(socket.receive()).toBe(2);
    expect([...socket.length.subarray(0, 2)]).toEqual([-1, 512]);
  });

  test('receives nothing when nothing comes', () => {
    expect(open('127.0.0.1', { timeoutMs: 20 }).socket.receive()).toBe(0);
  });

  test('names what is in its way', () => {
    const { port } = open('127.0.0.1');
    expect(() => open('127.0.0.1', {}, port)).toThrow(/udp 127\.0\.0\.1:\d+: another process has it/);
    expect(() => open('192.0.2.1')).toThrow(/no interface of this machine has the address/);
  });

  test('a group that shares a port is in the way of a plain bind, not of its own', () => {
    const { port } = open('127.0.0.1', { reusePort: true });
    expect(open('127.0.0.1', { reusePort: true }, port).port).toBe(port);
    expect(() => open('127.0.0.1', {}, port)).toThrow(/another process has it/);
  });
});

test('a poller says which of several sockets has something', async () => {
  const one = open('127.0.0.1');
  const two = open('::1');
  const poller = new Poller([one.socket.fd, two.socket.fd]);
  expect(poller.wait(0)).toBe(false);
  await client('udp6').send('a', two.port, '::1');
  expect(poller.wait(1000)).toBe(true);
  expect([poller.isReadable(0), poller.isReadable(1)]).toEqual([false, true]);
  expect(one.socket.receive(false)).toBe(0);
  expect(two.socket.receive(false)).toBe(1);
});

test('a listening TCP socket has the port it was asked for', () => {
  const { fd, port } = openTcp({ address: '127.0.0.1', port: 0 }, { backlog: 8, receiveBytes: 4096, sendBytes: 4096 });
  closers.push(() => closeSocket(fd));
  expect(() => openTcp({ address: '127.0.0.1', port }, { backlog: 8, receiveBytes: 4096, sendBytes: 4096 })).toThrow(
    /tcp 127\.0\.0\.1:\d+: another process has it/,
  );
});
