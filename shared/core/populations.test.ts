/** Resolvers and their clients, from two sides that tell at different times, as much as they have room for. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { limits } from './limits.ts';
import { Join, type Joined, Populations } from './populations.ts';
import { SeenIds, type ToldByDns, type ToldByEdge } from './seen.ts';

const told = (ids: Record<string, unknown>, share = 1) => ({ atMs: 0, share, ids });
const one = (resolver: string, prefix: string): Joined => ({ resolver, prefix, hasSubnet: false, weight: 1 });

test('joins an ID once, whichever side tells first, and each resolver of a farm', () => {
  const join = new Join();
  expect(join.dns(told({ a: [['192.0.2.53']], b: [['192.0.2.53', '198.51.100.0/24']] }), 0)).toEqual([]);
  expect(join.edge(told({ a: ['198.51.100.0/24', 12] }), 1)).toEqual([one('192.0.2.53', '198.51.100.0/24')]);
  expect(join.edge(told({ a: ['203.0.113.0/24'] }), 2)).toEqual([]);
  expect(join.dns(told({ a: [['192.0.2.53'], ['192.0.2.54']] }), 3)).toEqual([one('192.0.2.54', '198.51.100.0/24')]);
  expect(join.edge(told({ b: ['198.51.100.0/24'] }), 4)).toMatchObject([{ hasSubnet: true }]);
});

test('waits ten minutes', () => {
  const join = new Join();
  join.dns(told({ a: [['192.0.2.53']] }), 0);
  join.expire(limits.mapper.joinMs - 1);
  expect(join.size).toBe(1);
  join.expire(limits.mapper.joinMs);
  expect(join.edge(told({ a: ['198.51.100.0/24'] }), limits.mapper.joinMs)).toEqual([]);
});

test('takes nothing that has not the shape of what dns and edges tell', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (ids) => {
      const join = new Join();
      const joined = [...join.dns(told(ids), 0), ...join.edge(told(ids), 0), ...join.dns(told(ids), 0)];
      const populations = new Populations();
      for (const each of joined) populations.add(each, 0, 0);
      populations.load(ids);
      populations.load(Object.values(ids)[0]);
    }),
  );
});

test('both sides tell of the same IDs when there are more than they tell, and the share says how many there were', () => {
  const dns = new SeenIds<ToldByDns>(200);
  const edge = new SeenIds<ToldByEdge>(50);
  for (let i = 0; i < 1_600; i++) {
    dns.add(`id${i * 7}`, () => [['192.0.2.53']]);
    edge.add(`id${i * 7}`, () => ['198.51.100.0/24']);
  }
  const join = new Join();
  const [byDns, byEdge] = [dns.take(0), edge.take(0)];
  expect(Object.keys(byDns.ids).length).toBeLessThanOrEqual(200);
  join.dns(byDns, 0);
  const joined = join.edge(byEdge, 0);
  expect(joined).toHaveLength(Object.keys(byEdge.ids).length);
  const weight = joined.reduce((sum, each) => sum + each.weight, 0);
  expect(weight / 1_600).toBeGreaterThan(0.6);
  expect(weight / 1_600).toBeLessThan(1.5);
  expect(dns.ids.size).toBe(0);
});

test('keeps what a resolver’s clients are, halves it every day, and comes back from the store as it was', () => {
  const populations = new Populations();
  for (let i = 0; i < 4; i++) populations.add(one('192.0.2.53', '198.51.100.0/24'), 64_500, 0);
  populations.add(one('192.0.2.53', '203.0.113.0/24'), 0, 86_400_000);
  populations.add(one('2001:db8::/64', '203.0.113.0/24'), 0, 0);
  expect(populations.of('192.0.2.53')).toEqual({
    n: 3,
    subnetN: 0,
    lastMs: 86_400_000,
    clients: [
      ['198.51.100.0/24', 64_500, 4, 0],
      ['203.0.113.0/24', 0, 1, 86_400_000],
    ],
  });
  const stored = [...populations.takeChanged().values()];
  expect(populations.takeChanged().size).toBe(0);
  const again = new Populations();
  for (const bucket of stored) again.load(JSON.parse(JSON.stringify(bucket)));
  expect(again.of('192.0.2.53')).toEqual(populations.of('192.0.2.53'));
  expect(again.of('2001:db8::/64')).toEqual(populations.of('2001:db8::/64'));
});

test('has room for the prefixes joined most and for the resolvers heard of last', () => {
  const populations = new Populations();
  for (let i = 0; i < 3; i++) populations.add(one('192.0.2.53', '198.51.100.0/24'), 0, i);
  for (let i = 0; i < 200; i++) populations.add(one('192.0.2.53', `10.0.${i}.0/24`), 0, 10 + i);
  const { clients, n } = populations.of('192.0.2.53')!;
  expect([clients.length, clients[0]![0], Math.round(n)]).toEqual([
    limits.mapper.clientsOfResolver,
    '198.51.100.0/24',
    203,
  ]);
  for (let i = 0; i < limits.mapper.resolvers; i++) {
    populations.add(one(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, '198.51.100.0/24'), 0, 1_000);
  }
  expect(populations.resolvers).toBe(limits.mapper.resolvers);
  expect(populations.of('192.0.2.53')).toBeUndefined();
});
