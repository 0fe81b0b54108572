/** What a node's metrics say about the artefacts it serves by: version, age, and how often it refused one. */
import type { ArtefactKind } from '@ufes/core/ports.ts';
import type { Version } from '@ufes/core/version.ts';
import { Counter, Gauge, type Registry } from 'prom-client';

interface Followed {
  version(): Version | undefined;
  ageMs(): number;
}

export interface ArtefactMetrics {
  follow(kind: ArtefactKind, followed: Followed): void;
  unfollow(kind: ArtefactKind): void;
  rejected(kind: ArtefactKind): void;
}

const byRegistry = new WeakMap<Registry, ArtefactMetrics>();

/** One set a registry, whichever kinds its process follows. */
export function artefactMetrics(registry: Registry): ArtefactMetrics {
  const known = byRegistry.get(registry);
  if (known !== undefined) return known;
  const followed = new Map<ArtefactKind, Followed>();
  const gauge = (name: string, help: string, value: (one: Followed) => number): void => {
    const made = new Gauge({
      name,
      help,
      labelNames: ['kind'],
      registers: [registry],
      collect: () => {
        made.reset();
        for (const [kind, one] of followed) if (one.version() !== undefined) made.set({ kind }, value(one));
      },
    });
  };
  gauge(
    'ufes_artefact_version_ms',
    'Version of the applied artefact: milliseconds since the epoch',
    (one) => one.version()!.ms,
  );
  gauge('ufes_artefact_age_seconds', 'Time since the applied artefact was made', (one) => one.ageMs() / 1000);
  const refusals = new Counter({
    name: 'ufes_artefact_rejected_total',
    help: 'Artefacts refused as corrupt, wrongly signed or not applicable',
    labelNames: ['kind'],
    registers: [registry],
  });
  const metrics: ArtefactMetrics = {
    follow: (kind, one) => {
      followed.set(kind, one);
      refusals.inc({ kind }, 0);
    },
    unfollow: (kind) => followed.delete(kind),
    rejected: (kind) => refusals.inc({ kind }),
  };
  byRegistry.set(registry, metrics);
  return metrics;
}
