/** Puts together what a service is given (service.ts): the machine's clock, random numbers, log, bus, store, queue, metrics and admin socket. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '@ufes/core/config/schema.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Bus, Clock, Log, Queue, Rng, Store } from '@ufes/core/ports.ts';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { createAdmin } from './admin.ts';
import { localBus } from './bus.ts';
import { systemClock } from './clock.ts';
import { createLog, silentLog } from './log.ts';
import { redisQueue } from './queue/redis.ts';
import { openQueue } from './queue/sqlite.ts';
import { redisBus } from './redis/bus.ts';
import { RedisLink, targetOf } from './redis/link.ts';
import { systemRng } from './rng.ts';
import type { ServiceContext } from './service.ts';
import { redisStore } from './store/redis.ts';
import { openStore } from './store/sqlite.ts';

export interface ContextInit {
  readonly config: Config;
  readonly configFolder: string;
  readonly configPath?: string;
  /** Absolute. Made when missing, for its owner alone. */
  readonly state: string;
  readonly node: string;
  readonly logLevel: string;
  /** Between the processes of a tree; default: inside this process. With a distributed store wake-ups go through that. */
  readonly bus?: Bus;
  /** Those of the machine unless given. */
  readonly clock?: Clock;
  readonly rng?: Rng;
  readonly log?: Log;
  readonly replaces?: boolean;
  readonly leave?: () => void;
}

/** Throws for a state folder or certificates of the store that cannot be used; the admin socket listens with `listenAdmin(context)`. */
export function createContext(init: ContextInit): ServiceContext {
  const { config, configFolder, configPath, state, node } = init;
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const clock = init.clock ?? systemClock;
  const rng = init.rng ?? systemRng;
  const log = init.log ?? createLog({ service: node }, init.logLevel);
  const registry = new Registry();
  registry.setDefaultLabels({ service: node });
  collectDefaultMetrics({ register: registry });
  const place = { store: config.store, configFolder, state };
  const { bus, store, queue } = openShared(place, { clock, rng, log, bus: init.bus ?? localBus() });
  const { app, ready } = createAdmin(log, registry);
  const base = configPath === undefined ? { config, configFolder } : { config, configFolder, configPath };
  const { replaces = false, leave } = init;
  return { ...base, state, node, clock, rng, log, bus, store, queue, registry, admin: app, ready, replaces, leave };
}

// --- What processes share ------------------------------------------------------------------------------------------

/** Which store it is, and where what belongs to it is. */
export interface StorePlace {
  /** `store` of the configuration. */
  readonly store: string;
  readonly configFolder: string;
  readonly state: string;
}

function openShared(
  place: StorePlace,
  { clock, rng, log, bus }: { clock: Clock; rng: Rng; log: Log; bus: Bus },
): { bus: Bus; store: Store; queue: Queue } {
  if (place.store === 'embedded') {
    const queue = openQueue({ path: storePath(place.state), clock, rng, bus, log });
    return { bus, store: openStoreOf(place, { clock, log }), queue };
  }
  const link = linkTo(place, log);
  const wakes = redisBus(link);
  const store = storeOn(link, place, clock);
  return { bus: wakes, store, queue: redisQueue({ link, clock, bus: wakes, log }) };
}

/** The store alone, for a thread beside the one that has the context. */
export function openStoreOf(place: StorePlace, { clock, log }: { clock: Clock; log: Log }): Store {
  if (place.store !== 'embedded') return storeOn(linkTo(place, log), place, clock);
  return openStore({ path: storePath(place.state), keysFolder: keysFolder(place), clock, log });
}

const storePath = (state: string): string => join(state, 'store.sqlite');
const keysFolder = ({ state }: StorePlace): string => join(state, 'keys');

function linkTo({ store, configFolder }: StorePlace, log: Log): RedisLink {
  return new RedisLink({ target: targetOf(store), folder: configFolder, log });
}

function storeOn(link: RedisLink, place: StorePlace, clock: Clock): Store {
  return redisStore({ link, keysFolder: keysFolder(place), clock, random: (length) => systemRng.bytes(length) });
}

/**
 * Before anything uses it: what an operator should know of the store. Rejects with STORE_UNSUITABLE, which says what to
 * set, when data would be lost there. One that cannot be reached is no reason not to start: nodes have what they kept.
 */
export async function checkStore(place: StorePlace): Promise<string[]> {
  if (place.store === 'embedded') return [];
  const link = linkTo(place, silentLog);
  try {
    const found = await link.suitability();
    if (found === undefined) return [`the store ${link.name} cannot be reached yet: ${link.why}`];
    const told = found.warnings.map((warning) => `the store ${link.name} ${warning}`);
    if (found.refusal !== undefined && found.isPassing) return [`the store ${link.name} ${found.refusal}`, ...told];
    if (found.refusal !== undefined) {
      throw new OperatingError('STORE_UNSUITABLE', `the store ${link.name} ${found.refusal}`);
    }
    const behindMs = Math.round((await link.timeMs()) - systemClock.nowMs());
    if (Math.abs(behindMs) > limits.redis.clockMs) {
      told.push(`the clock of the store ${link.name} differs by ${behindMs} ms from this machine's: keep both by NTP`);
    }
    return told;
  } finally {
    link.close();
  }
}

/** Closes the admin socket, unless another process has it now, the queue (after the running jobs) and the store. */
export async function closeContext(context: ServiceContext, { isReplaced = false } = {}): Promise<void> {
  if (!isReplaced) await context.admin.close();
  await context.queue.close();
  await context.store.close();
}
