/**
 * Latency at half of the peers' peak rate, all servers at the same constant rate, by our own open-loop generator; and
 * what a new map every second adds to it.
 */
import { join } from 'node:path';
import { alternate, atMost, type CaseResult, type Entry, medians, type Sample } from './bench.ts';
import type { RunOptions } from './cases.ts';
import { ended, pause, pinned, serverCore } from './machine.ts';
import { type Latency, openLoop, throughput } from './measure.ts';
import { sleep, wake } from './server.ts';
import type { Stage } from './stage.ts';
import { publishMap } from './ufes.ts';

/** Of whichever peer is the faster one, by one look each. */
export async function peersPeak(stage: Stage, seconds: number): Promise<number> {
  let peak = 0;
  for (const { contender, files } of stage.entries(4, ['gdnsd', 'knot'])) {
    wake(contender.server);
    await pause(contender.settleMs);
    peak = Math.max(peak, (await throughput(contender.server, files, seconds)).queriesPerSecond);
    sleep(contender.server);
  }
  return peak;
}

function valuesOf(one: Latency): Record<string, number> {
  const { latencyUs, lateUs, unanswered, wrong, drops, generatorDrops, cpuUsPerQuery, queriesPerSecond, sent } = one;
  return {
    ...{ p50Us: latencyUs.p50, p99Us: latencyUs.p99, p999Us: latencyUs.p999, mostUs: latencyUs.most },
    ...{
      sent,
      unanswered,
      wrong,
      drops,
      generatorDrops,
      generatorLateP99Us: lateUs.p99,
      cpuUsPerQuery,
      queriesPerSecond,
    },
  };
}

export async function latency(stage: Stage, peak: number, options: RunOptions): Promise<CaseResult> {
  const queriesPerSecond = Math.round(peak / 2);
  const { pops } = stage.world;
  const measure = async ({ contender, files }: Entry) =>
    valuesOf(
      await openLoop(contender.server, files, {
        ...{ queriesPerSecond, seconds: options.seconds + 1, warmupSeconds: 1 },
        ...{ seed: options.seed, pops },
      }),
    );
  const samples = await alternate('latency', stage.entries(4, ['gdnsd', 'knot', 'ufes']), options.rounds, measure);
  const found = medians(samples);
  const p99 = (server: string) => found[server]!['p99Us']!;
  return {
    name: 'latency',
    title: `Latency at ${queriesPerSecond} queries a second: p99, µs`,
    medians: found,
    samples,
    more: { peersPeak: peak },
    claims: [
      atMost('latency: p99, ufes / gdnsd', p99('ufes') / p99('gdnsd'), 1),
      atMost('latency: p99, ufes / Knot', p99('ufes') / p99('knot'), 1),
      atMost('latency: queries unanswered by ufes', sumOf(samples, 'ufes', 'unanswered'), 0),
      atMost('latency: wrong answers of ufes', sumOf(samples, 'ufes', 'wrong'), 0),
    ],
  };
}

export function sumOf(samples: readonly Sample[], server: string, key: string): number {
  return samples.filter((one) => one.server === server).reduce((sum, one) => sum + one.values[key]!, 0);
}

const quiet = 'quiet';
const swapping = 'a map a second';

/** A constant rate with and without a map swap every second, in turn. The publisher shares the server's core, niced. */
export async function swap(stage: Stage, peak: number, options: RunOptions): Promise<CaseResult> {
  const queriesPerSecond = Math.round(peak / 2);
  const { home, world } = stage;
  const [entry] = stage.entries(4, ['ufes']);
  const contender = entry!.contender;
  const load = (orShifted: boolean) =>
    openLoop(contender.server, entry!.files, {
      ...{ queriesPerSecond, seconds: options.seconds + 1, warmupSeconds: 1, orShifted },
      ...{ seed: options.seed, pops: world.pops },
    });
  // One server under two names: what the rounds turn over is whether there is a publisher.
  const entries = [quiet, swapping].map((name) => ({
    ...entry!,
    contender: { ...contender, server: { ...contender.server, name } },
  }));
  const samples = await alternate('swap', entries, options.rounds, async ({ contender: { server } }) => {
    const publisher =
      server.name === swapping ? await startPublisher(home.configPath, world.seed, home.key) : undefined;
    const outcome = await load(true);
    const published = publisher === undefined ? 0 : await publisher.stop();
    return { ...valuesOf(outcome), shifted: outcome.shifted, published };
  });
  wake(contender.server, contender.companions);
  await publishMap(home, false);
  await pause(2_000);
  sleep(contender.server, contender.companions);
  const found = medians(samples);
  const p99 = (name: string) => found[name]!['p99Us']!;
  return {
    name: 'swap',
    title: `A new map of ${(home.mapBytes / 1e6).toFixed(0)} MB every second, ${queriesPerSecond} queries a second: p99, µs`,
    medians: found,
    samples,
    claims: [
      atMost('swap: added to p99, ms', (p99(swapping) - p99(quiet)) / 1000, 4),
      atMost('swap: queries unanswered', sumOf(samples, swapping, 'unanswered'), 0),
      atMost('swap: answers of neither map', sumOf(samples, swapping, 'wrong'), 0),
    ],
  };
}

/** publish.ts; `stop` tells how many maps it published. */
export async function startPublisher(
  configPath: string,
  seed: string,
  key: string,
): Promise<{ stop: () => Promise<number> }> {
  const program = join(import.meta.dirname, 'publish.ts');
  const child = pinned(serverCore, process.execPath, [program, configPath, seed, key], { nice: 19 });
  const end = ended(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    void end.then(({ code, stderr }) => reject(new Error(`publish.ts ended with ${code}: ${stderr}`)));
  });
  return {
    async stop() {
      child.kill('SIGTERM');
      return Number((await end).stdout.trim().split('\n').at(-1));
    },
  };
}
