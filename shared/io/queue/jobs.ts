/**
 * Jobs: at least once, with retries and dead letters.
 *
 *     add ─▶ waiting ──claim──▶ running ──done──▶ (gone)
 *               ▲                 │ failed or not renewed in time, attempts left
 *               ├─────────────────┤
 *               │ retry, add      ▼ none left
 *               └──────────────  dead
 *
 * A running job is renewed by its worker; one that is not belonged to a killed worker and is claimed again. A worker
 * settles only a job that is still its own.
 */
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Bus, Clock, Job, JobQueue, Log, Rng } from '@ufes/core/ports.ts';
import { rateLimited } from '../log.ts';
import type { Database, Row } from '../store/database.ts';

interface Parts {
  readonly database: Database;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly bus: Bus;
  readonly log: Log;
}

export function jobQueue(parts: Parts): JobQueue & { stop(): Promise<void> } {
  const { database, clock, bus } = parts;
  const stops = new Set<() => Promise<void>>();
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
    work: (name, handler) => {
      const stop = startWorker(parts, name, handler);
      const once = async (): Promise<void> => {
        stops.delete(once);
        await stop();
      };
      stops.add(once);
      return once;
    },
    dead: (name) =>
      database.read((statements) =>
        statements.all("SELECT * FROM job WHERE name = ? AND state = 'dead' ORDER BY id", name).map(jobOf),
      ),
    retry: async (name, id) => {
      const retried = await database.write((statements) =>
        statements.run(
          "UPDATE job SET state = 'waiting', attempt = 0, due_ms = ? WHERE name = ? AND id = ? AND state = 'dead'",
          Math.floor(clock.nowMs()),
          name,
          id,
        ),
      );
      if (retried === 0) throw new OperatingError('NOT_FOUND', `there is no dead job ${name} ${id}`);
      bus.wake('jobs');
    },
    stop: async () => {
      await Promise.all([...stops].map((stop) => stop()));
    },
  };
}

function jobOf(row: Row): Job {
  return {
    id: String(row['id']),
    name: String(row['name']),
    data: JSON.parse(String(row['data'])) as unknown,
    attempt: Number(row['attempt']),
  };
}

function startWorker(parts: Parts, name: string, handler: (job: Job) => Promise<void>): () => Promise<void> {
  const { database, clock, rng, bus, log } = parts;
  const worker = Buffer.from(rng.bytes(8)).toString('hex');
  const complain = rateLimited(10_000, () => clock.monotonicMs());
  let isStopping = false;
  let isWanted = false;
  let running: Promise<void> | undefined;

  async function drain(): Promise<void> {
    while (isWanted && !isStopping) {
      isWanted = false;
      try {
        const job = await claim(database, clock, worker, name);
        if (job === undefined) continue;
        isWanted = true;
        await runOne(parts, worker, job, handler);
      } catch (error) {
        // The store is away: the next poll tries again, and a job whose end could not be written runs again.
        isWanted = false;
        complain(name, (suppressed) => log.warn({ job: name, suppressed }, `jobs: ${describeError(error)}`));
      }
    }
    running = undefined;
  }

  const look = (): void => {
    isWanted = true;
    if (!isStopping) running ??= drain();
  };
  const stopListening = bus.on('jobs', look);
  const stopPolling = clock.every(limits.store.pollMs, look);
  look();
  return async () => {
    isStopping = true;
    stopListening();
    stopPolling();
    await running;
  };
}

async function claim(database: Database, clock: Clock, worker: string, name: string): Promise<Job | undefined> {
  const nowMs = Math.floor(clock.nowMs());
  const dueSql = `SELECT * FROM job WHERE name = ? AND state IN ('waiting', 'running') AND due_ms <= ?
    ORDER BY due_ms, id LIMIT 1`;
  const due = await database.read((statements) => statements.get(dueSql, name, nowMs));
  if (due === undefined) return undefined;
  return database.write((statements) => {
    // What killed every worker that tried it is dead, not due.
    statements.run(
      "UPDATE job SET state = 'dead' WHERE name = ? AND state = 'running' AND due_ms <= ? AND attempt >= ?",
      name,
      nowMs,
      limits.queue.jobAttempts,
    );
    const row = statements.get(dueSql, name, nowMs);
    if (row === undefined) return undefined;
    const job = jobOf(row);
    const attempt = job.attempt + 1;
    statements.run(
      "UPDATE job SET state = 'running', attempt = ?, due_ms = ?, worker = ? WHERE name = ? AND id = ?",
      attempt,
      nowMs + limits.queue.jobVisibleMs,
      worker,
      name,
      job.id,
    );
    return { ...job, attempt };
  });
}

async function runOne(parts: Parts, worker: string, job: Job, handler: (job: Job) => Promise<void>): Promise<void> {
  const { database, clock, log } = parts;
  const own = "name = ? AND id = ? AND state = 'running' AND worker = ?";
  const stopRenewing = clock.every(limits.queue.jobVisibleMs / 3, () => {
    const untilMs = Math.floor(clock.nowMs()) + limits.queue.jobVisibleMs;
    database
      .write((statements) =>
        statements.run(`UPDATE job SET due_ms = ? WHERE ${own}`, untilMs, job.name, job.id, worker),
      )
      .catch((error: unknown) => log.debug({ job: job.name, id: job.id }, `renewing: ${describeError(error)}`));
  });
  let failure: string | undefined;
  try {
    await handler(job);
  } catch (error) {
    failure = describeError(error);
  } finally {
    stopRenewing();
  }
  if (failure === undefined) {
    await database.write((statements) => statements.run(`DELETE FROM job WHERE ${own}`, job.name, job.id, worker));
    return;
  }
  const isDead = job.attempt >= limits.queue.jobAttempts;
  const pauseMs = Math.min(limits.queue.jobRetryMs * 2 ** (job.attempt - 1), limits.queue.jobRetryMsMax);
  log.warn({ job: job.name, id: job.id, attempt: job.attempt, isDead }, `job failed: ${failure}`);
  await database.write((statements) =>
    statements.run(
      `UPDATE job SET state = ?, due_ms = ?, worker = '' WHERE ${own}`,
      isDead ? 'dead' : 'waiting',
      Math.floor(clock.nowMs()) + pauseMs,
      job.name,
      job.id,
      worker,
    ),
  );
}
