/**
 * The process tree of `ufes up`: which nodes a configuration asks for, from start to Ctrl-C. PoPs follow the desired state
 * in service, so that the one reader of a changed configuration is the controller.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '@ufes/core/config/schema.ts';
import type { DnsState } from '@ufes/core/dashboard.ts';
import { decodeDesired } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { listenAdmin } from '@ufes/io/admin.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { followArtefact } from '@ufes/io/artefact.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { readConfig } from '@ufes/io/config-file.ts';
import { checkStore, closeContext, createContext } from '@ufes/io/context.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { red } from './command.ts';
import { openWithProgress } from './commands/geoip.ts';
import { createRehearsal } from './rehearsal.ts';
import { Supervisor } from './supervisor.ts';
import { welcome } from './welcome.ts';

export interface TreeInit {
  /** Absolute. */
  readonly path: string;
  readonly config: Config;
  readonly folder: string;
  /** Laid over the configuration whenever it is read. */
  readonly overlay?: object;
  readonly demo: boolean;
  readonly logLevel: string;
}

function nodesOf(config: Config, demo: boolean): string[] {
  const edges = Object.keys(config.pops).map((pop) => `edge-${pop}`);
  const extra = demo ? [...Object.keys(config.origins).map((origin) => `demo-origin-${origin}`), 'demo-users'] : [];
  const dashboard = config.listeners.dashboard === undefined ? [] : ['dashboard'];
  return ['controller', 'dns', 'probe', 'mapper', ...edges, ...dashboard, ...extra];
}

const program = fileURLToPath(new URL('./child.ts', import.meta.url));

function forkNode(node: string): ChildProcess {
  return fork(program, [node], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

/** Runs until SIGINT or SIGTERM; resolves to the exit code. */
export async function runTree(init: TreeInit): Promise<number> {
  const { path, config, folder, demo, logLevel } = init;
  const startedMs = systemClock.monotonicMs();
  const state = resolve(folder, config.state);
  for (const line of await checkStore({ store: config.store, configFolder: folder, state })) {
    process.stderr.write(`ufes: ${line}\n`);
  }
  // Compiled once here, with progress, instead of by each process that needs it.
  await openWithProgress(state, config.geoip);
  const base = { config, configFolder: folder, configPath: path, state, logLevel };
  const context = createContext({ ...base, node: 'ufes' });
  const onFatal = (node: string, code: string, message: string) =>
    process.stderr.write(`${red(`ufes ${node}`)}: ${message} (${code}); will try again\n`);
  const { clock, log } = context;
  const supervisor = new Supervisor({ ...base, nodes: nodesOf(config, demo), clock, log, fork: forkNode, onFatal });
  addRoutes(context, supervisor);
  await listenAdmin(context);
  const stopped = new Promise<void>((done) => {
    process.on('SIGINT', () => done());
    process.on('SIGTERM', () => done());
  });
  await supervisor.start();
  context.ready(true);
  const follower = followPops(init, context, supervisor);
  await follower.start();
  if (await whenReady(supervisor, stopped)) {
    await whenChecked(state);
    process.stdout.write(welcome(config, state, demo, systemClock.monotonicMs() - startedMs));
  }
  await stopped;
  process.stderr.write('\nufes: draining …\n');
  await follower.stop();
  await supervisor.stop();
  await closeContext(context);
  return 0;
}

/** A PoP that came into the desired state gets its edge, one that left it loses it. */
function followPops({ path, demo, overlay }: TreeInit, context: ServiceContext, supervisor: Supervisor) {
  return followArtefact(context, 'desired', async (payload) => {
    const { pops } = decodeDesired(payload);
    const wanted = pops.map(({ id }) => `edge-${id}`).sort();
    const running = supervisor.nodes().filter((node) => node.startsWith('edge-'));
    if (wanted.join() === running.sort().join()) return;
    const next = await readConfig(path, overlay === undefined ? {} : { overlay });
    // A configuration that went bad meanwhile is the controller's to tell.
    if (next.ok) supervisor.update(next.config, nodesOf(next.config, demo));
  });
}

/** True once every process said it serves, or after a while with those that did not named; false when stopped first. */
async function whenReady(supervisor: Supervisor, stopped: Promise<void>): Promise<boolean> {
  let over = false;
  void stopped.then(() => {
    over = true;
  });
  const untilMs = systemClock.monotonicMs() + limits.supervisor.startMs;
  while (systemClock.monotonicMs() < untilMs && !over) {
    // One that ended said why; it is tried again, and nobody waits for it.
    if (supervisor.status().every((one) => one.state === 'ready' || one.restarts > 0)) break;
    await moment();
  }
  if (over) return false;
  for (const { node, state, why } of supervisor.status()) {
    if (state !== 'ready') process.stderr.write(`ufes ${node}: ${state} ${why}\n`);
  }
  return true;
}

/**
 * Edges that were checked before they listened are back in answers after hysteresis, and for good once no check could
 * flip them soon: a moment, and worth the wait.
 */
async function whenChecked(state: string): Promise<void> {
  const untilMs = systemClock.monotonicMs() + limits.supervisor.checkedMs;
  while (systemClock.monotonicMs() < untilMs) {
    const dns = await adminGet<DnsState>(state, 'dns', '/state').catch(() => undefined);
    if (dns?.pops.every((pop) => pop.state === 'up' && pop.holdMs === 0)) return;
    await moment();
  }
}

function moment(): Promise<void> {
  return new Promise((done) => systemClock.after(100, done));
}

const failBody = {
  type: 'object',
  required: ['pop'],
  additionalProperties: false,
  properties: { pop: { type: 'string' }, undo: { type: 'boolean' }, forMs: { type: 'number' } },
} as const;

const replaceBody = {
  type: 'object',
  required: ['node'],
  additionalProperties: false,
  properties: { node: { type: 'string' } },
} as const;

function addRoutes({ admin, clock }: ServiceContext, supervisor: Supervisor): void {
  const rehearsal = createRehearsal({
    clock,
    pops: () => supervisor.nodes().flatMap((node) => (node.startsWith('edge-') ? [node.slice('edge-'.length)] : [])),
    hold: (pop, down) => supervisor.hold(`edge-${pop}`, down),
  });
  admin.get('/status', () => supervisor.status());
  admin.post<{ Body: { node: string } }>('/replace', { schema: { body: replaceBody } }, async (request) => {
    const { node } = request.body;
    const replaced = supervisor.replace(node);
    if (replaced === undefined) throw new OperatingError('NOT_FOUND', `no node "${node}" runs here`);
    await replaced;
    return supervisor.status().find((one) => one.node === node);
  });
  admin.post<{ Body: { pop: string; undo?: boolean; forMs?: number } }>(
    '/fail',
    { schema: { body: failBody } },
    (request) => {
      const { pop, undo = false, forMs } = request.body;
      if (undo) rehearsal.undo(pop);
      else rehearsal.fail(pop, forMs);
      return { pop, down: !undo };
    },
  );
}
