/**
 * What the plain answer path costs: the shipped `ufes dns` in its default configuration, one steered name, a synthetic
 * map of 100 k /24s with rankings of their own, loaded by dnsperf over loopback. One core each where `taskset` is there.
 *
 *     node loadtest/dns-baseline.ts [PREFIXES] [SECONDS]        → loadtest/results/dns-baseline.json
 *
 * Cases: one fixed query without ECS; queries with a random /24 as ECS, half of which have a ranking of their own.
 * CPU a query is that of the dns process by /proc/PID/stat, its health checks and polling included.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DesiredState, groupKey } from '@ufes/core/desired.ts';
import { parseMaster } from '@ufes/core/dns/master.ts';
import { nameToWire } from '@ufes/core/dns/name.ts';
import type { Rng } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { encodeMap, type IntervalIndex } from '@ufes/core/steering/map.ts';
import type { Version } from '@ufes/core/version.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import { readConfig } from '@ufes/io/config-file.ts';
import { closeContext, createContext } from '@ufes/io/context.ts';

const prefixCount = Number(process.argv[2] ?? 100_000);
const seconds = Number(process.argv[3] ?? 10);
/** Linux counts CPU time in ticks of 10 ms. */
const tickUs = 10_000;
const steeredName = 'www.shop.example.';
const popIds = ['lon', 'iad', 'sin'];

function configText(port: number): object {
  const vip = (pop: number) => `127.0.${pop + 1}0.1`;
  return {
    listeners: { dns: [`127.0.0.1:${port}`] },
    pops: Object.fromEntries(
      popIds.map((id, pop) => [id, { location: [0, pop], vips: { v4: vip(pop) }, ports: { https: 8443, http: 8080 } }]),
    ),
    origins: { eu: { location: [0, 0], endpoints: ['http://127.0.40.1:9000'] } },
    zones: {
      'shop.example': {
        soa: { primary: 'ns1.shop.example', contact: 'host.shop.example' },
        ns: ['ns1.shop.example'],
        records: [{ name: 'ns1', type: 'A', data: '127.0.0.1' }],
      },
    },
    services: { shop: { name: 'www.shop.example', pops: popIds, origin: 'eu' } },
  };
}

function desiredState(version: Version): DesiredState {
  const { records } = parseMaster(
    '@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\nns1 A 127.0.0.1\n',
    'shop.example.',
    300,
  );
  return {
    format: 1,
    version,
    createdAtMs: version.ms,
    pops: popIds.map((id, pop) => ({
      id,
      title: id,
      latitude: 0,
      longitude: pop,
      vips: { v4: `127.0.${pop + 1}0.1` },
      httpsPort: 8443,
      httpPort: 8080,
      requestsPerSecond: 10_000,
      backboneRttMs: {},
    })),
    origins: [],
    zones: [{ origin: 'shop.example.', records }],
    services: [
      {
        id: 'shop',
        name: steeredName,
        owner: 'config',
        answered: true,
        policy: 'latency',
        candidates: popIds.map((_, pop) => ({ pop, v4: `127.0.${pop + 1}0.1` })),
        origin: 'eu',
        k: 3,
        answers: 1,
        ttlSecondsMin: 5,
        ttlSecondsMax: 60,
        allDown: { rule: 'serve-preferred' },
      },
    ],
    hosts: [],
    vips: [],
    probe: { sources: [] },
  };
}

/** Random /24s outside special blocks, sorted. */
function drawPrefixes(rng: Rng, count: number): Uint32Array {
  const drawn = new Set<number>();
  while (drawn.size < count) {
    const first = 11 + Math.floor(rng.next() * 80);
    drawn.add(first * 2 ** 24 + Math.floor(rng.next() * 65_536) * 256);
  }
  return Uint32Array.from(drawn).sort();
}

function syntheticMap(desired: DesiredState, prefixes: Uint32Array, rng: Rng): Uint8Array {
  const starts: [number, number][] = [[0, 0]];
  const begin = (at: number, ranking: number) => {
    if (starts.at(-1)![0] === at) starts.pop();
    if (starts.at(-1)?.[1] !== ranking) starts.push([at, ranking]);
  };
  for (const prefix of prefixes) {
    begin(prefix, 1 + Math.floor(rng.next() * 5));
    begin(prefix + 256, 0);
  }
  const v4: IntervalIndex = {
    family: 4,
    hi: Uint32Array.from(starts, ([at]) => at),
    lo: new Uint32Array(0),
    ranking: Uint32Array.from(starts, ([, ranking]) => ranking),
  };
  const v6: IntervalIndex = { family: 6, hi: Uint32Array.of(0), lo: Uint32Array.of(0), ranking: Uint32Array.of(0) };
  const rankings = Uint8Array.of(0, 1, 2, 0, 2, 1, 1, 0, 2, 1, 2, 0, 2, 0, 1, 2, 1, 0);
  const none32 = new Uint32Array(0);
  const none16 = new Uint16Array(0);
  return encodeMap({
    createdAtMs: desired.createdAtMs,
    pops: popIds,
    sources: ['synthetic'],
    geoip: 'none',
    groups: [{ key: groupKey(desired.services[0]!, desired.pops), width: popIds.length, rankings, v4, v6 }],
    cells: {
      v4: none32,
      v6hi: none32,
      v6lo: none32,
      estimate: none16,
      low: none16,
      high: none16,
      n: none16,
      tier: new Uint8Array(0),
    },
  });
}

/** Queries with a random /24 as ECS, in dnsperf's TCP-stream form; every other one has a ranking of its own. */
function ecsQueries(prefixes: Uint32Array, rng: Rng, count: number): Buffer {
  const name = nameToWire(steeredName) as Uint8Array;
  const queries: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const prefix =
      i % 2 === 0
        ? prefixes[Math.floor(rng.next() * prefixes.length)]!
        : (11 + Math.floor(rng.next() * 80)) * 2 ** 24 + Math.floor(rng.next() * 65_536) * 256;
    const ecs = [0, 8, 0, 7, 0, 1, 24, 0, prefix >>> 24, (prefix >>> 16) & 255, (prefix >>> 8) & 255];
    const opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, ecs.length, ...ecs];
    const message = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, ...name, 0, 1, 0, 1, ...opt];
    queries.push(Buffer.from([message.length >> 8, message.length & 255, ...message]));
  }
  return Buffer.concat(queries);
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

const pinned = existsSync('/usr/bin/taskset') && cpus().length > 1;
function start(core: number, command: string, args: readonly string[]): ChildProcess {
  const [program, all] = pinned ? ['taskset', ['-c', String(core), command, ...args]] : [command, [...args]];
  return spawn(program, all, { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function outputOf(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`dnsperf exited with ${code}`);
  return text;
}

/** Answers one query, or nobody does within `ms`. */
function answers(port: number, ms: number): Promise<boolean> {
  const socket = createSocket('udp4');
  const query = ecsQueries(Uint32Array.of(0x0b000000), seededRng('one'), 1).subarray(2);
  return new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    socket.once('message', (answer) => {
      clearTimeout(timer);
      resolve((answer[3]! & 15) === 0);
    });
    socket.once('error', () => resolve(false));
    socket.send(query, port, '127.0.0.1');
  }).finally(() => socket.close());
}

function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

function rssBytes(pid: number): number {
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}

async function load(label: string, pid: number, port: number, input: readonly string[]): Promise<object> {
  const args = ['-s', '127.0.0.1', '-p', String(port), '-l', String(seconds), '-c', '4', ...input];
  const before = cpuTicks(pid);
  const text = await outputOf(start(1, 'dnsperf', args));
  const usedUs = (cpuTicks(pid) - before) * tickUs;
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? Number.NaN);
  const completed = number(/Queries completed:\s+(\d+)/);
  return {
    case: label,
    sent: number(/Queries sent:\s+(\d+)/),
    completed,
    lost: number(/Queries lost:\s+(\d+)/),
    responseCodes: /Response codes:\s+(.*)/.exec(text)?.[1],
    queriesPerSecond: Math.round(number(/Queries per second:\s+([\d.]+)/)),
    averageLatencyUs: Math.round(1e6 * number(/Average Latency \(s\):\s+([\d.]+)/)),
    cpuUsPerQuery: Math.round((100 * usedUs) / completed) / 100,
    rssBytes: rssBytes(pid),
  };
}

const folder = mkdtempSync(join(tmpdir(), 'ufes-dns-baseline-'));
const rng = seededRng('dns-baseline');
const prefixes = drawPrefixes(rng, prefixCount);
const port = await freePort();
const configPath = join(folder, 'ufes.yaml');
writeFileSync(configPath, JSON.stringify(configText(port), null, 2));
const read = await readConfig(configPath, {});
if (!read.ok) throw new Error(JSON.stringify(read.problems));
const state = join(folder, '.ufes');
const context = createContext({
  config: read.config,
  configFolder: folder,
  configPath,
  state,
  node: 'controller',
  logLevel: 'error',
});
let desired: DesiredState | undefined;
await publishArtefact(context, 'desired', (version) => {
  desired = desiredState(version);
  return new TextEncoder().encode(JSON.stringify(desired));
});
const mapBytes = syntheticMap(desired!, prefixes, rng);
await publishArtefact(context, 'map', mapBytes);
await closeContext(context);

const fixed = join(folder, 'fixed.txt');
writeFileSync(fixed, `${steeredName} A\n`);
const random = join(folder, 'ecs.bin');
writeFileSync(random, ecsQueries(prefixes, rng, 200_000));

const command = join(import.meta.dirname, '../services/ufes/bin/ufes.js');
const startedMs = performance.now();
const dns = start(0, process.execPath, [command, 'dns', '--config', configPath, '--log', 'error']);
try {
  while (!(await answers(port, 20))) if (performance.now() - startedMs > 20_000) throw new Error('dns does not answer');
  const firstAnswerMs = Math.round(performance.now() - startedMs);
  const cases = [
    await load('one name, no ECS', dns.pid!, port, ['-d', fixed]),
    await load('one name, random ECS /24, half with a ranking of their own', dns.pid!, port, ['-B', '-d', random]),
  ];
  const results = {
    command: `node loadtest/dns-baseline.ts ${prefixCount} ${seconds}`,
    node: process.version,
    cpu: `${cpus()[0]?.model} × ${cpus().length}`,
    oneCoreEach: pinned,
    udp: 'node:dgram',
    prefixes: prefixCount,
    mapBytes: mapBytes.length,
    processStartToFirstAnswerMs: firstAnswerMs,
    cases,
  };
  const out = join(import.meta.dirname, 'results');
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'dns-baseline.json'), `${JSON.stringify(results, null, 2)}\n`);
  console.log(JSON.stringify(results, null, 2));
} finally {
  dns.kill('SIGTERM');
  await once(dns, 'exit');
  rmSync(folder, { recursive: true, force: true });
}
