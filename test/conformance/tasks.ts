/** The program of the suites' child processes: `tasks.ts JSON`, see startClient. Speaks over IPC. */
import type { Queue, Store } from '@ufes/core/ports.ts';
import { encodeCount, foldOf } from './evidence.ts';

interface Job {
  module: string;
  address: unknown;
  task: string;
  argument: Record<string, number | string>;
}

const job = JSON.parse(process.argv[2]!) as Job;
const { open } = (await import(job.module)) as { open(address: unknown): { store: Store; queue: Queue } };
const { store, queue } = open(job.address);
const say = (value: unknown): void => void process.send?.(value);
const { argument } = job;

const tasks: Record<string, () => Promise<void>> = {
  /** Puts `count` live entries of its own and as many artefacts as get in. */
  write: async () => {
    for (let i = 0; i < Number(argument['count']); i++) {
      await store.live.put([{ key: `busy/${argument['name']}/${i}`, value: i, ttlMs: 60_000 }]);
      await queue.samples.append(1, String(argument['name']), [{ seq: i + 1, bytes: encodeCount(i + 1) }]);
    }
    say('done');
  },

  /** Folds for ever: fold number n sets `rows` rows and the offset to n. Says n before it starts on it. */
  fold: async () => {
    const lease = await store.leases.acquire('shard/0', 'folder', 600_000);
    for (let n = Number(argument['from']) + 1; ; n++) {
      say(n);
      const outcome = await store.evidence.fold(foldOf(lease!, n, Number(argument['rows'])), 0);
      if (outcome !== 'ok') throw new Error(outcome);
    }
  },

  /** Takes one job and never ends it. */
  hang: async () => {
    queue.jobs.work(String(argument['name']), async ({ attempt }) => {
      say(attempt);
      await new Promise<never>(() => setInterval(() => {}, 60_000));
    });
  },

  /** Runs jobs whose effect is a row of their own, and kills itself when it is told to. */
  'fold-job': async () => {
    const die = (when: string): void => {
      if (argument['die'] === when) process.kill(process.pid, 'SIGKILL');
    };
    queue.jobs.work(String(argument['name']), async ({ id, data }) => {
      die('before');
      const bytes = encodeCount(Number(data) + 1);
      await store.history.append('effects', { atMs: 1, key: id, bytes }, { fromMs: 0, bytes: 1e6 });
      die('after');
      setImmediate(() => die('ending'));
    });
    await new Promise<never>(() => setInterval(() => {}, 60_000));
  },

  /** Adds one to a number in a shard as long as it gets the lease, `count` times in all. */
  increment: async () => {
    const owner = String(argument['name']);
    for (let done = 0; done < Number(argument['count']); ) {
      const lease = await store.leases.acquire('shard/2', owner, 60_000);
      if (lease === undefined) continue;
      const offsets = await store.evidence.offsets(2);
      const n = (offsets['c'] ?? 0) + 1;
      const fold = {
        shard: 2,
        lease,
        from: offsets,
        to: { c: n },
        rows: [{ key: 'n', bytes: encodeCount(n) }],
        tokens: [],
      };
      if ((await store.evidence.fold(fold, 0)) === 'ok') done++;
      await store.leases.release(lease);
    }
    say('done');
  },
};

const run = tasks[job.task];
if (run === undefined) throw new Error(`no task ${job.task}`);
await run();
if (job.task === 'write' || job.task === 'increment') {
  await queue.close();
  await store.close();
  process.disconnect?.();
}
