/**
 * `ufes dns` as it is shipped, given the world as artefacts: the controller compiles the desired state from a
 * configuration, the map is published as the mapper publishes it. The PoPs' readiness is answered by ready.ts, so that
 * health checks and live state run as in service.
 */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '@ufes/core/config/schema.ts';
import { type DesiredState, decodeDesired, groupKey } from '@ufes/core/desired.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import type { CellTable, IntervalIndex } from '@ufes/core/steering/map.ts';
import { encodeMap } from '@ufes/core/steering/map-bytes.ts';
import { formatVersion } from '@ufes/core/version.ts';
import { followArtefact, publishArtefact } from '@ufes/io/artefact.ts';
import { readConfig } from '@ufes/io/config-file.ts';
import { closeContext, createContext } from '@ufes/io/context.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { freePort, loadCore, pause, pinned, serverCore, stop } from './machine.ts';
import type { Server } from './server.ts';
import { popId, ttlSeconds, vip4, vip6, type World, zoneName } from './world.ts';

export interface UfesHome {
  readonly folder: string;
  readonly configPath: string;
  readonly port: number;
  /** Where ready.ts answers on every PoP's address. */
  readonly readyPort: number;
  readonly key: string;
  readonly world: World;
  readonly mapBytes: number;
}

export interface MapOptions {
  /** Distinct rankings; the world needs as many as PoPs. */
  readonly rankings?: number;
  /** Estimates of this many measured prefixes, as the mapper keeps them. */
  readonly cells?: number;
  /** Every PoP moved on by one, so that it shows which of two maps answered. */
  readonly shifted?: boolean;
}

export const command = join(import.meta.dirname, '../../services/ufes/bin/ufes.js');

/** Makes the folder with configuration, desired state and map. `ufes dns` finds them in the store, then keeps its own. */
export async function makeHome(world: World, folder: string, options: MapOptions = {}): Promise<UfesHome> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const readyPort = await freePort();
  const configPath = join(folder, 'ufes.yaml');
  writeFileSync(configPath, JSON.stringify(configOf(world, port, readyPort), null, 2));
  const args = [command, 'controller', '--config', configPath, '--log', 'error'];
  const controller = pinned(loadCore, process.execPath, args, { nice: 0 });
  let errors = '';
  controller.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  controller.stdout?.resume();
  const failed = once(controller, 'exit').then(([code]) => {
    throw new Error(`the controller ended with ${code}: ${errors}`);
  });
  const desired = await Promise.race([withContext(configPath, 'loadtest', readDesired), failed]);
  failed.catch(() => {});
  await stop(controller);
  const key = groupKey(desired.services[0]!, desired.pops);
  const bytes = encodeWorld(world, key, options);
  await withContext(configPath, 'mapper', (context) => publishArtefact(context, 'map', bytes));
  return { folder, configPath, port, readyPort, key, world, mapBytes: bytes.length };
}

export function startUfes(home: UfesHome, name = 'ufes'): Server {
  const args = [command, 'dns', '--config', home.configPath, '--log', 'warn'];
  const child = pinned(serverCore, process.execPath, args);
  return { name, port: home.port, child, pid: child.pid! };
}

/** A process that publishes a map of the pair every second, in turn, as gently as it can. */
export async function publishMap(home: UfesHome, shifted: boolean): Promise<string> {
  const bytes = encodeWorld(home.world, home.key, { shifted });
  const version = await withContext(home.configPath, 'mapper', (context) => publishArtefact(context, 'map', bytes));
  return formatVersion(version);
}

/** A context on the home's state folder for as long as `use` takes. */
export async function withContext<T>(
  configPath: string,
  node: string,
  use: (context: ServiceContext) => Promise<T>,
): Promise<T> {
  const read = await readConfig(configPath, {});
  if (!read.ok) throw new Error(JSON.stringify(read.problems, null, 2));
  const state = join(read.folder, read.config.state);
  const { config, folder: configFolder } = read;
  const context = createContext({ config, configFolder, configPath, state, node, logLevel: 'error' });
  try {
    return await use(context);
  } finally {
    await closeContext(context);
  }
}

async function readDesired(context: ServiceContext): Promise<DesiredState> {
  let desired: DesiredState | undefined;
  const follower = followArtefact(context, 'desired', (payload) => {
    desired = decodeDesired(payload);
  });
  await follower.start();
  while (desired === undefined) await pause(50);
  await follower.stop();
  return desired;
}

/** Defaults everywhere, but for the bound that a single load generator would run into. */
function configOf(world: World, port: number, readyPort: number): object {
  const pops = Array.from({ length: world.pops }, (_, pop) => pop);
  return {
    listeners: { dns: [`127.0.0.1:${port}`] },
    dns: { rateLimit: { answersPerSecond: 1_000_000 } },
    geoip: { asn: 'none' },
    pops: Object.fromEntries(
      pops.map((pop) => [
        popId(pop),
        { location: [0, pop], vips: { v4: vip4(pop), v6: vip6(pop) }, ports: { https: readyPort, http: 8080 } },
      ]),
    ),
    origins: { eu: { location: [0, 0], endpoints: ['http://127.0.40.1:9000'] } },
    zones: {
      [zoneName]: {
        soa: { primary: `ns1.${zoneName}`, contact: `host.${zoneName}` },
        ns: [`ns1.${zoneName}`],
        records: [{ name: 'ns1', type: 'A', data: '127.0.0.1' }],
      },
    },
    services: Object.fromEntries(
      world.names.map((name): [string, Partial<Config['services'][string]>] => [
        name,
        { name: `${name}.${zoneName}`, pops: pops.map(popId), origin: 'eu', ttl: { min: 5, max: ttlSeconds } },
      ]),
    ),
  };
}

/** Row r begins with PoP r mod PoPs; the rest of it is the others in an order of its own. */
function rankingRows(world: World, rows: number): Uint8Array {
  const rng = seededRng(`${world.seed}/rankings`);
  const { pops } = world;
  const all = new Uint8Array(rows * pops);
  for (let row = 0; row < rows; row++) {
    const order = Array.from({ length: pops }, (_, i) => (row + i) % pops);
    if (row >= pops) {
      for (let i = pops - 1; i > 1; i--) {
        const j = 1 + Math.floor(rng.next() * i);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
    }
    all.set(order, row * pops);
  }
  return all;
}

export function encodeWorld(world: World, key: string, options: MapOptions = {}): Uint8Array {
  const { rankings = world.pops, cells = 0, shifted = false } = options;
  const rows = Math.max(world.pops, Math.floor(rankings / world.pops) * world.pops);
  const shift = shifted ? 1 : 0;
  const rng = seededRng(`${world.seed}/rows`);
  const repeats = rows / world.pops;
  const rowOf = (pop: number) => ((pop + shift) % world.pops) + world.pops * Math.floor(rng.next() * repeats);
  return encodeMap({
    createdAtMs: Date.now(),
    pops: Array.from({ length: world.pops }, (_, pop) => popId(pop)),
    sources: ['synthetic'],
    geoip: 'none',
    groups: [
      {
        key,
        width: world.pops,
        rankings: rankingRows(world, rows),
        v4: intervals(4, world.v4, undefined, world.v4Pop, rowOf, shift),
        v6: intervals(6, world.v6hi, world.v6lo, world.v6Pop, rowOf, shift),
      },
    ],
    cells: cellTable(world, cells),
  });
}

/** Each prefix begins an interval, and what follows it begins another unless the next prefix does. */
function intervals(
  family: 4 | 6,
  his: Uint32Array,
  los: Uint32Array | undefined,
  pops: Uint8Array,
  rowOf: (pop: number) => number,
  defaultRow: number,
): IntervalIndex {
  const hi = new Uint32Array(2 * his.length + 1);
  const lo = new Uint32Array(2 * his.length + 1);
  const ranking = new Uint32Array(2 * his.length + 1);
  let count = 0;
  const begin = (atHi: number, atLo: number, row: number) => {
    if (count > 0 && hi[count - 1] === atHi && lo[count - 1] === atLo) count--;
    if (count > 0 && ranking[count - 1] === row) return;
    hi[count] = atHi;
    lo[count] = atLo;
    ranking[count++] = row;
  };
  begin(0, 0, defaultRow);
  for (let i = 0; i < his.length; i++) {
    const atHi = his[i]!;
    const atLo = los?.[i] ?? 0;
    begin(atHi, atLo, rowOf(pops[i]!));
    if (family === 4) begin(atHi + 256, 0, defaultRow);
    else if (atLo === 0xffff_0000) begin(atHi + 1, 0, defaultRow);
    else begin(atHi, atLo + 65_536, defaultRow);
  }
  const empty = new Uint32Array(0);
  return {
    family,
    hi: hi.slice(0, count),
    lo: family === 4 ? empty : lo.slice(0, count),
    ranking: ranking.slice(0, count),
  };
}

/** Estimates as full as the mapper makes them: every PoP measured at the first `count` /24s. */
function cellTable(world: World, count: number): CellTable {
  const v4 = world.v4.slice(0, count);
  const entries = v4.length * world.pops;
  const column = () => new Uint16Array(entries).fill(500);
  const none = new Uint32Array(0);
  return {
    v4,
    v6hi: none,
    v6lo: none,
    estimate: column(),
    low: column(),
    high: column(),
    n: column(),
    tier: new Uint8Array(entries).fill(1),
  };
}
