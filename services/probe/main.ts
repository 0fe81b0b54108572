/**
 * probe: measures. Serves the beacon script, plans and the collector; journals beacons and forwards them; checks every PoP.
 *
 *     browser ─▶ collector ─▶ journal ─▶ forwarder ─▶ stream        vantage ─▶ votes
 */
import { join } from 'node:path';
import { type DesiredState, decodeDesired } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { type Address, cellOf, formatPrefix } from '@ufes/core/ip.ts';
import type { Component } from '@ufes/core/ports.ts';
import { TrustedProxies } from '@ufes/core/proxies.ts';
import type { RefusalReason } from '@ufes/core/quarantine-words.ts';
import { BeaconBudget } from '@ufes/core/steering/asking.ts';
import { formatEndpoint } from '@ufes/io/address.ts';
import { followArtefact } from '@ufes/io/artefact.ts';
import { createPopVantage } from '@ufes/io/health/pop-checker.ts';
import { ensureInternalCa, type InternalCa } from '@ufes/io/internal-ca.ts';
import type { ServiceMain } from '@ufes/io/service.ts';
import { addProbeRoutes } from './admin.ts';
import { Admission } from './admission.ts';
import { Agents } from './agents.ts';
import { createKnowledge, PlanDemand } from './beliefs.ts';
import { beaconReceiver, createCollector } from './collector.ts';
import { createDeparture, createHeirs } from './departure.ts';
import { createForwarder, type Forwarder } from './forward.ts';
import { type Journal, openJournal } from './journal.ts';
import { type CollectorServer, createCollectorServer } from './listen.ts';
import { createMarks } from './marks.ts';
import { createProbeMetrics } from './metrics.ts';
import { RefusalBook } from './refusals.ts';
import { buildBeacon } from './script.ts';
import { SeenPrefixes } from './seen.ts';
import { createTokenKeyring } from './token-keys.ts';

export const main: ServiceMain = (context) => {
  const { config, state, clock, log } = context;
  const metrics = createProbeMetrics(context.registry);
  const knowledge = createKnowledge(context);
  const vantage = createPopVantage(context);
  let desired: DesiredState | undefined;
  let journal: Journal | undefined;
  let forwarder: Forwarder | undefined;
  let servers: readonly CollectorServer[] = [];
  let leave: (() => Promise<number>) | undefined;
  const running: Component[] = [];

  const follower = followArtefact(context, 'desired', (payload) => {
    desired = decodeDesired(payload);
    vantage.follow(desired);
    knowledge.wantedFor(desired.pops);
  });
  metrics.observe(
    () => journal,
    () => forwarder,
  );
  const agents = new Agents(context);
  const seen = new SeenPrefixes(context);
  const refused = new RefusalBook(clock.nowMs());
  const onRefusal = (reason: RefusalReason, client: Address, source: string): void => {
    metrics.onRefusal(reason, source);
    refused.note(reason, formatPrefix(cellOf(client)), source, clock.nowMs());
  };
  addProbeRoutes(context, agents, refused);
  context.admin.post('/leave', async () => {
    if (leave === undefined) throw new OperatingError('NOT_RUNNING', 'it has not started yet');
    return { waiting: await leave() };
  });
  context.admin.get('/state', () => ({
    health: Object.fromEntries(vantage.results()),
    journal: journal === undefined ? null : journalState(journal, forwarder),
    listeners: servers.map((server) => formatEndpoint(server.address())),
    desired: desired?.version ?? null,
  }));

  return {
    async start() {
      const script = await buildBeacon(config.probes.sampleShare);
      const keyring = createTokenKeyring(context);
      const tokenKeys = keyring.keys;
      const opened = await openJournal({
        folder: join(state, 'probe', 'journal'),
        clock,
        log,
        onSync: metrics.onSync,
      });
      journal = opened;
      const collector = `${context.node}-${opened.id}`;
      forwarder = createForwarder({
        journal: opened,
        collector,
        stream: context.queue.samples,
        clock,
        log,
      });
      const { collectors, caps } = config.probes;
      const trusted = new TrustedProxies(config.trustedProxies);
      const admission = new Admission({
        tokenKeys,
        caps,
        asnOf: knowledge.asnOf,
        sawAt: (label) => seen.prefixOf(label),
        rng: context.rng,
      });
      metrics.observeCaps(() => admission.evicted);
      const parts = {
        ...context,
        tokenKeys,
        script,
        collectors,
        desired: () => desired,
        believed: knowledge.about,
        budget: new BeaconBudget(config.probes.beaconsPerSecond),
        demand: new PlanDemand(),
        append: opened.append,
        onPlan: metrics.onPlan,
        onBeacon: metrics.onBeacon,
        trusted,
        agents,
        admission,
        onRefusal,
      };
      const ca = once(() => ensureInternalCa(state, () => clock.nowMs()));
      servers = config.listeners.probe.map((listener) =>
        createCollectorServer({
          listener,
          app: createCollector(parts, listener),
          receiver: beaconReceiver(parts, listener),
          ca,
          collectors,
          trusted,
          clock,
          log,
        }),
      );
      const marks = createMarks(opened, clock, log);
      const heirs = createHeirs(context);
      leave = createDeparture({
        journal: opened,
        collector,
        evidence: context.store.evidence,
        closeDoors: async () => {
          context.ready(false, 'leaves for good');
          await Promise.all([marks, ...servers].map((component) => component.stop()));
        },
      });
      for (const component of [
        keyring,
        follower,
        knowledge.follower,
        vantage,
        agents,
        forwarder,
        heirs,
        marks,
        ...servers,
      ]) {
        await component.start();
        running.push(component);
      }
      context.ready(true);
    },
    /** Doors first; what was acknowledged is then forwarded, if the store takes it. */
    async stop() {
      context.ready(false, 'stopping');
      for (const component of running.toReversed()) await component.stop();
      await journal?.close();
    },
  };
};

function journalState(journal: Journal, forwarder: Forwarder | undefined) {
  return {
    id: journal.id,
    seq: journal.counts().reduce((sum, count) => sum + count, 0),
    waiting: journal.waiting(),
    bytes: journal.bytes(),
    segments: journal.segments().length,
    lag: forwarder?.lag() ?? 0,
    lost: forwarder?.lost() ?? 0,
  };
}

function once(make: () => Promise<InternalCa>): () => Promise<InternalCa> {
  let made: Promise<InternalCa> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
