/** `ufes jobs`: what runs in the background, what failed for good and why, and orders about it. */
import { userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import type { JobsState } from '@ufes/core/dashboard.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import type { JobReport, JobSummary } from '@ufes/core/ports.ts';
import { adminGet, adminPost } from '@ufes/io/admin-client.ts';
import { systemClock } from '@ufes/io/clock.ts';
import {
  ago,
  bold,
  type Command,
  dim,
  green,
  jsonOption,
  red,
  stateFolder,
  stateOption,
  table,
  UsageError,
  yellow,
} from '../command.ts';

const options = {
  ...stateOption,
  ...jsonOption,
  name: { type: 'string' },
  dead: { type: 'boolean', default: false },
  limit: { type: 'string', default: '20' },
  by: { type: 'string' },
} as const;

export const jobs: Command = {
  usage: 'jobs [show NAME ID | retry NAME ID | drop NAME ID | run NAME] [--name NAME] [--dead] [--limit 20]',
  summary: 'background jobs: what is scheduled, what waits, what failed for good and why',
  details:
    '\nA job that fails is tried again with pauses; after the last attempt it is dead, and stays until it is retried or dropped.\n  show    one job, with its data and why it failed\n  retry   lets a dead job run again\n  drop    forgets a dead job\n  run     adds a job of a scheduled name now\nOrders are kept in the audit log (--by, default: the user).\n',
  async run(args) {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const [action = 'list', name, id, ...rest] = positionals;
    const state = stateFolder(values.state);
    const by = values.by ?? userInfo().username;
    const say = (text: string, value: unknown) =>
      void process.stdout.write(values.json ? `${JSON.stringify(value, null, 2)}\n` : text);
    if (rest.length > 0) throw new UsageError(`"${rest[0]}" is one word too many; put an id with spaces in quotes`);
    if (action === 'list') {
      const asked = new URLSearchParams({ limit: values.limit });
      if (values.name !== undefined) asked.set('name', values.name);
      if (values.dead) asked.set('state', 'dead');
      const answer = await get<JobsState>(state, `/jobs?${asked}`);
      say(toText(answer), answer);
      return 0;
    }
    if (!['show', 'retry', 'drop', 'run'].includes(action)) {
      throw new UsageError(`"${action}": list, show, retry, drop or run?`);
    }
    if (name === undefined) throw new UsageError('which job?');
    if (action === 'run') {
      const added = await post<{ id: string }>(state, '/jobs/run', { name, by });
      say(`${name}: added as "${added.id}"\n`, added);
      return 0;
    }
    if (id === undefined) throw new UsageError('which job? NAME and ID, as `ufes jobs` lists them');
    if (action === 'show') {
      const job = await get<JobReport>(state, `/jobs/one?${new URLSearchParams({ name, id })}`);
      say(jobText(job), job);
      return 0;
    }
    const done = await post(state, `/jobs/${action}`, { name, id, by });
    say(action === 'retry' ? `${name} ${id}: waits to run again\n` : `${name} ${id}: forgotten\n`, done);
    return 0;
  },
};

/** Nodes that have jobs on their sockets: one of them is enough. */
const nodes = ['controller', 'mapper'] as const;

const get = <T>(state: string, path: string): Promise<T> => first((node) => adminGet<T>(state, node, path));
const post = <T>(state: string, path: string, body: object): Promise<T> =>
  first((node) => adminPost<T>(state, node, path, body));

async function first<T>(ask: (node: string) => Promise<T>): Promise<T> {
  try {
    return await ask(nodes[0]);
  } catch (thrown) {
    if (!(thrown instanceof OperatingError && thrown.code === 'NOT_RUNNING')) throw thrown;
    return ask(nodes[1]).catch(() => {
      throw thrown;
    });
  }
}

function toText({ summary, jobs: listed, atMs }: JobsState): string {
  if (summary.length === 0) return 'no jobs: none was added yet\n';
  const heads = ['JOB', 'EVERY', 'NEXT', 'LAST DONE', 'TOOK', 'WAITING', 'RUNNING', 'DEAD'].map(bold);
  const rows = summary.map((one) => summaryRow(one, atMs));
  const top = table([heads, ...rows]);
  if (listed.length === 0) return top;
  const listHeads = ['STATE', 'JOB', 'ID', 'WHEN', 'ATTEMPT', 'WHY'].map(bold);
  return `${top}\n${table([listHeads, ...listed.map((job) => jobRow(job, atMs))])}`;
}

function summaryRow({ name, waiting, running, dead, schedules, done }: JobSummary, atMs: number): string[] {
  const [schedule] = schedules;
  return [
    name,
    schedule === undefined ? '' : ago(schedule.everyMs),
    schedule === undefined ? '' : `in ${ago(schedule.nextMs - atMs)}`,
    done === undefined ? dim('never') : `${ago(atMs - done.atMs)} ago`,
    done === undefined ? '' : `${done.tookMs} ms`,
    String(waiting),
    String(running),
    dead > 0 ? red(String(dead)) : '0',
  ];
}

function jobRow({ state, name, id, atMs, attempt, reason = '' }: JobReport, nowMs: number): string[] {
  const shade = { waiting: yellow, running: green, dead: red }[state];
  const when = atMs > nowMs ? `in ${ago(atMs - nowMs)}` : `${ago(nowMs - atMs)} ago`;
  return [shade(state), name, id, when, String(attempt), reason];
}

function jobText(job: JobReport): string {
  const nowMs = systemClock.nowMs();
  const { state, name, id, attempt, atMs, reason, data } = job;
  const when = new Date(atMs).toISOString();
  const facts: [string, string][] = [
    ['job', `${name} ${id}`],
    ['state', state],
    [
      state === 'waiting' ? 'due' : 'since',
      `${when} (${atMs > nowMs ? 'in ' : ''}${ago(Math.abs(nowMs - atMs))}${atMs > nowMs ? '' : ' ago'})`,
    ],
    ['attempts', String(attempt)],
    ...(reason === undefined ? [] : ([['why', reason]] as [string, string][])),
    ['data', JSON.stringify(data)],
  ];
  const hint = state === 'dead' ? `\nufes jobs retry ${name} '${id}'\n` : '';
  return `${table(facts.map(([key, value]) => [dim(key), value]))}${hint}`;
}
