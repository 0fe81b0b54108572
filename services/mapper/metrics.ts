/** What the mapper tells Prometheus. */

import type { GuardName } from '@ufes/core/steering/publication.ts';
import { Counter, Gauge, Histogram, type Registry } from '@ufes/io/metrics.ts';
import { rejections } from './record.ts';

const guards: readonly GuardName[] = ['too-much', 'over-hard', 'worse', 'rolled-back'];

export interface MapperMetrics {
  readonly folded: Counter;
  readonly gaps: Counter;
  readonly quarantined: Counter;
  readonly rejected: Counter<'reason'>;
  readonly buildSeconds: Histogram;
  readonly published: Counter;
  readonly mapBytes: Gauge;
  readonly moved: Counter<'kind'>;
  readonly holds: Counter<'reason'>;
  /** Of the last build. */
  readonly setHeld: (guards: readonly GuardName[]) => void;
}

/** Values read when they are scraped; undefined: not known now. */
export interface MapperGauges {
  prefixes(): number;
  sketchBytes(): number;
  lag(): Promise<number>;
}

export function mapperMetrics(registry: Registry): MapperMetrics {
  const registers = [registry];
  const rejected = new Counter({
    name: 'ufes_mapper_samples_rejected_total',
    help: 'Sample records set aside, by reason',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of rejections) rejected.inc({ reason }, 0);
  const holds = new Counter({
    name: 'ufes_mapper_holds_total',
    help: 'Times that guardrails began to hold maps, by reason',
    labelNames: ['reason'],
    registers,
  });
  const held = new Gauge({
    name: 'ufes_mapper_held',
    help: 'Whether the last map built is held, by reason',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of guards) {
    holds.inc({ reason }, 0);
    held.set({ reason }, 0);
  }
  return {
    rejected,
    holds,
    setHeld: (now) => {
      for (const reason of guards) held.set({ reason }, now.includes(reason) ? 1 : 0);
    },
    moved: new Counter({
      name: 'ufes_mapper_demand_moved_total',
      help: 'Shares of demand that published maps moved, by kind of move',
      labelNames: ['kind'],
      registers,
    }),
    quarantined: new Counter({
      name: 'ufes_mapper_samples_quarantined_total',
      help: 'Round trips that clients timed faster than their place allows, kept apart',
      registers,
    }),
    gaps: new Counter({
      name: 'ufes_mapper_gaps_total',
      help: 'Times that records were missing in a stream and asked for again',
      registers,
    }),
    folded: new Counter({ name: 'ufes_mapper_samples_total', help: 'Sample records folded into sketches', registers }),
    buildSeconds: new Histogram({
      name: 'ufes_mapper_build_seconds',
      help: 'Duration of a map build, without publishing',
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers,
    }),
    published: new Counter({ name: 'ufes_mapper_maps_total', help: 'Maps published', registers }),
    mapBytes: new Gauge({ name: 'ufes_mapper_map_bytes', help: 'Size of the last map published', registers }),
  };
}

export function registerGauges(registry: Registry, gauges: MapperGauges): void {
  const gauge = (name: string, help: string, value: () => number | Promise<number>): void => {
    const made = new Gauge({
      name,
      help,
      registers: [registry],
      collect: async () => {
        try {
          made.set(await value());
        } catch {
          made.reset();
        }
      },
    });
  };
  gauge('ufes_mapper_prefixes', 'Prefixes with evidence', () => gauges.prefixes());
  gauge('ufes_mapper_sketch_bytes', 'Bytes of all sketches', () => gauges.sketchBytes());
  gauge('ufes_mapper_fold_lag_records', 'Sample records waiting to be folded', () => gauges.lag());
}
