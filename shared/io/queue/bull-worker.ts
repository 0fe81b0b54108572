/** Runs jobs of one name by a Worker of BullMQ. */
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Job, Log } from '@ufes/core/ports.ts';
import { type Job as BullJob, UnrecoverableError, Worker } from 'bullmq';
import { rateLimited } from '../log.ts';
import type { Client } from '../redis/client.ts';
import type { RedisLink } from '../redis/link.ts';
import { bullPrefix, idOfBull } from './bull-names.ts';
import { type JobTimes, retryPauseMs } from './job-times.ts';

interface WorkerParts {
  readonly link: RedisLink;
  readonly clock: Clock;
  readonly log: Log;
  readonly times: JobTimes;
  /** Of all workers of the process; each has one more, that waits. */
  readonly client: Client;
  /** Key of the hash: name → what ended well last. */
  readonly done: string;
}

/** It was the master when we connected: connect again. */
export function isReadOnly(error: Error): boolean {
  return error.message.startsWith('READONLY');
}

/** A connection for workers. They go on through outages, and read for as long as there is nothing to do. */
export function workClient(link: RedisLink): Client {
  return link.another({
    maxRetriesPerRequest: null,
    reconnectOnError: isReadOnly,
    // A wait ends within 10 s; a connection that says nothing for longer leads nowhere.
    socketTimeout: 15_000,
  });
}

/** The result stops after the running job. */
export function startBullWorker(
  parts: WorkerParts,
  name: string,
  handler: (job: Job) => Promise<void>,
): () => Promise<void> {
  const { link, clock, log, times, client } = parts;
  const complain = rateLimited(10_000, () => clock.monotonicMs());
  const worker = new Worker<unknown>(name, (job) => runOne(parts, name, handler, job), {
    connection: client,
    prefix: bullPrefix(link.target.prefix),
    concurrency: 1,
    lockDuration: times.visibleMs,
    stalledInterval: Math.ceil(times.visibleMs / 2),
    // Attempts that a killed worker began count like those that failed.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    maxStartedAttempts: times.attempts,
    runRetryDelay: limits.store.pollMs,
    settings: { backoffStrategy: (attempt) => retryPauseMs(times, attempt) },
  });
  worker.on('error', (error) => {
    complain(name, (suppressed) => log.warn({ job: name, suppressed }, `jobs: ${describeError(error)}`));
  });
  return async () => {
    // With Redis away there is no saying goodbye; what runs is let go, and runs again.
    const timer = setTimeout(() => void worker.close(true), limits.queue.jobVisibleMs);
    await worker.close();
    clearTimeout(timer);
  };
}

async function runOne(
  { link, clock, log, times, done }: WorkerParts,
  name: string,
  handler: (job: Job) => Promise<void>,
  bull: BullJob<unknown>,
): Promise<void> {
  const job: Job = { id: idOfBull(bull.id!), name, data: bull.data, attempt: bull.attemptsStarted };
  const begunMs = clock.monotonicMs();
  try {
    await handler(job);
  } catch (error) {
    const reason = describeError(error).slice(0, limits.queue.reasonChars);
    const isDead = job.attempt >= times.attempts;
    log.warn({ job: name, id: job.id, attempt: job.attempt, isDead }, `job failed: ${reason}`);
    // Attempts that began count, also those of workers that were killed; BullMQ counts those that failed.
    throw isDead ? new UnrecoverableError(reason) : new Error(reason);
  }
  const report = { id: job.id, atMs: Math.floor(clock.nowMs()), tookMs: Math.round(clock.monotonicMs() - begunMs) };
  await link.command('hset', done, name, JSON.stringify(report)).catch(() => {});
}
