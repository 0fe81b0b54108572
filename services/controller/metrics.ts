/** What the controller counts. */
import { Counter, Gauge, Histogram, type Registry } from '@ufes/io/metrics.ts';
import type { ConfigSource } from './config-source.ts';

/** What is counted when scraped: labels and value. */
export interface Counted {
  objectCounts(): [labels: { kind: string }, count: number][];
  problemCount(): number;
  phaseCounts(): [labels: { phase: string }, count: number][];
  vipCounts(): [labels: { pop: string; state: string }, count: number][];
  certificateEnds(): [labels: { host: string }, seconds: number][];
}

export interface ControllerMetrics {
  readonly reconciled: (seconds: number, result: 'ok' | 'failed') => void;
  readonly published: () => void;
}

export function createMetrics(registry: Registry): ControllerMetrics {
  const registers = [registry];
  const reconcile = new Histogram({
    name: 'ufes_controller_reconcile_seconds',
    help: 'Time of one pass from objects to desired state and status',
    labelNames: ['result'],
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
    registers,
  });
  const publishes = new Counter({
    name: 'ufes_controller_publishes_total',
    help: 'Desired states published',
    registers,
  });
  return {
    reconciled: (seconds, result) => reconcile.observe({ result }, seconds),
    published: () => publishes.inc(),
  };
}

export function observe(registry: Registry, counted: Counted, config: ConfigSource): void {
  gauge(registry, 'ufes_config_reload_failed', '1 while the configuration files are refused', [], () => [
    [{}, config.isFailed() ? 1 : 0],
  ]);
  gauge(registry, 'ufes_controller_objects', 'Objects read, by kind', ['kind'], () => counted.objectCounts());
  gauge(registry, 'ufes_controller_object_problems', 'Documents that are wrong', [], () => [
    [{}, counted.problemCount()],
  ]);
  gauge(registry, 'ufes_controller_hosts', 'Hosts of Ingresses, by phase', ['phase'], () => counted.phaseCounts());
  gauge(registry, 'ufes_controller_vips', 'VIPs from pools: held, or in quarantine', ['pop', 'state'], () =>
    counted.vipCounts(),
  );
  gauge(
    registry,
    'ufes_controller_certificate_expiry_seconds',
    'When the certificate of a host ends, seconds since the epoch',
    ['host'],
    () => counted.certificateEnds(),
  );
}

function gauge<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: Label[],
  read: () => Iterable<[Partial<Record<Label, string>>, number]>,
): void {
  const one: Gauge<Label> = new Gauge({
    name,
    help,
    labelNames,
    registers: [registry],
    collect: () => {
      one.reset();
      for (const [labels, value] of read()) one.set(labels, value);
    },
  });
}
