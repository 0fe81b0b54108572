/** The distributed queue: samples in Redis Streams, jobs by BullMQ. */
import type { Bus, Clock, Log, Queue } from '@ufes/core/ports.ts';
import type { RedisLink } from '../redis/link.ts';
import { bullQueue } from './bull.ts';
import { type JobTimes, jobTimes } from './job-times.ts';
import { redisStream } from './redis-stream.ts';

export interface RedisQueueOptions {
  /** Stays open: the store has it too. */
  readonly link: RedisLink;
  readonly clock: Clock;
  readonly bus: Bus;
  readonly log: Log;
  /** Records waiting per shard and collector. */
  readonly streamRecords?: number;
  readonly times?: JobTimes;
}

/** Never throws: the calls do, while Redis cannot be used. */
export function redisQueue({ link, clock, bus, log, streamRecords, times = jobTimes }: RedisQueueOptions): Queue {
  const jobs = bullQueue({ link, clock, log, times });
  return { samples: redisStream(link, bus, streamRecords), jobs, close: () => jobs.stop() };
}
