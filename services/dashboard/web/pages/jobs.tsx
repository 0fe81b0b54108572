/** Jobs: what runs in the background, when next, what failed for good and why; an operator lets it run again. */
import type { JobsState } from '@ufes/core/dashboard.ts';
import type { JobReport, JobState, JobSummary } from '@ufes/core/ports.ts';
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { clockText, countText, dateText, msText, shortDurationText } from '../format.ts';
import type { PageProps } from '../page.ts';
import { usePolled } from '../poll.ts';
import { setQuery } from '../route.ts';
import { Card, type Choice, Choices, Empty, StateIcon } from '../ui.tsx';

const everyMs = 2_000;
const choices: readonly Choice[] = [
  { value: '', text: 'Failed for good' },
  { value: 'all', text: 'All' },
];
/** What jobs of the product do; one of another version has no words here. */
const purposes: Readonly<Record<string, string>> = {
  build: 'sees that a steering map can be built',
  geoip: 'fetches new GeoIP databases',
  keys: 'changes the keys that tokens are signed with',
  rollup: 'keeps response times of each hour, by country and PoP',
};

interface Orders {
  /** Undefined while nothing is under way. */
  readonly busy: string | undefined;
  order(what: 'retry' | 'drop' | 'run', job: { name: string; id?: string }): void;
}

export function Page({ route }: PageProps) {
  const show = route.query.get('show') ?? '';
  const path = show === 'all' ? '/api/jobs?limit=200' : '/api/jobs?state=dead&limit=200';
  const { value: state, error } = usePolled<JobsState>(path, everyMs);
  const { orders, said } = useOrders();
  if (state === undefined) {
    if (error === undefined) return <div class="loading" aria-busy="true" />;
    return <Empty title="Jobs are not known">{`${error} They are in the store; is it there? \`ufes status\``}</Empty>;
  }
  const dead = state.summary.reduce((sum, one) => sum + one.dead, 0);
  return (
    <div class="jobs">
      {(error ?? said) !== undefined && (
        <p class="error" role="alert">
          {error ?? said}
        </p>
      )}
      <Card title="Schedules" note={dead === 0 ? 'nothing failed for good' : `${countText(dead)} failed for good`}>
        {state.summary.length === 0 ? (
          <Empty title="No jobs yet">The mapper and the controller schedule them when they start.</Empty>
        ) : (
          <Schedules state={state} orders={orders} />
        )}
      </Card>
      <Card
        title="Jobs"
        note={<Choices label="Show" value={show} choices={choices} choose={(value) => setQuery('show', value)} />}
      >
        {state.jobs.length === 0 ? (
          <Empty title={show === 'all' ? 'No job waits or runs' : 'No job failed for good'}>
            A job that fails is tried again with pauses. After its last attempt it is listed here until somebody retries
            or drops it.
          </Empty>
        ) : (
          <List state={state} orders={orders} />
        )}
      </Card>
    </div>
  );
}

/** Orders go one at a time; why one was refused is said until the next. */
function useOrders(): { orders: Orders; said: string | undefined } {
  const [busy, setBusy] = useState<string>();
  const [said, setSaid] = useState<string>();
  const order: Orders['order'] = async (what, job) => {
    setBusy(keyOf(what, job));
    setSaid(undefined);
    try {
      const body = JSON.stringify({ ...job, by: 'dashboard' });
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`/api/jobs/${what}`, { method: 'POST', headers, body });
      if (!response.ok) {
        const { message } = (await response.json()) as { message?: string };
        setSaid(message ?? `The answer was ${response.status}.`);
      }
    } catch {
      setSaid('The dashboard does not answer; is its process running?');
    }
    setBusy(undefined);
  };
  return { orders: { busy, order }, said };
}

function keyOf(what: string, { name, id = '' }: { name: string; id?: string }): string {
  return `${what} ${name} ${id}`;
}

function Order(props: {
  orders: Orders;
  what: 'retry' | 'drop' | 'run';
  job: { name: string; id?: string };
  children: ComponentChildren;
}) {
  const { orders, what, job, children } = props;
  return (
    <button
      class="order"
      type="button"
      disabled={orders.busy !== undefined}
      aria-busy={orders.busy === keyOf(what, job)}
      aria-label={`${what} ${job.name} ${job.id ?? ''}`.trim()}
      onClick={() => orders.order(what, job)}
    >
      {children}
    </button>
  );
}

function Schedules({ state, orders }: { state: JobsState; orders: Orders }) {
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>Job</th>
            <th class="number">Every</th>
            <th class="number">Next</th>
            <th class="number">Last done</th>
            <th class="number wide">Took</th>
            <th class="number wide">Waiting</th>
            <th class="number wide">Running</th>
            <th class="number">Failed</th>
            <th>
              <span class="hidden">Orders</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {state.summary.map((one) => (
            <Schedule key={one.name} one={one} atMs={state.atMs} orders={orders} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function nextText(ms: number): string {
  return ms <= 0 ? 'now' : `in ${shortDurationText(ms / 1000)}`;
}

function Schedule({ one, atMs, orders }: { one: JobSummary; atMs: number; orders: Orders }) {
  const [schedule] = one.schedules;
  const purpose = purposes[one.name.replace(/-.*/, '')];
  return (
    <tr>
      <td>
        <span class="strong">{one.name}</span>
        {purpose !== undefined && <span class="sub purpose">{purpose}</span>}
      </td>
      <td class="number">{schedule === undefined ? '–' : shortDurationText(schedule.everyMs / 1000)}</td>
      <td class="number">{schedule === undefined ? '–' : nextText(schedule.nextMs - atMs)}</td>
      <td class="number">
        {one.done === undefined ? 'never' : `${shortDurationText((atMs - one.done.atMs) / 1000)} ago`}
      </td>
      <td class="number wide">{one.done === undefined ? '–' : msText(one.done.tookMs)}</td>
      <td class="number wide">{countText(one.waiting)}</td>
      <td class="number wide">{countText(one.running)}</td>
      <td class={`number ${one.dead > 0 ? 'worse strong' : ''}`}>{countText(one.dead)}</td>
      <td class="number">
        {schedule !== undefined && (
          <Order orders={orders} what="run" job={{ name: one.name }}>
            Run now
          </Order>
        )}
      </td>
    </tr>
  );
}

/** `ID@MS` of a schedule: the time it was due at. */
function whichText(id: string): string {
  const [, which, atMs] = /^(.+)@(\d+)$/.exec(id) ?? [];
  return atMs === undefined ? id : `${which}, due ${dateText(Number(atMs))} ${clockText(Number(atMs))}`;
}

const words: Readonly<Record<JobState, string>> = { dead: 'failed', running: 'running', waiting: 'waiting' };
const shapes = { dead: 'down', running: 'up', waiting: 'unknown' } as const;

function List({ state, orders }: { state: JobsState; orders: Orders }) {
  return (
    <div class="scroll">
      <table class="job-list">
        <thead>
          <tr>
            <th>State</th>
            <th>Job</th>
            <th>Why</th>
            <th class="number wide">Attempts</th>
            <th>
              <span class="hidden">Orders</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {state.jobs.map((job) => (
            <Row key={`${job.name} ${job.id}`} job={job} atMs={state.atMs} orders={orders} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ job, atMs, orders }: { job: JobReport; atMs: number; orders: Orders }) {
  const { name, id, state, attempt, reason } = job;
  const ago = (atMs - job.atMs) / 1000;
  return (
    <tr>
      <td>
        <span class="with-icon">
          <StateIcon state={shapes[state]} />
          <span title={`${dateText(job.atMs)} ${clockText(job.atMs)}`}>
            {words[state]}
            <span class="sub">{ago < 0 ? `in ${shortDurationText(-ago)}` : `${shortDurationText(ago)} ago`}</span>
          </span>
        </span>
      </td>
      <td>
        <span class="strong">{name}</span>
        <span class="sub">{whichText(id)}</span>
        {job.data !== null && <span class="sub mono">{JSON.stringify(job.data)}</span>}
      </td>
      <td class="why">{reason ?? '–'}</td>
      <td class="number wide">{attempt}</td>
      <td class="number">
        {state === 'dead' && (
          <span class="orders">
            <Order orders={orders} what="retry" job={{ name, id }}>
              Retry
            </Order>
            <Order orders={orders} what="drop" job={{ name, id }}>
              Drop
            </Order>
          </span>
        )}
      </td>
    </tr>
  );
}
