/**
 * What a collector takes, one core each, beside a bare node:http server that reads the same bodies, in the same run.
 *
 *     node loadtest/collect/run.ts [SECONDS] [REDIS-URL]      → loadtest/results/collect.json
 *
 *     one   server on core 0, load on core 1: bare, collector, bare, collector, …
 *     two   collector and its load on core 0; then two of both, on core 0 and core 1
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  cpuUs,
  ended,
  facts,
  goAhead,
  load,
  loadCore,
  measuredNice,
  pause,
  pinned,
  serverCore,
  stop,
} from '../dns/machine.ts';
import type { PostJob, PostOutcome } from './poster.ts';
import { endService, type Running, startService } from './services.ts';

const seconds = Number(process.argv[2] ?? 6);
const store = process.argv[3];
const rounds = 3;
const folder = mkdtempSync(join(tmpdir(), 'ufes-collect-'));
let runs = 0;

async function post(port: number, core: number, state: string, again = false): Promise<PostOutcome> {
  const job: PostJob = {
    port,
    seconds,
    warmupSeconds: 1.5,
    connections: 512,
    requests: again ? 50_000 : Math.round(30_000 * (seconds + 1.5)),
    again,
    prefixes: 100_000,
    tokenKey: join(state, 'keys', 'token.key'),
    seed: `collect ${++runs} ${process.pid}`,
  };
  const child = pinned(core, process.execPath, [join(import.meta.dirname, 'poster.ts')], {
    stdin: JSON.stringify(job),
  });
  const { code, stdout, stderr } = await ended(child);
  if (code !== 0) throw new Error(`poster: ${stderr}`);
  return JSON.parse(stdout) as PostOutcome;
}

async function startBare(core: number) {
  const child = pinned(core, process.execPath, [join(import.meta.dirname, 'bare.ts')]);
  const port = await new Promise<number>((resolve) => child.stdout?.once('data', (text) => resolve(Number(text))));
  return { child, port };
}

const collector = (name: string, core: number): Promise<Running> =>
  startService('probe', { folder: join(folder, name), core, nice: measuredNice, ...(store && { store }) });

async function one() {
  const results: { bare: number; collector: number; ratio: number; cpuUs: number; statuses: unknown }[] = [];
  for (let round = 0; round < rounds; round++) {
    const running = await collector(`one-${round}`, serverCore);
    const bare = await startBare(serverCore);
    const plain = await post(bare.port, loadCore, running.state, true);
    await stop(bare.child);
    const beforeUs = cpuUs(running.child.pid!);
    const durable = await post(running.port, loadCore, running.state);
    const all = Object.values(durable.statuses).reduce((sum, count) => sum + count, 0);
    const spentUs = Math.round((cpuUs(running.child.pid!) - beforeUs) / all);
    await endService(running);
    const ratio = Math.round((1000 * durable.perSecond) / plain.perSecond) / 1000;
    results.push({
      bare: plain.perSecond,
      collector: durable.perSecond,
      ratio,
      cpuUs: spentUs,
      statuses: durable.statuses,
    });
    if (plain.ranOut || durable.ranOut) throw new Error('the requests were used up before the time was');
    console.error(results.at(-1));
  }
  return results;
}

async function two() {
  const results: { one: number; two: number; ratio: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const first = await collector(`first-${round}`, 0);
    const alone = await post(first.port, 0, first.state);
    await pause(2_000);
    const second = await collector(`second-${round}`, 1);
    const both = await Promise.all([post(first.port, 0, first.state), post(second.port, 1, second.state)]);
    await endService(first);
    await endService(second);
    const sum = both.reduce((total, { perSecond }) => total + perSecond, 0);
    results.push({ one: alone.perSecond, two: sum, ratio: Math.round((1000 * sum) / alone.perSecond) / 1000 });
    console.error(results.at(-1));
  }
  return results;
}

goAhead();
const before = load();
try {
  const result = {
    what: 'beacons acknowledged a second, durable; /24s 100,000, 5 targets × 3 fetches, 512 keep-alive connections',
    store: store ?? 'embedded',
    seconds,
    one: await one(),
    two: await two(),
    load: { before, after: load() },
    ...facts([]),
  };
  writeFileSync(
    join(import.meta.dirname, '../results', `collect${store ? '-redis' : ''}.json`),
    `${JSON.stringify(result, null, 1)}\n`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
