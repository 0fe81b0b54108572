/** The vantage on PoPs: votes in live state, a store that is gone, who checks whom. */
import type { DesiredService } from '@ufes/core/desired.ts';
import { checkSettings } from '@ufes/core/health.ts';
import type { LiveEntry } from '@ufes/core/ports.ts';
import { tally } from '@ufes/core/votes.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { systemClock } from '../clock.ts';
import type { CheckTarget } from './check-target.ts';
import { createPopVantage } from './pop-checker.ts';
import { cleanUp, cleanups, pop, readyServer, rig, writeCa } from './vantage.fixture.ts';
import { readVotes } from './votes.ts';

afterEach(cleanUp);

it('says nothing before there is a CA, then votes; goes on alone when the store is gone; leaves with its votes', async () => {
  const { port } = await readyServer();
  const { state, context, rig: shared, entries } = rig();
  let results = 0;
  const vantage = createPopVantage(context, { onState: () => results++ });
  cleanups.push(() => vantage.stop());
  vantage.follow({ pops: [pop('lon', port), pop('iad', 1)], services: [] });
  await vantage.start();
  expect(vantage.votes()).toEqual([]);
  writeCa(state);
  await vi.waitFor(() => expect(vantage.votes()).toHaveLength(2), { timeout: 5_000, interval: 10 });
  await vi.waitFor(() => expect(entries.size).toBe(2));
  expect(shared.wakes).toBeGreaterThan(0);
  expect([...entries.values()].map((entry) => entry.expiresAtMs - entry.writtenAtMs)).toEqual([1500, 1500]);
  const votes = readVotes([...entries.values()]);
  const verdicts = tally([], votes, new Map(), checkSettings(), systemClock.nowMs());
  expect([verdicts.get('lon')!.state, verdicts.get('iad')!.state]).toEqual(['up', 'down']);

  shared.gone = true;
  const before = results;
  await vi.waitFor(() => expect(results).toBeGreaterThan(before + 3), { timeout: 5_000 });
  expect(vantage.votes()).toHaveLength(2);
  shared.gone = false;
  entries.clear();
  await vi.waitFor(() => expect(entries.size).toBe(2), { timeout: 2_000 });
  await vantage.stop();
  expect(entries.size).toBe(0);
});

it('an edge checks five neighbours and the services there, and each PoP is checked by five', async () => {
  const ids = ['lon', 'iad', 'sin', 'fra', 'nrt', 'gru', 'syd', 'jnb'];
  const pops = ids.map((id) => pop(id, 443));
  const service = {
    id: 'shop',
    name: 'www.shop.example.',
    check: { kind: 'https', port: 8444, path: '/ok', status: [204], body: 'fine' },
    candidates: ids.map((_, i) => ({ pop: i, v4: `192.0.2.${i}` })),
  } as unknown as DesiredService;
  const counts = new Map<string, number>();
  const made: CheckTarget[] = [];
  for (const id of ids) {
    const { context } = rig();
    const before = made.length;
    const vantage = createPopVantage(context, {
      edgeOf: id,
      attempt: (target) => {
        made.push(target);
        return { done: new Promise(() => {}), cancel: () => {} };
      },
    });
    vantage.follow({ pops, services: [service] });
    await vantage.start();
    const targets = [...vantage.results().keys()].filter((target) => !target.includes('/'));
    expect(targets).toHaveLength(5);
    expect(targets).not.toContain(id);
    for (const target of targets) counts.set(target, (counts.get(target) ?? 0) + 1);
    expect([...vantage.results().keys()].filter((target) => target.includes('/')).sort()).toEqual(
      targets.map((target) => `${target}/shop`).sort(),
    );
    await vi.waitFor(() => expect(made).toHaveLength(before + 10));
    await vantage.stop();
  }
  expect([...counts.values()]).toEqual(ids.map(() => 5));
  expect(made.find((target) => target.id === 'iad/shop')).toMatchObject({
    kind: 'https',
    address: '192.0.2.1',
    port: 8444,
    path: '/ok',
    host: 'www.shop.example',
    status: [204],
    body: 'fine',
    trust: 'anyone',
  });
});

it('reads votes of others and leaves out what is malformed', () => {
  const entry = (key: string, value: unknown): LiveEntry => ({ key, value, writtenAtMs: 1, expiresAtMs: 2 });
  const good = { state: 'up', holdMs: 0, atMs: 5, sinceMs: 1 };
  expect(
    readVotes([
      entry('vote/dns/lon', good),
      entry('vote/dns', good),
      entry('vote/dns/lon//x', good),
      entry('vote/dns/lon/shop/a.example', good),
      entry('load/lon', good),
      entry('vote/dns/iad', { ...good, state: 'sideways' }),
      entry('vote/dns/iad', { ...good, holdMs: '0' }),
      entry('vote/dns/iad', null),
    ]),
  ).toEqual([
    { vantage: 'dns', target: 'lon', state: 'up', holdMs: 0, atMs: 5 },
    { vantage: 'dns', target: 'lon/shop/a.example', state: 'up', holdMs: 0, atMs: 5 },
  ]);
});
