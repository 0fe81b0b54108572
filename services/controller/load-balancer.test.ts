import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '@ufes/core/config/schema.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configFrom, configText } from './controller.fixture.ts';
import { type Allocations, createLoopbackBalancer } from './load-balancer.ts';

let folder: string;
let config: Config;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ufes-lb-'));
  config = (await configFrom(folder, configText.replace('192.0.2.16/28', '192.0.2.16/32'))).config;
});
afterAll(() => rm(folder, { recursive: true }));

function balancer(allocations: Allocations = { held: {}, quarantine: [] }, clock = new ManualClock()) {
  const saved: Allocations[] = [];
  const save = async (next: Allocations) => void saved.push(structuredClone(next));
  const made = createLoopbackBalancer({ clock, config: () => config, quarantineMs: () => 60_000, allocations, save });
  return { ...made, clock, saved };
}
const at = (id: string, pop = 'lon') => ({ id, pop });

describe('the loopback provider', () => {
  it('gives an address of the pool, and the same one again', async () => {
    const one = balancer();
    expect(await one.ensureLoadBalancer('files', at('a'), [])).toEqual({ address: '192.0.2.16' });
    expect(await one.ensureLoadBalancer('files', at('a'), ['192.0.2.99'])).toEqual({ address: '192.0.2.16' });
    expect(await one.getLoadBalancer('files', at('a'))).toEqual({ address: '192.0.2.16' });
    expect(await one.getLoadBalancer('other', at('a'))).toBeUndefined();
    expect(one.saved).toHaveLength(1);
  });

  it('says when a pool is exhausted, and what would help', async () => {
    const one = balancer();
    await one.ensureLoadBalancer('files', at('a'), []);
    await expect(one.ensureLoadBalancer('files', at('b'), [])).rejects.toMatchObject({
      code: 'POOL_EXHAUSTED',
      message: 'no address is left in 192.0.2.16/32, the pool of PoP lon; make pops.lon.pool larger',
    });
    await one.ensureLoadBalancerDeleted('files', at('a'));
    await expect(one.ensureLoadBalancer('files', at('b'), [])).rejects.toThrow(/1 rest in quarantine, .* free in 60 s/);
    one.clock.advance(60_000);
    expect(await one.ensureLoadBalancer('files', at('b'), [])).toEqual({ address: '192.0.2.16' });
  });

  it('never gives one address to two that ask at once', async () => {
    const one = balancer();
    const asked = ['a', 'b', 'c'].map((id) => one.ensureLoadBalancer('files', at(id, 'iad'), []));
    expect((await Promise.all(asked)).map(({ address }) => address).sort()).toEqual([
      '198.51.100.17',
      '198.51.100.18',
      '198.51.100.19',
    ]);
  });

  it('tells nobody of an address that is not on disk', async () => {
    const clock = new ManualClock();
    const one = createLoopbackBalancer({
      ...{ clock, config: () => config, quarantineMs: () => 1, allocations: { held: {}, quarantine: [] } },
      save: () => Promise.reject(new Error('disk full')),
    });
    await expect(one.ensureLoadBalancer('files', at('a'), [])).rejects.toThrow('disk full');
    expect(await one.getLoadBalancer('files', at('a'))).toBeUndefined();
  });

  it('goes on after a restart: what was held is held, what rested rests', async () => {
    const one = balancer();
    await one.ensureLoadBalancer('files', at('a', 'iad'), []);
    await one.ensureLoadBalancer('files', at('b', 'iad'), []);
    await one.ensureLoadBalancerDeleted('files', at('a', 'iad'));
    await one.ensureLoadBalancerDeleted('files', at('a', 'iad'));
    const again = balancer(one.saved.at(-1)!, one.clock);
    expect(await again.getLoadBalancer('files', at('b', 'iad'))).toEqual({ address: '198.51.100.18' });
    expect(await again.ensureLoadBalancer('files', at('c', 'iad'), [])).toEqual({ address: '198.51.100.19' });
  });
});
