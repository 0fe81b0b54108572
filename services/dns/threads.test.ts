/** UDP by threads: addresses, wild cards, cut datagrams, a thread that fails, many services, the query log. */
import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCookieKeys } from '@ufes/core/dns/cookie.ts';
import { limits } from '@ufes/core/limits.ts';
import { createLive } from '@ufes/core/live.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { buildBuckets } from '@ufes/core/steering/map.ts';
import { decodeMap, encodeMap } from '@ufes/core/steering/map-bytes.ts';
import { ManualClock, systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { joined } from './counters.ts';
import { createListeners } from './listen.ts';
import { QueryLog } from './query-log.ts';
import { ProbeQueries, RecentAnswers } from './recent.ts';
import { createRateTable } from './rrl.ts';
import { buildMap, desiredState, harness, plainWire, query, readAnswer, service } from './testing.ts';
import { workers } from './testing-workers.ts';
import { createThreads } from './threads.ts';

vi.mock('node:worker_threads', async (original) => (await import('./testing-workers.ts')).watchWorkers(original));

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(
  endpoints: readonly string[],
  options: {
    count?: number;
    told?: Log;
    clock?: Clock;
    log?: QueryLog;
    logEvery?: number;
    wire?: typeof plainWire;
  } = {},
) {
  const { answerer, counters } = harness();
  const recent = new RecentAnswers();
  const probes = new ProbeQueries();
  const threads = createThreads({
    count: options.count ?? 2,
    clock: options.clock ?? systemClock,
    log: options.told ?? silentLog,
    wire: options.wire ?? plainWire,
    shared: { cookieKeys: createCookieKeys(), rates: createRateTable(1) },
    logEvery: options.logEvery ?? 0,
    readers: { recent, probes, log: options.log },
  });
  const listeners = createListeners({ endpoints, answerer, threads, clock: systemClock, log: silentLog, counters });
  const live = createLive();
  await threads.start();
  threads.serveDesired(desiredState(), live);
  await listeners.start();
  cleanups.push(() => listeners.stop());
  return { threads, listeners, recent, probes, live, port: (endpoint: string) => listeners.ports().get(endpoint)! };
}

function ask(port: number, address: string, packet: Uint8Array = query()): Promise<{ bytes: Buffer; from: string }> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  return new Promise<{ bytes: Buffer; from: string }>((resolve, reject) => {
    socket.once('message', (bytes, info) => resolve({ bytes, from: info.address }));
    socket.once('error', reject);
    socket.send(packet, port, address);
  }).finally(() => socket.close());
}
const answers = async (port: number, packet?: Uint8Array) =>
  readAnswer((await ask(port, '127.0.0.1', packet)).bytes).answers;

const mapTo = (...ranking: string[]) => {
  const bytes = new Uint8Array(new SharedArrayBuffer(4096));
  const encoded = encodeMap(buildMap(desiredState(), [{ from: '0.0.0.0', ranking }]));
  bytes.set(encoded);
  const shared = bytes.subarray(0, encoded.length);
  return { number: 1, bytes: shared, buckets: buildBuckets(decodeMap(shared)), version: { ms: 1, writer: 'a' } };
};

describe('threads', () => {
  it('answer at several addresses of both families, from the one asked', async () => {
    const endpoints = ['127.0.0.1:0', '[::1]:0', '0.0.0.0:0', '[::]:0'];
    const { port } = await start(endpoints);
    for (const [endpoint, asked] of [
      ['127.0.0.1:0', '127.0.0.1'],
      ['[::1]:0', '::1'],
      ['0.0.0.0:0', '127.9.9.9'],
      ['[::]:0', '::1'],
    ] as const) {
      // Different ports go to different threads.
      for (let i = 0; i < 8; i++) {
        const { bytes, from } = await ask(port(endpoint), asked);
        expect(from).toBe(asked);
        expect(readAnswer(bytes).answers).toEqual(['www.shop.example 60 A 127.0.10.1']);
      }
    }
  });

  it('answer a datagram too long for them with FORMERR, not a part of it', async () => {
    const { port } = await start(['127.0.0.1:0']);
    const padded = query({ edns: { options: [0xff, 1, 0x10, 0, ...Array<number>(0x1000).fill(0)] } });
    expect(padded.length).toBeGreaterThan(4096);
    expect(readAnswer((await ask(port('127.0.0.1:0'), '127.0.0.1', padded)).bytes)).toMatchObject({
      rcode: 'FORMERR',
      id: 0x1234,
    });
  });

  it('take over maps and desired states, and tell what they saw', async () => {
    const { port, threads, recent, probes, live } = await start(['127.0.0.1:0']);
    const at = port('127.0.0.1:0');
    threads.serveMap(mapTo('iad', 'lon', 'sin-2'));
    await expect.poll(() => answers(at)).toEqual(['www.shop.example 60 A 127.0.20.1']);
    const many = Array.from({ length: 2_000 }, (_, i) => service({ id: `s${i}`, name: `s${i}.shop.example.` }));
    threads.serveDesired(desiredState({ services: many }), live);
    await expect
      .poll(() => answers(at, query({ name: 's1999.shop.example.' })))
      .toEqual(['s1999.shop.example 60 A 127.0.20.1']);
    threads.serveMap(mapTo('sin-2', 'lon', 'iad'));
    await expect
      .poll(() => answers(at, query({ name: 's7.shop.example.' })))
      .toEqual(['s7.shop.example 60 A 127.0.30.1']);
    await answers(at, query({ name: 'q9-lon.probe.example.' }));
    threads.gather();
    // Threads are gathered one by one, so the last one is not the latest.
    expect(recent.since(0).answers).toContainEqual(
      expect.objectContaining({
        name: 's7.shop.example.',
        pop: 'sin-2',
        client: '127.0.0.0/24',
      }),
    );
    expect(probes.since(0)).toMatchObject([{ id: 'q9', pop: 'lon', resolver: '127.0.0.1' }]);
    const counted = [...joined(threads.counters()).answers.entries()];
    expect(counted.find(([{ service: id, pop }]) => id === 's7' && pop === 'sin-2')?.[1]).toBeGreaterThan(0);
  });

  it('write a sample of queries and answers as lines of JSON', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ufes-query-log-'));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'queries.jsonl');
    const log = new QueryLog(path, silentLog);
    const { port, threads } = await start(['127.0.0.1:0'], { count: 1, log, logEvery: 2 });
    const packet = query({ name: 'WWW.shop.example.', ecs: { address: '198.51.100.0', source: 24 } });
    for (let i = 0; i < 6; i++) await ask(port('127.0.0.1:0'), '127.0.0.1', packet);
    await ask(port('127.0.0.1:0'), '127.0.0.1', query({ name: 'missing.shop.example.', type: 28 }));
    await ask(port('127.0.0.1:0'), '127.0.0.1', query({ name: 'missing.shop.example.', type: 28 }));
    threads.gather();
    await log.close();
    const lines = readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatchObject({
      transport: 'udp',
      resolver: '127.0.0.1',
      name: 'www.shop.example.',
      type: 'A',
      subnet: '198.51.100.0/24',
      rcode: 'NOERROR',
      scope: 0,
      addresses: ['127.0.10.1'],
      ttlSeconds: 60,
    });
    expect(lines[3]).toMatchObject({ name: 'missing.shop.example.', type: 'AAAA', rcode: 'NXDOMAIN' });
    expect(Date.parse(lines[0].at)).toBeGreaterThan(Date.now() - 60_000);
  });

  it.each([1, 2, 3])('that fail are stood in for and started again: one of %i', async (count) => {
    const lines: string[] = [];
    const told = { ...silentLog, warn: (_: object, text: string) => void lines.push(text) };
    // The failed one is back when this moves, and not before.
    const restarts = new ManualClock();
    const clock = { ...systemClock, after: (ms: number, fn: () => void) => restarts.after(ms, fn) };
    const { threads, port } = await start(['127.0.0.1:0', '[::1]:0'], { count, told, clock });
    const failed = workers.at(-1)!;
    const ended = new Promise((resolve) => failed.once('exit', resolve));
    await failed.terminate();
    // From many ports, so that every socket of the group has some.
    const asked = Promise.all(Array.from({ length: 64 }, () => answers(port('127.0.0.1:0'))));
    await ended;
    expect(threads.answering()).toBe(count - 1);
    // Others answer meanwhile; without others, queries wait for the next one.
    if (count > 1) await asked;
    expect(threads.answering()).toBe(count - 1);
    restarts.advance(limits.dns.threadRestartMs);
    await asked;
    await expect.poll(() => threads.answering()).toBe(count);
    expect(threads.failures()).toBe(1);
    expect(lines).toEqual([expect.stringContaining('thread ended; starting it again')]);
    await Promise.all(Array.from({ length: 64 }, () => answers(port('127.0.0.1:0'))));
  });

  it('that fail at the start say why', async () => {
    const broken = { ...plainWire, rateLimit: undefined } as unknown as typeof plainWire;
    await expect(start(['127.0.0.1:0'], { wire: broken })).rejects.toThrow(/thread \d of dns ended: /);
  });

  it('of an address in use say so, and give back what they had', async () => {
    const { port } = await start(['127.0.0.1:0']);
    await expect(start([`127.0.0.1:${port('127.0.0.1:0')}`])).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' });
  });
});
