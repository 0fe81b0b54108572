import { ManualClock } from '@ufes/io/clock.ts';
import { expect, test, vi } from 'vitest';
import { Part } from './part.ts';

test('a part is asked at its pace, sooner while it is missing, and not after stop', async () => {
  const clock = new ManualClock();
  let works = false;
  const ask = vi.fn(async () => {
    if (!works) throw new Error('not there');
    return 1;
  });
  const part = new Part({ part: 'Part', node: 'dns', everyMs: 5_000, clock, ask });
  const settle = async () => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  await part.start();
  await settle();
  expect(part.missing()).toMatchObject({ part: 'Part', node: 'dns', why: 'not there', sinceMs: clock.nowMs() });
  works = true;
  clock.advance(1_000);
  await settle();
  expect(ask).toHaveBeenCalledTimes(2);
  expect(part.missing()).toBeUndefined();
  clock.advance(4_999);
  await settle();
  expect(ask).toHaveBeenCalledTimes(2);
  clock.advance(1);
  await settle();
  expect(ask).toHaveBeenCalledTimes(3);
  await part.stop();
  clock.advance(60_000);
  await settle();
  expect(ask).toHaveBeenCalledTimes(3);
  expect(part.fresh()).toBe(false);
});

test('a part that stops while it is being asked is not asked again', async () => {
  const clock = new ManualClock();
  let answer = (): void => {};
  const ask = vi.fn(() => new Promise<number>((resolve) => (answer = () => resolve(1))));
  const part = new Part({ part: 'Part', node: 'dns', everyMs: 10, clock, ask });
  await part.start();
  await part.stop();
  answer();
  for (let i = 0; i < 10; i++) await Promise.resolve();
  clock.advance(1_000);
  expect(ask).toHaveBeenCalledTimes(1);
});
