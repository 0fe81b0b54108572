/**
 * Keeps fetched GeoIP data up to date. One job fetches for its own machine, and is retried and told of when it fails; all
 * others are woken by it and fetch for theirs.
 */
import { describeError } from '@ufes/core/errors.ts';
import type { Component } from '@ufes/core/ports.ts';
import { scheduledJob } from '@ufes/io/queue/scheduled.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { fetchUpdates } from './fetch.ts';

type Parts = Pick<ServiceContext, 'config' | 'state' | 'log' | 'bus' | 'queue' | 'clock'>;

const topic = 'geoip';

/** Nothing where the configuration names no source. `isWorker`: takes the job, too. */
export function geoipRefresh(context: Parts, isWorker: boolean): Component[] {
  const { config, state, log, bus } = context;
  const { update } = config.geoip;
  if (update === undefined || (update.city === undefined && update.asn === undefined)) return [];
  const refresh = async (): Promise<void> => {
    if (await fetchUpdates(state, update, log)) bus.wake(topic);
  };
  const everyMs = update.everyHours * 3_600_000;
  return [
    follower(context, refresh),
    ...(isWorker ? [scheduledJob(context, { name: 'geoip', id: 'all', everyMs, run: refresh })] : []),
  ];
}

/** At the start, and when another machine found something new. */
function follower({ bus, log }: Parts, refresh: () => Promise<void>): Component {
  let stopListening = () => {};
  let underWay: Promise<void> | undefined;
  const look = (): void => {
    underWay ??= refresh()
      .catch((error: unknown) => log.warn({ error: describeError(error) }, 'GeoIP data stays as it is'))
      .finally(() => {
        underWay = undefined;
      });
  };
  return {
    start: async () => {
      stopListening = bus.on(topic, look);
      look();
    },
    stop: async () => {
      stopListening();
      await underWay;
    },
  };
}
