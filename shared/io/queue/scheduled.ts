/** A job that a service runs again and again: scheduled when it starts, as soon as the queue can be reached, and worked here. */
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component, Job } from '@ufes/core/ports.ts';
import type { ServiceContext } from '../service.ts';

export interface ScheduledJob {
  readonly name: string;
  /** Which of the jobs of that name. */
  readonly id: string;
  readonly everyMs: number;
  /** Idempotent. */
  readonly run: (job: Job) => Promise<void>;
}

export function scheduledJob(
  { queue, clock, log }: Pick<ServiceContext, 'queue' | 'clock' | 'log'>,
  { name, id, everyMs, run }: ScheduledJob,
): Component {
  let cancel = () => {};
  let stopWork = async () => {};
  let underWay = Promise.resolve();
  let isStopped = false;

  const schedule = async (): Promise<void> => {
    try {
      await queue.jobs.schedule(name, id, everyMs, null);
    } catch (error) {
      log.debug({ job: name, error: describeError(error) }, 'jobs: not scheduled yet');
      if (isStopped) return;
      cancel = clock.after(limits.store.pollMs, () => {
        underWay = schedule();
      });
    }
  };

  return {
    start: async () => {
      underWay = schedule();
      await underWay;
      stopWork = queue.jobs.work(name, run);
    },
    stop: async () => {
      isStopped = true;
      cancel();
      await underWay;
      await stopWork();
    },
  };
}
