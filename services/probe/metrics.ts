/** What the collector counts. */

import type { RefusalReason } from '@ufes/core/quarantine-words.ts';
import { Counter, Gauge, Histogram, type Registry } from '@ufes/io/metrics.ts';
import type { Outcome } from './collector.ts';
import type { Forwarder } from './forward.ts';
import type { Journal } from './journal.ts';

export interface ProbeMetrics {
  readonly onPlan: () => void;
  readonly onBeacon: (outcome: Outcome, source: string) => void;
  readonly onSync: (ms: number, records: number) => void;
  readonly onRefusal: (reason: RefusalReason, source: string) => void;
  /** Keys that were pushed out of the tables behind the caps. */
  readonly observeCaps: (evicted: () => number) => void;
  /** What the gauges read when scraped. */
  readonly observe: (journal: () => Journal | undefined, forwarder: () => Forwarder | undefined) => void;
}

export function createProbeMetrics(registry: Registry): ProbeMetrics {
  const registers = [registry];
  const plans = new Counter({ name: 'ufes_probe_plans_total', help: 'Measurement plans given out.', registers });
  const beacons = new Counter({
    name: 'ufes_probe_beacons_total',
    help: 'Beacons by outcome; accepted ones are durable.',
    labelNames: ['outcome', 'source'],
    registers,
  });
  const refusals = new Counter({
    name: 'ufes_probe_refused_total',
    help: 'Beacons refused for whom or how often they came, by reason (`ufes quarantine` tells more).',
    labelNames: ['reason', 'source'],
    registers,
  });
  const sync = new Histogram({
    name: 'ufes_probe_journal_sync_seconds',
    help: 'Write and fdatasync of a batch of beacons.',
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
    registers,
  });
  const records = new Counter({
    name: 'ufes_probe_journal_records_total',
    help: 'Beacons made durable.',
    registers,
  });
  const gauge = (name: string, help: string, read: () => number | undefined): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read() ?? 0);
      },
    });
  };
  return {
    onPlan: () => plans.inc(),
    onBeacon: (outcome, source) => beacons.inc({ outcome, source }),
    onRefusal: (reason, source) => refusals.inc({ reason, source }),
    observeCaps: (evicted) =>
      gauge('ufes_probe_caps_evicted', 'Addresses and prefixes no longer counted for want of room.', evicted),
    onSync: (ms, count) => {
      sync.observe(ms / 1000);
      records.inc(count);
    },
    observe(journal, forwarder) {
      gauge('ufes_probe_journal_waiting', 'Beacons waiting for the disk.', () => journal()?.waiting());
      gauge('ufes_probe_journal_bytes', 'Size of the journal.', () => journal()?.bytes());
      gauge('ufes_probe_forward_lag', 'Durable beacons the stream does not hold yet.', () => forwarder()?.lag());
      gauge('ufes_probe_journal_lost', 'Records that the disk lost.', () => forwarder()?.lost());
    },
  };
}
