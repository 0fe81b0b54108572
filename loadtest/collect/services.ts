/** Services as operators run them, each in a folder of its own: `ufes probe`, `ufes mapper`. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { adminGet } from '@ufes/io/admin-client.ts';
import { freePort, pause, pinned } from '../dns/machine.ts';

const command = join(import.meta.dirname, '../../services/ufes/bin/ufes.js');

export interface Running {
  readonly child: ChildProcess;
  readonly state: string;
  /** Of a collector. */
  readonly port: number;
  /** A route of its admin socket. */
  ask(path: string): Promise<unknown>;
}

export interface Shape {
  /** Folder of its state; made when it is not there. */
  readonly folder: string;
  readonly core: number;
  /** `redis://…`; default: embedded. */
  readonly store?: string;
  readonly port?: number;
  readonly log?: string;
}

/** Behind a load balancer on this machine, with five PoPs that nobody measures. */
function configuration(port: number, store: string | undefined): string {
  const pops = { lon: [51.5, -0.1], iad: [39, -77.5], sin: [1.4, 103.8], fra: [50.1, 8.7], nrt: [35.7, 139.7] };
  return JSON.stringify({
    state: '.',
    ...(store && { store }),
    listeners: { probe: [{ address: `127.0.0.1:${port}`, proxy: 'x-forwarded-for' }] },
    trustedProxies: ['127.0.0.1'],
    pops: Object.fromEntries(
      Object.entries(pops).map(([id, location], i) => [
        id,
        { title: id, location, vips: { v4: `127.0.${10 * i + 10}.1` } },
      ]),
    ),
    origins: {},
    zones: {},
    services: {},
  });
}

/** Resolves when it is ready. */
export async function startService(service: 'probe' | 'mapper' | 'controller', shape: Shape): Promise<Running> {
  const { folder, core, store, log = 'warn' } = shape;
  const port = shape.port ?? (await freePort());
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${service}.yaml`);
  writeFileSync(file, configuration(port, store));
  const child = pinned(core, process.execPath, [command, service, '--config', file, '--state', folder, '--log', log]);
  child.stdout?.on('data', (chunk: Buffer) => process.stderr.write(chunk));
  child.stderr?.on('data', (chunk: Buffer) => process.stderr.write(chunk));
  const ask = (path: string): Promise<unknown> => adminGet(folder, service, path);
  for (let tries = 0; ; tries++) {
    if (child.exitCode !== null || tries > 600) throw new Error(`${service} does not start`);
    try {
      await ask('/readyz');
      return { child, state: folder, port, ask };
    } catch {
      await pause(100);
    }
  }
}

export async function endService({ child }: Running): Promise<void> {
  if (child.exitCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}
