/** Maps in turn over threads that answer: by the right map of those in flight, in memory that is used again. */
import { createSocket } from 'node:dgram';
import { createCookieKeys } from '@ufes/core/dns/cookie.ts';
import { parsePeer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { encodeMap } from '@ufes/core/steering/map-bytes.ts';
import { ManualClock, systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { createListeners } from './listen.ts';
import { ProbeQueries, RecentAnswers } from './recent.ts';
import { createRateTable } from './rrl.ts';
import { createServing } from './serving.ts';
import { buildMap, desiredState, harness, plainWire, query, readAnswer } from './testing.ts';
import { workers } from './testing-workers.ts';
import { createThreads, type Threads } from './threads.ts';

vi.mock('node:worker_threads', async (original) => (await import('./testing-workers.ts')).watchWorkers(original));

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const pops = ['lon', 'iad', 'sin-2'];
const addresses = ['127.0.10.1', '127.0.20.1', '127.0.30.1'];
const prefix = (i: number) => `20.${i >> 8}.${i & 255}.0`;
const prefixCount = 400;

/** Map n sends prefix i to PoP (n + i) mod 3: three in a row differ everywhere. They are of different lengths. */
const popOf = (map: number, i: number) => addresses[(map + i) % 3]!;
function encoded(map: number): Uint8Array {
  const ranking = (i: number) => pops.map((_, place) => pops[(map + i + place) % 3]!);
  const count = prefixCount + 60 * (map % 3);
  const intervals = Array.from({ length: count }, (_, i) => ({ from: prefix(i), ranking: ranking(i) }));
  return encodeMap(buildMap(desiredState(), [{ from: '0.0.0.0', ranking: ranking(-1 + 3) }, ...intervals]));
}

/** `afterOrder`: once the threads were told of a map, before they can have taken it. */
async function start(clock: Clock = systemClock, afterOrder: (map: number) => void = () => {}) {
  const { answerer, counters, live } = harness();
  const threads = createThreads({
    count: 2,
    clock,
    log: silentLog,
    wire: plainWire,
    shared: { cookieKeys: createCookieKeys(), rates: createRateTable(1) },
    logEvery: 0,
    readers: { recent: new RecentAnswers(), probes: new ProbeQueries(), log: undefined },
  });
  const watched: Threads = {
    ...threads,
    serveMap(map) {
      threads.serveMap(map);
      seen.buckets.add(map.buckets[0]!.buffer);
      afterOrder(map.number);
    },
  };
  const seen = { maps: new Set<unknown>(), buckets: new Set<unknown>() };
  const feed = { follow: () => live };
  const counts = counters.answers;
  const serving = createServing({ answerer, threads: watched, feed, counts, clock: systemClock, log: silentLog });
  const endpoints = ['127.0.0.1:0', '[::1]:0'];
  const listeners = createListeners({ endpoints, answerer, threads, clock: systemClock, log: silentLog, counters });
  await threads.start();
  serving.applyDesired(new TextEncoder().encode(JSON.stringify(desiredState())));
  await listeners.start();
  cleanups.push(() => listeners.stop());
  const port = listeners.ports().get('127.0.0.1:0')!;
  const peer = parsePeer('127.0.0.1')!;
  return {
    threads,
    seen,
    /** As a follower does: read to where it is to lie, applied. */
    async serve(map: number): Promise<void> {
      const bytes = encoded(map);
      const buffer = serving.mapBuffer(bytes.length);
      seen.maps.add(buffer);
      const payload = new Uint8Array(buffer, 0, bytes.length);
      payload.set(bytes);
      await serving.applyMap(payload, { ms: map, writer: 'a' });
    },
    /** By a thread; rejects never, waits for an answer. */
    ask: (i: number) => askThread(port, i),
    /** By the main thread, as over TCP. */
    askHere: (i: number) => addressIn(answerer.out.subarray(0, answerer.answer(packetOf(i), peer, true))),
  };
}

const packetOf = (i: number) => query({ ecs: { address: prefix(i), source: 24 } });
const addressIn = (bytes: Uint8Array) => readAnswer(bytes).answers[0]!.split(' ')[3]!;

function askThread(port: number, i: number): Promise<string> {
  const socket = createSocket('udp4');
  return new Promise<string>((resolve, reject) => {
    socket.once('message', (bytes) => resolve(addressIn(bytes)));
    socket.once('error', reject);
    socket.send(packetOf(i), port, '127.0.0.1');
  }).finally(() => socket.close());
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
const some = (map: number) => Array.from({ length: 8 }, (_, k) => (map * 37 + k * 53) % prefixCount);

it('answers by the map in service or the one that comes, in a few buffers for many maps', async () => {
  const { threads, serve, ask, askHere, seen } = await start();
  await serve(1);
  await until(() => threads.oldestMap() === 1);
  for (let map = 2; map <= 60; map++) {
    let isServed = false;
    const serving = serve(map).then(() => {
      isServed = true;
    });
    const asked = some(map).map(async (i) => ({ i, address: await ask(i) }));
    for (let i = 0; !isServed; i = (i + 1) % prefixCount) {
      expect([popOf(map - 1, i), popOf(map, i)]).toContain(askHere(i));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await serving;
    for (const { i, address } of await Promise.all(asked)) {
      expect([popOf(map - 1, i), popOf(map, i)]).toContain(address);
    }
    await until(() => threads.oldestMap() === map);
    for (const i of some(map + 1)) expect(askHere(i)).toBe(popOf(map, i));
    for (const answer of some(map + 1).map(async (i) => expect(await ask(i)).toBe(popOf(map, i)))) await answer;
  }
  // In service, and the one that is filled.
  expect(seen.maps.size).toBe(2);
  expect(seen.buckets.size).toBe(2);
});

it('answers by one of the maps in flight when they come faster than threads take them', async () => {
  const { threads, serve, ask, seen } = await start();
  await serve(1);
  await until(() => threads.oldestMap() === 1);
  for (let map = 2; map <= 60; ) {
    const oldest = threads.oldestMap();
    const asked = some(map).map(async (i) => ({ i, address: await ask(i) }));
    for (let ahead = 0; ahead < 2; ahead++) await serve(map++);
    const inFlight = Array.from({ length: map - oldest }, (_, k) => oldest + k);
    for (const { i, address } of await Promise.all(asked)) {
      expect(inFlight.map((one) => popOf(one, i))).toContain(address);
    }
  }
  await until(() => threads.oldestMap() === 61);
  for (const i of some(1)) expect(await ask(i)).toBe(popOf(61, i));
  // Memory that a late thread held is given up beyond the spare ones; it does not grow with the number of maps.
  expect(seen.maps.size).toBeLessThan(20);
});

it('waits for no thread that failed between two maps, and gives none of its memory to a map too early', async () => {
  // The failed one is back when this moves, and not before.
  const restarts = new ManualClock();
  const clock = { ...systemClock, after: (ms: number, fn: () => void) => restarts.after(ms, fn) };
  let failed: Promise<unknown> | undefined;
  const { threads, serve, ask, seen } = await start(clock, (map) => {
    if (map === 5) failed = workers.at(-1)!.terminate();
  });
  const swap = async (map: number) => {
    const asked = some(map).map(async (i) => ({ i, address: await ask(i) }));
    await serve(map);
    // A query that went down with the thread is answered by the one that reads its socket next, or by nobody.
    if (map !== 5) {
      for (const { i, address } of await Promise.all(asked)) {
        expect([popOf(map - 1, i), popOf(map, i)]).toContain(address);
      }
    }
    await until(() => threads.oldestMap() === map);
  };
  await serve(1);
  await until(() => threads.oldestMap() === 1);
  for (let map = 2; map <= 5; map++) await swap(map);
  await failed;
  expect(threads.answering()).toBe(1);
  for (let map = 6; map <= 20; map++) await swap(map);
  restarts.advance(limits.dns.threadRestartMs);
  await until(() => threads.answering() === 2);
  for (let map = 21; map <= 40; map++) await swap(map);
  for (const answer of await Promise.all(Array.from({ length: 64 }, () => ask(7)))) expect(answer).toBe(popOf(40, 7));
  expect(threads.failures()).toBe(1);
  expect(seen.maps.size).toBe(2);
  expect(seen.buckets.size).toBe(2);
});
