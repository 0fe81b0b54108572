/** What is measured at saturation, each case with the bounds it is held against. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { alternate, atMost, type CaseResult, type Entry, median, medians } from './bench.ts';
import { pause, rssBytes, stop } from './machine.ts';
import { openLoop, throughput } from './measure.ts';
import { startEcho } from './peers.ts';
import { writeQueries } from './queries.ts';
import { firstQuery, sleep, untilAnswers, wake } from './server.ts';
import { queryCount, type Stage, startReady, ufesContender } from './stage.ts';
import { makeHome, startUfes, type UfesHome } from './ufes.ts';
import { makeWorld } from './world.ts';

export interface RunOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly seed: string;
}

const saturate =
  (seconds: number) =>
  async ({ contender, files }: Entry): Promise<Record<string, number>> => ({
    ...(await throughput(contender.server, files, seconds)),
  });

/** Every answer of a gentle second checked against the world. */
async function check(entries: readonly Entry[], seed: string, pops: number): Promise<Record<string, number>> {
  const wrong: Record<string, number> = {};
  for (const { contender, files } of entries) {
    const { server, companions, settleMs } = contender;
    wake(server, companions);
    await pause(settleMs);
    const outcome = await openLoop(server, files, { queriesPerSecond: 5_000, seconds: 4, seed, pops });
    sleep(server, companions);
    wrong[server.name] = outcome.wrong + outcome.unanswered;
  }
  return wrong;
}

export async function randomEcs(stage: Stage, family: 4 | 6, options: RunOptions): Promise<CaseResult> {
  const name = `ecs${family}`;
  const entries = stage.entries(family, ['gdnsd', 'knot', 'ufes']);
  const wrong = await check(entries, options.seed, stage.world.pops);
  const samples = await alternate(name, entries, options.rounds, saturate(options.seconds));
  const found = medians(samples);
  const cpu = (server: string) => found[server]!['cpuUsPerQuery']!;
  const lost = samples.filter(({ server }) => server === 'ufes').reduce((sum, one) => sum + one.values['lost']!, 0);
  return {
    name,
    title: `Random ${family === 4 ? '/24' : '/48'} client subnets, half with a PoP of their own: CPU µs a query`,
    medians: found,
    samples,
    more: { wrongOf20000: wrong },
    claims: [
      atMost(`${name}: CPU a query, ufes / gdnsd`, cpu('ufes') / cpu('gdnsd'), 1),
      atMost(`${name}: CPU a query, ufes / Knot`, cpu('ufes') / cpu('knot'), 0.9),
      atMost(`${name}: wrong or missing answers of ufes in a sample of 20,000`, wrong['ufes']!, 0),
      atMost(`${name}: queries of dnsperf lost at ufes`, lost, 0),
    ],
  };
}

/** One name, no EDNS, against the C echo. */
export async function fixedName(stage: Stage, options: RunOptions): Promise<CaseResult> {
  const files = stage.files({ names: 1, ecs: 'none' });
  const { ufes, gdnsd, knot } = stage.contenders;
  wake(ufes.server, ufes.companions);
  const answerBytes = await untilAnswers(ufes.server, firstQuery(files.stream));
  sleep(ufes.server, ufes.companions);
  const echoServer = await startEcho(join(stage.folder, 'echo'), answerBytes);
  await untilAnswers(echoServer, firstQuery(files.stream));
  const echo = { server: echoServer, companions: [], settleMs: 200 };
  const entries = [echo, gdnsd, knot, ufes].map((contender) => ({ contender, files }));
  const samples = await alternate('fixed', entries, options.rounds, saturate(options.seconds));
  await stop(echoServer.child);
  const found = medians(samples);
  const cpu = (server: string) => found[server]!['cpuUsPerQuery']!;
  return {
    name: 'fixed',
    title: 'One name without client subnet: CPU µs a query',
    medians: found,
    samples,
    more: { answerBytes },
    claims: [atMost('fixed: CPU a query, ufes / C echo', cpu('ufes') / cpu('echo'), 1.1)],
  };
}

export interface Growth {
  readonly label: string;
  readonly prefixes: number;
  /** Measured prefixes whose estimates the map carries. */
  readonly cells: number;
}

export const growthSizes: readonly Growth[] = [
  { label: '1 k', prefixes: 1_000, cells: 1_000 },
  { label: '100 k', prefixes: 100_000, cells: 100_000 },
  { label: '1 M', prefixes: 1_000_000, cells: 1_000_000 },
  { label: '5 M', prefixes: 5_000_000, cells: 0 },
];
/** Distinct rankings as real measurements of 30 PoPs gave (results/map-build.json). */
const growthRankings = 15_000;
const growthPops = 30;

/** ufes alone, with ever larger maps. */
export async function growth(folder: string, options: RunOptions): Promise<CaseResult> {
  const entries: Entry[] = [];
  const homes = new Map<string, UfesHome>();
  for (const { label, prefixes, cells } of growthSizes) {
    const own = join(folder, `growth-${prefixes}`);
    mkdirSync(own);
    const world = makeWorld(`${options.seed}/${prefixes}`, { names: 100, pops: growthPops, v4: prefixes, v6: 0 });
    const home = await makeHome(world, join(own, 'ufes'), { rankings: growthRankings, cells });
    const files = writeQueries(world, { names: 100, ecs: 4, count: queryCount }, join(own, 'queries'));
    homes.set(label, home);
    const ready = await startReady(home);
    entries.push({ contender: await ufesContender(home, [ready], firstQuery(files.stream), label), files });
  }
  const samples = await alternate('growth', entries, options.rounds, saturate(options.seconds));
  const found = medians(samples);
  const memory = Object.fromEntries(
    entries.map(({ contender }) => [contender.server.name, rssBytes(contender.server.pid)]),
  );
  const million = entries.find(({ contender }) => contender.server.name === '1 M')!;
  for (const { contender } of entries) await stop(contender.server.child);
  for (const companion of million.contender.companions) companion.kill('SIGCONT');
  const starts = await timeStarts(homes.get('1 M')!, firstQuery(million.files.stream), options.rounds);
  for (const { contender } of entries) for (const companion of contender.companions) await stop(companion);
  const cpu = (label: string) => found[label]!['cpuUsPerQuery']!;
  return {
    name: 'growth',
    title: 'Prefixes in the map, 30 PoPs, random /24 client subnets: CPU µs a query',
    medians: found,
    samples,
    more: {
      mapBytes: Object.fromEntries([...homes].map(([label, home]) => [label, home.mapBytes])),
      memory,
      processStartToFirstAnswerMs: starts,
    },
    claims: [
      atMost('growth: CPU a query at 5 M prefixes / at 1 k', cpu('5 M') / cpu('1 k'), 1.25),
      atMost('growth: RSS at 1 M prefixes × 30 PoPs, MB', found['1 M']!['rssBytes']! / 1e6, 500),
      atMost('growth: start from the last good map to the first answer at 1 M prefixes, ms', median(starts), 2_000),
    ],
  };
}

/** Process start to first answer, from what the node before kept. */
async function timeStarts(home: UfesHome, query: Uint8Array, times: number): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < times; i++) {
    const startMs = performance.now();
    const server = startUfes(home);
    await untilAnswers(server, query, 10);
    all.push(Math.round(performance.now() - startMs));
    await stop(server.child);
  }
  return all;
}
