/**
 * dns: answers. Wiring only; the flow from query to answer is in answer.ts, from artefacts to tables in serving.ts.
 *
 * Start: last-good artefacts of the own disk, then of the store; one round of health checks; then the sockets open. With
 * no desired state anywhere they open too and answer SERVFAIL until there is one.
 */
import { createCookieKeys } from '@ufes/core/dns/cookie.ts';
import { limits } from '@ufes/core/limits.ts';
import { liveState } from '@ufes/core/live.ts';
import { followArtefact } from '@ufes/io/artefact.ts';
import type { ServiceMain } from '@ufes/io/service.ts';
import { addRoutes } from './admin.ts';
import { Answerer } from './answer.ts';
import { createCookieKeyring } from './cookie-keys.ts';
import { Counters } from './counters.ts';
import { createListeners } from './listen.ts';
import { createLiveFeed } from './live-feed.ts';
import { registerMetrics, registerPopGauge } from './metrics.ts';
import { ProbeQueries, RecentAnswers } from './recent.ts';
import { createRateTable } from './rrl.ts';
import { createServing } from './serving.ts';
import { Wire, wireOptions } from './wire.ts';

export const main: ServiceMain = (context) => {
  const { config, clock, log, registry, admin } = context;
  const counters = new Counters();
  const recent = new RecentAnswers();
  const probes = new ProbeQueries();
  const cookieKeys = createCookieKeys();
  const keyring = createCookieKeyring(context, cookieKeys);
  const rates = createRateTable(new DataView(context.rng.bytes(4).buffer).getInt32(0));
  const wire = new Wire(wireOptions(config), { cookieKeys, rates });
  const answerer = new Answerer({ clock, counters, recent, probes, wire });
  const feed = createLiveFeed(context);
  const serving = createServing({ answerer, feed, counts: counters.answers, log });
  let open = false;
  const tellReady = () => {
    const why = answerer.tables === undefined ? 'no desired state yet' : open ? undefined : 'starting';
    context.ready(why === undefined, why);
  };
  const map = followArtefact(context, 'map', serving.applyMap);
  const desired = followArtefact(context, 'desired', (payload) => {
    serving.applyDesired(payload);
    tellReady();
  });
  const listeners = createListeners({ endpoints: config.listeners.dns, answerer, clock, log, counters });

  registerMetrics(registry, () => counters);
  registerPopGauge(registry, function* () {
    const { tables } = answerer;
    for (const [pop, { id }] of tables?.desired.pops.entries() ?? []) yield [{ pop: id }, liveState(tables!.live, pop)];
  });
  addRoutes({ admin, clock, answerer, feed, recent, probes });

  return {
    async start() {
      await keyring.start();
      await map.start();
      await desired.start();
      await feed.start();
      await feed.settled(Math.min(limits.dns.startMs, config.probes.health.timeoutMs));
      await listeners.start();
      open = true;
      tellReady();
    },
    async stop() {
      await listeners.stop();
      await feed.stop();
      await desired.stop();
      await map.stop();
      await keyring.stop();
    },
  };
};
