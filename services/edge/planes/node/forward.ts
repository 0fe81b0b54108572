/**
 * Carries one exchange to an endpoint of its cluster and the answer back, streaming both ways under backpressure.
 *
 *     attempt ──▶ waiting ──▶ headers ──▶ body ──▶ done
 *        ▲           │            │         └──▶ cut     reset towards the client: never quietly ended
 *        └─ retry ◀──┴── failed ──┴─▶ refused           502, 503, 504 with a reason
 *
 * One retry, when nothing of the answer has reached the client: for GET, HEAD and OPTIONS, and for any method when the
 * request was never sent. The route's time-out runs from the start to the headers, retries included, and again between
 * parts of the body. When the client goes away, so does the request to the origin.
 */
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { cleanResponse, cleanTrailers, type Fields } from '@ufes/core/routing/headers.ts';
import type { Reason } from '@ufes/core/routing/reasons.ts';
import type { Cluster } from '@ufes/core/routing/route-table.ts';
import type { Dispatcher } from 'undici';
import type { BodyRelay, Exchange } from './exchange.ts';
import type { Endpoint, Origins } from './origins.ts';

export interface ForwardRequest {
  readonly exchange: Exchange;
  readonly cluster: Cluster;
  /** Normal form and query. */
  readonly path: string;
  readonly headers: string[];
  readonly timeoutMs: number;
}

export interface ForwardHooks {
  readonly clock: Clock;
  readonly origins: Origins;
  /** Headers of ours, just before the answer's go out. */
  decorate(forward: Forward, fields: Fields): void;
  /** The edge answers instead. */
  refuse(forward: Forward, reason: Reason): void;
}

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS']);
const clientGone = new Error('the client went away');
const clientInvalid = new Error('the client sent a body that cannot be read');
const timedOut = new Error('the origin did not answer in time');

export class Forward implements Dispatcher.DispatchHandler {
  readonly request: ForwardRequest;
  endpoint: Endpoint | undefined;
  retries = 0;
  /** Monotonic; 0 before. */
  sentMs = 0;
  headersMs = 0;
  /** Of the origin's answer; 0 before. */
  status = 0;
  /** The answer was cut after its headers had gone out. */
  cut = false;
  readonly #hooks: ForwardHooks;
  #controller: Dispatcher.DispatchController | undefined;
  #body: BodyRelay | undefined;
  #cancelTimer: () => void = () => {};
  #cancelStall: (() => void) | undefined;
  #over = false;
  #withoutBody = false;

  constructor(request: ForwardRequest, hooks: ForwardHooks) {
    this.request = request;
    this.#hooks = hooks;
  }

  start(): void {
    const { exchange, timeoutMs } = this.request;
    exchange.onClose = () => this.#clientClosed();
    exchange.onDrain = () => this.#clientDrained();
    exchange.onInvalid = () => this.#refuse('bad-request', clientInvalid);
    this.#cancelTimer = this.#hooks.clock.after(timeoutMs, () => this.#refuse('origin-timeout', timedOut));
    this.#attempt();
  }

  #attempt(not?: Endpoint): void {
    const { exchange, cluster, path, headers, timeoutMs } = this.request;
    const endpoint = this.#hooks.origins.pick(cluster, not);
    if (typeof endpoint === 'string') {
      this.#refuse(endpoint);
      return;
    }
    this.endpoint = endpoint;
    endpoint.inFlight++;
    this.sentMs = 0;
    this.#body = exchange.hasBody ? exchange.body() : undefined;
    const method = exchange.method;
    endpoint.pool.dispatch({ path, method, headers, body: this.#body ?? null, bodyTimeout: timeoutMs }, this);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.sentMs = this.#hooks.clock.monotonicMs();
    if (this.#over) controller.abort(clientGone);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    fields: Record<string, string | string[] | undefined>,
  ): void {
    const { exchange } = this.request;
    if (status >= 100 && status < 200) {
      if (status === 103) this.#inform(fields);
      return;
    }
    if (!isFinalStatus(status)) {
      this.#refuse('origin-invalid', new RangeError(`status ${status}`));
      return;
    }
    this.headersMs = this.#hooks.clock.monotonicMs();
    this.status = status;
    this.#cancelTimer();
    const clean = cleanResponse(fields);
    this.#withoutBody = exchange.method === 'HEAD' || status === 204 || status === 304;
    if (status === 204) delete clean['content-length'];
    this.#hooks.decorate(this, clean);
    try {
      exchange.respond(status, clean, this.#withoutBody);
    } catch (error) {
      controller.abort(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Hints only: what cannot be said to the client is left out, and the answer still comes. */
  #inform(fields: Record<string, string | string[] | undefined>): void {
    try {
      this.request.exchange.inform(103, cleanResponse(fields));
    } catch {}
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { exchange } = this.request;
    if (this.#withoutBody || exchange.closed || exchange.write(chunk)) return;
    controller.pause();
    // A client that does not read holds memory here and a connection there.
    this.#cancelStall = this.#hooks.clock.after(limits.edge.idleMs, () => exchange.reset());
  }

  onResponseEnd(
    _controller: Dispatcher.DispatchController,
    trailers: Record<string, string | string[] | undefined>,
  ): void {
    if (this.#over) return;
    this.#finish();
    if (!this.#withoutBody && !this.request.exchange.closed) this.request.exchange.end(cleanTrailers(trailers));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return;
    const { exchange } = this.request;
    if (this.headersMs > 0) {
      this.#finish();
      if (exchange.responded) this.#cut();
      else this.#hooks.refuse(this, 'origin-invalid');
      return;
    }
    const reason = reasonOf(error, this.sentMs > 0);
    if (!this.#retry(reason)) this.#refuse(reason);
  }

  #retry(reason: Reason): boolean {
    const { exchange } = this.request;
    const failed = this.endpoint;
    if (failed === undefined || this.retries >= 1 || exchange.closed || this.#body?.consumed) return false;
    if (!retryable.has(reason)) return false;
    const neverSent = this.sentMs === 0;
    if (!neverSent && !idempotent.has(exchange.method)) return false;
    const other = this.#hooks.origins.pick(this.request.cluster, failed);
    // A kept connection that the origin closes as we use it says nothing about the origin: then even the same will do.
    if (typeof other === 'string' && (reason !== 'origin-reset' || other !== 'no-endpoint')) return false;
    failed.inFlight--;
    this.endpoint = undefined;
    this.retries++;
    this.#controller = undefined;
    this.#attempt(typeof other === 'string' ? undefined : failed);
    return true;
  }

  #refuse(reason: Reason, abort?: Error): void {
    if (this.#over) return;
    this.#finish();
    if (abort !== undefined) this.#controller?.abort(abort);
    if (!this.request.exchange.closed) this.#hooks.refuse(this, reason);
  }

  #cut(): void {
    this.cut = true;
    this.request.exchange.reset();
  }

  #clientClosed(): void {
    this.#cancelStall?.();
    if (this.#over) return;
    this.#finish();
    this.#controller?.abort(clientGone);
  }

  #clientDrained(): void {
    this.#cancelStall?.();
    this.#cancelStall = undefined;
    if (!this.#over) this.#controller?.resume();
  }

  #finish(): void {
    this.#over = true;
    this.#cancelTimer();
    if (this.endpoint !== undefined) this.endpoint.inFlight--;
  }
}

/** RFC 9110 §15: outside these nothing is defined, and neither protocol towards the client carries all of it. */
export function isFinalStatus(status: number): boolean {
  return status >= 200 && status <= 599;
}

const retryable: ReadonlySet<Reason> = new Set(['origin-connect', 'origin-reset', 'origin-timeout']);
const unreadable = new Set(['UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);
const clientsFault = new Set(['UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'UND_ERR_INVALID_ARG']);

function reasonOf(error: Error, sent: boolean): Reason {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return 'origin-timeout';
  if (error.name === 'HTTPParserError' || unreadable.has(code)) return 'origin-invalid';
  if (clientsFault.has(code)) return 'bad-request';
  return sent ? 'origin-reset' : 'origin-connect';
}
