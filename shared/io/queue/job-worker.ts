/** Runs jobs of one name out of the job tables: claims one, renews it while it runs, settles it. */
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Bus, Clock, Job, Log, Rng } from '@ufes/core/ports.ts';
import { rateLimited } from '../log.ts';
import type { Database, Statements } from '../store/database.ts';
import { jobOf } from './job-rows.ts';
import { type JobTimes, killedReason, retryPauseMs } from './job-times.ts';

export interface JobParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly bus: Bus;
  readonly log: Log;
  readonly times: JobTimes;
}

/** The result stops after the running job. */
export function startWorker(parts: JobParts, name: string, handler: (job: Job) => Promise<void>): () => Promise<void> {
  const { clock, rng, bus, log } = parts;
  const worker = Buffer.from(rng.bytes(8)).toString('hex');
  const complain = rateLimited(10_000, () => clock.monotonicMs());
  let isStopping = false;
  let isWanted = false;
  let running: Promise<void> | undefined;

  async function drain(): Promise<void> {
    while (isWanted && !isStopping) {
      isWanted = false;
      try {
        const job = await claim(parts, worker, name);
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

async function claim({ database, clock, times }: JobParts, worker: string, name: string): Promise<Job | undefined> {
  const nowMs = Math.floor(clock.nowMs());
  const dueSql = `SELECT * FROM job WHERE name = ? AND state IN ('waiting', 'running') AND due_ms <= ?
    ORDER BY due_ms, id LIMIT 1`;
  const scheduledSql = 'SELECT * FROM job_schedule WHERE name = ? AND next_ms <= ? LIMIT 1';
  const isDue = await database.read(
    (statements) =>
      statements.get(dueSql, name, nowMs) !== undefined || statements.get(scheduledSql, name, nowMs) !== undefined,
  );
  if (!isDue) return undefined;
  return database.write((statements) => {
    addScheduled(statements, name, nowMs);
    buryKilled(statements, name, nowMs, times);
    const row = statements.get(dueSql, name, nowMs);
    if (row === undefined) return undefined;
    const job = jobOf(row);
    const attempt = job.attempt + 1;
    statements.run(
      "UPDATE job SET state = 'running', attempt = ?, due_ms = ?, worker = ? WHERE name = ? AND id = ?",
      attempt,
      nowMs + times.visibleMs,
      worker,
      name,
      job.id,
    );
    return { ...job, attempt };
  });
}

/** Jobs of schedules whose time has come; times that passed meanwhile are not made up for. */
function addScheduled(statements: Statements, name: string, nowMs: number): void {
  for (const row of statements.all('SELECT * FROM job_schedule WHERE name = ? AND next_ms <= ?', name, nowMs)) {
    const id = String(row['id']);
    const [everyMs, dueMs] = [Number(row['every_ms']), Number(row['next_ms'])];
    statements.run(
      `INSERT INTO job (name, id, data, state, attempt, due_ms, worker) VALUES (?, ?, ?, 'waiting', 0, ?, '')
       ON CONFLICT (name, id) DO NOTHING`,
      name,
      `${id}@${dueMs}`,
      String(row['data']),
      dueMs,
    );
    const nextMs = dueMs + everyMs * (1 + Math.floor((nowMs - dueMs) / everyMs));
    statements.run('UPDATE job_schedule SET next_ms = ? WHERE name = ? AND id = ?', nextMs, name, id);
  }
}

/** What killed every worker that tried it is dead, not due. */
function buryKilled(statements: Statements, name: string, nowMs: number, { attempts }: JobTimes): void {
  const killed = statements.all(
    "SELECT id FROM job WHERE name = ? AND state = 'running' AND due_ms <= ? AND attempt >= ?",
    name,
    nowMs,
    attempts,
  );
  for (const { id } of killed) bury(statements, name, String(id), nowMs, killedReason(attempts));
}

/** Gives a job up, and the oldest dead ones of its name when they are too many. */
function bury(statements: Statements, name: string, id: string, nowMs: number, reason: string): void {
  statements.run("UPDATE job SET state = 'dead', due_ms = ?, worker = '' WHERE name = ? AND id = ?", nowMs, name, id);
  noteFailure(statements, name, id, reason);
  const tooMany = `SELECT id FROM job WHERE name = ? AND state = 'dead' ORDER BY due_ms DESC, id LIMIT -1 OFFSET ?`;
  for (const old of statements.all(tooMany, name, limits.queue.deadJobs)) forget(statements, name, String(old['id']));
}

function noteFailure(statements: Statements, name: string, id: string, reason: string): void {
  const text = reason.slice(0, limits.queue.reasonChars);
  statements.run('INSERT OR REPLACE INTO job_failure (name, id, reason) VALUES (?, ?, ?)', name, id, text);
}

function forget(statements: Statements, name: string, id: string): void {
  statements.run('DELETE FROM job WHERE name = ? AND id = ?', name, id);
  statements.run('DELETE FROM job_failure WHERE name = ? AND id = ?', name, id);
}

const own = "name = ? AND id = ? AND state = 'running' AND worker = ?";

async function runOne(parts: JobParts, worker: string, job: Job, handler: (job: Job) => Promise<void>): Promise<void> {
  const { database, clock, log, times } = parts;
  const { name, id, attempt } = job;
  const stopRenewing = clock.every(times.visibleMs / 3, () => {
    const untilMs = Math.floor(clock.nowMs()) + times.visibleMs;
    database
      .write((statements) => statements.run(`UPDATE job SET due_ms = ? WHERE ${own}`, untilMs, name, id, worker))
      .catch((error: unknown) => log.debug({ job: name, id }, `renewing: ${describeError(error)}`));
  });
  const begunMs = clock.monotonicMs();
  let failure: string | undefined;
  try {
    await handler(job);
  } catch (error) {
    failure = describeError(error);
  } finally {
    stopRenewing();
  }
  const nowMs = Math.floor(clock.nowMs());
  if (failure !== undefined) {
    const isDead = attempt >= times.attempts;
    log.warn({ job: name, id, attempt, isDead }, `job failed: ${failure}`);
    const reason = failure;
    await database.write((statements) => {
      if (statements.get(`SELECT 1 FROM job WHERE ${own}`, name, id, worker) === undefined) return;
      if (isDead) return bury(statements, name, id, nowMs, reason);
      noteFailure(statements, name, id, reason);
      const dueMs = nowMs + retryPauseMs(times, attempt);
      statements.run(
        "UPDATE job SET state = 'waiting', due_ms = ?, worker = '' WHERE name = ? AND id = ?",
        dueMs,
        name,
        id,
      );
    });
    return;
  }
  const tookMs = Math.round(clock.monotonicMs() - begunMs);
  await database.write((statements) => {
    if (statements.get(`SELECT 1 FROM job WHERE ${own}`, name, id, worker) === undefined) return;
    forget(statements, name, id);
    const sql = 'INSERT OR REPLACE INTO job_done (name, id, at_ms, took_ms) VALUES (?, ?, ?, ?)';
    statements.run(sql, name, id, nowMs, tookMs);
  });
}
