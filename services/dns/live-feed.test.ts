/** Live state over time: flapping, deaths with and without the store, external verdicts, drains, restarts. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { liveStateFor, liveStateNames } from '@ufes/core/live.ts';
import { Why } from '@ufes/core/steering/decide.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { Sim, type SimInit } from './live-feed.fixture.ts';

const sims: Sim[] = [];
afterEach(async () => {
  for (const sim of sims.splice(0)) await sim.stop();
});
async function start(init: SimInit = {}): Promise<Sim> {
  const sim = new Sim(init);
  sims.push(sim);
  await sim.start();
  return sim;
}
/** Milliseconds until the answer is `pop`. */
async function until(sim: Sim, pop: string, withinMs = 20_000): Promise<number> {
  for (let ms = 0; ms <= withinMs; ms += 50) {
    if (sim.answer().pop === pop) return ms;
    await sim.advance(50);
  }
  throw new Error(`not ${pop} within ${withinMs} ms, but ${JSON.stringify(sim.answer())}`);
}

describe('answers', () => {
  it('have their longest TTL in quiet times, a short one until checks are sure', async () => {
    const sim = await start();
    expect(sim.answer()).toMatchObject({ pop: 'lon', ttlSeconds: 1 });
    await sim.advance(2_500);
    const seen = new Set<number>();
    await sim.advance(60_000, 50, () => seen.add(sim.answer().ttlSeconds));
    expect([...seen]).toEqual([120]);
  });

  it('leave a dead PoP within 3 s, and come back after five successes', async () => {
    let isDead = false;
    const sim = await start({ sees: (_, target) => !isDead || target !== 'lon' });
    await sim.advance(5_000);
    isDead = true;
    expect(await until(sim, 'iad')).toBeLessThanOrEqual(2_000);
    await sim.advance(5_000);
    expect(sim.answer()).toMatchObject({ pop: 'iad', ttlSeconds: 120 });
    isDead = false;
    const backMs = await until(sim, 'lon');
    expect(backMs).toBeGreaterThanOrEqual(2_000);
    expect(backMs).toBeLessThanOrEqual(3_000);
  });

  it.each([
    ['a PoP with a period of 2 s', 2_000, 1],
    ['a PoP with a period of 8 s', 8_000, 2 * 75],
  ])('change no more often than hysteresis allows: %s, for 10 min', async (_, periodMs, most) => {
    const sim = await start({ sees: (_, target, nowMs) => target !== 'lon' || nowMs % periodMs < periodMs / 2 });
    await sim.advance(2_000);
    const changes: number[] = [];
    let last = sim.answer().pop;
    await sim.advance(600_000, 100, () => {
      const { pop } = sim.answer();
      if (pop !== last) changes.push(sim.clock.nowMs());
      last = pop;
    });
    expect(changes.length).toBeGreaterThan(0);
    expect(changes.length).toBeLessThanOrEqual(most);
    for (const [i, atMs] of changes.entries()) if (i > 0) expect(atMs - changes[i - 1]!).toBeGreaterThanOrEqual(1_500);
  });

  it('are not moved by one vantage that sees nothing, or sees one PoP down', async () => {
    let blind = '';
    const sim = await start({
      sees: (vantage, target) => vantage !== blind || (target !== 'lon' && blind === 'probe'),
    });
    await sim.advance(5_000);
    for (const vantage of ['probe', 'edge-x', 'dns']) {
      blind = vantage;
      const seen = new Set<string>();
      await sim.advance(10_000, 50, () => seen.add(sim.answer().pop));
      expect([...seen]).toEqual(['lon']);
      blind = '';
      await sim.advance(5_000);
    }
  });

  it.each([
    ['serve-preferred', { rule: 'serve-preferred' }, Why.servePreferred],
    ['fallback', { rule: 'fallback', addresses: [{ family: 4, address: '192.0.2.99' }] }, Why.fallback],
    ['nodata', { rule: 'nodata' }, Why.nodata],
  ] as const)('all PoPs dead is seen as such: %s', async (_, allDown, why) => {
    let isDead = false;
    const sim = await start({ sees: () => !isDead, service: { allDown } });
    await sim.advance(5_000);
    isDead = true;
    await sim.advance(2_100);
    expect(sim.answer().why).toBe(why);
    await sim.advance(60_000);
    expect(sim.answer()).toMatchObject({ why, ttlSeconds: 1 });
    isDead = false;
    await until(sim, 'lon');
  });

  it('a lone node that sees most of its PoPs fail keeps what it knew; with half of them dead it acts', async () => {
    let dead: string[] = [];
    const sim = await start({ vantages: [], sees: (_, target) => !dead.includes(target) });
    await sim.advance(5_000);
    dead = ['lon', 'sin'];
    expect(await until(sim, 'iad')).toBeLessThanOrEqual(2_000);
    dead = ['lon', 'sin', 'iad', 'fra', 'nrt'];
    await sim.advance(20_000);
    expect(sim.answer()).toMatchObject({ pop: 'iad', ttlSeconds: 1 });
  });

  it('with the store cut, real deaths still leave them within 3 s', async () => {
    let isDead = false;
    const sim = await start({ sees: (_, target) => !isDead || target !== 'lon' });
    await sim.advance(5_000);
    sim.storeGone = true;
    isDead = true;
    expect(await until(sim, 'iad')).toBeLessThanOrEqual(2_500);
    isDead = false;
    await until(sim, 'lon');
    isDead = true;
    expect(await until(sim, 'iad')).toBeLessThanOrEqual(2_000);
  });
});

describe('a service with a check of its own', () => {
  it('leaves a PoP that fails it, and the PoP stays up for the others', async () => {
    let fails = false;
    const check = { kind: 'tcp' } as const;
    const sim = await start({ service: { check }, sees: (_, target) => !fails || target !== 'lon/shop' });
    await sim.advance(5_000);
    expect(sim.answer()).toMatchObject({ pop: 'lon', ttlSeconds: 120 });
    fails = true;
    expect(await until(sim, 'iad')).toBeLessThanOrEqual(2_000);
    const states = () =>
      [liveStateFor(sim.view, 0, 0), liveStateFor(sim.view, 99, 0)].map((one) => liveStateNames[one]);
    expect(states()).toEqual(['down', 'up']);
    fails = false;
    await until(sim, 'lon');
  });
});

describe('an external verdict', () => {
  const say = (sim: Sim, target: string, state: 'up' | 'down' | 'none', forMs = 60_000) => {
    const atMs = sim.clock.nowMs();
    return sim.feed.say({ target, state, reason: 'drill', by: 'ops', atMs, untilMs: atMs + forMs });
  };

  it('takes a PoP out at once, for as long as it says, and can be taken back', async () => {
    const sim = await start();
    await sim.advance(5_000);
    expect(await say(sim, 'lon', 'down', 30_000)).toBe(true);
    expect(sim.answer()).toMatchObject({ pop: 'iad', ttlSeconds: 29 });
    await sim.advance(29_000);
    expect(sim.answer()).toMatchObject({ pop: 'iad', ttlSeconds: 1 });
    await sim.advance(1_500);
    expect(sim.answer()).toMatchObject({ pop: 'lon', ttlSeconds: 120 });
    await say(sim, 'lon', 'down');
    expect(sim.answer().pop).toBe('iad');
    await sim.advance(1);
    await say(sim, 'lon', 'none');
    expect(sim.answer().pop).toBe('lon');
  });

  it('holds a PoP in answers that checks call down; one on the service goes first', async () => {
    const sim = await start({ sees: (_, target) => target !== 'lon' });
    await sim.advance(5_000);
    expect(sim.answer().pop).toBe('iad');
    await say(sim, 'lon', 'up');
    expect(sim.answer().pop).toBe('lon');
    await say(sim, 'lon/shop', 'down');
    expect(sim.answer().pop).toBe('iad');
    expect(liveStateNames[liveStateFor(sim.view, 99, 0)]).toBe('up');
    await sim.advance(1);
    await say(sim, 'lon/shop', 'none');
    await sim.advance(0);
    expect(sim.answer().pop).toBe('lon');
  });

  it('survives the store and a restart, is told to a store that came back, and ends in time', async () => {
    const first = await start({ vantages: [] });
    await first.advance(5_000);
    first.storeGone = true;
    expect(await say(first, 'lon', 'down', 60_000)).toBe(false);
    await first.advance(2_000);
    expect(first.answer().pop).toBe('iad');
    sims.pop();
    await first.stop(false);

    const second = await start({ vantages: [], clock: first.clock, state: first.state });
    expect(second.answer().pop).toBe('iad');
    await second.advance(1_000);
    expect(second.entries.get('verdict/lon')?.value).toMatchObject({ state: 'down', by: 'ops' });
    second.entries.clear();
    await second.advance(20_000);
    expect(second.answer().pop).toBe('iad');
    expect(second.entries.has('verdict/lon')).toBe(true);
    await second.advance(40_000);
    expect(second.answer().pop).toBe('lon');
  });
});

describe('a drain', () => {
  it('announced shortens TTLs until it begins, then moves answers, and back at its end', async () => {
    const sim = await start();
    await sim.advance(5_000);
    const atMs = sim.clock.nowMs() + 20_000;
    sim.put('drain/lon', { atMs, untilMs: atMs + 10_000 }, 60_000);
    await sim.advance(0);
    expect(sim.answer()).toMatchObject({ pop: 'lon', ttlSeconds: 19 });
    await sim.advance(12_000);
    expect(sim.answer()).toMatchObject({ pop: 'lon', ttlSeconds: 7 });
    await sim.advance(8_500);
    expect(sim.answer()).toMatchObject({ pop: 'iad', ttlSeconds: 9 });
    await sim.advance(10_000);
    expect(sim.answer()).toMatchObject({ pop: 'lon', ttlSeconds: 120 });
  });
});

describe('a restart', () => {
  it('begins from what was known last, old, and own checks correct it', async () => {
    let dead = ['lon'];
    const sees: SimInit['sees'] = (_, target) => !dead.includes(target);
    const first = await start({ sees });
    await first.advance(5_000);
    sims.pop();
    await first.stop(false);
    const file = join(first.state, 'nodes/dns/live.json');
    expect(JSON.parse(readFileSync(file, 'utf8')).verdicts.lon.state).toBe('down');

    // Nobody to ask, and its own checks say nothing yet (no CA): it goes on as it was.
    const clock = new ManualClock(first.clock.nowMs() + 86_400_000);
    const lost = await start({ vantages: [], state: first.state, clock, sees: () => 'void' });
    lost.storeGone = true;
    await lost.advance(3_000);
    expect(lost.answer()).toMatchObject({ pop: 'iad', ttlSeconds: 1 });
    expect(lost.feed.verdicts().get('lon')).toMatchObject({ state: 'down', counted: 0 });
    sims.pop();
    await lost.stop(false);

    dead = [];
    const second = await start({ vantages: [], state: first.state, clock, sees });
    second.storeGone = true;
    await second.advance(600);
    expect(second.answer().pop).toBe('lon');
    expect(second.feed.verdicts().get('lon')).toMatchObject({ state: 'up', counted: 1 });
  });

  it('starts from nothing when what was kept is damaged', async () => {
    const first = await start();
    await first.advance(5_000);
    sims.pop();
    await first.stop(false);
    const file = join(first.state, 'nodes/dns/live.json');
    expect(existsSync(file)).toBe(true);
    for (const text of [
      '{"format":1,"atMs":',
      '{"format":9}',
      'null',
      '{"format":1,"atMs":5,"verdicts":{"lon":{"state":7}}}',
    ]) {
      writeFileSync(file, text);
      const again = await start({ state: first.state, clock: first.clock });
      expect(again.answer().pop).toBe('lon');
      sims.pop();
      await again.stop(false);
    }
    sims.push(first);
  });
});
