/**
 * What the machine gives a measurement: processes pinned to a core and surely ended, their CPU time, memory and dropped
 * datagrams by /proc, and the facts that a result needs beside it.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, loadavg, release } from 'node:os';

export const serverCore = 0;
export const loadCore = 1;
/** Linux counts CPU time in ticks of 10 ms. */
const tickUs = 10_000;

const started = new Set<ChildProcess>();
let listening = false;

function endAll(): void {
  for (const child of started) {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
  }
}

export interface SpawnOptions {
  /** Default: measuredNice. */
  readonly nice?: number;
  /** Folder to run in. */
  readonly cwd?: string;
  /** Text goes to its standard input. */
  readonly stdin?: string;
}

/** A child on one core, or on some (`0,1`); taskset and nice become the program itself, so that its pid is the program's. */
export function pinned(
  core: number | string,
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): ChildProcess {
  if (!listening) {
    listening = true;
    process.on('exit', endAll);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
  }
  const { nice: niceness = measuredNice } = options;
  const nice = niceness === 0 ? [] : ['nice', '-n', String(niceness)];
  const all = ['-c', String(core), ...nice, command, ...args];
  const child = spawn('taskset', all, { stdio: ['pipe', 'pipe', 'pipe'], ...(options.cwd && { cwd: options.cwd }) });
  child.stdin?.end(options.stdin ?? '');
  started.add(child);
  child.once('exit', () => started.delete(child));
  return child;
}

/** Servers and load alike go before their helpers. Negative niceness is for root; others measure without. */
export const measuredNice = process.getuid?.() === 0 ? -10 : 0;

/**
 * Puts this session ahead of the others: where the kernel shares the machine out by session (autogroup), niceness counts
 * within one alone.
 */
export function goAhead(): void {
  writeFileSync('/proc/self/autogroup', '-10');
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

/** SIGTERM, and SIGKILL for one that does not go. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await exit;
  clearTimeout(timer);
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** User and system time of all its threads so far, microseconds. */
export function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickUs;
}

/** Resident now and at most so far, bytes. */
export function rssBytes(pid: number): { readonly now: number; readonly most: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (key: string) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(text)?.[1] ?? Number.NaN);
  return { now: 1024 * kib('VmRSS'), most: 1024 * kib('VmHWM') };
}

/** Datagrams that the kernel dropped at each socket bound to this port, IPv4 and IPv6, by inode. */
export function udpDrops(port: number): Map<string, number> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const drops = new Map<string, number>();
  for (const file of ['/proc/net/udp', '/proc/net/udp6']) {
    for (const line of readFileSync(file, 'utf8').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[1]?.endsWith(`:${hex}`)) drops.set(fields[9]!, Number(fields.at(-1)));
    }
  }
  return drops;
}

export function sumOfDrops(drops: ReadonlyMap<string, number>): number {
  return [...drops.values()].reduce((sum, one) => sum + one, 0);
}

/** Free for UDP and TCP on 127.0.0.1. */
export async function freePort(): Promise<number> {
  for (;;) {
    const tcp = createServer();
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const address = tcp.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const udp = createSocket('udp4');
    const free = await new Promise<boolean>((resolve) => {
      udp.once('error', () => resolve(false));
      udp.bind({ port, address: '127.0.0.1', exclusive: true }, () => resolve(true));
    });
    udp.close();
    tcp.close();
    if (free) return port;
  }
}

/** Debian packages behind the programs a run needs. */
const packages = {
  taskset: 'util-linux',
  dnsperf: 'dnsperf',
  gcc: 'gcc',
  gdnsd: 'gdnsd',
  knotd: 'knot, knot-module-geoip',
} as const;
export type Program = keyof typeof packages;

export function missing(programs: readonly Program[]): string[] {
  return programs.filter((program) => !has(program)).map((program) => `${program} (Debian: ${packages[program]})`);
}

function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

function versionOf(command: string, args: readonly string[], pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return pattern.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown';
}

export function facts(programs: readonly Program[]): Record<string, unknown> {
  const root = new URL('../..', import.meta.url);
  const git = (args: readonly string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const versions: Record<string, string> = { node: process.version };
  const dotted = /\d+\.\d+(\.\d+)?/;
  if (programs.includes('gdnsd')) versions['gdnsd'] = versionOf('gdnsd', ['-h'], dotted);
  if (programs.includes('knotd')) versions['knot'] = versionOf('knotd', ['-V'], dotted);
  if (programs.includes('dnsperf')) versions['dnsperf'] = versionOf('dnsperf', ['-h'], dotted);
  if (programs.includes('gcc')) versions['gcc'] = versionOf('gcc', ['--version'], dotted);
  return {
    cpu: `${cpus()[0]?.model} × ${cpus().length}`,
    kernel: release(),
    versions,
    commit: git(['rev-parse', '--short', 'HEAD']),
    changedSince: git(['status', '--porcelain', '--', 'services', 'shared']) !== '',
  };
}

export const load = (): number => Math.round(100 * loadavg()[0]!) / 100;
