/** gdnsd, Knot and ufes on one world, started, asleep, with query files for each. */
import { join } from 'node:path';
import type { Contender, Entry } from './bench.ts';
import { loadCore, pause, pinned, stop } from './machine.ts';
import { startGdnsd, startKnot } from './peers.ts';
import { type QueryFiles, type QueryMix, writeQueries } from './queries.ts';
import { firstQuery, type Server, sleep, untilAnswers } from './server.ts';
import { makeHome, startUfes, type UfesHome } from './ufes.ts';
import { makeWorld, type World, type WorldSize } from './world.ts';

export const queryCount = 200_000;
export const standardSize: WorldSize = { names: 100, pops: 30, v4: 200_000, v6: 200_000 };
export type ServerName = 'gdnsd' | 'knot' | 'ufes';

export interface Stage {
  readonly folder: string;
  readonly world: World;
  readonly home: UfesHome;
  readonly contenders: Readonly<Record<ServerName, Contender>>;
  /** Query files are written once a mix. */
  files(mix: Omit<QueryMix, 'count'>): QueryFiles;
  /** Each server with queries of this family; Knot with those for its one name. */
  entries(ecs: 4 | 6, servers: readonly ServerName[]): Entry[];
  close(): Promise<void>;
}

export async function openStage(folder: string, seed: string, size: WorldSize): Promise<Stage> {
  const world = makeWorld(seed, size);
  const written = new Map<string, QueryFiles>();
  const files = (mix: Omit<QueryMix, 'count'>): QueryFiles => {
    const key = `${mix.ecs}-${mix.names}`;
    const known =
      written.get(key) ?? writeQueries(world, { ...mix, count: queryCount }, join(folder, `queries-${key}`));
    written.set(key, known);
    return known;
  };
  const home = await makeHome(world, join(folder, 'ufes'));
  const ready = await startReady(home);
  const peer = async (starting: Promise<Server>): Promise<Contender> => {
    const server = await starting;
    await untilAnswers(server, firstQuery(files({ names: 1, ecs: 4 }).stream));
    sleep(server);
    return { server, companions: [], settleMs: 200 };
  };
  const contenders = {
    gdnsd: await peer(startGdnsd(world, join(folder, 'gdnsd'))),
    knot: await peer(startKnot(world, join(folder, 'knot'))),
    ufes: await ufesContender(home, [ready], firstQuery(files({ names: 1, ecs: 4 }).stream)),
  };
  return {
    folder,
    world,
    home,
    contenders,
    files,
    entries: (ecs, servers) =>
      servers.map((name) => ({
        contender: contenders[name],
        files: files({ names: name === 'knot' ? 1 : world.names.length, ecs }),
      })),
    async close() {
      for (const { server } of Object.values(contenders)) await stop(server.child);
      await stop(ready);
    },
  };
}

/** Health checks resume after sleep, and what they found runs out and comes back: two intervals and some. */
const ufesSettleMs = 1_500;

export async function ufesContender(
  home: UfesHome,
  companions: Contender['companions'],
  query: Uint8Array,
  name = 'ufes',
): Promise<Contender> {
  const server = startUfes(home, name);
  await untilAnswers(server, query);
  // All PoPs seen up, counted and stable.
  await pause(4_000);
  const contender = { server, companions, settleMs: ufesSettleMs };
  sleep(server, companions);
  return contender;
}

/** The PoPs' edges, as far as health checks see them. On the load core, where they get their share: edges in health answer. */
export async function startReady(home: UfesHome): Promise<Contender['companions'][number]> {
  const program = join(import.meta.dirname, 'ready.ts');
  const args = [program, String(home.readyPort), join(home.folder, '.ufes')];
  const child = pinned(loadCore, process.execPath, args);
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`ready.ts ended with ${code}: ${errors}`)));
  });
  return child;
}
