/** The vantage on PoPs: a process that is stopped, votes in live state, a store that is gone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DesiredPop, DesiredService } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { checkSettings } from '@ufes/core/health.ts';
import type { LiveEntry, Store } from '@ufes/core/ports.ts';
import { tally } from '@ufes/core/votes.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { systemClock } from '../clock.ts';
import { silentLog } from '../log.ts';
import type { ServiceContext } from '../service.ts';
import { testCertificate } from './certificate.fixture.ts';
import type { CheckTarget } from './check-target.ts';
import { createPopVantage } from './pop-checker.ts';
import { readVotes } from './votes.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function readyServer(): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'ready-server.fixture.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  const port = await new Promise<number>((resolve) => child.stdout!.once('data', (text) => resolve(Number(text))));
  return { child, port };
}

const pop = (id: string, httpsPort: number): DesiredPop => ({
  id,
  title: id,
  latitude: 0,
  longitude: 0,
  vips: { v4: '127.0.0.1' },
  httpsPort,
  httpPort: 80,
  requestsPerSecond: 1,
  backboneRttMs: {},
});

/** A context with a live store that can be taken away. */
function rig() {
  const state = mkdtempSync(join(tmpdir(), 'ufes-health-'));
  cleanups.push(() => rmSync(state, { recursive: true, force: true }));
  const entries = new Map<string, LiveEntry>();
  const rig = { state, entries, wakes: 0, gone: false };
  const live: Store['live'] = {
    async put(batch) {
      if (rig.gone) throw new OperatingError('STORE_UNAVAILABLE', 'gone');
      const now = systemClock.nowMs();
      for (const { key, value, ttlMs } of batch)
        entries.set(key, { key, value, writtenAtMs: now, expiresAtMs: now + ttlMs });
    },
    list: async (prefix) => [...entries.values()].filter((entry) => entry.key.startsWith(prefix)),
    async remove(keys) {
      for (const key of keys) entries.delete(key);
    },
  };
  const context = {
    state,
    node: 'probe',
    config: { probes: { health: { intervalMs: 500, timeoutMs: 500, failures: 3, successes: 5 } } },
    clock: systemClock,
    log: silentLog,
    bus: { wake: () => void rig.wakes++, on: () => () => {} },
    store: { live },
  } as unknown as ServiceContext;
  return { ...rig, rig, context };
}

function writeCa(state: string): void {
  mkdirSync(join(state, 'tls'), { recursive: true });
  writeFileSync(join(state, 'tls', 'ca.crt'), testCertificate.certificate);
}

it('sees a stopped process down within 2 s with the defaults, and up again after five successes', async () => {
  const { child, port } = await readyServer();
  const { state, context, entries } = rig();
  writeCa(state);
  const flips: [string, number][] = [];
  const vantage = createPopVantage(context, {
    onState: () => {
      const state = vantage.votes()[0]?.state;
      if (state !== undefined && state !== flips.at(-1)?.[0]) flips.push([state, performance.now()]);
    },
  });
  cleanups.push(() => vantage.stop());
  vantage.follow({ pops: [pop('lon', port)], services: [] });
  await vantage.start();
  await vi.waitFor(() => expect(flips).toHaveLength(1), { timeout: 5_000, interval: 5 });
  const stoppedAt = performance.now();
  child.kill('SIGSTOP');
  await vi.waitFor(() => expect(flips).toHaveLength(2), { timeout: 5_000, interval: 5 });
  expect(flips[1]![0]).toBe('down');
  // 500 ms until the next check, three checks of which the last ends 490 ms after its start; the rest is for a loaded machine.
  expect(flips[1]![1] - stoppedAt).toBeLessThan(2_500);
  await vi.waitFor(() =>
    expect(readVotes([...entries.values()])).toMatchObject([{ vantage: 'probe', target: 'lon', state: 'down' }]),
  );
  child.kill('SIGCONT');
  await vi.waitFor(() => expect(flips).toHaveLength(3), { timeout: 8_000, interval: 5 });
  expect(flips[2]![1] - flips[1]![1]).toBeGreaterThan(2_000);
});

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
