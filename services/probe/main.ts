/**
 * probe: measures. Serves the beacon script, plans and the collector; journals beacons and forwards them; checks every PoP.
 *
 *     browser ─▶ collector ─▶ journal ─▶ forwarder ─▶ stream        vantage ─▶ votes
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type DesiredPop, type DesiredState, decodeDesired } from '@ufes/core/desired.ts';
import type { Address } from '@ufes/core/ip.ts';
import type { Component } from '@ufes/core/ports.ts';
import { formatEndpoint } from '@ufes/io/address.ts';
import { followArtefact } from '@ufes/io/artefact.ts';
import { createPopVantage } from '@ufes/io/health/pop-checker.ts';
import { ensureInternalCa, type InternalCa } from '@ufes/io/internal-ca.ts';
import { ensureKeyFile } from '@ufes/io/keys.ts';
import type { ServiceMain } from '@ufes/io/service.ts';
import { beaconReceiver, createCollector } from './collector.ts';
import { createForwarder, type Forwarder } from './forward.ts';
import { type Journal, openJournal } from './journal.ts';
import { type CollectorServer, createCollectorServer } from './listen.ts';
import { createProbeMetrics } from './metrics.ts';
import { createPlaces } from './places.ts';
import { buildBeacon } from './script.ts';

export const main: ServiceMain = (context) => {
  const { config, state, clock, log } = context;
  const metrics = createProbeMetrics(context.registry);
  const places = createPlaces(context);
  const vantage = createPopVantage(context);
  let desired: DesiredState | undefined;
  let journal: Journal | undefined;
  let forwarder: Forwarder | undefined;
  let servers: readonly CollectorServer[] = [];
  const running: Component[] = [];

  const follower = followArtefact(context, 'desired', (payload) => {
    desired = decodeDesired(payload);
    vantage.follow(desired);
    places.wantedFor(desired.pops);
  });
  metrics.observe(
    () => journal,
    () => forwarder,
  );
  context.admin.get('/state', () => ({
    health: Object.fromEntries(vantage.results()),
    journal: journal === undefined ? null : journalState(journal, forwarder),
    listeners: servers.map((server) => formatEndpoint(server.address())),
    desired: desired?.version ?? null,
  }));

  return {
    async start() {
      const script = await buildBeacon(config.probes.sampleShare);
      const tokenKey = ensureKeyFile(join(state, 'keys', 'token.key'), () => randomBytes(32));
      const opened = await openJournal({
        folder: join(state, 'probe', 'journal'),
        clock,
        log,
        onSync: metrics.onSync,
      });
      journal = opened;
      forwarder = createForwarder({
        journal: opened,
        collector: `${context.node}-${opened.id}`,
        stream: context.queue.samples,
        clock,
        log,
      });
      const { collectors } = config.probes;
      const parts = {
        ...context,
        tokenKey,
        script,
        collectors,
        desired: () => desired,
        nearest: (client: Address, pops: readonly DesiredPop[]) => places.nearest(client, pops),
        append: opened.append,
        onPlan: metrics.onPlan,
        onBeacon: metrics.onBeacon,
      };
      const ca = once(() => ensureInternalCa(state, () => clock.nowMs()));
      servers = config.listeners.probe.map((listener) =>
        createCollectorServer({
          listener,
          app: createCollector(parts, listener),
          receiver: beaconReceiver(parts, listener),
          ca,
          collectors,
          clock,
          log,
        }),
      );
      for (const component of [follower, vantage, forwarder, ...servers]) {
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
