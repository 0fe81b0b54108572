/** Tells which resolvers asked for which probe IDs (`seen/dns/NODE`), for the join with the clients that edges saw. */
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { seenKey } from '@ufes/core/seen.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { ProbeQueries } from './recent.ts';

type Parts = Pick<ServiceContext, 'store' | 'clock' | 'log' | 'node'>;

/** `gather` brings in what the threads have seen. */
export function tellProbeNames(
  { store, clock, log, node }: Parts,
  { untold }: Pick<ProbeQueries, 'untold'>,
  gather: () => void,
): Component {
  let stop = (): void => {};
  let isGone = false;
  const tell = async (): Promise<void> => {
    gather();
    // With the store gone these are lost: a sample is wanted, not all.
    const value = untold.take(clock.nowMs());
    if (Object.keys(value.ids).length === 0) return;
    try {
      await store.live.put([{ key: `${seenKey.dns}${node}`, value, ttlMs: 3 * limits.edge.tellIdsMs }]);
      isGone = false;
    } catch (thrown) {
      if (!isGone) log.info({ error: describeError(thrown) }, 'dns: who asked for probe names is not told');
      isGone = true;
    }
  };
  return {
    async start() {
      stop = clock.every(limits.edge.tellIdsMs, () => void tell());
    },
    async stop() {
      stop();
    },
  };
}
