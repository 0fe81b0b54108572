/** What is kept of every answer: metrics, a log line, and the counters behind load. */
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { type Reason, reasons } from '@ufes/core/routing/reasons.ts';
import { Counter, Gauge, Histogram, type Registry } from '@ufes/io/metrics.ts';
import type { HandshakeTime } from '../../data-plane.ts';
import type { Exchange } from './exchange.ts';
import { phases, type Timing } from './timing.ts';

export interface Outcome {
  readonly exchange: Exchange;
  /** Address, behind trusted proxies. */
  readonly client: string;
  readonly status: number;
  readonly timing: Timing;
  /** Code of reasons.ts when the edge refused; `cut` when an answer was cut; '' else. */
  readonly reason: string;
  readonly requestId: string;
  readonly host: string;
  readonly path: string;
  readonly origin?: string;
  readonly endpoint?: string;
  readonly retries: number;
}

export interface Recorder {
  record(outcome: Outcome): void;
  refusedByParser(reason: Reason): void;
  handshake(time: HandshakeTime): void;
  readonly requests: number;
  takeClients(): ReadonlyMap<string, number>;
}

const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createRecorder(registry: Registry, log: Log, inFlight: () => number): Recorder {
  const registers = [registry];
  const seconds = new Histogram({
    name: 'ufes_edge_phase_seconds',
    help: 'Time to the response headers, by phase',
    labelNames: ['phase'],
    buckets,
    registers,
  });
  const answers = new Counter({
    name: 'ufes_edge_responses_total',
    help: 'Answers by status class, protocol and, where the edge refused or cut, reason',
    labelNames: ['class', 'http', 'reason'],
    registers,
  });
  const handshakes = new Histogram({
    name: 'ufes_edge_handshake_seconds',
    help: 'TLS 1.3: from our flight to the Finished of the client, by full or resumed',
    labelNames: ['handshake'],
    buckets,
    registers,
  });
  new Gauge({
    name: 'ufes_edge_requests_in_flight',
    help: 'Requests under way',
    registers,
    collect() {
      this.set(inFlight());
    },
  });
  let requests = 0;
  let clients = new Map<string, number>();
  return {
    get requests() {
      return requests;
    },
    record(outcome) {
      requests++;
      count(clients, outcome.client);
      const { exchange, status, timing, reason } = outcome;
      answers.inc({ class: `${Math.floor(status / 100)}xx`, http: exchange.httpVersion, reason });
      for (const phase of phases) {
        const ms = timing[`${phase}Ms`];
        if (ms > 0) seconds.observe({ phase }, ms / 1000);
      }
      if (reason !== '' || requests % limits.edge.accessLogEvery === 1) log.debug(accessLine(outcome), 'request');
    },
    handshake: ({ rttMs, isResumed }) =>
      handshakes.observe({ handshake: isResumed ? 'resumed' : 'full' }, rttMs / 1000),
    takeClients() {
      const taken = clients;
      clients = new Map();
      return taken;
    },
    refusedByParser(reason) {
      requests++;
      answers.inc({ class: `${Math.floor(reasons[reason][0] / 100)}xx`, http: '1.1', reason });
    },
  };
}

function count(clients: Map<string, number>, address: string): void {
  const known = clients.get(address);
  if (known !== undefined) clients.set(address, known + 1);
  else if (clients.size < limits.edge.clientsCounted) clients.set(address, 1);
}

function accessLine(outcome: Outcome): object {
  const {
    exchange,
    exchange: { connection },
    ...rest
  } = outcome;
  return {
    method: exchange.method,
    http: exchange.httpVersion,
    secure: connection.secure,
    ...rest,
  };
}
