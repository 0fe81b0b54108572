import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { ManualClock, systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { createListeners } from './listen.ts';
import { createTcpSource, type TcpBounds } from './tcp.ts';
import { harness, query, readAnswer } from './testing.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(endpoint: string) {
  const { answerer, clock, counters } = harness();
  const listeners = createListeners({ endpoints: [endpoint], answerer, clock, log: silentLog, counters });
  await listeners.start();
  cleanups.push(() => listeners.stop());
  return listeners.ports().get(endpoint)!;
}

async function tcp(bounds: Partial<TcpBounds> = {}, ticking?: Clock) {
  const { answerer, counters } = harness();
  const clock = new ManualClock();
  const source = createTcpSource({
    endpoint: { address: '127.0.0.1', port: 0 },
    answerer,
    clock: ticking ?? clock,
    log: silentLog,
    counters,
    bounds: {
      tcpConnections: 2,
      tcpPerClient: 2,
      tcpIdleMs: 10_000,
      tcpIdleMsMin: 10_000,
      tcpLingerMs: 1_000,
      tcpTurn: 64,
      tcpBacklogBytes: 1 << 20,
      tcpDrainMs: 1_000,
      ...bounds,
    },
  });
  await source.open();
  cleanups.push(() => source.close());
  return { source, clock, counters };
}

const framed = (bytes: Uint8Array): Buffer => Buffer.from([bytes.length >> 8, bytes.length & 255, ...bytes]);

/** A client that collects the messages of the other side. */
function client(port: number, localAddress = '127.0.0.1') {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  cleanups.push(() => socket.destroy());
  let waiting = Buffer.alloc(0);
  const messages: Buffer[] = [];
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk]);
    while (waiting.length >= 2 && waiting.length >= 2 + waiting.readUInt16BE(0)) {
      messages.push(waiting.subarray(2, 2 + waiting.readUInt16BE(0)));
      waiting = waiting.subarray(2 + waiting.readUInt16BE(0));
    }
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const opened = new Promise<Socket>((resolve) => socket.once('connect', () => resolve(socket)));
  return { socket, messages, closed, opened, count: (n: number) => expect.poll(() => messages.length).toBe(n) };
}

describe('UDP', () => {
  it.each([
    ['127.0.0.1:0', 'udp4', '127.0.0.1'],
    ['[::1]:0', 'udp6', '::1'],
  ] as const)('answers on %s', async (endpoint, type, address) => {
    const port = await listen(endpoint);
    const socket = createSocket(type);
    cleanups.push(() => socket.close());
    const answer = new Promise<Buffer>((resolve) => socket.once('message', resolve));
    socket.send(query({ id: 7 }), port, address);
    expect(readAnswer(await answer)).toMatchObject({ id: 7, answers: ['www.shop.example 60 A 127.0.10.1'] });
  });
});

describe('an address that cannot be had', () => {
  it('is named, with what to do: UDP port taken', async () => {
    const other = createSocket('udp4');
    await new Promise<void>((resolve) => other.bind(0, '127.0.0.1', resolve));
    cleanups.push(() => other.close());
    const failed = await listen(`127.0.0.1:${other.address().port}`).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(OperatingError);
    expect(failed).toMatchObject({ code: 'ADDRESS_IN_USE' });
    expect(String(failed)).toContain(`udp 127.0.0.1:${other.address().port}: another process has it`);
  });
  it('a group of SO_REUSEPORT sockets is taken too', async () => {
    const other = createSocket({ type: 'udp4', reusePort: true });
    await new Promise<void>((resolve) => other.bind(0, '127.0.0.1', resolve));
    cleanups.push(() => other.close());
    await expect(listen(`127.0.0.1:${other.address().port}`)).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  });
  it('TCP port taken: the UDP socket is given back', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    await expect(listen(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
    await new Promise((resolve) => other.close(resolve));
    expect(await listen(`127.0.0.1:${port}`)).toBe(port);
  });
  it('of no interface', async () => {
    await expect(listen('192.0.2.1:0')).rejects.toMatchObject({ code: 'ADDRESS_UNAVAILABLE' });
  });
});

describe('TCP (RFC 7766)', () => {
  it('answers pipelined queries in order, however the bytes are cut', async () => {
    const { source } = await tcp();
    const one = client(source.port);
    await one.opened;
    const bytes = Buffer.concat([1, 2, 3, 4].map((id) => framed(query({ id, name: 'big.shop.example.', type: 16 }))));
    for (const cut of [1, 30, 37, 60, bytes.length]) {
      one.socket.write(
        bytes.subarray(cut === 1 ? 0 : [0, 1, 30, 37, 60][[1, 30, 37, 60, bytes.length].indexOf(cut)], cut),
      );
      await new Promise((resolve) => setImmediate(resolve));
    }
    await one.count(4);
    expect(one.messages.map((message) => readAnswer(message).id)).toEqual([1, 2, 3, 4]);
    expect(readAnswer(one.messages[0]!)).toMatchObject({ tc: false, rcode: 'NOERROR' });
  });

  it('keeps silent on answers and goes on', async () => {
    const { source } = await tcp();
    const one = client(source.port);
    const answer = query({ id: 1 });
    answer[2]! |= 0x80;
    one.socket.write(Buffer.concat([framed(answer), framed(Uint8Array.of()), framed(query({ id: 2 }))]));
    await one.count(1);
    expect(readAnswer(one.messages[0]!).id).toBe(2);
  });

  it('ends a connection without a whole query, however slowly it dribbles', async () => {
    const { source, clock } = await tcp();
    const one = client(source.port);
    one.socket.write(framed(query({ id: 1 })));
    await one.count(1);
    clock.advance(9_000);
    one.socket.write(framed(query({ id: 2 })));
    await one.count(2);
    clock.advance(9_000);
    one.socket.write(Buffer.of(0));
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1_000);
    await one.closed;
  });

  it('makes room for a new connection by ending the one longest without a query', async () => {
    const { source, counters } = await tcp();
    const first = client(source.port);
    await first.opened;
    const second = client(source.port);
    first.socket.write(framed(query({ id: 1 })));
    await first.count(1);
    second.socket.write(framed(query({ id: 1 })));
    await second.count(1);
    first.socket.write(framed(query({ id: 2 })));
    await first.count(2);
    const third = client(source.port);
    third.socket.write(framed(query({ id: 3 })));
    await third.count(1);
    await second.closed;
    first.socket.write(framed(query({ id: 4 })));
    await first.count(3);
    expect(counters.tcpRefused).toBe(1);
  });

  it('does not read from a peer that does not read, and loses no answer once it does', async () => {
    const { source, counters } = await tcp({ tcpBacklogBytes: 4_000 });
    const one = client(source.port);
    await one.opened;
    one.socket.pause();
    const total = 8_000;
    const all = Buffer.concat(
      Array.from({ length: total }, (_, id) => framed(query({ id, name: 'big.shop.example.', type: 16 }))),
    );
    one.socket.write(all);
    // 2 kB an answer: more than all socket buffers of a loopback connection hold.
    const answered = () => [...counters.queryCounts()].find(([labels]) => labels.transport === 'tcp')![1];
    let before = -1;
    await expect
      .poll(
        () => {
          const still = answered() > 0 && answered() === before;
          before = answered();
          return still;
        },
        { interval: 100 },
      )
      .toBe(true);
    expect(answered()).toBeLessThan(total);
    one.socket.resume();
    await one.count(total);
    expect(readAnswer(one.messages.at(-1)!).id).toBe(total - 1);
  });

  it('lets one network have its share of connections, however many it opens', async () => {
    const { source, counters } = await tcp({ tcpConnections: 100, tcpPerClient: 3 });
    const other = client(source.port, '127.0.9.1');
    await other.opened;
    const flood = Array.from({ length: 12 }, () => client(source.port));
    await Promise.all(flood.slice(0, 9).map((one) => one.closed));
    expect(counters.tcpRefused).toBe(9);
    other.socket.write(framed(query({ id: 5 })));
    await other.count(1);
  });

  it('has less patience the more connections are open', async () => {
    const { source, clock } = await tcp({ tcpConnections: 4, tcpPerClient: 4, tcpIdleMsMin: 1_000 });
    const pair = [client(source.port), client(source.port)];
    for (const one of pair) one.socket.write(framed(query()));
    for (const one of pair) await one.count(1);
    clock.advance(9_000);
    for (const one of pair) one.socket.write(framed(query()));
    for (const one of pair) await one.count(2);
    const more = [client(source.port), client(source.port)];
    for (const one of more) one.socket.write(framed(query()));
    for (const one of more) await one.count(1);
    clock.advance(1_000);
    await Promise.all([...pair, ...more].map((one) => one.closed));
  });

  it('answers others between the turns of one that pipelines without end', async () => {
    // Each turn takes longer than a round.
    let ms = 0;
    const clock = { ...systemClock, monotonicMs: () => (ms += limits.dns.tcpRoundMs) };
    const { source } = await tcp({ tcpTurn: 4, tcpIdleMs: 1e9, tcpIdleMsMin: 1e9 }, clock);
    const busy = client(source.port);
    await busy.opened;
    const total = 4_000;
    busy.socket.write(Buffer.concat(Array.from({ length: total }, (_, id) => framed(query({ id })))));
    await expect.poll(() => busy.messages.length, { interval: 1 }).toBeGreaterThan(0);
    const other = client(source.port);
    other.socket.write(framed(query({ id: 1 })));
    const before = await new Promise<number>((resolve) => {
      other.socket.once('data', () => resolve(busy.messages.length));
    });
    expect(before).toBeLessThan(total);
    await busy.count(total);
    expect(new Set(busy.messages.map((message) => readAnswer(message).id)).size).toBe(total);
  });

  it('answers one network between the turns of another, whatever number of connections that has', async () => {
    let ms = 0;
    const clock = { ...systemClock, monotonicMs: () => (ms += limits.dns.tcpRoundMs) };
    const bounds = { tcpTurn: 4, tcpIdleMs: 1e9, tcpIdleMsMin: 1e9, tcpConnections: 100, tcpPerClient: 50 };
    const { source } = await tcp(bounds, clock);
    const busy = Array.from({ length: 40 }, () => client(source.port));
    const each = 200;
    const flood = Buffer.concat(Array.from({ length: each }, (_, id) => framed(query({ id }))));
    const other = client(source.port, '127.0.9.1');
    await Promise.all([...busy, other].map((one) => one.opened));
    for (const one of busy) one.socket.write(flood);
    const answered = () => busy.reduce((sum, { messages }) => sum + messages.length, 0);
    await expect.poll(answered, { interval: 1 }).toBeGreaterThan(0);
    other.socket.write(framed(query({ id: 1 })));
    const before = await new Promise<number>((resolve) => other.socket.once('data', () => resolve(answered())));
    expect(before).toBeLessThan(busy.length * each);
    await expect.poll(answered).toBe(busy.length * each);
  });

  it('keeps no room for a message that does not come', async () => {
    const { source } = await tcp();
    const one = client(source.port);
    await one.opened;
    const whole = framed(query({ id: 9, edns: { options: [0xff, 1, 0x20, 0, ...Array<number>(0x2000).fill(7)] } }));
    for (let at = 0; at < whole.length; at += 997) {
      one.socket.write(whole.subarray(at, at + 997));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await one.count(1);
    expect(readAnswer(one.messages[0]!)).toMatchObject({ id: 9, rcode: 'NOERROR' });
  });

  it('at close answers what came and lets go of peers that stay', async () => {
    const { source, clock } = await tcp();
    const one = client(source.port);
    one.socket.write(framed(query({ id: 1 })));
    await one.count(1);
    one.socket.pause();
    const closing = source.close();
    clock.advance(1_000);
    await closing;
  });
});
