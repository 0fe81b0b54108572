/** What dns counts, as Prometheus reads it. The answer path keeps plain numbers; they are read here, when scraped. */
import { Counter, Gauge, type Registry } from '@ufes/io/metrics.ts';
import { type Counters, latencyBoundsUs, timedEvery } from './counters.ts';

export function registerMetrics(registry: Registry, counters: Counters): void {
  scraped(registry, 'ufes_dns_queries_total', 'Answers sent', ['rcode', 'transport'], () => counters.queryCounts());
  scraped(
    registry,
    'ufes_dns_answers_total',
    'Steered answers; pop is empty when none was named',
    ['service', 'pop'],
    () => counters.answers.entries(),
  );
  scraped(
    registry,
    'ufes_dns_drops_total',
    'Packets left without an answer: answers themselves, and scraps',
    [],
    () => [[{}, counters.drops]],
  );
  scraped(registry, 'ufes_dns_truncated_total', 'Answers sent empty with TC', [], () => [[{}, counters.truncated]]);
  scraped(registry, 'ufes_dns_tcp_evicted_total', 'TCP connections ended to make room for new ones', [], () => [
    [{}, counters.tcpRefused],
  ]);
  const every = `of one query in ${timedEvery}`;
  scraped(registry, 'ufes_dns_answer_seconds_bucket', `Time from packet to answer, ${every}`, ['le'], () =>
    latencyBuckets(counters),
  );
  scraped(registry, 'ufes_dns_answer_seconds_sum', `Sum of ufes_dns_answer_seconds, ${every}`, [], () => [
    [{}, counters.latencySumUs / 1e6],
  ]);
}

export function registerPopGauge(
  registry: Registry,
  read: () => Iterable<[labels: { pop: string }, value: number]>,
): void {
  const gauge = new Gauge({
    name: 'ufes_dns_pop_state',
    help: 'State of a PoP as answers see it: 0 unknown, 1 up, 2 down, 3 draining',
    labelNames: ['pop'],
    registers: [registry],
    collect: () => {
      gauge.reset();
      for (const [labels, value] of read()) gauge.set(labels, value);
    },
  });
}

function* latencyBuckets(counters: Counters): Generator<[labels: { le: string }, value: number]> {
  let sum = 0;
  for (const [i, count] of counters.latency.entries()) {
    sum += count;
    const bound = latencyBoundsUs[i];
    yield [{ le: bound === undefined ? '+Inf' : String(bound / 1e6) }, sum];
  }
}

function scraped<Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly Label[],
  read: () => Iterable<[labels: Partial<Record<Label, string>>, value: number]>,
): void {
  const counter = new Counter<Label>({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect: () => {
      counter.reset();
      for (const [labels, value] of read()) counter.inc(labels, value);
    },
  });
}
