/**
 * dns: answers. Wiring only; the flow from query to answer is in answer.ts, from artefacts to tables in serving.ts.
 *
 * Start: last-good artefacts of the own disk, then of the store; one round of health checks; then the sockets open. With
 * no desired state anywhere they open too and answer SERVFAIL until there is one.
 */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { createCookieKeys } from '@ufes/core/dns/cookie.ts';
import { limits } from '@ufes/core/limits.ts';
import { liveState } from '@ufes/core/live.ts';
import { mapHeadBytes } from '@ufes/core/steering/map-bytes.ts';
import { formatVersion } from '@ufes/core/version.ts';
import { followArtefact } from '@ufes/io/artefact.ts';
import { stepBack } from '@ufes/io/priority.ts';
import type { ServiceContext, ServiceMain } from '@ufes/io/service.ts';
import { whyNoBatches } from '@ufes/io/udp/mmsg.ts';
import { addRoutes } from './admin.ts';
import { AnswerAgain } from './again.ts';
import { Answerer } from './answer.ts';
import { createCookieKeyring } from './cookie-keys.ts';
import { Counters, joined } from './counters.ts';
import { registerHealthMetrics } from './health-metrics.ts';
import { createListeners } from './listen.ts';
import { createLiveFeed } from './live-feed.ts';
import { registerMetrics, registerPopGauge, registerThreadMetrics } from './metrics.ts';
import { addOrderRoutes } from './order-routes.ts';
import { PastThread } from './past-thread.ts';
import { tellProbeNames } from './probe-names.ts';
import { QueryLog } from './query-log.ts';
import { ProbeQueries, RecentAnswers } from './recent.ts';
import { addReplaceRoutes, takeSockets } from './replace.ts';
import { createRateTable } from './rrl.ts';
import { createServing } from './serving.ts';
import type { Tables } from './tables.ts';
import { createThreads, type Threads, type ThreadsInit } from './threads.ts';
import { addVerdictRoutes } from './verdicts.ts';
import { Wire, wireOptions } from './wire.ts';

export const main: ServiceMain = (context) => {
  const { config, clock, log, registry, admin } = context;
  const counters = new Counters();
  const recent = new RecentAnswers();
  const probes = new ProbeQueries();
  const cookieKeys = createCookieKeys();
  const keyring = createCookieKeyring(context, cookieKeys);
  const rates = createRateTable(new DataView(context.rng.bytes(4).buffer).getInt32(0));
  const options = wireOptions(config);
  const shared = { cookieKeys, rates };
  const wire = new Wire(options, shared);
  const answerer = new Answerer({ clock, counters, recent, probes, wire });
  const feed = createLiveFeed(context, undefined, () => appliedVersions(answerer.tables));
  const { queryLog } = config.dns;
  const queries = queryLog && new QueryLog(resolve(context.configFolder, queryLog.file), log);
  const readers = { recent, probes, log: queries };
  const threads = threadsFor(context, { wire: options, shared, logEvery: queryLog?.every ?? 0, readers });
  const serving = createServing({ answerer, threads, feed, counts: counters.answers, clock, log });
  let open = false;
  const tellReady = () => {
    const why = answerer.tables === undefined ? 'no desired state yet' : open ? undefined : 'starting';
    context.ready(why === undefined, why);
  };
  const map = followArtefact(
    context,
    'map',
    async (payload, version, rest) => {
      await serving.applyMap(payload, version, rest);
      feed.refresh();
    },
    { head: mapHeadBytes, allocate: serving.mapBuffer },
  );
  const desired = followArtefact(context, 'desired', (payload) => {
    serving.applyDesired(payload);
    feed.refresh();
    tellReady();
  });
  const listeners = createListeners({
    endpoints: config.listeners.dns,
    answerer,
    threads,
    ...(context.replaces && { taken: () => takeSockets(context) }),
    ending: () => {
      wire.tcpIdleMs = 0;
    },
    clock,
    log,
    counters,
  });
  const probeNames = tellProbeNames(context, probes, () => threads?.gather());
  addReplaceRoutes(context, listeners);

  registerMetrics(registry, () => joined([counters, ...(threads?.counters() ?? [])]));
  if (threads !== undefined) registerThreadMetrics(registry, threads);
  registerPopGauge(registry, function* () {
    const { tables } = answerer;
    for (const [pop, { id }] of tables?.desired.pops.entries() ?? []) yield [{ pop: id }, liveState(tables!.live, pop)];
  });
  registerHealthMetrics(registry, feed);
  const place = { store: config.store, configFolder: context.configFolder, state: context.state };
  const past = new PastThread({ place, wire: options }, clock);
  addRoutes({
    admin,
    node: context.node,
    clock,
    answerer,
    again: new AnswerAgain(options),
    past,
    feed,
    recent,
    probes,
    listeners: config.listeners.dns,
    gather: () => threads?.gather(),
  });
  addVerdictRoutes({ ...context, feed, desired: () => answerer.tables?.desired });
  addOrderRoutes({ ...context, feed, desired: () => answerer.tables?.desired });

  return {
    async start() {
      await keyring.start();
      await threads?.start();
      // Once they are there: a thread begins with the priority of the one that starts it.
      if (threads !== undefined) stepBack(limits.dns.mainStepsBack);
      await desired.start();
      // Health is checked while the map, which may be large, is read.
      await feed.start();
      await map.start();
      await feed.settled(Math.min(limits.dns.startMs, config.probes.health.timeoutMs));
      await listeners.start();
      await probeNames.start();
      open = true;
      tellReady();
      if (context.replaces) await new Promise<void>((resolve) => clock.after(limits.dns.overlapMs, resolve));
    },
    async stop() {
      await probeNames.stop();
      await listeners.stop();
      await feed.stop();
      await desired.stop();
      await map.stop();
      await keyring.stop();
      await queries?.close();
      await past.stop();
    },
  };
};

/** Threads with batched system calls, or undefined where UDP is node:dgram's; the log says which. */
function threadsFor(
  { config, clock, log }: ServiceContext,
  init: Pick<ThreadsInit, 'wire' | 'shared' | 'logEvery' | 'readers'>,
): Threads | undefined {
  const why = config.dns.udp === 'dgram' ? 'configured' : whyNoBatches();
  if (why === undefined)
    return createThreads({ ...init, count: config.dns.threads ?? availableParallelism(), clock, log });
  log[config.dns.udp === 'dgram' ? 'info' : 'warn']({ why }, 'dns: UDP by node:dgram, one packet at a time');
  return undefined;
}

function appliedVersions(tables: Tables | undefined) {
  return {
    map: tables?.mapVersion && formatVersion(tables.mapVersion),
    desired: tables && formatVersion(tables.desired.version),
  };
}
