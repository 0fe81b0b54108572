/** Services as operators run them, each in a folder of its own: `ufes probe`, `ufes mapper`, `ufes controller`. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { builtinState } from '@ufes/geoip/testing-builtin.ts';
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
  /** Default: any. */
  readonly core?: number;
  /** `redis://…`; default: embedded. */
  readonly store?: string;
  readonly port?: number;
  /** Folder of another service, whose keys it shares. */
  readonly keysOf?: string;
  readonly log?: string;
  /** Default 0. */
  readonly nice?: number;
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
    probes: { zone: 'probe.example' },
    origins: {},
    zones: {
      'probe.example': {
        soa: { primary: 'ns1.probe.example.', contact: 'hostmaster.probe.example.' },
        ns: ['ns1.probe.example.'],
        records: [{ name: 'ns1', type: 'A', data: '127.0.0.1' }],
      },
    },
    services: {},
  });
}

/** Resolves when it is ready. */
export async function startService(service: 'probe' | 'mapper' | 'controller', shape: Shape): Promise<Running> {
  const { folder, core, store, keysOf, log = 'warn', nice = 0 } = shape;
  const port = shape.port ?? (await freePort());
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(builtinState, 'geoip'), { recursive: true });
  if (!existsSync(join(folder, 'geoip'))) symlinkSync(join(builtinState, 'geoip'), join(folder, 'geoip'));
  if (keysOf !== undefined) cpSync(join(keysOf, 'keys'), join(folder, 'keys'), { recursive: true });
  const file = join(folder, `${service}.yaml`);
  writeFileSync(file, configuration(port, store));
  const cores =
    core === undefined
      ? cpus()
          .map((_, i) => i)
          .join(',')
      : String(core);
  const args = [command, service, '--config', file, '--state', folder, '--log', log];
  const child = pinned(cores, process.execPath, args, { nice });
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
