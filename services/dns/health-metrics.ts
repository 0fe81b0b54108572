/** How well founded the live state is that answers are made from. */
import { Gauge, type Registry } from '@ufes/io/metrics.ts';
import type { LiveFeed } from './live-feed.ts';

export function registerHealthMetrics(registry: Registry, feed: LiveFeed): void {
  const votes = new Gauge({
    name: 'ufes_dns_health_votes',
    help: 'Votes behind the state of a PoP, or of a service there; 0: nobody can say, it is what was known last',
    labelNames: ['target'],
    registers: [registry],
    collect: () => {
      votes.reset();
      for (const [target, { counted }] of feed.verdicts()) votes.set({ target }, counted);
    },
  });
  const external = new Gauge({
    name: 'ufes_dns_external_verdict_end_seconds',
    help: 'When an external verdict ends, seconds since the epoch',
    labelNames: ['target', 'state'],
    registers: [registry],
    collect: () => {
      external.reset();
      for (const { target, state, untilMs } of feed.external())
        if (state !== 'none') external.set({ target, state }, untilMs / 1000);
    },
  });
  new Gauge({
    name: 'ufes_dns_live_read_age_seconds',
    help: 'Since live state was last read from the store; absent: not since the start',
    registers: [registry],
    collect() {
      const ageMs = feed.readAgeMs();
      if (ageMs === undefined) this.remove();
      else this.set(ageMs / 1000);
    },
  });
}
