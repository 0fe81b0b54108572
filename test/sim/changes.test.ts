/** Random changes of a configuration, and whether there is room for them. */
import { seededRng } from '@ufes/core/seeded.ts';
import { expect, test } from 'vitest';
import { drawChange, hasRoom } from './modes/plan-changes.ts';
import { Steering } from './steering.ts';
import { syntheticWorld } from './synthetic.ts';

const world = syntheticWorld({
  ...{ seed: 'changes', pops: 6, prefixes: 60, cities: 20, drift: false, origins: ['Frankfurt', 'New York'] },
});
const aims = [{ name: 'Frankfurt', k: 2, origin: 0 }];
const capacity = world.popIds.map(() => 100);
const all = new Steering({ world, capacity, aims }).desired;
const active = [0, 1, 2, 3, 4];
const now = new Steering({ world, capacity, aims, active }).desired;

test('are of every kind, each of one thing, and name only PoPs and origins that are there', () => {
  const rng = seededRng('kinds');
  const kinds = new Set<string>();
  for (let i = 0; i < 300; i++) {
    const { kind, desired, drained } = drawChange(now, all, new Set(['p001']), rng);
    kinds.add(kind);
    const ids = desired.pops.map(({ id }) => id);
    const service = desired.services[0]!;
    expect(service.candidates.map(({ pop }) => pop)).toEqual(ids.map((_, pop) => pop));
    for (const pop of service.only ?? []) expect(ids[pop]).toBeDefined();
    for (const { pop } of service.shares ?? []) expect(ids[pop]).toBeDefined();
    for (const id of drained) expect(ids).toContain(id);
    expect(['Frankfurt', 'New York']).toContain(service.origin);
    if (kind === 'k') expect(service.k).not.toBe(2);
    if (kind === 'origin') expect(service.origin).toBe('New York');
    if (kind === 'a PoP more') expect(ids).toContain('p005');
  }
  const some = ['a PoP more', 'a PoP less', 'a PoP drains', 'drains end', 'capacity', 'policy', 'ttl', 'k', 'origin'];
  expect([...kinds]).toEqual(expect.arrayContaining([...some, 'only', 'weights', 'control']));
});

test('have room where half of what PoPs can take is enough, and no rule sends one more than it can', () => {
  const evenly = (ids: ReadonlySet<string>) => new Map([...ids].map((id) => [id, 250 / ids.size]));
  const change = { kind: 'ttl', desired: now, drained: new Set<string>() };
  const withService = (over: object) => ({
    ...change,
    desired: { ...now, services: [{ ...now.services[0]!, ...over }] },
  });
  expect(hasRoom(change, 250, evenly)).toBe(true);
  expect(hasRoom(change, 251, evenly)).toBe(false);
  expect(hasRoom({ ...change, drained: new Set(['p000']) }, 201, evenly)).toBe(false);
  expect(hasRoom(withService({ only: [0, 1, 2] }), 151, evenly)).toBe(false);
  expect(hasRoom(withService({ shares: [{ pop: 0, share: 0.38 }] }), 250, evenly)).toBe(true);
  expect(hasRoom(withService({ shares: [{ pop: 0, share: 0.4 }] }), 250, evenly)).toBe(false);
  const all0 = (ids: ReadonlySet<string>) => new Map([...ids].map((id) => [id, id === 'p000' ? 250 : 0]));
  expect(hasRoom(withService({ policy: 'geo' }), 250, all0)).toBe(false);
  expect(hasRoom(withService({ controlShare: 0.3 }), 250, all0)).toBe(true);
});
