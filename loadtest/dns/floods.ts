/**
 * Hostility over TCP: one kind of flood after the other from 20 client networks, while honest clients of other networks
 * ask over TCP and UDP. What counts is that those are answered, how long they wait, and what memory the server takes.
 */
import { join } from 'node:path';
import { atMost, type CaseResult, medians, type Sample } from './bench.ts';
import type { RunOptions } from './cases.ts';
import type { FloodCounts, FloodJob, FloodKind } from './flooder.ts';
import type { Honest, HonestCounts, HonestJob } from './honest.ts';
import { ended, load, loadCore, pause, pinned, rssBytes, stop } from './machine.ts';
import { firstQuery, type Server, untilAnswers } from './server.ts';
import { type Stage, startReady } from './stage.ts';
import { makeHome, startUfes } from './ufes.ts';

const networks = 20;

interface Flood {
  readonly kind: FloodKind;
  readonly title: string;
  readonly connections: number;
}

const floods: readonly Flood[] = [
  { kind: 'loris', title: 'a byte every two seconds on each connection', connections: 6_000 },
  { kind: 'connections', title: 'opened, held for a moment, reset', connections: 3_000 },
  { kind: 'pipelining', title: 'queries without end, answers not read', connections: 2_000 },
  { kind: 'greedy', title: 'queries without end, answers read', connections: 500 },
];

interface Phase {
  readonly phase: string;
  readonly honest: Honest;
  readonly flood?: FloodCounts;
  readonly rssMb: { readonly before: number; readonly most: number; readonly after: number };
}

export async function floodsOverTcp(stage: Stage, options: RunOptions): Promise<CaseResult> {
  const home = await makeHome(stage.world, join(stage.folder, 'floods'));
  const ready = await startReady(home);
  const query = firstQuery(stage.files({ names: 1, ecs: 4 }).stream);
  const server = startUfes(home);
  await untilAnswers(server, query);
  await pause(4_000);
  const hex = Buffer.from(query).toString('hex');
  await phase(server, hex, 2, undefined);
  const phases = [await phase(server, hex, options.seconds, undefined)];
  for (const flood of floods) {
    phases.push(await phase(server, hex, options.seconds, flood));
    phases.push(await phase(server, hex, Math.ceil(options.seconds / 2), undefined, `after ${flood.kind}`));
  }
  await stop(server.child);
  await stop(ready);
  const samples = phases.flatMap(rows);
  const unanswered = (one: Phase) =>
    Object.values(one.honest).reduce((sum, { asked, answered }) => sum + asked - answered, 0);
  const asked = (one: Phase) => Object.values(one.honest).reduce((sum, counts) => sum + counts.asked, 0);
  const worstMs = (kind: keyof Honest) => Math.max(...phases.map(({ honest }) => honest[kind].p99Us)) / 1000;
  return {
    name: 'floods',
    title: 'Honest clients during floods over TCP from other networks: p99, µs',
    medians: medians(samples),
    samples,
    more: { networks, floods, phases },
    claims: [
      ...phases.map((one) =>
        atMost(`floods: honest queries without answer, ${one.phase}, of ${asked(one)}`, unanswered(one), 0),
      ),
      atMost('floods: p99 of honest kept TCP connections, ms', worstMs('kept'), 100),
      atMost('floods: p99 of honest TCP connections of one query, ms', worstMs('single'), 500),
      atMost('floods: p99 of honest UDP, ms', worstMs('udp'), 50),
      atMost('floods: memory of ufes dns at most, MB', Math.max(...phases.map(({ rssMb }) => rssMb.most)), 500),
    ],
  };
}

function rows({ phase, honest, rssMb }: Phase): Sample[] {
  return Object.entries(honest).map(([kind, counts]: [string, HonestCounts]) => ({
    ...{ case: 'floods', server: `${phase}: ${kind}`, round: 1, load: load() },
    values: { ...counts, unanswered: counts.asked - counts.answered, rssMostMb: rssMb.most, rssAfterMb: rssMb.after },
  }));
}

async function phase(
  server: Server,
  query: string,
  seconds: number,
  flood: Flood | undefined,
  name = flood?.kind ?? 'quiet',
): Promise<Phase> {
  const { port } = server;
  const rss = () => Math.round(rssBytes(server.pid).now / 1e6);
  const before = rss();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, rss());
  }, 50);
  const honestJob: HonestJob = { port, seconds, query };
  let flooding: Promise<FloodCounts> | undefined;
  if (flood !== undefined) {
    const { kind, connections } = flood;
    // It stands in full before the honest ask, and for as long as they do.
    const job: FloodJob = { port, kind, networks, connections, seconds: seconds + 3, query };
    flooding = run<FloodCounts>('flooder.ts', job, 0);
    await pause(2_000);
  }
  const honest = await run<Honest>('honest.ts', honestJob);
  const counts = await flooding;
  clearInterval(timer);
  if (flood !== undefined) await pause(1_000);
  const result = { phase: name, honest, ...(counts && { flood: counts }), rssMb: { before, most, after: rss() } };
  process.stderr.write(`floods: ${JSON.stringify(result)}\n`);
  return result;
}

/** On the load core; the honest go before the others, so that what they wait for is the server. */
async function run<T>(program: string, job: object, nice?: number): Promise<T> {
  const options = { stdin: JSON.stringify(job), ...(nice === undefined ? {} : { nice }) };
  const path = join(import.meta.dirname, program);
  const { code, stdout, stderr } = await ended(pinned(loadCore, process.execPath, [path], options));
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}
