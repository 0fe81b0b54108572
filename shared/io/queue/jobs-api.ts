/**
 * Jobs, and orders about them, as routes of a node's socket and of the dashboard.
 *
 *     GET  BASE?name=&state=&limit=             JobsState: what is known of each name, and jobs, newest first
 *     GET  BASE/one?name=&id=                   JobReport
 *     POST BASE/retry  {name, id, by?}          lets a dead job wait again
 *     POST BASE/drop   {name, id, by?}          forgets a dead job
 *     POST BASE/run    {name, by?}              adds one of a name that is scheduled, now
 *
 * Orders are in the audit log; one that is not written there is done all the same, and logged.
 */
import type { JobsState } from '@ufes/core/dashboard.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { JobState, Queue } from '@ufes/core/ports.ts';
import type { HttpApp } from '../http.ts';
import type { ServiceContext } from '../service.ts';

type Parts = Pick<ServiceContext, 'store' | 'clock' | 'log'> & { readonly queue: Pick<Queue, 'jobs'> };
type Fields = Readonly<Record<string, unknown>>;

/** `base`: path of the first route. */
export function registerJobsApi(app: HttpApp, { queue, store, clock, log }: Parts, base = '/jobs'): void {
  const { jobs } = queue;
  const tell = async (action: string, subject: string, by: string): Promise<void> => {
    const entry = { atMs: clock.nowMs(), actor: by, action, subject, detail: null };
    await store.audit.append(entry).catch((error: unknown) => {
      log.warn({ error: describeError(error), ...entry }, 'order about a job is not in the audit log');
    });
  };

  app.get<{ Querystring: Fields }>(base, async ({ query }, reply): Promise<JobsState> => {
    const { name, state, limit = '100' } = query;
    const count = Number(limit);
    if (!(Number.isInteger(count) && count > 0 && count <= limits.queue.jobsShown)) {
      throw wrong(`limit: a whole number up to ${limits.queue.jobsShown} is wanted`);
    }
    const of = { ...(name === undefined ? {} : { name: textOf(name, 'name') }), ...stateOf(state), limit: count };
    const [summary, listed] = await Promise.all([jobs.summary(), jobs.list(of)]);
    reply.header('cache-control', 'no-store');
    return { atMs: clock.nowMs(), summary, jobs: listed };
  });

  app.get<{ Querystring: Fields }>(`${base}/one`, async ({ query }) => {
    const { name, id } = jobIn(query);
    const found = await jobs.find(name, id);
    if (found === undefined) throw new OperatingError('NOT_FOUND', `there is no job ${name} ${id}; it may have run`);
    return found;
  });

  for (const [order, act] of [
    ['retry', jobs.retry],
    ['drop', jobs.drop],
  ] as const) {
    app.post<{ Body: Fields }>(`${base}/${order}`, async ({ body }) => {
      const { name, id } = jobIn(body ?? {});
      await act(name, id);
      await tell(`jobs ${order}`, `${name} ${id}`, byIn(body));
      return { name, id };
    });
  }

  app.post<{ Body: Fields }>(`${base}/run`, async ({ body }) => {
    const name = textOf(body?.['name'], 'name');
    const summaries = await jobs.summary();
    if (!summaries.some((one) => one.name === name && one.schedules.length > 0)) {
      const names = summaries.filter(({ schedules }) => schedules.length > 0).map((one) => one.name);
      throw new OperatingError('NOT_FOUND', `no job ${name} is scheduled; there are: ${names.join(', ') || 'none'}`);
    }
    const id = `by hand ${Math.floor(clock.nowMs())}`;
    await jobs.add(name, id, null);
    await tell('jobs run', `${name} ${id}`, byIn(body));
    return { name, id };
  });
}

function jobIn(fields: Fields): { name: string; id: string } {
  return { name: textOf(fields['name'], 'name'), id: textOf(fields['id'], 'id') };
}

function textOf(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= limits.queue.reasonChars) return value;
  throw wrong(`${what}: the ${what} of a job is wanted, as \`ufes jobs\` lists it`);
}

function byIn(fields: Fields | undefined): string {
  const by = fields?.['by'];
  return typeof by === 'string' && by !== '' ? by.slice(0, limits.health.reasonChars) : 'admin socket';
}

function stateOf(value: unknown): { state?: JobState } {
  if (value === undefined) return {};
  if (value === 'waiting' || value === 'running' || value === 'dead') return { state: value };
  throw wrong('state: waiting, running or dead is wanted');
}

function wrong(message: string): OperatingError {
  return new OperatingError('REQUEST_INVALID', message);
}
