/** The embedded queue: samples and jobs in the tables of the store's SQLite file, woken over the bus. */
import type { Bus, Clock, Log, Queue, Rng } from '@ufes/core/ports.ts';
import { openDatabase } from '../store/database.ts';
import { type JobTimes, jobTimes } from './job-times.ts';
import { jobQueue } from './jobs.ts';
import { sampleStream } from './stream.ts';

export interface QueueOptions {
  /** STATE/store.sqlite. */
  readonly path: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly bus: Bus;
  readonly log: Log;
  /** Records waiting per shard and collector. */
  readonly streamRecords?: number;
  readonly times?: JobTimes;
}

/** Never throws: the file is opened, made and reopened by the calls. */
export function openQueue({ path, clock, rng, bus, log, streamRecords, times = jobTimes }: QueueOptions): Queue {
  const database = openDatabase({ path, log });
  const jobs = jobQueue({ database, clock, rng, bus, log, times });
  return {
    samples: sampleStream(database, bus, streamRecords),
    jobs,
    close: async () => {
      await jobs.stop();
      database.close();
    },
  };
}
