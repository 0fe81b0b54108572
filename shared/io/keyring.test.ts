import type { Component } from '@ufes/core/ports.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from './clock.ts';
import { createKeyring, type KeySpec, rotateKeys } from './keyring.ts';
import { type TestContext, testContext } from './testing.ts';

const spec: KeySpec = { name: 'probe/token-keys', bytes: 32, periodMs: 3_600_000 };
const clock = new ManualClock();
const running: Component[] = [];
let first: TestContext;

beforeEach(async () => {
  first = await testContext({ node: 'probe-a', clock });
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  await first.dispose();
});

/** Current, previous and next, as they are now. */
async function node(name: string, seed?: Uint8Array): Promise<() => string[]> {
  let keys: string[] = [];
  const use = (...given: Uint8Array[]) => {
    keys = given.map((key) => Buffer.from(key).toString('hex'));
  };
  const keyring = createKeyring({ ...first, node: name }, spec, use, seed);
  running.push(keyring);
  await keyring.start();
  return () => keys;
}

test('the job changes keys once, however often it runs, and nodes go over by themselves in time', async () => {
  const [a, b] = [await node('probe-a', new Uint8Array(32).fill(7)), await node('probe-b')];
  expect(a()).toEqual(b());
  expect(a()[0]).toBe('07'.repeat(32));
  const before = a();
  await rotateKeys(first, [spec]);
  clock.advance(spec.periodMs - 1);
  await rotateKeys(first, [spec]);
  expect(a()).toEqual(before);
  clock.advance(1);
  await rotateKeys(first, [spec]);
  await rotateKeys(first, [spec]);
  await expect
    .poll(() => {
      clock.advance(60_000);
      return !before.includes(a()[2]!) && a().join() === b().join();
    })
    .toBe(true);
  expect(a().slice(0, 2)).toEqual([before[2], before[0]]);
});

test('two jobs at once change keys once; the second tries again', async () => {
  const a = await node('probe-a');
  const next = a()[2];
  clock.advance(spec.periodMs);
  const other = { ...first, node: 'probe-b' };
  const outcomes = await Promise.allSettled([rotateKeys(first, [spec]), rotateKeys(other, [spec])]);
  expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true);
  await rotateKeys(other, [spec]);
  await expect
    .poll(() => {
      clock.advance(60_000);
      return a()[2];
    })
    .not.toBe(next);
  expect(a()[0]).toBe(next);
});

test('keys that no node asked for are not made', async () => {
  await rotateKeys(first, [spec]);
  expect(await first.store.secrets.list('')).toEqual([]);
});
