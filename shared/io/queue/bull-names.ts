/**
 * What BullMQ calls things, and what we do.
 *
 *     name            queue NAME, keys {PREFIX:jobs}:NAME:…    all jobs have one hash tag: there are few
 *     id              ~ID, percent-encoded: BullMQ takes no ":" and no number
 *     ID@MS           repeat:ID:MS of the job scheduler ID
 *     waiting: wait, prioritized, delayed    running: active    dead: failed
 */
import type { JobReport, JobState } from '@ufes/core/ports.ts';
import type { Job as BullJob } from 'bullmq';
import { type JobTimes, killedReason } from './job-times.ts';

/** Of BullMQ's keys. */
export function bullPrefix(prefix: string): string {
  return `{${prefix}:jobs}`;
}

export function bullId(id: string): string {
  const scheduled = /^(.+)@(\d+)$/.exec(id);
  return scheduled === null ? `~${encodeURIComponent(id)}` : `repeat:${scheduleKey(scheduled[1]!)}:${scheduled[2]}`;
}

export function idOfBull(bull: string): string {
  const scheduled = /^repeat:([^:]+):(\d+)$/.exec(bull);
  return scheduled === null
    ? decodeURIComponent(bull.replace(/^~/, ''))
    : `${decodeURIComponent(scheduled[1]!)}@${scheduled[2]}`;
}

export function scheduleKey(id: string): string {
  return encodeURIComponent(id);
}

export const bullStates = {
  waiting: ['wait', 'prioritized', 'delayed'],
  running: ['active'],
  dead: ['failed'],
} as const satisfies Record<JobState, readonly string[]>;

export function stateOfBull(state: string): JobState | undefined {
  if (state === 'active') return 'running';
  if (state === 'failed') return 'dead';
  return ['waiting', 'prioritized', 'delayed'].includes(state) ? 'waiting' : undefined;
}

export function reportOfBull(name: string, state: JobState, job: BullJob<unknown>, times: JobTimes): JobReport {
  const { attemptsStarted, failedReason, timestamp, processedOn, finishedOn, delay } = job;
  const atMs =
    state === 'dead' ? (finishedOn ?? timestamp) : state === 'running' ? (processedOn ?? timestamp) : undefined;
  return {
    id: idOfBull(job.id!),
    name,
    data: job.data,
    attempt: Math.min(attemptsStarted, times.attempts),
    state,
    // A retry's delay counts from the attempt before.
    atMs: atMs ?? (processedOn ?? timestamp) + delay,
    ...(failedReason ? { reason: reasonOf(failedReason, times) } : {}),
  };
}

/** BullMQ's words for a job that began too often and never ended. */
function reasonOf(text: string, { attempts }: JobTimes): string {
  return /^job (started|stalled) more than/.test(text) ? killedReason(attempts) : text;
}

/** The job of a schedule that is not due yet: of what waits, operators see what could run. */
export function isAhead(job: BullJob<unknown>, nowMs: number): boolean {
  return job.repeatJobKey !== undefined && job.attemptsStarted === 0 && job.timestamp + job.delay > nowMs;
}
