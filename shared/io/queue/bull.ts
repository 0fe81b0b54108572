/**
 * Jobs by BullMQ, on the Redis of the store.
 *
 * BullMQ waits for a Redis that is away; a caller is told within limits.redis.callMs instead (STORE_UNAVAILABLE). What
 * was asked for may then still happen, which is why all of it can be asked for again. BullMQ goes by the machine's clock.
 */
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, JobQueue, JobReport, JobState, JobSummary, Log } from '@ufes/core/ports.ts';
import { type Job as BullJob, type JobsOptions, Queue } from 'bullmq';
import type { Client } from '../redis/client.ts';
import type { RedisLink } from '../redis/link.ts';
import { textsIn } from '../redis/replies.ts';
import { bullId, bullPrefix, bullStates, isAhead, reportOfBull, scheduleKey, stateOfBull } from './bull-names.ts';
import { isReadOnly, startBullWorker, workClient } from './bull-worker.ts';
import type { JobTimes } from './job-times.ts';

export interface BullParts {
  readonly link: RedisLink;
  readonly clock: Clock;
  readonly log: Log;
  readonly times: JobTimes;
}

export function bullQueue(parts: BullParts): JobQueue & { stop(): Promise<void> } {
  const { link, clock, times } = parts;
  const queues = new Map<string, Queue>();
  const stops = new Set<() => Promise<void>>();
  let client: Client | undefined;
  let working: Client | undefined;
  const names = link.key('jobs', 'names');
  const done = link.key('jobs', 'done');
  const options: JobsOptions = {
    attempts: times.attempts,
    backoff: { type: 'custom' },
    removeOnComplete: true,
    removeOnFail: { count: limits.queue.deadJobs },
    stackTraceLimit: 0,
  };

  const queueOf = (name: string): Queue => {
    let queue = queues.get(name);
    if (queue === undefined) {
      client ??= link.another({ reconnectOnError: isReadOnly });
      const base = { connection: client, prefix: bullPrefix(link.target.prefix), skipVersionCheck: true };
      queue = new Queue(name, { ...base, skipWaitingForReady: true });
      // Told by the calls.
      queue.on('error', () => {});
      queues.set(name, queue);
    }
    return queue;
  };
  /** Asks the queue of a name, when Redis is there and one that may be used. */
  const ask = async <T>(name: string, act: (queue: Queue) => Promise<T>): Promise<T> => {
    await link.command('ping');
    return bounded(link, act(queueOf(name)));
  };
  const known = async (): Promise<string[]> => textsIn(await link.command('smembers', names)).sort();

  const listOf = (name: string, state: JobState, limit: number): Promise<JobReport[]> =>
    ask(name, async (queue) => {
      const jobs: BullJob<unknown>[] = await queue.getJobs([...bullStates[state]], 0, limit - 1, false);
      const nowMs = clock.nowMs();
      // One that is gone between two looks is a hole.
      const there = jobs.filter((job) => job?.id !== undefined && !(state === 'waiting' && isAhead(job, nowMs)));
      return there.map((job) => reportOfBull(name, state, job, times));
    });

  /** Does something to a dead job. */
  const ofDead = (name: string, id: string, act: (job: BullJob<unknown>) => Promise<void>): Promise<void> =>
    ask(name, async (queue) => {
      const job: BullJob<unknown> | undefined = await queue.getJob(bullId(id));
      if (job === undefined || !(await job.isFailed())) throw notDead(name, id);
      await act(job).catch(async (error: unknown) => {
        // Another operator was quicker.
        throw (await job.isFailed()) ? error : notDead(name, id);
      });
    });

  return {
    add: async (name, id, data, { delayMs = 0 } = {}) => {
      await link.command('sadd', names, name);
      await ask(name, async (queue) => {
        const jobId = bullId(id);
        const before: BullJob<unknown> | undefined = await queue.getJob(jobId);
        // Where it runs again meanwhile, it stays.
        if (before !== undefined && (await before.isFailed())) await before.remove().catch(() => {});
        await queue.add(name, data ?? null, { ...options, jobId, delay: Math.ceil(delayMs) });
      });
    },
    schedule: async (name, id, everyMs, data) => {
      await link.command('sadd', names, name);
      const job = { name, data: data ?? null, opts: options };
      await ask(name, (queue) => queue.upsertJobScheduler(scheduleKey(id), { every: everyMs }, job));
    },
    work: (name, handler) => {
      working ??= workClient(link);
      const stop = startBullWorker({ ...parts, client: working, done }, name, handler);
      const once = async (): Promise<void> => {
        stops.delete(once);
        await stop();
      };
      stops.add(once);
      return once;
    },
    list: async ({ name, state, limit }) => {
      const all = await known();
      const wanted = name === undefined ? all : all.filter((one) => one === name);
      const states = state === undefined ? (['waiting', 'running', 'dead'] as const) : [state];
      const lists = await Promise.all(wanted.flatMap((one) => states.map((which) => listOf(one, which, limit))));
      return lists
        .flat()
        .sort((a, b) => b.atMs - a.atMs)
        .slice(0, limit);
    },
    find: (name, id) =>
      ask(name, async (queue) => {
        const job: BullJob<unknown> | undefined = await queue.getJob(bullId(id));
        const state = job === undefined ? undefined : stateOfBull(await job.getState());
        return job === undefined || state === undefined ? undefined : reportOfBull(name, state, job, times);
      }),
    retry: (name, id) =>
      ofDead(name, id, (job) => job.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })),
    drop: (name, id) => ofDead(name, id, (job) => job.remove()),
    summary: async () => {
      const all = await known();
      return Promise.all(
        all.map((name) => ask(name, async (queue) => summaryOf(queue, await link.command('hget', done, name), clock))),
      );
    },
    stop: async () => {
      await Promise.all([...stops].map((stop) => stop()));
      await Promise.all([...queues.values()].map((queue) => queue.close().catch(() => {})));
      client?.disconnect();
      working?.disconnect();
    },
  };
}

async function summaryOf(queue: Queue, lastDone: unknown, clock: Clock): Promise<JobSummary> {
  const counts = await queue.getJobCounts('wait', 'prioritized', 'delayed', 'active', 'failed');
  const count = (states: readonly string[]) => states.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
  const schedules = (await queue.getJobSchedulers(0, limits.queue.jobsShown, true)).map(({ key, every, next }) => ({
    id: decodeURIComponent(key),
    everyMs: Number(every),
    nextMs: next ?? clock.nowMs(),
  }));
  const ahead = schedules.filter(({ nextMs }) => nextMs > clock.nowMs()).length;
  return {
    name: queue.name,
    waiting: Math.max(0, count(bullStates.waiting) - ahead),
    running: count(bullStates.running),
    dead: count(bullStates.dead),
    schedules: schedules.sort((a, b) => (a.id < b.id ? -1 : 1)),
    ...(lastDone === null ? {} : { done: JSON.parse(String(lastDone)) as NonNullable<JobSummary['done']> }),
  };
}

function notDead(name: string, id: string): OperatingError {
  return new OperatingError('NOT_FOUND', `there is no dead job ${name} ${id}`);
}

/** As the calls of the link: within its bound, and STORE_UNAVAILABLE for whatever goes wrong on the way. */
async function bounded<T>(link: RedisLink, asked: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `no answer within ${limits.redis.callMs} ms`;
    timer = setTimeout(() => reject(new Error(message)), limits.redis.callMs);
  });
  try {
    return await Promise.race([asked, late]);
  } catch (error) {
    if (error instanceof OperatingError) throw error;
    const message = `the jobs in the store ${link.name} cannot be asked for: ${describeError(error)}`;
    throw new OperatingError('STORE_UNAVAILABLE', message);
  } finally {
    clearTimeout(timer);
  }
}
