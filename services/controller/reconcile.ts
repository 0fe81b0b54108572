/**
 * One pass, whatever caused it: plan → VIPs → certificates → phases → publish → status. Level-triggered: a restart, a
 * missed event or a failed pass ends in the same state, because each pass starts from what is there.
 *
 * Before anyone is told, it is on disk: allocations before an edge listens on them, phases with the version they are in.
 */
import { createHash } from 'node:crypto';
import { type ObjectKind, objectKinds } from '@ufes/core/config/objects.ts';
import type { Config } from '@ufes/core/config/schema.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { compareVersions, formatVersion, parseVersion, type Version } from '@ufes/core/version.ts';
import type { Verdict } from '@ufes/core/votes.ts';
import { publishArtefact } from '@ufes/io/artefact.ts';
import type { LoadedConfig } from '@ufes/io/config-file.ts';
import type { InternalCa } from '@ufes/io/internal-ca.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { type Certificates, createCertificates } from './certificates.ts';
import { createLoopbackBalancer } from './load-balancer.ts';
import type { ControllerMetrics, Counted } from './metrics.ts';
import { readNodes } from './nodes.ts';
import type { ObjectSet } from './objects.ts';
import { advance, type HostPhase, isPublished, type OrderInput, published } from './order.ts';
import { assemble, type ClassVip, type DesiredContent, finish, type Plan, plan } from './plan.ts';
import type { StateFile } from './state.ts';
import type { StatusFiles } from './status.ts';

/** One directory of objects is one cluster. */
const cluster = 'files';

export interface ReconcilerInit {
  readonly context: Pick<ServiceContext, 'state' | 'node' | 'clock' | 'rng' | 'log' | 'bus' | 'store' | 'ready'>;
  readonly loaded: () => LoadedConfig;
  readonly objects: () => ObjectSet;
  /** Loaded. */
  readonly state: StateFile;
  readonly ca: InternalCa;
  /** Undefined while the configuration has no Kubernetes objects. */
  readonly statusFiles: () => StatusFiles | undefined;
  readonly metrics: ControllerMetrics;
}

export interface Reconciler extends Component, Counted {
  /** Asks for a pass; resolves when no more is wanted. */
  wake(): Promise<void>;
  /** What another configuration would come to, once every host of an object is live. Changes nothing. */
  preview(loaded: Pick<LoadedConfig, 'config' | 'zones' | 'certificates'>): DesiredContent;
}

export function createReconciler(init: ReconcilerInit): Reconciler {
  const { context, state, metrics } = init;
  const { clock, log, store } = context;
  const verdicts = new Map<string, Verdict>();
  const certificates: Certificates = createCertificates({
    secrets: store.secrets,
    ca: init.ca,
    clock,
    log,
    before: state.get().certificates,
  });
  const balancer = createLoopbackBalancer({
    clock,
    config: () => init.loaded().config,
    quarantineMs: () => Math.max(limits.controller.quarantineMs, longestTtlMs(init.loaded().config)),
    allocations: state.get().allocations,
    save: (allocations) => state.update({ allocations }),
  });
  /** Why a class has no VIP at a PoP, by `CLASS|POP`. */
  const vipProblems = new Map<string, string>();

  // --- VIPs --------------------------------------------------------------------------------------------------------

  const serviceId = (className: string) => `class/${className}`;

  function vipOf(className: string, pop: string): { address?: string; problem?: string } {
    const held = balancer.allocations().held[`${cluster}|${serviceId(className)}|${pop}`];
    if (held !== undefined) return { address: held.address };
    const problem = vipProblems.get(`${className}|${pop}`);
    return problem === undefined ? {} : { problem };
  }

  /** True when there is a new VIP, or a new reason for having none: then the plan is another one. */
  async function ensureVips({ classes, classPops }: Plan): Promise<boolean> {
    let isChanged = false;
    for (const className of classes) {
      for (const pop of classPops) {
        const key = `${className}|${pop}`;
        const before = vipOf(className, pop);
        if (before.address !== undefined) continue;
        try {
          await balancer.ensureLoadBalancer(cluster, { id: serviceId(className), pop }, []);
          vipProblems.delete(key);
          isChanged = true;
        } catch (thrown) {
          if (!(thrown instanceof OperatingError && thrown.code === 'POOL_EXHAUSTED')) throw thrown;
          if (thrown.message !== before.problem)
            log.error({ class: className, pop, code: thrown.code }, thrown.message);
          isChanged ||= thrown.message !== before.problem;
          vipProblems.set(key, thrown.message);
        }
      }
    }
    return isChanged;
  }

  /** All VIPs in use. One that no host needs goes once nobody can hold a record with it. */
  async function releaseVips(phases: ReadonlyMap<string, HostPhase>, nowMs: number): Promise<ClassVip[]> {
    const wanted = new Set<string>();
    const busy = new Set<string>();
    for (const { programme } of phases.values()) {
      busy.add(serviceId(programme.className));
      for (const { pop } of programme.candidates) wanted.add(`${cluster}|${serviceId(programme.className)}|${pop}`);
    }
    const unwanted: Record<string, number> = {};
    for (const key of Object.keys(balancer.allocations().held)) {
      const [, id, pop] = key.split('|') as [string, string, string];
      if (wanted.has(key)) continue;
      const sinceMs = state.get().unwanted[key] ?? nowMs;
      const isOver = !busy.has(id) || nowMs - sinceMs >= longestTtlMs(init.loaded().config);
      if (isOver && init.objects().isComplete) await balancer.ensureLoadBalancerDeleted(cluster, { id, pop });
      else unwanted[key] = sinceMs;
    }
    await state.update({ unwanted });
    return Object.entries(balancer.allocations().held).map(([key, { pop, address }]) => {
      const className = key.split('|')[1]!.slice('class/'.length);
      return { className, pop, address };
    });
  }

  // --- Planning ----------------------------------------------------------------------------------------------------

  function createdMs(objects: ObjectSet, key: string): number {
    const written = Date.parse(objects.Ingress.get(key)?.object.metadata.creationTimestamp ?? '');
    return Number.isNaN(written) ? (state.get().owners[key]?.firstSeenMs ?? clock.nowMs()) : written;
  }

  function preview(loaded: Pick<LoadedConfig, 'config' | 'zones' | 'certificates'>): DesiredContent {
    const objects = init.objects();
    const { pops } = loaded.config;
    // A PoP that is not there yet has given no address: one of its pool stands for it.
    const vip = (className: string, pop: string) => {
      const address = pops[pop]?.pool?.split('/')[0];
      return { ...(address !== undefined && { address }), ...vipOf(className, pop) };
    };
    const next = plan({ ...loaded, objects, createdMs: (key) => createdMs(objects, key), vip });
    const phases = next.programmes.map((programme): HostPhase => {
      const all = programme.candidates.map(({ pop, address }) => [pop, { address, isApplied: true }]);
      return { programme, state: 'live', sinceMs: 0, pops: Object.fromEntries(all) };
    });
    return assemble(next, phases, []);
  }

  async function planWithVips(loaded: LoadedConfig, objects: ObjectSet): Promise<Plan> {
    const input = { ...loaded, objects, createdMs: (key: string) => createdMs(objects, key), vip: vipOf };
    const first = plan(input);
    return (await ensureVips(first)) ? plan(input) : first;
  }

  async function rememberOwners(objects: ObjectSet, phases: ReadonlyMap<string, HostPhase>): Promise<void> {
    const before = state.get().owners;
    const kept = new Set([...phases.values()].map(({ programme }) => programme.owner));
    const owners: Record<string, { firstSeenMs: number; source: string }> = {};
    for (const [key, one] of Object.entries(before)) if (kept.has(key) || !objects.isComplete) owners[key] = one;
    for (const [key, { source }] of objects.Ingress) {
      owners[key] = { firstSeenMs: before[key]?.firstSeenMs ?? clock.nowMs(), source };
    }
    await state.update({ owners });
  }

  /** An object that is not seen may exist all the same: its file, or the folder, cannot be understood. */
  function isHeld(objects: ObjectSet, { programme }: HostPhase): boolean {
    if (!objects.isComplete) return true;
    if (objects.Ingress.has(programme.owner)) return false;
    const source = state.get().owners[programme.owner]?.source;
    const isWrong = objects.problems.some(({ kind, key }) => kind === 'Ingress' && key === programme.owner);
    return isWrong || (source !== undefined && objects.unreadable.has(source));
  }

  // --- Publishing --------------------------------------------------------------------------------------------------

  /** The version that shows `content`: a new one when it differs from the last, or when the store lost that. */
  async function publish(content: DesiredContent): Promise<Version> {
    const hash = createHash('sha256').update(JSON.stringify(content)).digest('hex');
    const last = state.get().published;
    const lastVersion = last && parseVersion(last.version);
    if (last?.hash === hash && lastVersion !== undefined) {
      const newest = await store.artefacts.newestVersion('desired');
      if (newest !== undefined && compareVersions(newest, lastVersion) >= 0) return lastVersion;
    }
    const nowMs = clock.nowMs();
    // RFC 1982 arithmetic compares serials: seconds since the epoch rise, and one more when the clock does not.
    const serial = Math.max(Math.floor(nowMs / 1_000), (last?.serial ?? 0) + 1) >>> 0;
    const version = await publishArtefact(context, 'desired', (own) =>
      Buffer.from(JSON.stringify(finish(content, serial, { version: own, createdAtMs: nowMs }))),
    );
    await state.update({ published: { hash, version: formatVersion(version), serial } });
    metrics.published();
    const { services, hosts, vips } = content;
    log.info(
      { version: formatVersion(version), serial, services: services.length, hosts: hosts.length, vips: vips.length },
      'desired state published',
    );
    return version;
  }

  // --- The pass ----------------------------------------------------------------------------------------------------

  /** When to come again, if nothing happens before. */
  async function pass(): Promise<number | undefined> {
    const loaded = init.loaded();
    const objects = init.objects();
    const before = new Map(Object.entries(state.get().phases));
    await rememberOwners(objects, before);
    const next = await planWithVips(loaded, objects);
    const order: Omit<OrderInput, 'nowMs'> = {
      programmes: new Map(next.programmes.map((programme) => [programme.host, programme])),
      isHeld: (phase) => isHeld(objects, phase),
      taken: new Set(next.base.hosts.map(({ host }) => host)),
      nodes: await readNodes(store.live, loaded.config.probes.health.intervalMs, verdicts, clock.nowMs()),
    };
    let { phases, nextMs } = advance(before, { ...order, nowMs: clock.nowMs() });
    const vips = await releaseVips(phases, clock.nowMs());
    await ensureCertificates(next, phases);
    await state.update({ phases: Object.fromEntries(phases), certificates: certificates.hosts() });
    const version = await publish(assemble(next, [...phases.values()], vips));
    if (!isPublished(phases)) {
      phases = published(phases, version, clock.nowMs());
      nextMs = clock.nowMs() + limits.controller.appliedMs;
      await state.update({ phases: Object.fromEntries(phases) });
    }
    await init.statusFiles()?.write(next.verdicts, phases);
    return nextMs;
  }

  /** Hosts on their way out keep their certificate until the route is gone. */
  async function ensureCertificates(next: Plan, phases: ReadonlyMap<string, HostPhase>): Promise<void> {
    const planned = new Set(next.certificates.map(({ host }) => host));
    const leaving = [...phases.keys()].filter((host) => !planned.has(host));
    await certificates.ensure([...next.certificates, ...leaving.map((host) => ({ host, isWaiting: true }))]);
  }

  const loop = createLoop(context, pass, metrics);
  return {
    ...loop,
    preview,
    problemCount: () => init.objects().problems.length,
    objectCounts: () => (Object.keys(objectKinds) as ObjectKind[]).map((kind) => [{ kind }, init.objects()[kind].size]),
    phaseCounts: () => {
      const counts = new Map<string, number>();
      for (const phase of Object.values(state.get().phases))
        counts.set(phase.state, (counts.get(phase.state) ?? 0) + 1);
      return [...counts].map(([phase, count]) => [{ phase }, count]);
    },
    vipCounts: () => {
      const { held, quarantine } = balancer.allocations();
      const count = (list: readonly { pop: string }[], pop: string) => list.filter((one) => one.pop === pop).length;
      return Object.keys(init.loaded().config.pops).flatMap((pop): [{ pop: string; state: string }, number][] => [
        [{ pop, state: 'held' }, count(Object.values(held), pop)],
        [{ pop, state: 'quarantine' }, count(quarantine, pop)],
      ]);
    },
    certificateEnds: () => [...certificates.endsMs()].map(([host, endMs]) => [{ host }, endMs / 1_000]),
  };
}

/** Longest TTL of any answer that could name a VIP. */
function longestTtlMs({ kubernetes, services }: Config): number {
  const ttls = [kubernetes?.ttl.max ?? 0, ...Object.values(services).map(({ ttl }) => ttl.max)];
  return Math.max(...ttls) * 1_000;
}

type LoopContext = Pick<ServiceContext, 'clock' | 'log' | 'ready'>;

/** One pass at a time; what happens during one causes another. A failed one is tried again. */
function createLoop(context: LoopContext, pass: () => Promise<number | undefined>, metrics: ControllerMetrics) {
  const { clock, log } = context;
  let isWanted = false;
  let isStopped = true;
  let hasFailed = false;
  let running: Promise<void> | undefined;
  let cancelNext: (() => void) | undefined;

  async function once(): Promise<void> {
    const startMs = clock.monotonicMs();
    let waitMs: number | undefined;
    try {
      const nextMs = await pass();
      waitMs = nextMs === undefined ? undefined : Math.max(1, nextMs - clock.nowMs());
      if (hasFailed) log.info({}, 'reconciling again');
      hasFailed = false;
      context.ready(true);
      metrics.reconciled((clock.monotonicMs() - startMs) / 1_000, 'ok');
    } catch (thrown) {
      const why = describeError(thrown);
      if (!hasFailed) log.error({ code: thrown instanceof OperatingError ? thrown.code : 'INTERNAL' }, why);
      hasFailed = true;
      waitMs = limits.controller.retryMs;
      context.ready(false, why);
      metrics.reconciled((clock.monotonicMs() - startMs) / 1_000, 'failed');
    }
    cancelNext?.();
    cancelNext = waitMs === undefined || isStopped ? undefined : clock.after(waitMs, () => void wake());
  }

  function wake(): Promise<void> {
    isWanted = true;
    running ??= (async () => {
      while (isWanted && !isStopped) {
        isWanted = false;
        await once();
      }
      running = undefined;
    })();
    return running;
  }

  const component: Component = {
    async start() {
      isStopped = false;
      await wake();
    },
    async stop() {
      isStopped = true;
      cancelNext?.();
      await running;
    },
  };
  return { ...component, wake };
}
