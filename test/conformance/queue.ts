/** What every Queue must do (ports.ts). `make` gives an empty one. */
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Queue, StreamRecord } from '@ufes/core/ports.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeCount } from './evidence.ts';
import type { Fixture } from './fixture.ts';
import { jobConformance } from './jobs.ts';

const record = (seq: number): StreamRecord => ({ seq, bytes: encodeCount(seq) });
const records = (from: number, to: number): StreamRecord[] =>
  Array.from({ length: to - from + 1 }, (_, i) => record(from + i));

export function queueConformance(name: string, make: () => Promise<Fixture>): void {
  jobConformance(name, make);
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
      await expect(queue.jobs.schedule('build', 'one', 1_000, null)).rejects.toMatchObject(unavailable);
      await expect(queue.jobs.list({ limit: 1 })).rejects.toMatchObject(unavailable);
      await expect(queue.jobs.summary()).rejects.toMatchObject(unavailable);
      clock.advance(limits.store.pollMs);
      await fixture.mend();
      // Who is told to try again does.
      const appended = () => queue.samples.append(1, 'c1', records(1, 2)).then(() => 'in', describeError);
      await expect.poll(appended).toBe('in');
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
