/** A Redis master, its replica and a Sentinel, and what can happen to them. On loopback, in folders of their own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, pause } from '../dns/machine.ts';

const run = promisify(execFile);

class Node {
  readonly port: number;
  readonly folder: string;
  #child: ChildProcess | undefined;

  constructor(port: number, folder: string) {
    this.port = port;
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  async cli(...command: string[]): Promise<string> {
    const { stdout } = await run('redis-cli', ['-p', String(this.port), ...command], { timeout: 5_000 });
    return stdout.trim();
  }

  async start(args: readonly string[]): Promise<void> {
    const own = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder, '--logfile', 'log'];
    this.#child = spawn('redis-server', [...args, ...own], { stdio: 'ignore' });
    while (!/PONG/.test(await this.cli('ping').catch(String))) await pause(20);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
}

const durable = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec'];
// A replica that stands still is waited for: it is to be behind, not cut off.
const patient = [
  '--repl-timeout',
  '3600',
  '--client-output-buffer-limit',
  'replica 0 0 0',
  '--repl-diskless-sync-delay',
  '0',
];

export interface Copy {
  readonly atMs: number;
  readonly path: string;
}

export class Redises {
  readonly url: string;
  readonly #folder: string;
  readonly #sentinel: Node;
  #master: Node;
  #replica: Node;
  readonly #copies: Copy[] = [];
  #clock: NodeJS.Timeout | undefined;

  private constructor(folder: string, nodes: readonly [Node, Node, Node]) {
    this.#folder = folder;
    [this.#master, this.#replica, this.#sentinel] = nodes;
    this.url = `redis+sentinel://127.0.0.1:${this.#sentinel.port}/ufes`;
  }

  static async start(folder: string): Promise<Redises> {
    const node = async (name: string) => new Node(await freePort(), join(folder, name));
    const redises = new Redises(folder, [await node('one'), await node('two'), await node('sentinel')]);
    await redises.#master.start([...durable, ...patient]);
    await redises.#follow(redises.#replica, redises.#master);
    await redises.#watch();
    redises.#clock = setInterval(() => {
      redises.#master.cli('set', 'chaos:clock', String(Date.now())).catch(() => {});
    }, 1_000);
    return redises;
  }

  /** Sentinel keeps what it knows in its file. */
  async #watch(): Promise<void> {
    const file = join(this.#sentinel.folder, 'sentinel.conf');
    const lines = [
      `sentinel monitor ufes 127.0.0.1 ${this.#master.port} 1`,
      'sentinel down-after-milliseconds ufes 3000',
      'sentinel failover-timeout ufes 6000',
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    await this.#sentinel.start([file, '--sentinel']);
  }

  async #follow(node: Node, master: Node): Promise<void> {
    await node.start([...durable, ...patient, '--replicaof', `127.0.0.1 ${master.port}`]);
  }

  /** The master dies and comes back with what its append-only file has. */
  async kill(): Promise<void> {
    await this.#master.kill();
    await this.#master.start([...durable, ...patient]);
  }

  /** For `restoreFrom`. */
  async copy(): Promise<void> {
    const before = await this.#master.cli('lastsave');
    await pause(1_000);
    if (!/started/.test(await this.#master.cli('bgsave'))) return;
    for (let tries = 0; (await this.#master.cli('lastsave')) === before; tries++) {
      if (tries > 300) return;
      await pause(100);
    }
    const path = join(this.#folder, `copy-${this.#copies.length}.rdb`);
    copyFileSync(join(this.#master.folder, 'dump.rdb'), path);
    this.#copies.push({ atMs: Date.now(), path });
  }

  /** Both start again from a copy that is so old at least; undefined: there is none. How old it was. */
  async restore(ageMs: number): Promise<number | undefined> {
    const copy = this.#copies.findLast(({ atMs }) => atMs <= Date.now() - ageMs);
    if (copy === undefined) return undefined;
    await Promise.all([this.#master.kill(), this.#replica.kill()]);
    for (const { folder } of [this.#master, this.#replica]) {
      rmSync(join(folder, 'appendonlydir'), { recursive: true, force: true });
      rmSync(join(folder, 'dump.rdb'), { force: true });
    }
    copyFileSync(copy.path, join(this.#master.folder, 'dump.rdb'));
    // With an append-only file that is not there it would start empty.
    await this.#master.start([...durable.slice(0, 2), '--appendonly', 'no', ...patient]);
    await this.#master.cli('config', 'set', 'appendonly', 'yes');
    await this.#follow(this.#replica, this.#master);
    return Date.now() - (await this.#toldMs());
  }

  /** The replica stands still from now. */
  holdBack(): void {
    this.#replica.signal('SIGSTOP');
  }

  /** The master dies, and Sentinel has to take the replica. How old what it has is then, milliseconds. */
  async failOver(): Promise<number> {
    await this.#master.kill();
    const killedMs = Date.now();
    this.#replica.signal('SIGCONT');
    while (!(await this.#replica.cli('role')).startsWith('master')) await pause(100);
    [this.#master, this.#replica] = [this.#replica, this.#master];
    await this.#follow(this.#replica, this.#master);
    return killedMs - (await this.#toldMs());
  }

  /** The last second that the master noted, and knows. */
  async #toldMs(): Promise<number> {
    return Number(await this.#master.cli('get', 'chaos:clock'));
  }

  async synced(): Promise<void> {
    while (!(await this.#replica.cli('info', 'replication')).includes('master_link_status:up')) await pause(200);
  }

  async end(): Promise<void> {
    clearInterval(this.#clock);
    for (const node of [this.#sentinel, this.#replica, this.#master]) {
      node.signal('SIGCONT');
      await node.kill();
    }
  }
}
