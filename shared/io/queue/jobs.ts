/**
 * Jobs in the store's SQLite file: at least once, with retries and dead letters.
 *
 *     schedule ─▶ (its time) ─┐
 *     add ────────────────────┴▶ waiting ──claim──▶ running ──done──▶ (gone)
 *                                   ▲                 │ failed or not renewed in time, attempts left
 *                                   ├─────────────────┤
 *                                   │ retry, add      ▼ none left
 *                                   └──────────────  dead ──drop──▶ (gone)
 *
 * A running job is renewed by its worker (job-worker.ts); one that is not belonged to a killed worker and is claimed
 * again. A worker settles only a job that is still its own.
 */
import { OperatingError } from '@ufes/core/errors.ts';
import type { JobQueue } from '@ufes/core/ports.ts';
import type { Statements } from '../store/database.ts';
import { findJob, listJobs, summariseJobs } from './job-rows.ts';
import { type JobParts, startWorker } from './job-worker.ts';

export function jobQueue(parts: JobParts): JobQueue & { stop(): Promise<void> } {
  const { database, clock, bus } = parts;
  const stops = new Set<() => Promise<void>>();

  /** Does something to a dead job. */
  const ofDead = async (name: string, id: string, act: (statements: Statements) => number): Promise<void> => {
    if ((await database.write(act)) === 0) throw new OperatingError('NOT_FOUND', `there is no dead job ${name} ${id}`);
    bus.wake('jobs');
  };

  return {
    add: async (name, id, data, { delayMs = 0 } = {}) => {
      const added = await database.write((statements) =>
        statements.run(
          `INSERT INTO job (name, id, data, state, attempt, due_ms, worker) VALUES (?, ?, ?, 'waiting', 0, ?, '')
           ON CONFLICT (name, id) DO UPDATE
           SET data = excluded.data, state = 'waiting', attempt = 0, due_ms = excluded.due_ms WHERE state = 'dead'`,
          name,
          id,
          JSON.stringify(data ?? null),
          Math.ceil(clock.nowMs() + delayMs),
        ),
      );
      if (added > 0) bus.wake('jobs');
    },
    schedule: async (name, id, everyMs, data) => {
      await database.write((statements) =>
        statements.run(
          `INSERT INTO job_schedule (name, id, every_ms, next_ms, data) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (name, id) DO UPDATE SET data = excluded.data, every_ms = excluded.every_ms,
           next_ms = CASE WHEN every_ms = excluded.every_ms THEN next_ms ELSE excluded.next_ms END`,
          name,
          id,
          everyMs,
          Math.floor(clock.nowMs()),
          JSON.stringify(data ?? null),
        ),
      );
      bus.wake('jobs');
    },
    work: (name, handler) => {
      const stop = startWorker(parts, name, handler);
      const once = async (): Promise<void> => {
        stops.delete(once);
        await stop();
      };
      stops.add(once);
      return once;
    },
    list: (of) => database.read((statements) => listJobs(statements, of)),
    find: (name, id) => database.read((statements) => findJob(statements, name, id)),
    retry: (name, id) =>
      ofDead(name, id, (statements) =>
        statements.run(
          "UPDATE job SET state = 'waiting', attempt = 0, due_ms = ? WHERE name = ? AND id = ? AND state = 'dead'",
          Math.floor(clock.nowMs()),
          name,
          id,
        ),
      ),
    drop: (name, id) =>
      ofDead(name, id, (statements) => {
        const dropped = statements.run("DELETE FROM job WHERE name = ? AND id = ? AND state = 'dead'", name, id);
        if (dropped > 0) statements.run('DELETE FROM job_failure WHERE name = ? AND id = ?', name, id);
        return dropped;
      }),
    summary: () => database.read(summariseJobs),
    stop: async () => {
      await Promise.all([...stops].map((stop) => stop()));
    },
  };
}
