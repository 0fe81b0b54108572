/** The two ways to load a server: closed loop for CPU time a query (dnsperf), open loop for latency (generator.ts). */
import { join } from 'node:path';
import type { Job, Outcome } from './generator.ts';
import { cpuUs, ended, loadCore, pinned, rssBytes, sumOfDrops, udpDrops } from './machine.ts';
import type { QueryFiles } from './queries.ts';
import type { Server } from './server.ts';

export interface Throughput {
  readonly completed: number;
  readonly lost: number;
  /** Other than NOERROR, by dnsperf's count. */
  readonly failed: number;
  readonly queriesPerSecond: number;
  readonly cpuUsPerQuery: number;
  readonly rssBytes: number;
  readonly rssMostBytes: number;
}

/** As many queries as it takes, `outstanding` at a time over 8 sockets. */
export async function throughput(
  server: Server,
  files: QueryFiles,
  seconds: number,
  outstanding = 200,
): Promise<Throughput> {
  const target = ['-s', '127.0.0.1', '-p', String(server.port), '-B', '-d', files.stream];
  const shape = ['-l', String(seconds), '-c', '8', '-T', '1', '-q', String(outstanding)];
  const beforeUs = cpuUs(server.pid);
  const { code, stdout, stderr } = await ended(pinned(loadCore, 'dnsperf', [...target, ...shape]));
  const spentUs = cpuUs(server.pid) - beforeUs;
  if (code !== 0) throw new Error(`dnsperf ended with ${code}: ${stderr}`);
  const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? 0);
  const completed = number(/Queries completed:\s+(\d+)/);
  const memory = rssBytes(server.pid);
  return {
    completed,
    lost: number(/Queries lost:\s+(\d+)/),
    failed: completed - number(/NOERROR (\d+)/),
    queriesPerSecond: Math.round(number(/Queries per second:\s+([\d.]+)/)),
    cpuUsPerQuery: Math.round((1000 * spentUs) / completed) / 1000,
    rssBytes: memory.now,
    rssMostBytes: memory.most,
  };
}

export type LatencyJob = Pick<Job, 'queriesPerSecond' | 'seconds' | 'seed' | 'pops'> & {
  readonly warmupSeconds?: number;
  readonly orShifted?: boolean;
};

export interface Latency extends Outcome {
  readonly queriesPerSecond: number;
  /** Dropped at the server's sockets. */
  readonly drops: number;
  /** Of the server, meanwhile. */
  readonly cpuUsPerQuery: number;
}

/** A constant rate of queries to a port, each answer checked. */
export async function generate(port: number, files: QueryFiles, given: LatencyJob): Promise<Outcome> {
  const job: Job = { warmupSeconds: 1, orShifted: false, ...files, ...given, port };
  const program = join(import.meta.dirname, 'generator.ts');
  const child = pinned(loadCore, process.execPath, [program], { stdin: JSON.stringify(job) });
  const { code, stdout, stderr } = await ended(child);
  if (code !== 0) throw new Error(`the generator ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Outcome;
}

/** The same with what it cost the server. */
export async function openLoop(
  server: Pick<Server, 'port' | 'pid'>,
  files: QueryFiles,
  given: LatencyJob,
): Promise<Latency> {
  const drops = udpDrops(server.port);
  const beforeUs = cpuUs(server.pid);
  const outcome = await generate(server.port, files, given);
  return {
    queriesPerSecond: given.queriesPerSecond,
    ...outcome,
    drops: sumOfDrops(udpDrops(server.port)) - sumOfDrops(drops),
    cpuUsPerQuery: Math.round((1000 * (cpuUs(server.pid) - beforeUs)) / outcome.sent) / 1000,
  };
}
