/** Shows: what the other processes know, as an HTTP API and as pages. Holds nothing of its own; any part may be down. */

import { resolve } from 'node:path';
import { decodeDesired } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import { geoipRefresh } from '@ufes/geoip/refresh.ts';
import { formatEndpoint } from '@ufes/io/address.ts';
import { adminGet, adminRequest } from '@ufes/io/admin-client.ts';
import { followArtefact } from '@ufes/io/artefact.ts';
import { listenTcp } from '@ufes/io/http.ts';
import { registerJobsApi } from '@ufes/io/queue/jobs-api.ts';
import type { ServiceContext, ServiceMain } from '@ufes/io/service.ts';
import { dashboardEndpoint } from './address.ts';
import { buildSite } from './bundle.ts';
import { type Ask, createCollector } from './collect.ts';
import { createEventHub } from './events.ts';
import { geoipPlaces } from './places.ts';
import { createServer } from './server.ts';
import { topologyOfConfig, topologyOfDesired } from './topology.ts';

export const main: ServiceMain = (context) => {
  const { config, log, ready, registry } = context;
  let stop = async (): Promise<void> => {};
  return {
    async start() {
      if (config.listeners.dashboard === undefined) {
        log.info({}, 'not configured: set listeners.dashboard, e.g. 127.0.0.1:8090');
        ready(true);
        return;
      }
      const endpoint = dashboardEndpoint(config.listeners.dashboard);
      const hub = createEventHub();
      const ask = askOthers(context.state);
      const { clock, configFolder, state } = context;
      const file = (choice: string) =>
        choice === 'builtin' || choice === 'none' ? choice : resolve(configFolder, choice);
      const geoip = {
        city: file(config.geoip.city),
        asn: file(config.geoip.asn),
        update: config.geoip.update,
        state,
        log,
      };
      const places = geoipPlaces(geoip, clock);
      const refresh = geoipRefresh(context, false);
      const site = await buildSite();
      let topology = topologyOfConfig(config);
      const desired = followArtefact(context, 'desired', (payload) => {
        topology = topologyOfDesired(decodeDesired(payload));
      });
      const collector = createCollector({ topology: () => topology, clock, ask, places, hub });
      let notReady: string | undefined = 'starting';
      const metrics = async () => ({ type: registry.contentType, text: await registry.metrics() });
      const app = createServer({
        log,
        site,
        collector,
        hub,
        ask,
        addJobs: (to) => registerJobsApi(to, context, '/api/jobs'),
        metrics,
        notReady: () => notReady,
      });
      stop = async () => {
        await collector.stop();
        await desired.stop();
        await places.stop();
        for (const one of refresh) await one.stop();
        hub.close();
        await app.close();
      };
      for (const one of refresh) await one.start();
      await places.start();
      await desired.start();
      await collector.start();
      const bound = await listenTcp(app, endpoint);
      notReady = undefined;
      ready(true);
      log.info({ url: `http://${formatEndpoint(bound)}/` }, 'dashboard is served');
    },
    stop: () => stop(),
  };
};

function askOthers(state: ServiceContext['state']): Ask {
  const options = { timeoutMs: limits.dashboard.askMs };
  return {
    json: (node, path, timeoutMs = limits.dashboard.askMs) => adminGet<unknown>(state, node, path, { timeoutMs }),
    any: (node, path) => adminRequest(state, node, 'GET', path, undefined, options),
  };
}
