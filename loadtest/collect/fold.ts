/**
 * How fast a mapper folds a backlog: beacons of five targets about 100,000 /24s, all known, from two collectors, into
 * sketches, offsets and tokens of all shards, one process on one core; with Redis, that has the other one.
 *
 *     node loadtest/collect/fold.ts [REDIS-URL]      → loadtest/results/fold.json, fold-redis.json
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import type { StreamRecord } from '@ufes/core/ports.ts';
import { type SampleRecord, shardOf } from '@ufes/core/samples.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { Registry } from '@ufes/io/metrics.ts';
import { testContext } from '@ufes/io/testing.ts';
import { Folder } from '@ufes/mapper/fold.ts';
import { mapperMetrics } from '@ufes/mapper/metrics.ts';
import { ended, facts, goAhead, load, pinned, serverCore } from '../dns/machine.ts';
import { targets } from './beacons.ts';

interface Job {
  readonly store: string;
  readonly state: string;
  readonly prefixes: number;
  readonly beacons: number;
}

/** Beacons are of the same prefixes each time, in another order. */
export async function fill(
  samples: Awaited<ReturnType<typeof testContext>>['queue']['samples'],
  job: Pick<Job, 'prefixes' | 'beacons'>,
  round: number,
) {
  const rng = seededRng(`fold ${round}`);
  const encoder = new TextEncoder();
  for (const collector of ['probe-one', 'probe-two']) {
    const waiting = Array.from({ length: limits.evidence.shards }, (): StreamRecord[] => []);
    const last = await Promise.all(waiting.map((_, shard) => samples.lastSeq(shard, collector)));
    for (let i = 0; i < job.beacons / 2; i++) {
      const cell = round === 0 ? i + (collector === 'probe-one' ? 0 : job.beacons / 2) : rng.next() * job.prefixes;
      const record = beacon(Math.floor(cell) % job.prefixes, `${collector}-${round}-${i}-aaaa`, rng.next);
      const shard = shardOf(record.prefix);
      waiting[shard]!.push({ seq: ++last[shard]!, bytes: encoder.encode(JSON.stringify(record)) });
      if (waiting[shard]!.length >= 1_000) await samples.append(shard, collector, waiting[shard]!.splice(0));
    }
    for (const [shard, records] of waiting.entries()) await samples.append(shard, collector, records);
  }
}

function beacon(cell: number, token: string, next: () => number): SampleRecord {
  const nowMs = systemClock.nowMs();
  const prefix = `${20 + (cell >> 16)}.${(cell >> 8) & 255}.${cell & 255}.0/24`;
  const rtt = () => Math.round(10 * (20 + 80 * next())) / 10;
  const observations = targets.map((target) => ({ target, ok: true, weight: 6.25, rttMs: rtt() }));
  const times = { atMs: nowMs, tokenExpiresAtMs: nowMs + limits.probe.tokenMs };
  return { token, ...times, source: 'rum', kind: 'browser', prefix, observations };
}

/** In the measured process: prefixes become known, then three backlogs. */
async function measure(job: Job) {
  const context = await testContext({ state: job.state, node: 'mapper', config: { store: job.store } });
  const rates: number[] = [];
  for (let round = 0; round <= 3; round++) {
    await fill(context.queue.samples, round === 0 ? { ...job, beacons: 2 * job.prefixes } : job, round);
    const folder = new Folder(context, mapperMetrics(new Registry()), () => {});
    await folder.load();
    const startMs = performance.now();
    await folder.step();
    const seconds = (performance.now() - startMs) / 1000;
    if ((await folder.lag()) > 0) throw new Error('not all is folded');
    if (round > 0) rates.push(Math.round(folder.samplesFolded / seconds));
    await folder.stop();
  }
  await context.dispose();
  return rates;
}

async function run(store: string): Promise<void> {
  goAhead();
  const state = mkdtempSync(join(tmpdir(), 'ufes-fold-'));
  const before = load();
  try {
    const job: Job = { store, state, prefixes: 100_000, beacons: 150_000 };
    const child = pinned(serverCore, process.execPath, [import.meta.filename, '--measure'], {
      stdin: JSON.stringify(job),
    });
    const { code, stdout, stderr } = await ended(child);
    if (code !== 0) throw new Error(stderr);
    const beaconsPerSecond = JSON.parse(stdout) as number[];
    const samplesPerSecond = beaconsPerSecond.map((rate) => rate * targets.length);
    const name = store === 'embedded' ? 'fold' : 'fold-redis';
    const what = 'beacons of five samples (targets) each; a backlog of 150,000 about 100,000 known /24s, three times';
    const result = { what, store, beaconsPerSecond, samplesPerSecond, load: { before, after: load() }, ...facts([]) };
    console.error({ beaconsPerSecond, samplesPerSecond });
    writeFileSync(join(import.meta.dirname, `../results/${name}.json`), `${JSON.stringify(result, null, 1)}\n`);
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
}

if (import.meta.main && process.argv[2] === '--measure') {
  console.log(JSON.stringify(await measure(JSON.parse(readFileSync(0, 'utf8')) as Job)));
} else if (import.meta.main) await run(process.argv[2] ?? 'embedded');
