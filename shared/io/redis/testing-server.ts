/** A real redis-server for tests: on a free port of loopback, in a folder of its own, gone afterwards. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onPath } from '../testing.ts';

/** Tests are skipped without, and say so. */
export const hasRedis = onPath('redis-server') && onPath('redis-cli');

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  readonly folder: string;
  /** The running process. */
  readonly process: ChildProcess;
  /** What redis-cli says to a command. */
  cli(...args: string[]): Promise<string>;
  kill(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** Again after `kill`, with what it left on disk. */
  start(): Promise<void>;
  /** Ends it and removes its folder. */
  dispose(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** `args`: as on the command line of redis-server, after those that keep nothing on disk. Resolves once it answers. */
export async function startRedis(args: readonly string[] = [], port?: number): Promise<RedisServer> {
  const own = port ?? (await freePort());
  const folder = await mkdtemp(join(tmpdir(), 'ufes-redis-'));
  const isSentinel = args.includes('--sentinel');
  const file = join(folder, 'redis.conf');
  await writeFile(file, '');
  const first = isSentinel ? [] : ['--save', '', '--appendonly', 'no'];
  const all = [file, '--port', String(own), '--bind', '127.0.0.1', '--dir', folder, ...first, ...args];
  let child: ChildProcess | undefined;
  const cli = async (...command: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(own), ...command]);
    return stdout.trim();
  };
  const server: RedisServer = {
    port: own,
    url: `redis://127.0.0.1:${own}`,
    folder,
    get process() {
      return child!;
    },
    cli,
    kill: async (signal = 'SIGKILL') => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGCONT');
      child.kill(signal);
      await gone;
    },
    start: async () => {
      const started = spawn('redis-server', all, { stdio: ['ignore', 'pipe', 'pipe'] });
      child = started;
      let said = '';
      for (const stream of [started.stdout, started.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          said = (said + String(chunk)).slice(-4_000);
        });
      }
      const ended = once(started, 'exit').then(() => {
        throw new Error(`redis-server ended:\n${said}`);
      });
      const answers = (async () => {
        while (!/PONG|NOAUTH/.test(await cli('ping').catch(String))) await new Promise((done) => setTimeout(done, 10));
      })();
      await Promise.race([answers, ended]);
      ended.catch(() => {});
    },
    dispose: async () => {
      await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

/** Three masters of a Cluster that share all slots; the first one's URL finds them. */
export async function startCluster(): Promise<{
  readonly url: string;
  readonly servers: readonly RedisServer[];
  /** Resolves once all three have found each other. */
  whole(): Promise<void>;
}> {
  const servers: RedisServer[] = [];
  for (let i = 0; i < 3; i++) {
    const args = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000'];
    const [port, busPort] = [await freePort(), await freePort()];
    servers.push(await startRedis([...args, '--cluster-port', String(busPort)], port));
  }
  const [first, ...others] = servers;
  for (const [i, server] of servers.entries()) {
    const [from, to] = [Math.ceil((i * 16_384) / 3), Math.ceil(((i + 1) * 16_384) / 3) - 1];
    await server.cli('cluster', 'addslotsrange', String(from), String(to));
  }
  for (const other of others) {
    const bus = /--cluster-port (\d+)/.exec(other.process.spawnargs.join(' '))![1]!;
    await first!.cli('cluster', 'meet', '127.0.0.1', String(other.port), bus);
  }
  const isWhole = async (server: RedisServer): Promise<boolean> => {
    const info = await server.cli('cluster', 'info');
    return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3');
  };
  const whole = async (): Promise<void> => {
    for (const server of servers) while (!(await isWhole(server))) await new Promise((done) => setTimeout(done, 50));
  };
  await whole();
  return { url: `redis+cluster://127.0.0.1:${first!.port}`, servers, whole };
}
