import { parseAddress, prefixOf } from '@ufes/core/ip.ts';
import { testContext } from '@ufes/io/testing.ts';
import { expect, test } from 'vitest';
import { Traffic } from './traffic.ts';
import { TrafficFeed } from './traffic-feed.ts';

const nowMs = 1_764_000_000_000;
const dayMs = 86_400_000;
const client = parseAddress('192.0.2.7')!;
const { hi: clientHi } = prefixOf(client, 24);

function rateOf(traffic: Traffic, atMs: number): number {
  let rate = Number.NaN;
  traffic.forEach(atMs, (_family, hi, _lo, perSecond) => {
    if (hi === clientHi) rate = perSecond;
  });
  return rate;
}

test('what is asked steadily is the rate, from the first half minute on', () => {
  const traffic = new Traffic();
  for (let i = 1; i <= 100; i++) traffic.add(client, 60, 30, nowMs + 30_000 * i);
  expect(rateOf(traffic, nowMs + 3_000_000)).toBeCloseTo(2, 2);
  expect(traffic.cells).toBe(1);
});

test('is no less while nobody has told of the time since, and falls where others go on to ask', () => {
  const traffic = new Traffic();
  const other = parseAddress('198.51.100.7')!;
  for (let i = 1; i <= 2; i++) for (const one of [client, other]) traffic.add(one, 60, 30, nowMs + 30_000 * i);
  expect(rateOf(traffic, nowMs + 89_000)).toBeCloseTo(2, 2);
  for (let i = 3; i <= 4; i++) traffic.add(other, 60, 30, nowMs + 30_000 * i);
  expect(rateOf(traffic, nowMs + 120_000)).toBeCloseTo(1, 2);
});

test('an hour moves an average of days a little, and half of it is gone a day later', () => {
  const traffic = new Traffic();
  for (let i = 0; i < 10 * 24; i++) traffic.add(client, 3_600, 3_600, nowMs + i * 3_600_000);
  const atMs = nowMs + 10 * dayMs;
  const usual = rateOf(traffic, atMs);
  traffic.add(client, 10 * 3_600, 3_600, atMs);
  expect(rateOf(traffic, atMs)).toBeLessThan(1.4 * usual);
  traffic.add(parseAddress('198.51.100.7')!, 1, dayMs / 1000, atMs + dayMs);
  expect(rateOf(traffic, atMs + dayMs)).toBeLessThan(0.75 * usual);
});

test('what edges tell is taken once, and what is no such thing is left out', async () => {
  const context = await testContext();
  const feed = new TrafficFeed(context);
  const told = { atMs: nowMs, seconds: 30, cells: { '192.0.2.0/24': 60, nonsense: 5, '198.51.100.0/24': 'many' } };
  await context.store.live.put([
    { key: 'demand/lon', value: told, ttlMs: 60_000 },
    { key: 'demand/iad', value: { seconds: 'none' }, ttlMs: 60_000 },
  ]);
  await feed.read();
  await feed.read();
  expect(feed.traffic.cells).toBe(1);
  expect(rateOf(feed.traffic, nowMs)).toBeCloseTo(2, 2);
  await context.dispose();
});
