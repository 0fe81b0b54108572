/** TCP connections at the end of their process: passed on while in use, or ended so that nothing sent is lost. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { ManualClock, systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { ConnectionInbox, passOnTo, tellLast } from './pass-on.ts';
import { createTcpSource } from './tcp.ts';
import { harness, query, readAnswer } from './testing.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function source(clock: Clock = systemClock) {
  const { answerer, counters } = harness();
  const endpoint = { address: '127.0.0.1', port: 0 };
  const made = createTcpSource({ endpoint, answerer, clock, log: silentLog, counters });
  await made.open();
  cleanups.push(() => made.close());
  const answered = () => [...counters.queryCounts()].find(([labels]) => labels.transport === 'tcp')?.[1] ?? 0;
  return { made, answered };
}

function inbox() {
  const folder = mkdtempSync(join(tmpdir(), 'ufes-pass-on-'));
  const path = join(folder, 'connections.sock');
  const made = new ConnectionInbox(path);
  cleanups.push(() => {
    made.close();
    rmSync(folder, { recursive: true });
  });
  return { made, path };
}

const framed = (bytes: Uint8Array): Buffer => Buffer.from([bytes.length >> 8, bytes.length & 255, ...bytes]);

function client(port: number) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  cleanups.push(() => socket.destroy());
  const ids: number[] = [];
  const ends: string[] = [];
  let waiting = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk]);
    while (waiting.length >= 2 && waiting.length >= 2 + waiting.readUInt16BE(0)) {
      ids.push(readAnswer(waiting.subarray(2, 2 + waiting.readUInt16BE(0))).id);
      waiting = waiting.subarray(2 + waiting.readUInt16BE(0));
    }
  });
  socket.on('end', () => ends.push('FIN'));
  socket.on('error', (error: NodeJS.ErrnoException) => ends.push(error.code ?? ''));
  const sees = (...expected: number[]) => expect.poll(() => ids).toEqual(expected);
  return { socket, ids, ends, sees };
}

const big = (id: number) => framed(query({ id, name: 'big.shop.example.', type: 16 }));

describe('connections passed on', () => {
  it('go on where they were: idle ones, half a query, a query nobody has read', async () => {
    const old = await source();
    const { made: box, path } = inbox();
    const next = await source();
    const [idle, half, busy] = [client(old.made.port), client(old.made.port), client(old.made.port)];
    for (const one of [idle, half, busy]) one.socket.write(framed(query({ id: 1 })));
    for (const one of [idle, half, busy]) await one.sees(1);
    const second = framed(query({ id: 2 }));
    half.socket.write(Buffer.concat([framed(query({ id: 7 })), second.subarray(0, 9)]));
    await half.sees(1, 7);
    const closing = old.made.close(passOnTo(path, 'dns'));
    busy.socket.write(second);
    await closing;
    tellLast(path);
    const before = old.answered();
    box.follow(systemClock, (listener, connection) => {
      next.made.adopt(connection);
      return listener === 'dns';
    });
    half.socket.write(second.subarray(9));
    idle.socket.write(second);
    await idle.sees(1, 2);
    await half.sees(1, 7, 2);
    await busy.sees(1, 2);
    expect(old.answered()).toBe(before);
    expect(old.answered() + next.answered()).toBe(7);
    expect([idle, half, busy].flatMap(({ ends }) => ends)).toEqual([]);
  });

  it('lose nothing while their clients ask without a pause, over and over', async () => {
    let current = await source();
    const clients = Array.from({ length: 150 }, () => client(current.made.port));
    let asked = 0;
    const ask = () => {
      asked++;
      for (const one of clients) one.socket.write(framed(query({ id: asked & 0xffff })));
    };
    const timer = setInterval(ask, 2);
    cleanups.push(() => clearInterval(timer));
    for (let round = 0; round < 3; round++) {
      await expect.poll(() => clients.every(({ ids }) => ids.length > 20 * (round + 1))).toBe(true);
      const { made: box, path } = inbox();
      const next = await source();
      box.follow(systemClock, (_, connection) => {
        next.made.adopt(connection);
        return true;
      });
      await current.made.close(passOnTo(path, 'dns'));
      tellLast(path);
      current = next;
    }
    clearInterval(timer);
    await expect.poll(() => clients.every(({ ids }) => ids.length === asked)).toBe(true);
    const inOrder = Array.from({ length: asked }, (_, i) => (i + 1) & 0xffff);
    expect(clients.every(({ ids }) => ids.every((id, i) => id === inOrder[i]))).toBe(true);
    expect(clients.flatMap(({ ends }) => ends)).toEqual([]);
  });

  it('stay until their clients have read what was answered', async () => {
    const clock = new ManualClock();
    const old = await source(clock);
    const { made: box, path } = inbox();
    const next = await source();
    const slow = client(old.made.port);
    slow.socket.pause();
    const total = 4_000;
    slow.socket.write(Buffer.concat(Array.from({ length: total }, (_, id) => big(id))));
    await expect.poll(old.answered).toBeGreaterThan(100);
    const closing = old.made.close(passOnTo(path, 'dns'));
    box.follow(systemClock, (_, connection) => {
      next.made.adopt(connection);
      return true;
    });
    let isClosed = false;
    closing.then(() => {
      isClosed = true;
    });
    slow.socket.resume();
    await expect
      .poll(() => {
        clock.advance(limits.dns.passMs);
        return isClosed;
      })
      .toBe(true);
    tellLast(path);
    await slow.sees(...Array.from({ length: total }, (_, id) => id));
    expect(slow.ends).toEqual([]);
  });

  it('end where nobody takes them, once their answers are out', async () => {
    const old = await source();
    const one = client(old.made.port);
    one.socket.write(framed(query({ id: 1 })));
    await one.sees(1);
    const closing = old.made.close(passOnTo('/nowhere/at/all.sock', 'dns'));
    one.socket.write(framed(query({ id: 2 })));
    await one.sees(1, 2);
    await expect.poll(() => one.ends).toEqual(['FIN']);
    one.socket.end();
    await closing;
  });
});

describe('connections that end', () => {
  it('are not reset by a query that crosses the FIN: answers that were sent arrive', async () => {
    const clock = new ManualClock();
    const old = await source(clock);
    const late = client(old.made.port);
    late.socket.write(framed(query({ id: 1 })));
    await late.sees(1);
    late.socket.pause();
    const ids = Array.from({ length: 20 }, (_, i) => i + 2);
    late.socket.write(Buffer.concat(ids.map(big)));
    await expect.poll(old.answered).toBe(21);
    const closing = old.made.close();
    const ended = new Promise<void>((resolve) => late.socket.once('end', resolve));
    // The FIN follows the answers.
    clock.advance(limits.dns.tcpDrainMs / 2);
    await new Promise<void>((resolve) => late.socket.write(framed(query({ id: 99 })), () => resolve()));
    late.socket.resume();
    await ended;
    await late.sees(1, ...ids);
    expect(late.ends).toEqual(['FIN']);
    late.socket.end();
    await closing;
    expect(old.answered()).toBe(21);
  });
});
