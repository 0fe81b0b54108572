/** For tests of any room: a whole context on a temporary state folder, silent, with a clock that stands still if wanted. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withDefaults } from '@ufes/core/config/defaults.ts';
import { type Config, configSchema } from '@ufes/core/config/schema.ts';
import type { Bus, Clock, Log, Rng } from '@ufes/core/ports.ts';
import { closeContext, createContext } from './context.ts';
import { silentLog } from './log.ts';
import type { ServiceContext } from './service.ts';

export interface TestContextInit {
  /** Merged into a configuration of defaults without PoPs, zones and services. */
  readonly config?: Partial<Config>;
  readonly node?: string;
  /** Share the state of another context: another process of the same tree. It is then not removed. */
  readonly state?: string;
  readonly bus?: Bus;
  /** E.g. `new ManualClock()`; default: the machine's. */
  readonly clock?: Clock;
  readonly rng?: Rng;
  readonly log?: Log;
}

export interface TestContext extends ServiceContext {
  /** Closes everything and removes the state folder. */
  dispose(): Promise<void>;
}

export async function testContext(init: TestContextInit = {}): Promise<TestContext> {
  const state = init.state ?? (await mkdtemp(join(tmpdir(), 'ufes-test-')));
  const config = withDefaults(configSchema, { pops: {}, origins: {}, services: {}, ...init.config }) as Config;
  const { bus, clock, rng, log = silentLog } = init;
  const context = createContext({
    config,
    configFolder: state,
    state,
    node: init.node ?? 'test',
    logLevel: 'silent',
    log,
    ...(bus && { bus }),
    ...(clock && { clock }),
    ...(rng && { rng }),
  });
  return {
    ...context,
    dispose: async () => {
      await closeContext(context);
      if (init.state === undefined) await rm(state, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Whether a command is there; tests that need it are skipped without. */
export function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, program)));
}
