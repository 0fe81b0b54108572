/**
 * An agent: asks a collector what to measure, measures it, reports it, and rests. It holds a key and nothing else, listens
 * nowhere, and sends no more than a browser that opens a page every minute would.
 *
 *     plan ─▶ targets, one after another ─▶ beacon ─▶ rest ─┐
 *      ▲  └─✗ refused or not there: rest, twice as long ────┤
 *      └────────────────────────────────────────────────────┘
 */

import { Resolver } from 'node:dns';
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, Log, Rng } from '@ufes/core/ports.ts';
import type { Beacon, Plan } from '@ufes/core/samples.ts';
import { type AgentKey, authorize } from './key.ts';
import { type Measured, measure } from './measure.ts';

export { formatAgentKey, parseAgentKey } from './key.ts';
export type { Measured } from './measure.ts';

export interface AgentInit {
  /** Base URL. */
  readonly collector: string;
  readonly key: AgentKey;
  readonly everyMs: number;
  /** PEM. */
  readonly ca?: string;
  /** ADDRESS:PORT to ask for probe names; absent: as the system is set up. */
  readonly nameServer?: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

export interface Agent extends Component {
  /** One round, now. Rejects when there was no plan or the report was not taken. */
  round(): Promise<Measured[]>;
}

export function createAgent(init: AgentInit): Agent {
  const { clock, rng, log, everyMs } = init;
  const lookup = init.nameServer === undefined ? undefined : lookupAt(init.nameServer);
  const common = { clock, timeoutMs: limits.probe.agentFetchMs, ...(init.ca && { ca: init.ca }) };
  let stopping = false;
  let wake = (): void => {};
  let running: Promise<void> | undefined;
  let failures = 0;

  async function round(): Promise<Measured[]> {
    const base = init.collector.replace(/\/$/, '');
    const plan = JSON.parse(await send(init, lookup, 'GET', `${base}/rum/plan`, '')) as Plan;
    const measured: Measured[] = [];
    for (const target of plan.targets) {
      if (stopping) break;
      measured.push(await measure(target, { ...common, fetches: plan.fetches, ...(lookup && { lookup }) }));
      await rest(limits.probe.agentPauseMs);
    }
    if (measured.length > 0) await report(plan, measured);
    return measured;
  }

  async function report({ token, sinks }: Plan, measured: readonly Measured[]): Promise<void> {
    const results = measured.map(({ target, ok, rttMs }) => ({ target, ok, rttMs: [...rttMs] }));
    const beacon: Beacon = { token, results };
    let failure: unknown;
    for (const sink of sinks.slice(0, 2)) {
      try {
        await send(init, lookup, 'POST', sink, JSON.stringify(beacon));
        return;
      } catch (thrown) {
        failure = thrown;
        // What was refused is refused by others too.
        if (thrown instanceof OperatingError && thrown.source === 'client') break;
      }
    }
    throw failure;
  }

  async function run(): Promise<void> {
    // Hosts that start together do not report together.
    await rest(rng.next() * Math.min(everyMs, limits.probe.agentSpreadMs));
    while (!stopping) {
      try {
        tell(log, await round());
        if (failures > 0) log.info({}, 'reports are taken again');
        failures = 0;
      } catch (thrown) {
        failures++;
        log.warn({ error: describeError(thrown), failures }, 'no report');
      }
      const most = Math.max(everyMs, limits.probe.agentRetryMsMax);
      await rest(Math.min(most, everyMs * 2 ** Math.min(failures, 10)) * (0.9 + 0.2 * rng.next()));
    }
  }

  function rest(ms: number): Promise<void> {
    if (stopping) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = clock.after(ms, resolve);
      wake = () => {
        cancel();
        resolve();
      };
    });
  }

  return {
    round,
    async start() {
      running = run();
    },
    async stop() {
      stopping = true;
      wake();
      await running;
    },
  };
}

function tell(log: Log, measured: readonly Measured[]): void {
  if (measured.length === 0) log.warn({}, 'the plan has no targets: the collector knows of no probe zone');
  for (const { target, ok, rttMs, handshakeMs, problem } of measured) {
    if (ok) log.info({ target, rttMs: rttMs.map(tenth), handshakeMs: tenth(handshakeMs ?? 0) }, 'measured');
    else log.warn({ target, problem }, 'not reached');
  }
}

const tenth = (ms: number): number => Math.round(10 * ms) / 10;

/** Rejects with TOKEN_INVALID or the like when the collector refuses, STORE_UNAVAILABLE when it cannot. */
function send(
  { key, ca, clock }: AgentInit,
  lookup: LookupFunction | undefined,
  method: string,
  url: string,
  body: string,
): Promise<string> {
  const { pathname, protocol } = new URL(url);
  const authorization = authorize(key, method, pathname, clock.nowMs(), body);
  return new Promise((resolve, reject) => {
    const options: RequestOptions = {
      method,
      agent: false,
      ...(lookup && { lookup }),
      headers: { authorization, ...(body !== '' && { 'content-length': Buffer.byteLength(body) }) },
      timeout: limits.probe.agentFetchMs,
    };
    const request =
      protocol === 'https:' ? httpsRequest(url, { ...options, ...(ca && { ca }) }) : httpRequest(url, options);
    request.once('timeout', () =>
      request.destroy(new Error(`${url}: no answer within ${limits.probe.agentFetchMs} ms`)),
    );
    request.once('error', reject);
    request.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (text.length < limits.probe.agentAnswerBytes) text += chunk;
      });
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode = 0 } = response;
        if (statusCode >= 200 && statusCode < 300) resolve(text);
        else reject(refusal(statusCode, url, text));
      });
    });
    request.end(body);
  });
}

function refusal(status: number, url: string, text: string): OperatingError {
  let said = `status ${status}`;
  try {
    said = String((JSON.parse(text) as { message?: unknown }).message ?? said);
  } catch {}
  return new OperatingError(status >= 500 ? 'STORE_UNAVAILABLE' : 'TOKEN_INVALID', `${url}: ${said}`);
}

function lookupAt(nameServer: string): LookupFunction {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  resolver.setServers([nameServer]);
  return (name, options, done) => {
    resolver.resolve4(name, (error, addresses) => {
      if (error !== null) done(error, '');
      else if (options.all === true)
        done(
          null,
          addresses.map((address) => ({ address, family: 4 })),
        );
      else done(null, addresses[0]!, 4);
    });
  };
}
