/** The store and queue on Redis for child processes of the suites. */
import type { Queue, Store } from '@ufes/core/ports.ts';
import { localBus } from '@ufes/io/bus.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import type { JobTimes } from '@ufes/io/queue/job-times.ts';
import { redisQueue } from '@ufes/io/queue/redis.ts';
import { RedisLink, targetOf } from '@ufes/io/redis/link.ts';
import { systemRng } from '@ufes/io/rng.ts';
import { redisStore } from '@ufes/io/store/redis.ts';

export interface RedisAddress {
  url: string;
  keysFolder: string;
  times: JobTimes;
}

export function open({ url, keysFolder, times }: RedisAddress): { store: Store; queue: Queue } {
  const common = { clock: systemClock, log: silentLog };
  const link = new RedisLink({ target: targetOf(url), folder: keysFolder, log: silentLog });
  return {
    store: redisStore({ link, keysFolder, clock: systemClock, random: systemRng.bytes }),
    queue: redisQueue({ ...common, link, bus: localBus(), times }),
  };
}
