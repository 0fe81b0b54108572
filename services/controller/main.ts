/**
 * controller: programs. Configuration and objects → desired state, certificates, VIPs and status files.
 *
 *     ufes.yaml ─▶ config source ─┐
 *     objects/  ─▶ object source ─┼─▶ reconcile ─▶ desired state, secrets, state.json, status/
 *     live state (applied, votes) ┘
 */
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import { keySpecs, rotateKeys } from '@ufes/io/keyring.ts';
import { registerJobsApi } from '@ufes/io/queue/jobs-api.ts';
import { scheduledJob } from '@ufes/io/queue/scheduled.ts';
import type { ServiceMain } from '@ufes/io/service.ts';
import { createConfigSource } from './config-source.ts';
import { createDirectorySource } from './directory-source.ts';
import { createMetrics, observe } from './metrics.ts';
import { noObjects, type ObjectSource } from './objects.ts';
import { preview } from './preview.ts';
import { createReconciler, type Reconciler } from './reconcile.ts';
import { StateFile } from './state.ts';
import { createStatusFiles, type StatusFiles } from './status.ts';

export const main: ServiceMain = (context) => {
  const { clock, log, bus, registry } = context;
  const state = new StateFile(context.state);
  const metrics = createMetrics(registry);
  registerJobsApi(context.admin, context);
  let reconciler: Reconciler | undefined;
  let objects: { readonly folders: string; readonly source: ObjectSource; readonly status: StatusFiles } | undefined;
  let moving: Promise<void> = Promise.resolve();
  let stops: (() => void)[] = [];
  const keys = scheduledJob(context, {
    name: 'keys',
    id: 'all',
    everyMs: limits.keys.jobMs,
    run: () => rotateKeys(context, Object.values(keySpecs)),
  });

  const wake = () => void reconciler?.wake();
  const config = createConfigSource(context, () => {
    moving = moving.then(openObjects).then(wake, (thrown) => log.error({}, String(thrown)));
  });

  /** The folders of objects and status may be others after the configuration changed. */
  async function openObjects(): Promise<void> {
    const { config: now, folder } = config.current();
    const folders =
      now.kubernetes && [now.kubernetes.objects, now.kubernetes.status].map((one) => resolve(folder, one));
    await clearStatus(folders?.[1]);
    if (folders?.join('\n') === objects?.folders) return;
    await objects?.source.stop();
    objects = undefined;
    if (folders === undefined) return;
    const [from, to] = folders as [string, string];
    const status = createStatusFiles(to, clock, log);
    await mkdir(from, { recursive: true });
    await status.load();
    await state.update({ statusFolder: to });
    const source = createDirectorySource({ folder: from, clock, log, onChange: wake });
    await source.start();
    objects = { folders: folders.join('\n'), source, status };
  }

  /** Status files that nobody keeps up any more would go on saying what was; also after a restart. */
  async function clearStatus(folder: string | undefined): Promise<void> {
    const { statusFolder } = state.get();
    if (statusFolder === undefined || statusFolder === folder) return;
    if (objects === undefined) {
      const old = createStatusFiles(statusFolder, clock, log);
      await old.load();
      await old.clear();
    } else await objects.status.clear();
    await state.update({ statusFolder: undefined });
  }

  /** Without a folder of objects there are none, which is known. */
  const currentObjects = () =>
    objects?.source.current() ?? { ...noObjects, isComplete: config.current().config.kubernetes === undefined };

  context.admin.get('/state', () => {
    const { phases, allocations, published } = state.get();
    return {
      desired: published === undefined ? null : { version: published.version, serial: published.serial },
      config: { isRefused: config.isFailed() },
      vips: allocations,
      phases: Object.values(phases).map(({ programme, state: phase, sinceMs, version, pops }) => ({
        ...{ host: programme.host, owner: programme.owner, state: phase, sinceMs, version: version ?? null, pops },
      })),
      statuses: objects?.status.current() ?? [],
      problems: currentObjects().problems,
    };
  });

  context.admin.post<{ Body: unknown }>('/plan', ({ body }) => {
    if (reconciler === undefined) throw new OperatingError('NOT_RUNNING', 'the controller is starting');
    return preview(reconciler, body);
  });

  return {
    async start() {
      await state.load(log);
      const ca = await ensureInternalCa(context.state, () => clock.nowMs());
      await config.start();
      await moving;
      await openObjects();
      reconciler = createReconciler({
        context,
        loaded: config.current,
        objects: currentObjects,
        state,
        ca,
        statusFiles: () => objects?.status,
        metrics,
      });
      observe(registry, reconciler, config);
      stops = [
        bus.on('live', wakeIfWaiting),
        // Level-triggered: what a wake-up missed is seen here.
        clock.every(limits.controller.certificatesMs, wake),
        clock.every(limits.store.pollMs, wakeIfWaiting),
      ];
      await reconciler.start();
      await keys.start();
      const version = state.get().published?.version;
      log.info({ version: version ?? null }, 'controller: started');
    },
    async stop() {
      for (const stop of stops.splice(0)) stop();
      await keys.stop();
      await config.stop();
      await moving;
      await objects?.source.stop();
      await reconciler?.stop();
    },
  };

  /** Live state matters only while a host waits for nodes. */
  function wakeIfWaiting(): void {
    const waits = Object.values(state.get().phases).some(
      (phase) => phase.state !== 'draining' && !(phase.state === 'live' && allApplied(phase.pops)),
    );
    if (waits) wake();
  }
};

function allApplied(pops: Readonly<Record<string, { readonly isApplied: boolean }>>): boolean {
  return Object.values(pops).every(({ isApplied }) => isApplied);
}
