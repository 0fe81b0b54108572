/** Says in every shard, now and then, that time has passed: without it the fold would not know what an idle collector still holds. */
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, Log } from '@ufes/core/ports.ts';
import type { Journal } from './journal.ts';

export function createMarks(journal: Pick<Journal, 'mark'>, clock: Clock, log: Log): Component {
  let stop = (): void => {};
  const mark = (): void => {
    journal.mark(clock.nowMs()).catch((thrown: unknown) => log.debug({ error: describeError(thrown) }, 'no mark'));
  };
  return {
    start: async () => {
      stop = clock.every(limits.probe.markMs, mark);
    },
    stop: async () => stop(),
  };
}
