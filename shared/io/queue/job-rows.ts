/** Rows of the job tables as the port speaks of them. */
import type { Job, JobReport, JobState, JobSummary } from '@ufes/core/ports.ts';
import type { Row, Statements } from '../store/database.ts';

export function jobOf(row: Row): Job {
  return {
    id: String(row['id']),
    name: String(row['name']),
    data: JSON.parse(String(row['data'])) as unknown,
    attempt: Number(row['attempt']),
  };
}

function reportOf(row: Row): JobReport {
  const reason = row['reason'];
  return {
    ...jobOf(row),
    state: row['state'] as JobState,
    atMs: Number(row['due_ms']),
    ...(typeof reason === 'string' ? { reason } : {}),
  };
}

const reported = 'SELECT job.*, reason FROM job LEFT JOIN job_failure USING (name, id)';

export function listJobs(
  statements: Statements,
  { name, state, limit }: { readonly name?: string; readonly state?: JobState; readonly limit: number },
): JobReport[] {
  const where = 'WHERE (? IS NULL OR name = ?) AND (? IS NULL OR state = ?)';
  const values = [name ?? null, name ?? null, state ?? null, state ?? null] as const;
  return statements.all(`${reported} ${where} ORDER BY due_ms DESC, name, id LIMIT ?`, ...values, limit).map(reportOf);
}

export function findJob(statements: Statements, name: string, id: string): JobReport | undefined {
  const row = statements.get(`${reported} WHERE name = ? AND id = ?`, name, id);
  return row === undefined ? undefined : reportOf(row);
}

export function summariseJobs(statements: Statements): JobSummary[] {
  const summaries = new Map<string, JobSummary>();
  const change = (name: unknown, values: Partial<JobSummary>): void => {
    const before = summaries.get(String(name));
    const empty = { name: String(name), waiting: 0, running: 0, dead: 0, schedules: [] };
    summaries.set(String(name), { ...(before ?? empty), ...values });
  };
  for (const row of statements.all('SELECT name, state, count(*) AS n FROM job GROUP BY name, state')) {
    change(row['name'], { [row['state'] as JobState]: Number(row['n']) });
  }
  for (const row of statements.all('SELECT * FROM job_schedule ORDER BY name, id')) {
    const schedule = { id: String(row['id']), everyMs: Number(row['every_ms']), nextMs: Number(row['next_ms']) };
    change(row['name'], { schedules: [...(summaries.get(String(row['name']))?.schedules ?? []), schedule] });
  }
  for (const row of statements.all('SELECT * FROM job_done')) {
    const done = { id: String(row['id']), atMs: Number(row['at_ms']), tookMs: Number(row['took_ms']) };
    change(row['name'], { done });
  }
  return [...summaries.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
