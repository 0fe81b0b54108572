/** The embedded store and queue against the suites. */
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localBus } from '@ufes/io/bus.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { type JobTimes, jobTimes } from '@ufes/io/queue/job-times.ts';
import { openQueue } from '@ufes/io/queue/sqlite.ts';
import { systemRng } from '@ufes/io/rng.ts';
import { openStore } from '@ufes/io/store/sqlite.ts';
import type { Fixture } from './fixture.ts';
import { queueConformance } from './queue.ts';
import { storeConformance } from './store.ts';

/** Killed workers are waited for. */
const times: JobTimes = { ...jobTimes, visibleMs: 1_000 };

async function embedded(): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'ufes-conformance-'));
  const state = join(folder, 'state');
  await mkdir(state);
  const path = join(state, 'store.sqlite');
  const keysFolder = join(folder, 'keys');
  const bus = localBus();
  const opened: { close(): Promise<void> }[] = [];
  const keep = <T extends { close(): Promise<void> }>(one: T): T => {
    opened.push(one);
    return one;
  };
  return {
    store: (clock = systemClock) => keep(openStore({ path, keysFolder, clock, log: silentLog })),
    queue: ({ clock = systemClock, ...options } = {}) =>
      keep(openQueue({ path, clock, rng: systemRng, bus, log: silentLog, times, ...options })),
    times,
    pass: async (clock, ms) => {
      clock.advance(ms);
      // Other processes go by the machine's clock.
      await new Promise((resolve) => setTimeout(resolve, 1));
    },
    module: new URL('./embedded-client.ts', import.meta.url),
    address: { path, keysFolder, times },
    breakIt: () => rename(state, `${state}.away`),
    mend: () => rename(`${state}.away`, state),
    dispose: async () => {
      for (const one of opened) await one.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

storeConformance('SQLite', embedded);
queueConformance('SQLite', embedded);
