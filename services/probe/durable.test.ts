/** kill -9 loses nothing that was acknowledged: a real process, real files, the real store. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Plan, SampleRecord } from '@ufes/core/samples.ts';
import { afterEach, expect, it, vi } from 'vitest';
import { call, startProbe } from './probe.fixture.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function child(state: string): Promise<{ process: ChildProcess; at: string }> {
  const started = spawn(process.execPath, [join(import.meta.dirname, 'probe.fixture.ts'), state], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => started.kill('SIGKILL'));
  const at = await new Promise<string>((resolve) =>
    started.stdout!.once('data', (text) => resolve(String(text).trim())),
  );
  return { process: started, at };
}

/** The id in a token, without its key. */
const idOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString())[0] as string;

/** Beacons one after another until the collector is gone; the acknowledged ones are noted. */
async function browse(at: string, acknowledged: Set<string>): Promise<void> {
  try {
    for (;;) {
      const plan = JSON.parse((await call(at, '/rum/plan')).text) as Plan;
      const results = plan.targets.map(({ id }) => ({ target: id, ok: true, rttMs: [10] }));
      const body = JSON.stringify({ token: plan.token, results });
      if ((await call(at, '/rum/beacon', { method: 'POST', body })).status === 204) acknowledged.add(idOf(plan.token));
    }
  } catch {
    // Killed.
  }
}

it('every acknowledged beacon reaches the stream once, over three kills', async () => {
  const state = mkdtempSync(join(tmpdir(), 'ufes-durable-'));
  cleanups.push(() => rmSync(state, { recursive: true, force: true }));
  const acknowledged = new Set<string>();
  for (let kill = 1; kill <= 3; kill++) {
    const { process: collector, at } = await child(state);
    const users = Promise.all(Array.from({ length: 8 }, () => browse(at, acknowledged)));
    await vi.waitFor(() => expect(acknowledged.size).toBeGreaterThan(kill * 40), { timeout: 10_000, interval: 1 });
    collector.kill('SIGKILL');
    await users;
  }

  const probe = await startProbe(undefined, { state });
  cleanups.push(() => probe.stop());
  const { samples } = probe.context.queue;
  await vi.waitFor(async () => {
    const { body } = await probe.context.admin.inject('/state');
    expect(JSON.parse(body).journal.lag).toBe(0);
  });
  const found: string[] = [];
  for (let shard = 0; shard < 16; shard++) {
    for (const collector of await samples.collectors(shard)) {
      const records = await samples.read(shard, collector, 0, 100_000);
      expect(records.map(({ seq }) => seq)).toEqual(records.map((_, i) => i + 1));
      found.push(...records.map(({ bytes }) => (JSON.parse(Buffer.from(bytes).toString()) as SampleRecord).token));
    }
  }
  expect(new Set(found).size).toBe(found.length);
  expect([...acknowledged].filter((token) => !found.includes(token))).toEqual([]);
  expect(acknowledged.size).toBeGreaterThan(120);
});
