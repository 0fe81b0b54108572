/** The join over a real store, by two mappers of which one at a time does it. */
import { limits } from '@ufes/core/limits.ts';
import { populationKey } from '@ufes/core/populations.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { testContext } from '@ufes/io/testing.ts';
import { expect, it } from 'vitest';
import { PopulationKeeper } from './populations.ts';

it('writes populations, and another mapper goes on from them', async () => {
  const clock = new ManualClock(1_790_000_000_000);
  const context = await testContext({ node: 'mapper', clock });
  const { live } = context.store;
  const tell = (key: string, ids: object) =>
    live.put([{ key, value: { atMs: clock.nowMs(), share: 1, ids }, ttlMs: 30_000 }]);
  const first = new PopulationKeeper(context, () => 64_500);
  const spare = await testContext({ node: 'mapper-2', clock, state: context.state });
  const second = new PopulationKeeper(spare, () => 64_501);

  await tell('seen/dns/dns', { a: [['192.0.2.53']], b: [['192.0.2.53']] });
  await tell('seen/edge/lon', { a: ['198.51.100.0/24', 9] });
  await first.step();
  await second.step();
  // Told again, it counts no more.
  await first.step();
  expect(first.populations.of('192.0.2.53')).toMatchObject({
    n: 1,
    clients: [['198.51.100.0/24', 64_500, 1, clock.nowMs()]],
  });
  expect(second.populations.resolvers).toBe(0);
  expect(await live.list(populationKey)).toMatchObject([
    { value: { '192.0.2.53': { n: 1, clients: [['198.51.100.0/24', 64_500, 1, clock.nowMs()]] } } },
  ]);

  await first.stop();
  clock.advance(limits.edge.tellIdsMs);
  await tell('seen/dns/dns', { c: [['192.0.2.53']] });
  await tell('seen/edge/iad', { c: ['203.0.113.0/24'] });
  await second.step();
  expect(
    second.populations
      .of('192.0.2.53')!
      .clients.map(([prefix]) => prefix)
      .sort(),
  ).toEqual(['198.51.100.0/24', '203.0.113.0/24']);
  await second.stop();
  await spare.dispose();
  await context.dispose();
});
