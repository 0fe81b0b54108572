/** The mapper: folds samples into evidence, and evidence into the steering map. Wiring only. */

import type { Component } from '@ufes/core/ports.ts';
import { type Geoip, openGeoip } from '@ufes/geoip/geoip.ts';
import { geoipRefresh } from '@ufes/geoip/refresh.ts';
import { watchGeoip } from '@ufes/geoip/watch.ts';
import { registerJobsApi } from '@ufes/io/queue/jobs-api.ts';
import type { ServiceContext, ServiceMain } from '@ufes/io/service.ts';
import { Builder } from './builder.ts';
import { registerDoubtsApi } from './doubts-api.ts';
import { type Running, registerEvidenceApi } from './evidence-api.ts';
import { Folder } from './fold.ts';
import { registerForecastApi } from './forecast-api.ts';
import { Forecasts } from './forecasts.ts';
import { registerHistoryApi } from './history-api.ts';
import { mapperJobs, registerRollupApi } from './jobs.ts';
import { mapperMetrics, registerGauges } from './metrics.ts';
import { PopulationKeeper } from './populations.ts';
import { currentFloors } from './quarantine.ts';

export const main: ServiceMain = (context) => {
  const running: Running = {};
  const components: Component[] = [];
  registerEvidenceApi(context, running);
  registerDoubtsApi(context, running);
  registerHistoryApi(context, running);
  registerForecastApi(context, running);
  registerJobsApi(context.admin, context);
  registerRollupApi(context);
  const metrics = mapperMetrics(context.registry);

  return {
    start: async () => {
      const { config, state, log } = context;
      const choice = { ...config.geoip, state, log, onProgress: progress(context) };
      const geoip = await openGeoip(choice);
      const folder: Folder = new Folder(context, metrics, (prefixes) => running.builder?.evidenceChanged(prefixes));
      registerGauges(context.registry, {
        prefixes: () => folder.table.prefixes,
        sketchBytes: () => folder.table.bytes,
        lag: () => folder.lag(),
      });
      running.folder = folder;
      // Evidence first: a map built before it would undo what the one in service knows.
      await folder.load();
      components.push(folder);
      const builder = new Builder(context, folder, geoip, metrics);
      running.builder = builder;
      folder.floorOf = currentFloors(() => builder.current);
      await builder.start();
      components.push(builder);
      // Where PoPs are tells what no client can have timed.
      await folder.start();
      const forecasts = new Forecasts(context, builder);
      running.forecasts = forecasts;
      await forecasts.start();
      components.push(forecasts);
      const populations = new PopulationKeeper(context, (client) => builder.geoip.asn(client));
      running.populations = populations;
      await populations.start();
      components.push(populations);
      const swapped = (edition: Geoip) => builder.geoipSwapped(edition);
      const watch = watchGeoip(choice, context.clock, swapped, builder.geoip);
      await watch.start();
      components.push(watch);
      for (const job of [...mapperJobs(context, builder, folder.table), ...geoipRefresh(context, true)]) {
        await job.start();
        components.push(job);
      }
      context.ready(true);
    },
    stop: async () => {
      context.ready(false, 'stopping');
      for (const component of components.splice(0).reverse()) await component.stop();
    },
  };
};

/** One line in the log for each tenth of a compile. */
function progress({ log, ready }: ServiceContext): (fraction: number, what: string) => void {
  let next = 0;
  return (fraction, what) => {
    ready(false, `compiling GeoIP data: ${Math.floor(100 * fraction)}%`);
    if (fraction < next) return;
    next = fraction + 0.1;
    log.info({ fraction: Math.round(100 * fraction) / 100, what }, 'compiling GeoIP data');
  };
}
