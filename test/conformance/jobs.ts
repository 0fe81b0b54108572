/** What every JobQueue must do (ports.ts). `make` gives an empty one. */
import { limits } from '@ufes/core/limits.ts';
import type { Job, JobReport, Queue } from '@ufes/core/ports.ts';
import { ManualClock, systemClock } from '@ufes/io/clock.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Fixture, startClient } from './fixture.ts';

export function jobConformance(name: string, make: () => Promise<Fixture>): void {
  describe(`${name} as a queue of jobs`, () => {
    let fixture: Fixture;
    let queue: Queue;
    let clock: ManualClock;
    beforeEach(async () => {
      fixture = await make();
      clock = new ManualClock();
      clock.advance(systemClock.nowMs() - clock.nowMs());
      queue = fixture.queue({ clock });
    });
    afterEach(() => fixture.dispose());

    /** Runs jobs of `build` with `handler`; `runs(n)` resolves once n have begun. */
    function worker(at: Queue, handler: (job: Job) => Promise<void> | void = () => {}) {
      const seen: Job[] = [];
      const waiting: { count: number; resolve: () => void }[] = [];
      const stop = at.jobs.work('build', async (job) => {
        seen.push(job);
        for (const one of waiting) if (seen.length >= one.count) one.resolve();
        await handler(job);
      });
      const runs = (count: number): Promise<void> =>
        seen.length >= count ? Promise.resolve() : new Promise((resolve) => void waiting.push({ count, resolve }));
      return { seen, stop, runs };
    }

    /** Lets time pass, in steps, until something holds. */
    async function passUntil(isSo: () => Promise<boolean> | boolean, stepMs: number): Promise<void> {
      while (!(await isSo())) await fixture.pass(clock, stepMs);
    }
    const dead = (of = 'build'): Promise<JobReport[]> => queue.jobs.list({ name: of, state: 'dead', limit: 100 });
    const ids = (jobs: readonly Job[]): string[] => jobs.map(({ id }) => id);

    test('run with their data, whether added before or after the worker started, in another process or here', async () => {
      await fixture.queue({ clock }).jobs.add('build', 'one', { shard: 1 });
      await queue.jobs.add('other', 'x', null);
      const { seen, runs, stop } = worker(queue);
      await runs(1);
      await queue.jobs.add('build', 'two: 2/2 é', { shard: 2 });
      await runs(2);
      await stop();
      expect(seen).toEqual([
        { id: 'one', name: 'build', data: { shard: 1 }, attempt: 1 },
        { id: 'two: 2/2 é', name: 'build', data: { shard: 2 }, attempt: 1 },
      ]);
    });

    test('one waits per name and id; the first data stays until it has run', async () => {
      await queue.jobs.add('build', '1', 1);
      await queue.jobs.add('build', '1', 2);
      await queue.jobs.add('build', 'two', 3);
      const first = worker(queue);
      await first.runs(2);
      await first.stop();
      expect(first.seen.map(({ data }) => data).sort()).toEqual([1, 3]);
      await queue.jobs.add('build', '1', 4);
      const second = worker(queue);
      await second.runs(1);
      await second.stop();
      expect(second.seen.map(({ data }) => data)).toEqual([4]);
    });

    test('a delayed one is not early', async () => {
      const delayMs = 2 * fixture.times.visibleMs;
      const { seen, runs, stop } = worker(queue);
      await queue.jobs.add('build', 'late', null, { delayMs });
      await queue.jobs.add('build', 'now', null);
      await runs(1);
      expect(await queue.jobs.find('build', 'late')).toMatchObject({ state: 'waiting', attempt: 0 });
      await fixture.pass(clock, delayMs / 2);
      await queue.jobs.add('build', 'also now', null);
      await runs(2);
      expect(ids(seen)).toEqual(['now', 'also now']);
      await passUntil(() => seen.length === 3, delayMs / 4);
      expect(seen[2]!.id).toBe('late');
      await stop();
    });

    test('a failing one is tried again with pauses, then lies dead with the reason until it is retried', async () => {
      let isMended = false;
      const begunAtMs: number[] = [];
      const { seen, runs, stop } = worker(queue, ({ attempt }) => {
        begunAtMs.push(performance.now());
        if (!isMended) throw new Error(`no ${attempt}`);
      });
      await queue.jobs.add('build', 'bad', { n: 1 });
      await runs(1);
      await fixture.pass(clock, fixture.times.retryMs / 2);
      expect(seen).toHaveLength(1);
      await passUntil(async () => (await dead()).length > 0, fixture.times.retryMs);
      expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
      const report = { id: 'bad', name: 'build', data: { n: 1 }, attempt: limits.queue.jobAttempts, reason: 'no 5' };
      expect(await dead()).toEqual([{ ...report, state: 'dead', atMs: expect.any(Number) }]);
      expect(await queue.jobs.find('build', 'bad')).toMatchObject(report);
      expect(await queue.jobs.summary()).toMatchObject([{ name: 'build', dead: 1, waiting: 0, running: 0 }]);
      expect(await dead('other')).toEqual([]);
      await expect(queue.jobs.retry('build', 'unknown')).rejects.toMatchObject({ code: 'NOT_FOUND' });
      isMended = true;
      await queue.jobs.retry('build', 'bad');
      await runs(6);
      await stop();
      expect(seen[5]).toEqual({ id: 'bad', name: 'build', data: { n: 1 }, attempt: 1 });
      expect(await dead()).toEqual([]);
      expect(await queue.jobs.find('build', 'bad')).toBeUndefined();
      expect(await queue.jobs.summary()).toMatchObject([{ dead: 0, done: { id: 'bad' } }]);
      await expect(queue.jobs.retry('build', 'bad')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });

    test('a dead one that is added again waits with the new data; one that is dropped is gone', async () => {
      const failing = worker(queue, () => {
        throw new Error('no');
      });
      await queue.jobs.add('build', 'one', 'old');
      await queue.jobs.add('build', 'two', 'old');
      await passUntil(async () => (await dead()).length === 2, fixture.times.retryMs);
      await failing.stop();
      await queue.jobs.drop('build', 'two');
      await expect(queue.jobs.drop('build', 'two')).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await queue.jobs.add('build', 'one', 'new');
      await expect(queue.jobs.drop('build', 'one')).rejects.toMatchObject({ code: 'NOT_FOUND' });
      expect(await queue.jobs.find('build', 'two')).toBeUndefined();
      const next = worker(queue);
      await next.runs(1);
      await next.stop();
      expect(next.seen).toEqual([{ id: 'one', name: 'build', data: 'new', attempt: 1 }]);
    });

    test('are listed by name and state, of all names', async () => {
      for (const id of ['a', 'b', 'c']) await queue.jobs.add('build', id, { id });
      await queue.jobs.add('keys', 'later', null, { delayMs: 60_000 });
      const listed = await queue.jobs.list({ limit: 10 });
      expect(ids(listed).sort()).toEqual(['a', 'b', 'c', 'later']);
      expect(listed[0]).toMatchObject({ name: 'keys', id: 'later', state: 'waiting', data: null, attempt: 0 });
      expect(await queue.jobs.list({ name: 'build', limit: 2 })).toHaveLength(2);
      expect(await queue.jobs.list({ state: 'running', limit: 10 })).toEqual([]);
      expect(await queue.jobs.list({ name: 'unknown', limit: 10 })).toEqual([]);
      expect(await queue.jobs.find('unknown', 'a')).toBeUndefined();
      expect(await queue.jobs.summary()).toEqual([
        { name: 'build', waiting: 3, running: 0, dead: 0, schedules: [] },
        { name: 'keys', waiting: 1, running: 0, dead: 0, schedules: [] },
      ]);
    });

    test('a scheduled one runs at once and again after its time, once for all who say so', async () => {
      const everyMs = 4 * fixture.times.visibleMs;
      const workers = [worker(queue), worker(fixture.queue({ clock }))];
      const all = (): Job[] => workers.flatMap(({ seen }) => seen);
      const other = fixture.queue({ clock });
      await queue.jobs.schedule('build', 'hourly', everyMs, 1);
      await passUntil(() => all().length === 1, fixture.times.visibleMs / 4);
      await other.jobs.schedule('build', 'hourly', everyMs, 1);
      await other.jobs.schedule('build', 'hourly', everyMs, 2);
      const [summary] = await queue.jobs.summary();
      expect(summary).toMatchObject({ name: 'build', schedules: [{ id: 'hourly', everyMs }] });
      await fixture.pass(clock, everyMs / 4);
      expect(all()).toHaveLength(1);
      await passUntil(() => all().length === 2, everyMs / 8);
      for (const { stop } of workers) await stop();
      const [first, second] = all().sort((a, b) => Number(a.data) - Number(b.data));
      expect([first!.data, second!.data]).toEqual([1, 2]);
      const timeOf = ({ id }: Job) => Number(/^hourly@(\d+)$/.exec(id)?.[1]);
      expect(timeOf(second!) - timeOf(first!)).toBe(everyMs);
    });

    test('stopping waits for the running one and begins no other', async () => {
      let finish = (): void => {};
      const { seen, runs, stop } = worker(
        queue,
        () =>
          new Promise<void>((resolve) => {
            finish = resolve;
          }),
      );
      await queue.jobs.add('build', 'one', null);
      await runs(1);
      await queue.jobs.add('build', 'two', null);
      let isStopped = false;
      const stopped = stop().then(() => {
        isStopped = true;
      });
      const running = await queue.jobs.list({ state: 'running', limit: 10 });
      expect(running).toMatchObject([{ name: 'build', id: 'one', attempt: 1 }]);
      expect(isStopped).toBe(false);
      finish();
      await stopped;
      expect(seen).toHaveLength(1);
      const next = worker(queue);
      await next.runs(1);
      await next.stop();
      expect(ids(next.seen)).toEqual(['two']);
    });

    test('two workers share them out and run each once', async () => {
      const workers = [worker(queue), worker(fixture.queue({ clock }))];
      for (let i = 0; i < 30; i++) await queue.jobs.add('build', `job ${i}`, i);
      const all = (): Job[] => workers.flatMap(({ seen }) => seen);
      await passUntil(() => all().length >= 30, limits.store.pollMs / 10);
      for (const { stop } of workers) await stop();
      expect(ids(all()).sort()).toEqual([...new Set(ids(all()))].sort());
      expect(all()).toHaveLength(30);
    });

    test('a long one stays its worker’s; that of a killed worker runs again', async () => {
      await queue.jobs.add('build', 'one', null);
      const hung = startClient(fixture, 'hang', { name: 'build' });
      expect(await hung.next()).toBe(1);
      const { seen, runs, stop } = worker(queue);
      await queue.jobs.add('build', 'two', null);
      await runs(1);
      expect(ids(seen)).toEqual(['two']);
      hung.child.kill('SIGKILL');
      await hung.ended;
      await passUntil(() => seen.length === 2, fixture.times.visibleMs / 2);
      await stop();
      expect(seen[1]).toEqual({ id: 'one', name: 'build', data: null, attempt: 2 });
    });

    test('a worker killed at any moment of a job leaves its effect once, and the job run', async () => {
      const count = 6;
      for (let i = 0; i < count; i++) await queue.jobs.add('build', `job ${i}`, i);
      // Kills itself: before the effect, after it, and while the job is being ticked off.
      for (const when of ['before', 'after', 'ending']) {
        const victim = startClient(fixture, 'fold-job', { name: 'build', die: when });
        await victim.ended;
      }
      const survivor = startClient(fixture, 'fold-job', { name: 'build', die: 'never' });
      const left = async () => (await queue.jobs.list({ name: 'build', limit: 100 })).length;
      await passUntil(async () => (await left()) === 0, fixture.times.visibleMs / 2);
      survivor.child.kill('SIGKILL');
      await survivor.ended;
      expect(await dead()).toEqual([]);
      const history = await fixture.store().history.list('effects', { limit: 100 });
      expect(history.map(({ key }) => key).sort()).toEqual(Array.from({ length: count }, (_, i) => `job ${i}`));
    });

    test('one that kills every worker lies dead and says so', async () => {
      await queue.jobs.add('build', 'deadly', null);
      for (let attempt = 1; attempt <= limits.queue.jobAttempts; attempt++) {
        const victim = startClient(fixture, 'fold-job', { name: 'build', die: 'before' });
        let isOver = false;
        void victim.ended.then(() => {
          isOver = true;
        });
        await passUntil(() => isOver, fixture.times.visibleMs / 2);
      }
      const { seen, stop } = worker(queue);
      await passUntil(async () => (await dead()).length > 0, fixture.times.visibleMs / 2);
      await stop();
      expect(seen).toEqual([]);
      expect(await dead()).toMatchObject([{ id: 'deadly', reason: expect.stringContaining('worker was killed') }]);
    });
  });
}
