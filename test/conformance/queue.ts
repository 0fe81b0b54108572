/** What every Queue must do (ports.ts). `make` gives an empty one. */
import { limits } from '@ufes/core/limits.ts';
import type { Job, Queue, StreamRecord } from '@ufes/core/ports.ts';
import { ManualClock, systemClock } from '@ufes/io/clock.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeCount } from './evidence.ts';
import { type Fixture, startClient } from './fixture.ts';

const record = (seq: number): StreamRecord => ({ seq, bytes: encodeCount(seq) });
const records = (from: number, to: number): StreamRecord[] =>
  Array.from({ length: to - from + 1 }, (_, i) => record(from + i));

export function queueConformance(name: string, make: () => Promise<Fixture>): void {
  describe(`${name} as a queue`, () => {
    let fixture: Fixture;
    let queue: Queue;
    let clock: ManualClock;
    beforeEach(async () => {
      fixture = await make();
      clock = new ManualClock();
      queue = fixture.queue({ clock });
    });
    afterEach(() => fixture.dispose());

    describe('samples', () => {
      test('are read in order, by shard and collector, after a number', async () => {
        const { samples } = queue;
        await samples.append(1, 'c1', records(1, 5));
        await samples.append(1, 'c2', records(1, 2));
        await samples.append(2, 'c1', records(1, 1));
        const other = fixture.queue().samples;
        expect(await other.read(1, 'c1', 0, 3)).toEqual(records(1, 3));
        expect(await other.read(1, 'c1', 3, 10)).toEqual(records(4, 5));
        expect(await other.read(1, 'c1', 5, 10)).toEqual([]);
        expect(await other.read(3, 'c1', 0, 10)).toEqual([]);
        expect(await other.collectors(1)).toEqual(['c1', 'c2']);
        expect(await other.collectors(3)).toEqual([]);
        expect(await other.lastSeq(1, 'c1')).toBe(5);
        expect(await other.lastSeq(3, 'c1')).toBe(0);
      });

      test('a repeat is ignored, also when it overlaps what is new', async () => {
        const { samples } = queue;
        await samples.append(1, 'c1', records(1, 3));
        await samples.append(1, 'c1', records(1, 3));
        await samples.append(1, 'c1', [{ seq: 2, bytes: encodeCount(99) }]);
        await samples.append(1, 'c1', records(2, 5));
        await samples.append(1, 'c1', []);
        expect(await samples.read(1, 'c1', 0, 10)).toEqual(records(1, 5));
      });

      test('a gap rejects and adds nothing', async () => {
        const { samples } = queue;
        await expect(samples.append(1, 'c1', records(2, 3))).rejects.toMatchObject({ code: 'SEQUENCE_GAP' });
        await samples.append(1, 'c1', records(1, 2));
        for (const holed of [[record(4)], [record(3), record(5)], [record(3), record(3)]]) {
          await expect(samples.append(1, 'c1', holed)).rejects.toMatchObject({ code: 'SEQUENCE_GAP' });
        }
        expect(await samples.lastSeq(1, 'c1')).toBe(2);
        expect(await samples.read(1, 'c1', 0, 10)).toEqual(records(1, 2));
      });

      test('trimmed records are gone, their numbers are not used again', async () => {
        const { samples } = queue;
        await samples.append(1, 'c1', records(1, 5));
        await samples.trim(1, 'c1', 3);
        await samples.trim(1, 'c1', 2);
        expect(await samples.read(1, 'c1', 0, 10)).toEqual(records(4, 5));
        await samples.trim(1, 'c1', 5);
        expect(await samples.lastSeq(1, 'c1')).toBe(5);
        await samples.append(1, 'c1', records(1, 6));
        expect(await samples.read(1, 'c1', 0, 10)).toEqual([record(6)]);
      });

      test('a stream that was lost goes on after the number it is trimmed to', async () => {
        const { samples } = queue;
        await samples.trim(1, 'c1', 41);
        expect(await samples.lastSeq(1, 'c1')).toBe(41);
        await samples.append(1, 'c1', records(40, 43));
        expect(await samples.read(1, 'c1', 0, 10)).toEqual(records(42, 43));
      });

      test('a stream that is started again after a lower number asks for what follows it', async () => {
        const { samples } = queue;
        await samples.append(1, 'c1', records(1, 9));
        await samples.append(1, 'c2', records(1, 2));
        await samples.trim(1, 'c1', 6);
        await samples.restart(1, 'c1', 3);
        expect(await samples.lastSeq(1, 'c1')).toBe(3);
        expect(await samples.read(1, 'c1', 0, 10)).toEqual([]);
        await expect(samples.append(1, 'c1', [record(10)])).rejects.toMatchObject({ code: 'SEQUENCE_GAP' });
        await samples.append(1, 'c1', records(2, 10));
        expect(await samples.read(1, 'c1', 0, 10)).toEqual(records(4, 10));
        expect(await samples.read(1, 'c2', 0, 10)).toEqual(records(1, 2));
        expect(await samples.collectors(1)).toEqual(['c1', 'c2']);
      });

      test('are bounded per shard and collector, and room comes with trimming', async () => {
        const { samples } = fixture.queue({ streamRecords: 10 });
        await samples.append(1, 'c1', records(1, 10));
        await expect(samples.append(1, 'c1', records(11, 11))).rejects.toMatchObject({
          code: 'QUEUE_FULL',
          retry: true,
        });
        await samples.append(1, 'c1', records(5, 10));
        await samples.append(1, 'c2', records(1, 10));
        await samples.append(2, 'c1', records(1, 10));
        expect(await samples.lastSeq(1, 'c1')).toBe(10);
        await samples.trim(1, 'c1', 4);
        await samples.append(1, 'c1', records(11, 14));
        await expect(samples.append(1, 'c1', [record(15)])).rejects.toMatchObject({ code: 'QUEUE_FULL' });
      });
    });

    describe('jobs', () => {
      /** Runs jobs of `name` with `handler`; `runs(n)` resolves once n have begun. */
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

      test('run with their data, whether added before or after the worker started, in another process or here', async () => {
        await fixture.queue({ clock }).jobs.add('build', 'one', { shard: 1 });
        await queue.jobs.add('other', 'x', null);
        const { seen, runs, stop } = worker(queue);
        await runs(1);
        await queue.jobs.add('build', 'two', { shard: 2 });
        await runs(2);
        await stop();
        expect(seen).toEqual([
          { id: 'one', name: 'build', data: { shard: 1 }, attempt: 1 },
          { id: 'two', name: 'build', data: { shard: 2 }, attempt: 1 },
        ]);
      });

      test('one waits per name and id; the first data stays until it has run', async () => {
        await queue.jobs.add('build', 'one', 1);
        await queue.jobs.add('build', 'one', 2);
        await queue.jobs.add('build', 'two', 3);
        const first = worker(queue);
        await first.runs(2);
        await first.stop();
        expect(first.seen.map(({ data }) => data).sort()).toEqual([1, 3]);
        await queue.jobs.add('build', 'one', 4);
        const second = worker(queue);
        await second.runs(1);
        await second.stop();
        expect(second.seen.map(({ data }) => data)).toEqual([4]);
      });

      test('a delayed one is not early', async () => {
        await queue.jobs.add('build', 'late', null, { delayMs: 60_000 });
        await queue.jobs.add('build', 'now', null);
        const { seen, runs, stop } = worker(queue);
        await runs(1);
        clock.advance(59_000);
        await queue.jobs.add('build', 'also now', null);
        await runs(2);
        expect(seen.map(({ id }) => id)).toEqual(['now', 'also now']);
        clock.advance(1_000);
        await runs(3);
        expect(seen[2]!.id).toBe('late');
        await stop();
      });

      test('a failing one is tried again with pauses, then lies dead until it is retried', async () => {
        let isMended = false;
        const { seen, runs, stop } = worker(queue, () => {
          if (!isMended) throw new Error('no');
        });
        await queue.jobs.add('build', 'bad', { n: 1 });
        await runs(1);
        clock.advance(limits.queue.jobRetryMs - 1);
        expect(seen).toHaveLength(1);
        while ((await queue.jobs.dead('build')).length === 0) clock.advance(limits.queue.jobRetryMs);
        expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
        expect(await queue.jobs.dead('build')).toEqual([
          { id: 'bad', name: 'build', data: { n: 1 }, attempt: limits.queue.jobAttempts },
        ]);
        expect(await queue.jobs.dead('other')).toEqual([]);
        await expect(queue.jobs.retry('build', 'unknown')).rejects.toMatchObject({ code: 'NOT_FOUND' });
        isMended = true;
        await queue.jobs.retry('build', 'bad');
        await runs(6);
        await stop();
        expect(await queue.jobs.dead('build')).toEqual([]);
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
        await queue.jobs.add('build', 'two', null);
        await runs(1);
        let isStopped = false;
        const stopped = stop().then(() => {
          isStopped = true;
        });
        await queue.jobs.dead('build');
        expect(isStopped).toBe(false);
        finish();
        await stopped;
        expect(seen).toHaveLength(1);
        const next = worker(queue);
        await next.runs(1);
        await next.stop();
        expect(next.seen.map(({ id }) => id)).toEqual(['two']);
      });

      test('two workers share them out and run each once', async () => {
        const workers = [worker(queue), worker(fixture.queue({ clock }))];
        for (let i = 0; i < 30; i++) await queue.jobs.add('build', `job ${i}`, i);
        const all = (): Job[] => workers.flatMap(({ seen }) => seen);
        while (all().length < 30) {
          await queue.jobs.dead('build');
          clock.advance(limits.store.pollMs);
        }
        for (const { stop } of workers) await stop();
        expect(
          all()
            .map(({ id }) => id)
            .sort(),
        ).toEqual([...new Set(all().map(({ id }) => id))].sort());
        expect(all()).toHaveLength(30);
      });

      test('a long one stays its worker’s; that of a killed worker runs again', async () => {
        const begunMs = systemClock.nowMs();
        clock.advance(begunMs - clock.nowMs());
        await queue.jobs.add('build', 'one', null);
        const hung = startClient(fixture, 'hang', { name: 'build' });
        expect(await hung.next()).toBe(1);
        const { seen, runs, stop } = worker(queue);
        await queue.jobs.add('build', 'two', null);
        await runs(1);
        expect(seen.map(({ id }) => id)).toEqual(['two']);
        hung.child.kill('SIGKILL');
        await hung.ended;
        // Our clock goes on past what the killed worker had claimed, wherever in its life that was.
        clock.advance(systemClock.nowMs() - begunMs + limits.queue.jobVisibleMs + 1);
        await runs(2);
        await stop();
        expect(seen[1]).toEqual({ id: 'one', name: 'build', data: null, attempt: 2 });
      });
    });

    test('a queue that is gone is STORE_UNAVAILABLE, and used again when it is back', async () => {
      await queue.samples.append(1, 'c1', records(1, 1));
      const runs: string[] = [];
      let ran = (): void => {};
      const stop = queue.jobs.work('build', async ({ id }) => {
        runs.push(id);
        ran();
      });
      await fixture.breakIt();
      const unavailable = { code: 'STORE_UNAVAILABLE', retry: true };
      await expect(queue.samples.append(1, 'c1', records(2, 2))).rejects.toMatchObject(unavailable);
      await expect(queue.samples.lastSeq(1, 'c1')).rejects.toMatchObject(unavailable);
      await expect(queue.jobs.add('build', 'one', null)).rejects.toMatchObject(unavailable);
      clock.advance(limits.store.pollMs);
      await fixture.mend();
      await queue.samples.append(1, 'c1', records(1, 2));
      const done = new Promise<void>((resolve) => {
        ran = resolve;
      });
      await queue.jobs.add('build', 'two', null);
      await done;
      await stop();
      expect(runs).toEqual(['two']);
    });
  });
}
