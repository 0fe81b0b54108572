/** What a vantage needs in a test: a server to check, a PoP, a context whose live store can be taken away. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DesiredPop } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import type { LiveEntry, Store } from '@ufes/core/ports.ts';
import { systemClock } from '../clock.ts';
import { silentLog } from '../log.ts';
import type { ServiceContext } from '../service.ts';
import { testCertificate } from './certificate.fixture.ts';

/** What tests started, newest last. */
export const cleanups: (() => unknown)[] = [];
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

export async function readyServer(): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'ready-server.fixture.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => child.kill('SIGKILL'));
  const port = await new Promise<number>((resolve) => child.stdout!.once('data', (text) => resolve(Number(text))));
  return { child, port };
}

export const pop = (id: string, httpsPort: number): DesiredPop => ({
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
export function rig() {
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

export function writeCa(state: string): void {
  mkdirSync(join(state, 'tls'), { recursive: true });
  writeFileSync(join(state, 'tls', 'ca.crt'), testCertificate.certificate);
}
