/** What dns counts, as Prometheus reads it. The answer path keeps plain numbers; they are read here, when scraped. */
import { Counter, Gauge, type Registry } from '@ufes/io/metrics.ts';
import { type Counters, latencyBoundsUs, timedEvery } from './counters.ts';
import type { Threads } from './threads.ts';

/** `read` joins the counts of all threads. */
export function registerMetrics(registry: Registry, read: () => Counters): void {
  scraped(registry, 'ufes_dns_queries_total', 'Answers sent', ['rcode', 'transport'], () => read().queryCounts());
  scraped(
    registry,
    'ufes_dns_answers_total',
    'Steered answers; pop is empty when none was named',
    ['service', 'pop'],
    () => read().answers.entries(),
  );
  scraped(
    registry,
    'ufes_dns_drops_total',
    'Packets left without an answer: answers themselves, and scraps',
    [],
    () => [[{}, read().drops]],
  );
  scraped(registry, 'ufes_dns_truncated_total', 'Answers sent empty with TC', [], () => [[{}, read().truncated]]);
  scraped(
    registry,
    'ufes_dns_rate_limited_total',
    'Queries over UDP of networks over their rate: dropped, or slipped (told to use a cookie or TCP)',
    ['action'],
    () => [
      [{ action: 'dropped' }, read().rateDropped],
      [{ action: 'slipped' }, read().rateSlipped],
    ],
  );
  scraped(registry, 'ufes_dns_cookies_total', 'Queries with a DNS cookie, by what it was', ['cookie'], () => [
    [{ cookie: 'client' }, read().cookies[1]!],
    [{ cookie: 'bad' }, read().cookies[2]!],
    [{ cookie: 'valid' }, read().cookies[3]!],
  ]);
  scraped(registry, 'ufes_dns_tcp_evicted_total', 'TCP connections ended to make room for new ones', [], () => [
    [{}, read().tcpRefused],
  ]);
  scraped(registry, 'ufes_dns_send_errors_total', 'Answers that the system would not send', [], () => [
    [{}, read().sendErrors],
  ]);
  scraped(
    registry,
    'ufes_dns_unremembered_total',
    'Entries of the query log and of recent answers left out because there were too many',
    [],
    () => [[{}, read().unremembered]],
  );
  const every = `of one query in ${timedEvery}`;
  scraped(registry, 'ufes_dns_answer_seconds_bucket', `Time from packet to answer, ${every}`, ['le'], () =>
    latencyBuckets(read()),
  );
  scraped(registry, 'ufes_dns_answer_seconds_sum', `Sum of ufes_dns_answer_seconds, ${every}`, [], () => [
    [{}, read().latencySumUs / 1e6],
  ]);
}

/** Threads that answer UDP; none where node:dgram does. */
export function registerThreadMetrics(registry: Registry, threads: Pick<Threads, 'failures' | 'answering'>): void {
  scraped(
    registry,
    'ufes_dns_thread_failures_total',
    'Threads that ended by themselves and were started again',
    [],
    () => [[{}, threads.failures()]],
  );
  const gauge = new Gauge({
    name: 'ufes_dns_threads_answering',
    help: 'Threads that answer UDP now',
    registers: [registry],
    collect: () => {
      gauge.set(threads.answering());
    },
  });
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
