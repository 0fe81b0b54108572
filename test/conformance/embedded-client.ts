/** The embedded store and queue for child processes of the suites. */
import type { Queue, Store } from '@ufes/core/ports.ts';
import { localBus } from '@ufes/io/bus.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import type { JobTimes } from '@ufes/io/queue/job-times.ts';
import { openQueue } from '@ufes/io/queue/sqlite.ts';
import { systemRng } from '@ufes/io/rng.ts';
import { openStore } from '@ufes/io/store/sqlite.ts';

export interface EmbeddedAddress {
  path: string;
  keysFolder: string;
  times: JobTimes;
}

export function open({ path, keysFolder, times }: EmbeddedAddress): { store: Store; queue: Queue } {
  const common = { path, clock: systemClock, log: silentLog };
  return {
    store: openStore({ ...common, keysFolder }),
    queue: openQueue({ ...common, rng: systemRng, bus: localBus(), times }),
  };
}
