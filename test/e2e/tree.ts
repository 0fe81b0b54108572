/**
 * A whole ufes as a process tree of its own: the demo's configuration on loopback addresses drawn per run, in a folder
 * of its own, started by the real command and stopped by Ctrl-C.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parsePrefix } from '@ufes/core/ip.ts';
import type { Beacon, Plan } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import type { Explanation } from '@ufes/core/steering/explanation.ts';
import { builtinState } from '@ufes/geoip/testing-builtin.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { viaProxy } from '../../services/ufes/demo/door.ts';
import { type LookupResult, lookup } from '../../services/ufes/lookup.ts';
import type { ProcessStatus } from '../../services/ufes/messages.ts';
import { type TreeStore, treeStore } from './tree-store.ts';

export const root = join(import.meta.dirname, '../..');
/** Compiled once for all tests: what is tested here is not the compiler. */
const geoipCache = join(builtinState, 'geoip');
export const node = join(root, 'node_modules/.bin/node');
export const command = join(root, 'services/ufes/bin/ufes.js');

export interface Tree {
  readonly folder: string;
  readonly state: string;
  readonly config: string;
  readonly store: TreeStore;
  /** Of programs that belong to it. */
  readonly env: Readonly<Record<string, string>>;
  /** `address('10.1')` → 127.X.10.1. */
  address(host: string): string;
  readonly child: ChildProcess;
  readonly startMs: number;
  /** All that the tree wrote. */
  output(): string;
  status(): Promise<ProcessStatus[]>;
  pid(node: string): Promise<number>;
  dig(
    name: string,
    options?: { type?: string; subnet?: string; tcp?: boolean; timeoutMs?: number },
  ): Promise<LookupResult>;
  /** First address of the answer, or its rcode. */
  answer(name: string, subnet?: string): Promise<string>;
  explain(name: string, client: string): Promise<Explanation>;
  ufes(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  plan(client: string): Promise<Plan>;
  beacon(client: string, beacon: Beacon | string): Promise<number>;
  /** Ctrl-C; resolves to [exit code, milliseconds]. */
  stop(): Promise<[number | null, number]>;
}

const rng = seededRng(`e2e ${process.pid} ${Date.now()}`);

/** Second octet of a tree's addresses, of which no other tree has it: taken with a port that nothing else listens at. */
async function takeNet(): Promise<number> {
  for (;;) {
    const net = 100 + Math.floor(rng.next() * 140);
    const taken = createServer().unref();
    try {
      await once(taken.listen(5301, `127.${net}.0.1`), 'listening');
      return net;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw thrown;
    }
  }
}

export interface TreeOptions {
  /** Changes the demo's configuration text. */
  readonly edit?: (yaml: string) => string;
  /** Without the synthetic users and origins. */
  readonly bare?: boolean;
  /** Instead of one made for it; it ends with the tree. */
  readonly store?: TreeStore;
}

export async function startTree(options: TreeOptions = {}): Promise<Tree> {
  const net = await takeNet();
  const folder = mkdtempSync(join(tmpdir(), 'ufes-e2e-'));
  const config = join(folder, 'ufes.yaml');
  mkdirSync(join(folder, 'objects'));
  mkdirSync(geoipCache, { recursive: true });
  symlinkSync(geoipCache, join(folder, 'geoip'));
  const shipped = readFileSync(join(root, 'services/ufes/demo/ufes.yaml'), 'utf8');
  const yaml = shipped.replaceAll('127.0.', `127.${net}.`);
  writeFileSync(config, options.edit ? options.edit(yaml) : yaml);
  const store = options.store ?? (await treeStore(folder));
  try {
    return await launchTree({ folder, config, net, bare: options.bare ?? false, store });
  } catch (thrown) {
    await store.end();
    throw thrown;
  }
}

async function launchTree(given: {
  folder: string;
  config: string;
  net: number;
  bare: boolean;
  store: TreeStore;
}): Promise<Tree> {
  const { folder, config, net, bare, store } = given;
  const startedMs = performance.now();
  const args = ['up', '--config', config, '--store', store.store, ...(bare ? [] : ['--demo'])];
  const child = spawn(node, [command, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  let output = '';
  const keep = (chunk: Buffer) => {
    output += chunk;
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  await until(
    'ufes is up',
    async () => output.includes('ufes is up') || child.exitCode !== null,
    60_000,
    () => output,
  );
  if (child.exitCode !== null)
    throw new Error(`ufes ended with ${child.exitCode}:
${output}`);
  const startMs = performance.now() - startedMs;
  const address = (host: string) => `127.${net}.${host}`;
  const server = { address: address('0.1'), port: 5300 };
  const door = { address: address('0.1'), port: 8092 };

  const tree: Tree = {
    folder,
    state: folder,
    config,
    store,
    env: { UFES_STATE: folder, UFES_STORE: store.store },
    child,
    startMs,
    address,
    output: () => output,
    status: () => adminGet<ProcessStatus[]>(folder, 'ufes', '/status', {}),
    async pid(name) {
      const found = (await tree.status()).find((one) => one.node === name);
      if (found?.pid === undefined) throw new Error(`${name} does not run`);
      return found.pid;
    },
    dig: (name, { type = 'A', subnet, tcp, timeoutMs = 2000 } = {}) =>
      lookup({
        server,
        name,
        type,
        timeoutMs,
        rng,
        ...(tcp ? { tcp } : {}),
        ...(subnet ? { subnet: parsePrefix(subnet)! } : {}),
      }),
    async answer(name, subnet) {
      const { answers, rcode } = await tree.dig(name, subnet ? { subnet } : {});
      return answers.find((one) => one.address !== undefined)?.address ?? rcode;
    },
    explain: (name, client) =>
      adminGet<Explanation>(folder, 'dns', `/explain?${new URLSearchParams({ name, client, type: 'A' })}`, {}),
    ufes: (...args) => run(node, [command, ...args], folder, tree.env),
    plan: async (client) => JSON.parse((await viaProxy(door, client, 'GET', '/rum/plan')).body) as Plan,
    beacon: async (client, beacon) =>
      (
        await viaProxy(
          door,
          client,
          'POST',
          '/rum/beacon',
          typeof beacon === 'string' ? beacon : JSON.stringify(beacon),
        )
      ).status,
    stop: () =>
      new Promise((resolve) => {
        const sentMs = performance.now();
        child.once('exit', (code) => resolve([code, performance.now() - sentMs]));
        child.kill('SIGINT');
      }),
  };
  return tree;
}

export async function endTree(tree: Tree | undefined): Promise<void> {
  if (tree === undefined) return;
  if (tree.child.exitCode === null && tree.child.signalCode === null) await tree.stop();
  await tree.store.end();
  rmSync(tree.folder, { recursive: true, force: true });
}

/** Kills dns, and waits until the next one answers. */
export async function restartDns(tree: Tree, name: string): Promise<void> {
  const old = await tree.pid('dns');
  process.kill(old, 'SIGKILL');
  await until('dns runs again', async () => (await tree.pid('dns')) !== old, 5_000);
  const answers = async () => (await tree.dig(name)).rcode === 'NOERROR';
  await until('dns answers again', answers, 15_000, tree.output);
}

/** As many beacons of one client at a time, each with a round trip to every target: those of `rttMs`, else 300 ms. */
export async function measure(
  tree: Tree,
  client: string,
  rttMs: Readonly<Record<string, number>>,
  count = 30,
): Promise<void> {
  const one = async () => {
    const { token, targets } = await tree.plan(client);
    const results = targets.map(({ id }) => ({ target: id, ok: true, rttMs: [rttMs[id] ?? 300] }));
    return tree.beacon(client, { token, results });
  };
  const statuses = await Promise.all(Array.from({ length: count }, one));
  if (statuses.some((status) => status !== 204)) throw new Error(`beacons answered with ${[...new Set(statuses)]}`);
}

/** Nodes that stand still while `during` runs. */
export async function stopped(tree: Tree, nodes: readonly string[], during: () => Promise<void>): Promise<void> {
  const pids = await Promise.all(nodes.map((node) => tree.pid(node)));
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  try {
    await during();
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  }
}

/** Waits until `check` holds; fails with what it waited for and what `more` knows. */
export async function until(
  what: string,
  check: () => Promise<boolean>,
  withinMs: number,
  more: () => string = () => '',
): Promise<number> {
  const startedMs = performance.now();
  let last: unknown;
  while (performance.now() - startedMs < withinMs) {
    try {
      if (await check()) return performance.now() - startedMs;
      last = undefined;
    } catch (thrown) {
      last = thrown;
    }
    await pause(50);
  }
  throw new Error(`not within ${withinMs} ms: ${what}${last ? ` (${String(last)})` : ''}\n${more()}`);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...env },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}

/** Look-ups at a steady rate while something happens; what came back, and what did not. */
export class QueryLoad {
  readonly answers: { atMs: number; rcode: string; address: string | undefined; ms: number }[] = [];
  unanswered = 0;
  readonly #tree: Tree;
  #running = true;
  #done: Promise<void>;

  constructor(tree: Tree, name: string, subnet: string, perSecond: number) {
    this.#tree = tree;
    this.#done = this.#run(name, subnet, perSecond);
  }

  async #run(name: string, subnet: string, perSecond: number): Promise<void> {
    const pending = new Set<Promise<void>>();
    while (this.#running) {
      const one = this.#ask(name, subnet).finally(() => pending.delete(one));
      pending.add(one);
      await pause(1000 / perSecond);
    }
    await Promise.all(pending);
  }

  async #ask(name: string, subnet: string): Promise<void> {
    try {
      // "Unanswered for more than a second" is the failure that is counted.
      const { rcode, answers, ms } = await this.#tree.dig(name, { subnet, timeoutMs: 1000 });
      this.answers.push({ atMs: performance.now(), rcode, address: answers[0]?.address, ms });
    } catch {
      this.unanswered++;
    }
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }

  rcodes(): string[] {
    return [...new Set(this.answers.map((one) => one.rcode))];
  }
}
