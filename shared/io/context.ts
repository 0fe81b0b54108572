/** Puts together what a service is given (service.ts): the machine's clock, random numbers, log, bus, store, queue, metrics and admin socket. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '@ufes/core/config/schema.ts';
import type { Bus, Clock, Log, Rng, Store } from '@ufes/core/ports.ts';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { createAdmin } from './admin.ts';
import { localBus } from './bus.ts';
import { systemClock } from './clock.ts';
import { createLog } from './log.ts';
import { openQueue } from './queue/sqlite.ts';
import { systemRng } from './rng.ts';
import type { ServiceContext } from './service.ts';
import { openStore } from './store/sqlite.ts';

export interface ContextInit {
  readonly config: Config;
  readonly configFolder: string;
  readonly configPath?: string;
  /** Absolute. Made when missing, for its owner alone. */
  readonly state: string;
  readonly node: string;
  readonly logLevel: string;
  /** Default: a bus inside this process. */
  readonly bus?: Bus;
  /** Those of the machine unless given. */
  readonly clock?: Clock;
  readonly rng?: Rng;
  readonly log?: Log;
  readonly replaces?: boolean;
  readonly leave?: () => void;
}

/** Opens nothing that can fail but the state folder; the admin socket listens with `listenAdmin(context)`. */
export function createContext(init: ContextInit): ServiceContext {
  const { config, configFolder, configPath, state, node } = init;
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const clock = init.clock ?? systemClock;
  const rng = init.rng ?? systemRng;
  const log = init.log ?? createLog({ service: node }, init.logLevel);
  const bus = init.bus ?? localBus();
  const registry = new Registry();
  registry.setDefaultLabels({ service: node });
  collectDefaultMetrics({ register: registry });
  const store = openStoreOf({ state, clock, log });
  const queue = openQueue({ path: storePath(state), clock, rng, bus, log });
  const { app, ready } = createAdmin(log, registry);
  const base = configPath === undefined ? { config, configFolder } : { config, configFolder, configPath };
  const { replaces = false, leave } = init;
  return { ...base, state, node, clock, rng, log, bus, store, queue, registry, admin: app, ready, replaces, leave };
}

/** The store alone, for a thread beside the one that has the context. */
export function openStoreOf({ state, clock, log }: Pick<ServiceContext, 'state' | 'clock' | 'log'>): Store {
  return openStore({ path: storePath(state), keysFolder: join(state, 'keys'), clock, log });
}

const storePath = (state: string): string => join(state, 'store.sqlite');

/** Closes the admin socket, unless another process has it now, the queue (after the running jobs) and the store. */
export async function closeContext(context: ServiceContext, { isReplaced = false } = {}): Promise<void> {
  if (!isReplaced) await context.admin.close();
  await context.queue.close();
  await context.store.close();
}
