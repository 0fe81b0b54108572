/**
 * Every acknowledged beacon counts once, whatever happens: two collectors and two mappers on one Redis with a replica and
 * a Sentinel, k6 as their visitors, and every few seconds something bad, drawn at random:
 *
 *     kill -9 of a collector, a mapper, Redis · SIGSTOP of a collector or a mapper past every lease
 *     Redis started again from an old copy · Sentinel taking a replica that was held back
 *
 *     node loadtest/chaos/run.ts [SECONDS 600] [RATE 100] [BEHIND-SECONDS 60] [SEED]     → loadtest/results/chaos.json
 *
 * Then the undecayed counts beside the sketches are compared with what k6 was told: each visitor has a /48 of its own.
 */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cellOf, formatPrefix, parseAddress } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Store } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { openStoreOf } from '@ufes/io/context.ts';
import { silentLog } from '@ufes/io/log.ts';
import { endService, type Running, type Shape, startService } from '../collect/services.ts';
import { facts, pause } from '../dns/machine.ts';
import { findK6, k6Version, startK6 } from '../k6/tool.ts';
import { Redises } from './redis.ts';

const [seconds, rate, behindSeconds] = [600, 100, 60].map((value, i) => Number(process.argv[2 + i] ?? value)) as [
  number,
  number,
  number,
];
const seed = process.argv[5] ?? String(Date.now());
const rng = seededRng(seed);
const folder = mkdtempSync(join(tmpdir(), 'ufes-chaos-'));
const events: { atSeconds: number; what: string }[] = [];
const startMs = Date.now();

function note(what: string): void {
  const atSeconds = Math.round((Date.now() - startMs) / 100) / 10;
  events.push({ atSeconds, what });
  console.error(`${atSeconds.toFixed(1)} s  ${what}`);
}

/** A service that somebody starts again whenever it is gone, as systemd would. */
class Kept {
  readonly name: string;
  readonly service: 'probe' | 'mapper';
  readonly #shape: Shape;
  running!: Running;
  #isEnding = false;

  constructor(name: string, service: 'probe' | 'mapper', shape: Omit<Shape, 'folder'>) {
    this.name = name;
    this.service = service;
    this.#shape = { ...shape, folder: join(folder, name) };
  }

  get folder(): string {
    return this.#shape.folder;
  }

  async start(): Promise<void> {
    const port = (this.running as Running | undefined)?.port;
    this.running = await startService(this.service, { ...this.#shape, ...(port !== undefined && { port }) });
  }

  async kill(): Promise<void> {
    const gone = once(this.running.child, 'exit');
    this.running.child.kill('SIGKILL');
    await gone;
    if (!this.#isEnding) await this.start();
  }

  async standStill(ms: number): Promise<void> {
    this.running.child.kill('SIGSTOP');
    await pause(ms);
    this.running.child.kill('SIGCONT');
  }

  async end(): Promise<void> {
    this.#isEnding = true;
    await endService(this.running);
  }
}

const stillMs = limits.evidence.leaseMs + 3_000;

async function misfortune(kept: readonly Kept[], redises: Redises): Promise<void> {
  const one = kept[Math.floor(rng.next() * kept.length)]!;
  const draw = rng.next();
  if (draw < 0.4) {
    note(`kill -9 of ${one.name}`);
    await one.kill();
  } else if (draw < 0.7) {
    note(`SIGSTOP of ${one.name} for ${stillMs / 1000} s`);
    await one.standStill(stillMs);
  } else {
    note('kill -9 of Redis');
    await redises.kill();
  }
}

/** Large ones, in turn, with small ones before and after. */
async function misfortunes(kept: readonly Kept[], redises: Redises, untilMs: number): Promise<void> {
  const small = async (forMs: number): Promise<void> => {
    const end = Math.min(untilMs, Date.now() + forMs);
    while (Date.now() < end) {
      await misfortune(kept, redises);
      await pause(Math.min(1_000 + 5_000 * rng.next(), Math.max(0, end - Date.now())));
    }
  };
  for (let round = Math.floor(2 * rng.next()); Date.now() < untilMs; round++) {
    await redises.copy();
    if (round % 2 === 0) {
      await small(1000 * behindSeconds);
      const ageMs = await redises.restore(1000 * behindSeconds - 1_000);
      if (ageMs !== undefined) note(`Redis started from a copy that was ${Math.round(ageMs / 1000)} s old`);
    } else {
      await redises.synced();
      redises.holdBack();
      note(`the replica is held back for ${behindSeconds} s`);
      const others = small(1000 * behindSeconds - 6_000);
      await others;
      await pause(Math.max(0, Math.min(6_000, untilMs - Date.now())));
      const ageMs = await redises.failOver();
      note(`Sentinel took the replica, whose data were ${Math.round(ageMs / 1000)} s old`);
    }
    await small(10_000);
  }
}

interface Told {
  readonly prefix: string;
  readonly targets: readonly string[];
  isAcknowledged: boolean;
}

function readTold(path: string): Map<string, Told> {
  const told = new Map<string, Told>();
  for (const [, what, id, address, targets] of readFileSync(path, 'utf8').matchAll(
    /(SENT|ACKNOWLEDGED) ([\w-]+)(?: (\S+) ([\w:,-]+))?/g,
  )) {
    if (what === 'SENT') {
      const prefix = formatPrefix(cellOf(parseAddress(address!)!));
      told.set(id!, { prefix, targets: targets!.split(','), isAcknowledged: false });
    } else told.get(id!)!.isAcknowledged = true;
  }
  return told;
}

/** Everything that collectors have in their journals is folded. */
async function settled(collectors: readonly Kept[], store: Store): Promise<void> {
  for (let tries = 0; tries < 240; tries++, await pause(500)) {
    try {
      const journals = await Promise.all(
        collectors.map(
          async ({ running }) => (await running.ask('/state')) as { journal: { id: string; seq: number } },
        ),
      );
      const folded = new Map<string, number>();
      for (let shard = 0; shard < limits.evidence.shards; shard++) {
        for (const [name, seq] of Object.entries(await store.evidence.offsets(shard))) {
          folded.set(name, (folded.get(name) ?? 0) + seq);
        }
      }
      if (journals.every(({ journal }) => folded.get(`probe-${journal.id}`) === journal.seq)) return;
    } catch (thrown) {
      if (tries === 239) throw thrown;
    }
  }
  throw new Error('not all was folded within two minutes');
}

async function countsOf(store: Store): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let shard = 0; shard < limits.evidence.shards; shard++) {
    for (const { key, bytes } of await store.evidence.rows(shard)) {
      const [prefix, target] = key.split('|');
      const name = `${prefix}|${target}`;
      counts.set(name, (counts.get(name) ?? 0) + Sketch.decode(bytes).count);
    }
  }
  return counts;
}

function judge(told: ReadonlyMap<string, Told>, counts: Map<string, number>) {
  const wrong: string[] = [];
  let acknowledged = 0;
  let otherwiseCounted = 0;
  for (const [id, { prefix, targets, isAcknowledged }] of told) {
    const found = targets.map((target) => counts.get(`${prefix}|${target}`) ?? 0);
    for (const target of targets) counts.delete(`${prefix}|${target}`);
    if (isAcknowledged) acknowledged++;
    else if (found.some((count) => count > 0)) otherwiseCounted++;
    const isRight = isAcknowledged ? found.every((count) => count === 1) : found.every((count) => count <= 1);
    if (!isRight) wrong.push(`${id} of ${prefix}, ${isAcknowledged ? '' : 'not '}acknowledged: ${found.join(', ')}`);
  }
  const visitors = [...counts.keys()].filter((key) => key.startsWith('2400:'));
  return {
    sent: told.size,
    acknowledged,
    notAcknowledged: told.size - acknowledged,
    notAcknowledgedButCounted: otherwiseCounted,
    countedWrong: wrong.length,
    countedFromNowhere: visitors.length,
    examples: wrong.slice(0, 20),
  };
}

const redises = await Redises.start(join(folder, 'redis'));
const kept: Kept[] = [];
let code = 1;
try {
  const k6 = await findK6();
  const store = redises.url;
  const first = new Kept('collector-1', 'probe', { store });
  await first.start();
  const controller = await startService('controller', { folder: first.folder, store });
  const shared = { store, keysOf: first.folder };
  kept.push(first, new Kept('collector-2', 'probe', shared));
  kept.push(new Kept('mapper-1', 'mapper', shared), new Kept('mapper-2', 'mapper', shared));
  for (const one of kept.slice(1)) await one.start();
  const collectors = kept.slice(0, 2);
  for (const { running } of collectors) {
    while (((await running.ask('/state')) as { desired: unknown }).desired === null) await pause(200);
  }
  await endService(controller);

  note(`visitors come, ${rate} a second for ${seconds} s; seed ${seed}`);
  const log = join(folder, 'k6.log');
  const given = {
    COLLECTORS: collectors.map(({ running }) => `http://127.0.0.1:${running.port}`).join(' '),
    RATE: rate,
    SECONDS: seconds,
  };
  const visitors = startK6(k6, join(import.meta.dirname, 'visitors.ts'), given, ['--console-output', log]);
  const left = once(visitors, 'close');
  await misfortunes(kept, redises, Date.now() + 1000 * seconds - 5_000);
  await left;
  note('the visitors have gone');
  const own = openStoreOf({ store, configFolder: folder, state: first.folder }, { clock: systemClock, log: silentLog });
  await settled(collectors, own);
  note('all is folded');
  const result = judge(readTold(log), await countsOf(own));
  await own.close();
  const whole = { seconds, rate, behindSeconds, seed, ...result, k6: k6Version(k6), events, ...facts([]) };
  writeFileSync(join(import.meta.dirname, '../results/chaos.json'), `${JSON.stringify(whole, null, 1)}\n`);
  console.log(JSON.stringify(result, null, 1));
  code = result.countedWrong + result.countedFromNowhere === 0 && result.acknowledged > 0 ? 0 : 1;
} finally {
  await Promise.allSettled(kept.map((one) => one.end()));
  await redises.end();
  if (code === 0) rmSync(folder, { recursive: true, force: true });
  else console.error(`what is left of it is in ${folder}`);
  process.exitCode = code;
}
