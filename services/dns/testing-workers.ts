/** Every thread that a test's code starts, so that one can be ended from outside as the system might. */
import type { Worker } from 'node:worker_threads';

export const workers: Worker[] = [];

/** What `vi.mock` is to put in the place of node:worker_threads. */
export async function watchWorkers(original: <T>() => Promise<T>): Promise<typeof import('node:worker_threads')> {
  const actual = await original<typeof import('node:worker_threads')>();
  return {
    ...actual,
    Worker: class extends actual.Worker {
      constructor(...given: ConstructorParameters<typeof Worker>) {
        super(...given);
        workers.push(this);
      }
    },
  };
}
