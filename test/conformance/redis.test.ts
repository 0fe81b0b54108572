/** The store on Redis against the suites: one server, and a Cluster of three. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localBus } from '@ufes/io/bus.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { type JobTimes, jobTimes } from '@ufes/io/queue/job-times.ts';
import { redisQueue } from '@ufes/io/queue/redis.ts';
import { RedisLink, targetOf } from '@ufes/io/redis/link.ts';
import { hasRedis, type RedisServer, startCluster, startRedis } from '@ufes/io/redis/testing-server.ts';
import { systemRng } from '@ufes/io/rng.ts';
import { redisStore } from '@ufes/io/store/redis.ts';
import { afterAll, beforeAll, describe } from 'vitest';
import type { Fixture } from './fixture.ts';
import { queueConformance } from './queue.ts';
import { storeConformance } from './store.ts';

const servers: RedisServer[] = [];
let single = '';
let cluster = '';
let whole = async (): Promise<void> => {};
let count = 0;

beforeAll(async () => {
  if (!hasRedis) return;
  const server = await startRedis();
  servers.push(server);
  single = server.url;
  const three = await startCluster();
  servers.push(...three.servers);
  cluster = three.url;
  whole = three.whole;
});

afterAll(async () => {
  for (const server of servers) await server.dispose();
});

/** All of it is waited for. */
const times: JobTimes = { ...jobTimes, retryMs: 50, retryMsMax: 400, visibleMs: 1_000 };

/** Keys of their own on the one Redis. */
async function onRedis(base: string): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'ufes-conformance-'));
  const keysFolder = join(folder, 'keys');
  const url = `${base}?prefix=test${count++}`;
  const opened: { close(): Promise<void> }[] = [];
  const keep = <T extends { close(): Promise<void> }>(one: T): T => {
    opened.push(one);
    return one;
  };
  const used = servers.filter(({ port }) => (base === cluster ? port !== servers[0]!.port : port === servers[0]!.port));
  return {
    store: (clock = systemClock) => {
      const link = new RedisLink({ target: targetOf(url), folder, log: silentLog });
      return keep(redisStore({ link, keysFolder, clock, random: systemRng.bytes }));
    },
    queue: ({ clock = systemClock, ...options } = {}) => {
      const link = new RedisLink({ target: targetOf(url), folder, log: silentLog });
      const queue = redisQueue({ link, clock, bus: localBus(), log: silentLog, times, ...options });
      return keep({ ...queue, close: () => queue.close().finally(() => link.close()) });
    },
    times,
    // BullMQ goes by the machine's clock alone.
    pass: async (clock, ms) => {
      await new Promise((resolve) => setTimeout(resolve, ms));
      clock.advance(systemClock.nowMs() - clock.nowMs());
    },
    module: new URL('./redis-client.ts', import.meta.url),
    address: { url, keysFolder, times },
    breakIt: async () => {
      for (const server of used) await server.kill();
    },
    mend: async () => {
      for (const server of used) await server.start();
      if (base === cluster) await whole();
    },
    dispose: async () => {
      for (const one of opened) await one.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

describe.skipIf(!hasRedis)('with redis-server (Debian package redis-server)', () => {
  queueConformance('Redis', () => onRedis(single));
  queueConformance('Redis Cluster', () => onRedis(cluster));
  storeConformance('Redis', () => onRedis(single));
  storeConformance('Redis Cluster', () => onRedis(cluster));
});
