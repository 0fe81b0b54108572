/** What an implementation hands to the suites: ways to reach one store and queue from several places at once. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Clock, Queue, Store } from '@ufes/core/ports.ts';
import type { ManualClock } from '@ufes/io/clock.ts';
import type { JobTimes } from '@ufes/io/queue/job-times.ts';

export interface Fixture {
  /** Another client of the same store, as a process of its own would have. */
  store(clock?: Clock): Store;
  /** The same for the queue. `streamRecords`: a small bound. */
  queue(options?: { clock?: Clock; streamRecords?: number }): Queue;
  /** How long jobs of these queues wait, and how time passes for them: where it cannot be moved, it is waited for. */
  readonly times: JobTimes;
  pass(clock: ManualClock, ms: number): Promise<void>;
  /** A module that exports `open(address): {store, queue}` for child processes, and JSON that it understands. */
  readonly module: URL;
  readonly address: unknown;
  /** Makes the store unreachable, and reachable again: empty, or as it was. */
  breakIt(): Promise<void>;
  mend(): Promise<void>;
  dispose(): Promise<void>;
}

export interface Client {
  readonly child: ChildProcess;
  /** Everything it said so far, one JSON value each. */
  readonly said: unknown[];
  /** Resolves with the next thing it says. */
  next(): Promise<unknown>;
  readonly ended: Promise<number | null>;
}

/** Runs `task` of tasks.ts in a process of its own, against the fixture's store. */
export function startClient(fixture: Fixture, task: string, argument: object): Client {
  const job = JSON.stringify({ module: fixture.module.href, address: fixture.address, task, argument });
  const child = spawn(process.execPath, [new URL('./tasks.ts', import.meta.url).pathname, job], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const said: unknown[] = [];
  const waiting: ((value: unknown) => void)[] = [];
  let taken = 0;
  child.on('message', (value) => {
    said.push(value);
    for (const resolve of waiting.splice(0, 1)) resolve(said[taken++]);
  });
  return {
    child,
    said,
    next: () =>
      taken < said.length ? Promise.resolve(said[taken++]) : new Promise((resolve) => void waiting.push(resolve)),
    ended: new Promise((resolve) => child.once('close', (code) => resolve(code))),
  };
}
