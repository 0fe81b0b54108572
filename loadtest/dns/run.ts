/**
 * The DNS load test: gdnsd, Knot (mod-geoip), a C echo and the shipped `ufes dns` in its default configuration on the
 * same steered world, one core each for server and load, in alternation.
 *
 *     npm run loadtest:dns -- [--cases ecs4,ecs6,fixed,latency,swap,replace,floods,growth] [--rounds 5] [--seconds 10]
 *                             [--seed dns] [--out NAME] [--ahead]
 *         → loadtest/results/dns-NAME.json, .csv, .svg
 *
 * CPU a query is utime + stime of all threads of a server by /proc, over a run of dnsperf; its health checks, metrics and
 * polling included. --ahead (root): before everything else on the machine. Latencies come from generator.ts. Figures are medians over the rounds; every sample is in the CSV.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { CaseResult } from './bench.ts';
import { fixedName, growth, type RunOptions, randomEcs } from './cases.ts';
import { floodsOverTcp } from './floods.ts';
import { latency, peersPeak, swap } from './latency.ts';
import { facts, goAhead, load, measuredNice, missing, type Program } from './machine.ts';
import { replace } from './replace.ts';
import { openStage, type Stage, standardSize } from './stage.ts';
import { plot } from './svg.ts';

const programs: readonly Program[] = ['taskset', 'dnsperf', 'gcc', 'gdnsd', 'knotd'];
const caseNames = ['ecs4', 'ecs6', 'fixed', 'latency', 'swap', 'replace', 'floods', 'growth'] as const;
type CaseName = (typeof caseNames)[number];

interface Given {
  readonly cases: readonly CaseName[];
  readonly options: RunOptions;
  readonly name: string;
}

function readArguments(): Given {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: caseNames.join(',') },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '10' },
      seed: { type: 'string', default: 'dns' },
      out: { type: 'string', default: 'run' },
      ahead: { type: 'boolean', default: false },
    },
  });
  const cases = values.cases.split(',').map((name) => {
    const known = caseNames.find((one) => one === name);
    if (known === undefined) throw new Error(`--cases: "${name}" is none of ${caseNames.join(', ')}`);
    return known;
  });
  const number = (key: 'rounds' | 'seconds') => {
    const value = Number(values[key]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${key}: a whole number from 1 is wanted`);
    return value;
  };
  if (values.ahead) goAhead();
  return {
    cases,
    name: values.out,
    options: { rounds: number('rounds'), seconds: number('seconds'), seed: values.seed },
  };
}

async function runCases({ cases, options }: Given, folder: string, done: (result: CaseResult) => void): Promise<void> {
  if (cases.some((name) => name !== 'growth')) {
    const stage = await openStage(folder, options.seed, standardSize);
    let peak: number | undefined;
    const rate = async () => (peak ??= await peersPeak(stage, options.seconds));
    for (const name of cases) if (name !== 'growth') done(await runOnStage(name, stage, rate, options));
    await stage.close();
  }
  if (cases.includes('growth')) done(await growth(folder, options));
}

async function runOnStage(
  name: Exclude<CaseName, 'growth'>,
  stage: Stage,
  peak: () => Promise<number>,
  options: RunOptions,
): Promise<CaseResult> {
  if (name === 'ecs4') return randomEcs(stage, 4, options);
  if (name === 'ecs6') return randomEcs(stage, 6, options);
  if (name === 'fixed') return fixedName(stage, options);
  if (name === 'replace') return replace(stage, options);
  if (name === 'floods') return floodsOverTcp(stage, options);
  return name === 'latency' ? latency(stage, await peak(), options) : swap(stage, await peak(), options);
}

function write(name: string, head: object, results: readonly CaseResult[]): void {
  const out = join(import.meta.dirname, '../results');
  mkdirSync(out, { recursive: true });
  const path = join(out, `dns-${name}`);
  const cases = results.map(({ samples: _, ...rest }) => rest);
  const claims = cases.flatMap((one) => one.claims);
  writeFileSync(
    `${path}.json`,
    `${JSON.stringify({ ...head, missed: claims.filter((one) => !one.holds), cases }, null, 2)}\n`,
  );
  const samples = results.flatMap((result) => result.samples);
  const columns = [...new Set(samples.flatMap(({ values }) => Object.keys(values)))];
  const rows = samples.map((sample) => {
    const values = columns.map((column) => sample.values[column] ?? '');
    return [sample.case, sample.server, sample.round, sample.load, ...values].join(',');
  });
  writeFileSync(`${path}.csv`, `${['case,server,round,load', ...columns].join(',')}\n${rows.join('\n')}\n`);
  const drawn = results.map((result) => {
    const timed = result.samples.some(({ values }) => 'p99Us' in values);
    return { result, key: timed ? 'p99Us' : 'cpuUsPerQuery' };
  });
  writeFileSync(`${path}.svg`, plot('ufes dns beside its peers: bars are medians, dots are runs', drawn));
}

const given = readArguments();
const lacking = missing(programs);
if (lacking.length > 0) {
  process.stderr.write(`The DNS load test needs: ${lacking.join('; ')}\n`);
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'ufes-loadtest-dns-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const head = {
  command: `npm run loadtest:dns -- ${process.argv.slice(2).join(' ')}`.trim(),
  startedAt: new Date().toISOString(),
  loadAtStart: load(),
  ...facts(programs),
  ...{ rounds: given.options.rounds, secondsARound: given.options.seconds, niceness: measuredNice },
};
const results: CaseResult[] = [];
await runCases(given, folder, (result) => {
  results.push(result);
  for (const { claim, measured, bound, holds } of result.claims) {
    process.stdout.write(`${holds ? 'holds ' : 'MISSED'}  ${claim}: ${measured} (at most ${bound})\n`);
  }
  write(given.name, { ...head, loadAtEnd: load() }, results);
});
process.exit(0);
