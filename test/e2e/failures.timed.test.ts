/** What happens when things die: PoPs, the mapper, the store, dns itself. Under a running query load. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DnsState } from '@ufes/core/dashboard.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endTree, measure, pause, QueryLoad, restartDns, startTree, type Tree, until } from './tree.ts';

const name = 'www.shop.example';
const subnet = '81.2.69.0/24';
let tree: Tree;
beforeAll(async () => {
  tree = await startTree();
});
afterAll(() => endTree(tree));

const london = () => tree.address('10.1');

/** Milliseconds from `act` until London left the answers; the load goes on throughout and must stay answered. */
async function leavesAnswers(act: () => Promise<void>): Promise<number> {
  const load = new QueryLoad(tree, name, subnet, 100);
  await until('London answers', async () => load.answers.at(-1)?.address === london(), 10_000);
  const actedMs = performance.now();
  await act();
  await until('London leaves', async () => load.answers.at(-1)?.address !== london(), 10_000);
  await pause(1_000);
  await load.stop();
  const lastMs = Math.max(...load.answers.filter((one) => one.address === london()).map((one) => one.atMs));
  expect(load.rcodes()).toEqual(['NOERROR']);
  expect(load.unanswered).toBe(0);
  expect(Math.max(...load.answers.map((one) => one.ms))).toBeLessThan(1_000);
  return lastMs - actedMs;
}

const comesBack = () =>
  until('London is back', async () => (await tree.answer(name, subnet)) === london(), 20_000, tree.output);

async function restartAnswersLondon(): Promise<void> {
  await restartDns(tree, name);
  await until('London answers again', async () => (await tree.answer(name, subnet)) === london(), 10_000, tree.output);
}

describe('a PoP', () => {
  test('failed on purpose leaves answers within 3 s and comes back after hysteresis', async () => {
    const ms = await leavesAnswers(async () => {
      expect((await tree.ufes('fail', 'lon')).code).toBe(0);
    });
    expect(ms).toBeLessThan(3_000);
    const explanation = await tree.explain(name, '81.2.69.160');
    expect(explanation.pops.find((pop) => pop.pop === 'lon')).toMatchObject({
      chosen: false,
      passed: 'down',
      state: 'down',
    });
    await pause(1_500);
    expect(await tree.answer(name, subnet)).not.toBe(london());
    expect((await tree.ufes('fail', 'lon', '--undo')).code).toBe(0);
    const backMs = await comesBack();
    // Five successes, half a second apart, and not before.
    expect(backMs).toBeGreaterThan(1_500);
  });

  test('that hangs (SIGSTOP) leaves answers within 3 s', async () => {
    const pid = await tree.pid('edge-lon');
    try {
      expect(await leavesAnswers(async () => void process.kill(pid, 'SIGSTOP'))).toBeLessThan(3_000);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await comesBack();
  });
});

describe('static stability', () => {
  test('with mapper, probe and controller dead and the store gone, a restarted dns answers from last good', async () => {
    const before = await tree.dig(name, { subnet });
    for (const node of ['mapper', 'probe', 'controller']) process.kill(await tree.pid(node), 'SIGSTOP');
    const stopped = await Promise.all(['mapper', 'probe', 'controller'].map((node) => tree.pid(node)));
    const putBack = await tree.store.remove();
    try {
      expect(await tree.answer(name, subnet)).toBe(london());
      await restartAnswersLondon();
      const after = await tree.dig(name, { subnet });
      expect(after.ecs?.scope).toBe(before.ecs?.scope);
      // Its own checks still take a dead PoP out.
      const lon = await tree.pid('edge-lon');
      process.kill(lon, 'SIGSTOP');
      try {
        const ms = await until('London leaves', async () => (await tree.answer(name, subnet)) !== london(), 10_000);
        expect(ms).toBeLessThan(3_500);
      } finally {
        process.kill(lon, 'SIGCONT');
      }
      await comesBack();
    } finally {
      await putBack();
      for (const pid of stopped) process.kill(pid, 'SIGCONT');
    }
  });

  test('a corrupt newest map on disk falls back to the one before, with the store gone', async () => {
    // Evidence that only a map knows of, and another one, so that the map before the newest has the first.
    const version = async () => (await adminGet<DnsState>(tree.state, 'dns', '/state')).map!.version;
    const singapore = tree.address('30.1');
    await measure(tree, '198.51.100.7', { 'pop:sin': 20 });
    await until('first moves', async () => (await tree.answer(name, '198.51.100.0/24')) === singapore, 10_000);
    await measure(tree, '203.0.113.7', { 'pop:sin': 20 });
    await until('second moves', async () => (await tree.answer(name, '203.0.113.0/24')) === singapore, 10_000);
    const mapper = await tree.pid('mapper');
    process.kill(mapper, 'SIGSTOP');
    const newest = await version();
    // An empty one would get the newest back from the other nodes that keep it.
    const putBack = await tree.store.lose();
    try {
      writeFileSync(join(tree.state, 'nodes/dns/map.current'), 'this is no map');
      await restartAnswersLondon();
      expect(await tree.answer(name, '198.51.100.0/24')).toBe(singapore);
      expect(Number((await version()).split('-')[0])).toBeLessThan(Number(newest.split('-')[0]));
    } finally {
      await putBack();
      process.kill(mapper, 'SIGCONT');
    }
  });
});
