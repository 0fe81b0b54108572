/** How long jobs wait and how often they are tried: the same for both queues. */
import { limits } from '@ufes/core/limits.ts';

export interface JobTimes {
  readonly attempts: number;
  /** First retry of a failed job; doubles up to `retryMsMax`. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** A running job that is not renewed for this long belonged to a killed worker. */
  readonly visibleMs: number;
}

export const jobTimes: JobTimes = {
  attempts: limits.queue.jobAttempts,
  retryMs: limits.queue.jobRetryMs,
  retryMsMax: limits.queue.jobRetryMsMax,
  visibleMs: limits.queue.jobVisibleMs,
};

/** After the failure of attempt number `attempt`, from 1. */
export function retryPauseMs({ retryMs, retryMsMax }: JobTimes, attempt: number): number {
  return Math.min(retryMs * 2 ** (attempt - 1), retryMsMax);
}

/** Of a job whose last attempt ended without a word. */
export function killedReason(attempts: number): string {
  return `its worker was killed or lost the queue, ${attempts} times`;
}
