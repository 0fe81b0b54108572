/**
 * Never silent: at half of ufes's own peak, `ufes dns replace` hands the sockets to a new process again and again while a
 * new map comes every second and TCP clients keep asking. Every UDP query has to be answered, no socket may drop one, no
 * TCP connection may end, and no answer over one be owed.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { atMost, type CaseResult, medians } from './bench.ts';
import type { RunOptions } from './cases.ts';
import { startPublisher } from './latency.ts';
import { load, pause, pinned, serverCore, stop, udpDrops } from './machine.ts';
import { generate, throughput } from './measure.ts';
import { firstQuery, type Server, untilAnswers } from './server.ts';
import { type Stage, startReady } from './stage.ts';
import { startTcpClients } from './tcp-clients.ts';
import { command, makeHome, startUfes, type UfesHome } from './ufes.ts';

const tcpClients = 20;
/** Time for one replacement, start of the new process included. */
const replaceMs = 5_000;

export async function replace(stage: Stage, options: RunOptions): Promise<CaseResult> {
  const home = await makeHome(stage.world, join(stage.folder, 'replace'));
  const ready = await startReady(home);
  const files = stage.files({ names: stage.world.names.length, ecs: 4 });
  const query = firstQuery(files.stream);
  let server = startUfes(home);
  await untilAnswers(server, query);
  await pause(3_000);
  const peak = (await throughput(server, files, options.seconds)).queriesPerSecond;
  const drops = watchDrops(home.port);
  const clients = startTcpClients(home.port, query, tcpClients);
  const publisher = await startPublisher(home.configPath, stage.world.seed, home.key);
  const load50 = generate(home.port, files, {
    ...{ queriesPerSecond: Math.round(peak / 2), seconds: 1 + ((options.rounds + 1) * replaceMs) / 1000 },
    ...{ seed: options.seed, pops: stage.world.pops, orShifted: true },
  });
  const tookMs: number[] = [];
  for (let i = 0; i < options.rounds; i++) {
    const startMs = performance.now();
    server = await replaceOnce(home, server);
    tookMs.push(Math.round(performance.now() - startMs));
    await pause(Math.max(0, replaceMs - (performance.now() - startMs)));
  }
  const outcome = await load50;
  const published = await publisher.stop();
  const tcp = await clients.stop();
  const dropped = drops.stop();
  await stop(server.child);
  await stop(ready);
  const values = {
    ...{ p99Us: outcome.latencyUs.p99, mostUs: outcome.latencyUs.most, sent: outcome.sent },
    ...{
      unanswered: outcome.unanswered,
      wrong: outcome.wrong,
      drops: dropped,
      generatorDrops: outcome.generatorDrops,
      published,
    },
  };
  const samples = [{ case: 'replace', server: 'ufes', round: 1, load: load(), values }];
  return {
    name: 'replace',
    title: `${options.rounds} replacements of the process at half of its peak: p99, µs`,
    medians: medians(samples),
    samples,
    more: { peak, replacementMs: tookMs, tcp, wrongBy: outcome.wrongBy, unansweredAt: outcome.unansweredAt },
    claims: [
      atMost('replace: queries unanswered', outcome.unanswered, 0),
      atMost('replace: answers of neither map', outcome.wrong, 0),
      atMost('replace: datagrams dropped at our sockets', dropped, 0),
      atMost('replace: TCP answers owed by connections that ended', tcp.owed, 0),
      atMost('replace: TCP connections that ended', tcp.drained, 0),
      atMost('replace: TCP connections refused', tcp.refused, 0),
    ],
  };
}

/** The command is the new process: it takes over, and the old one leaves. */
async function replaceOnce(home: UfesHome, old: Server): Promise<Server> {
  const gone = once(old.child, 'exit');
  const args = [command, 'dns', 'replace', '--config', home.configPath, '--log', 'warn'];
  const child = pinned(serverCore, process.execPath, args);
  let errors = '';
  child.stdout?.resume();
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = `${errors}${chunk.toString()}`.slice(-4_000);
  });
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`ufes dns replace ended with ${code}: ${errors}`);
  });
  const late = pause(30_000).then(() => {
    throw new Error(`the old process is still there after 30 s: ${errors}`);
  });
  failed.catch(() => {});
  late.catch(() => {});
  await Promise.race([gone, failed, late]);
  return { name: old.name, port: old.port, child, pid: child.pid! };
}

/** Sockets come and go: what each had dropped when it was last seen. */
function watchDrops(port: number): { stop: () => number } {
  const before = udpDrops(port);
  const seen = new Map(before);
  const look = () => {
    for (const [inode, count] of udpDrops(port)) seen.set(inode, count);
  };
  const timer = setInterval(look, 50);
  return {
    stop() {
      clearInterval(timer);
      look();
      return [...seen].reduce((sum, [inode, count]) => sum + count - (before.get(inode) ?? 0), 0);
    },
  };
}
