import { limits } from '@ufes/core/limits.ts';
import { SeenIds, seenKey, type ToldByEdge } from '@ufes/core/seen.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { silentLog } from '@ufes/io/log.ts';
import { testContext } from '@ufes/io/testing.ts';
import { expect, it } from 'vitest';
import { SeenPrefixes } from './seen.ts';

it('knows what edges told for as long as tokens live, and nothing from a store that is gone or tells nonsense', async () => {
  const clock = new ManualClock();
  const context = await testContext({ node: 'probe', clock });
  const seen = new SeenPrefixes({ store: context.store, clock, log: silentLog });
  const tell = (value: unknown) => context.store.live.put([{ key: `${seenKey.edge}lon`, value, ttlMs: 30_000 }]);
  const ids = new SeenIds<ToldByEdge>();
  ids.add('aaaa', () => ['192.0.2.0/24', 12]);
  ids.add('bbbb', () => ['2001:db8:1::/48']);
  await tell(ids.take(clock.nowMs()));
  await seen.look();
  expect(['aaaa', 'bbbb', 'cccc'].map((label) => seen.prefixOf(label))).toEqual([
    '192.0.2.0/24',
    '2001:db8:1::/48',
    undefined,
  ]);
  for (const nonsense of ['x', { atMs: 1, share: 1, ids: { cccc: 'no list', dddd: ['no prefix'], eeee: [1] } }]) {
    await tell(nonsense);
    await seen.look();
  }
  expect(['cccc', 'dddd', 'eeee'].map((label) => seen.prefixOf(label))).toEqual([undefined, undefined, undefined]);
  await context.dispose();
  await seen.look();
  expect(seen.prefixOf('aaaa')).toBe('192.0.2.0/24');
  const empty = new SeenPrefixes({ store: { live: { list: async () => [] } }, clock, log: silentLog });
  for (let i = 0; i < 2; i++) {
    clock.advance(limits.probe.tokenMs);
    await empty.look();
  }
  expect(empty.prefixOf('aaaa')).toBeUndefined();
});
