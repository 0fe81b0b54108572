/**
 * One health check: a fresh connection, a hard time-out over all of it, and what came of it.
 *
 * tcp: the connection is accepted. http, https: GET answers 2xx or one of the expected statuses, and its body ends or
 * reaches the bound in time, with the expected text in it. Most https checks resume the TLS session of the one before,
 * at half the cost; every tenth does not. https verifies the certificate by the given CA but not by
 * name: what is checked is the node behind an address, and every node of ours has a certificate of our CA. load: what the
 * PoP's edge said last of its load is within bounds; no connection is made.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { type SecureContext, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';

export interface CheckTarget {
  readonly id: string;
  readonly kind: 'tcp' | 'http' | 'https' | 'load';
  readonly address: string;
  readonly port: number;
  /** http, https; default `/`. */
  readonly path?: string;
  /** Host header, and SNI for https; default: the address. */
  readonly host?: string;
  /** http, https: statuses that are well; default: any 2xx. */
  readonly status?: readonly number[];
  /** http, https: text that the body must contain within its first bytes (limits.health.bodyBytes). */
  readonly body?: string;
  /**
   * https: whom to trust. Undefined result: not known yet, then the check says nothing. Absent: the system's CAs;
   * `anyone`: the certificate is not what is checked.
   */
  readonly trust?: 'anyone' | (() => SecureContext | undefined);
  /** load: percent of capacity that is well, and what it is; undefined: nobody said, then the check says nothing. */
  readonly percentMax?: number;
  readonly percent?: () => number | undefined;
}

/**
 * `ok`, or not and why; `ms` since the start. `void`: this process itself was held up (or lacks the CA), so the check
 * says nothing about the target.
 */
export type Outcome =
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly ms: number; readonly error: string }
  | 'void';

/** A time-out that fires this late shows that our own process stood still; the answer may be waiting in the kernel. */
const stalledMs = 100;

/** While a check is under way the event loop is looked at this often: how late it is says how much of it we had. */
const lookMs = 50;

/** Adds up how late its timers are; half of a time-out spent waiting for ourselves is no evidence against the target. */
function watchLag(clock: Clock): { readonly lateMs: () => number; readonly stop: () => void } {
  let lateMs = 0;
  let dueMs = clock.monotonicMs() + lookMs;
  const stop = clock.every(lookMs, () => {
    const nowMs = clock.monotonicMs();
    lateMs += Math.max(0, nowMs - dueMs);
    dueMs = nowMs + lookMs;
  });
  return { lateMs: () => lateMs, stop };
}

/** Never rejects. `cancel` drops the connection; the promise then resolves to `void`. */
export function attempt(
  target: CheckTarget,
  timeoutMs: number,
  clock: Clock,
): { done: Promise<Outcome>; cancel: () => void } {
  const startMs = clock.monotonicMs();
  let settle: (outcome: Outcome) => void = () => {};
  let drop = (): void => {};
  const done = new Promise<Outcome>((resolve) => {
    settle = resolve;
  });
  const spentMs = (): number => clock.monotonicMs() - startMs;
  const lag = watchLag(clock);
  const cancelTimer = clock.after(timeoutMs, () => {
    const isOurs = spentMs() > timeoutMs + stalledMs || lag.lateMs() > timeoutMs / 2;
    finish(isOurs ? 'void' : { ok: false, ms: spentMs(), error: `no answer in ${timeoutMs} ms` });
  });
  const finish = (outcome: Outcome): void => {
    cancelTimer();
    lag.stop();
    settle(outcome);
    drop();
  };
  const verdict = (error?: string): void =>
    finish(error === undefined ? { ok: true, ms: spentMs() } : { ok: false, ms: spentMs(), error });

  const nothing = (): void => finish('void');
  if (target.kind === 'load') compareLoad(target, verdict, nothing);
  else drop = target.kind === 'tcp' ? connectOnce(target, verdict) : getOnce(target, verdict, nothing);
  return { done, cancel: () => finish('void') };
}

function compareLoad(target: CheckTarget, verdict: (error?: string) => void, nothing: () => void): void {
  const percent = target.percent?.();
  const { percentMax = 100 } = target;
  if (percent === undefined) nothing();
  else verdict(percent > percentMax ? `load ${percent.toFixed(0)}%, over ${percentMax}%` : undefined);
}

function connectOnce(target: CheckTarget, verdict: (error?: string) => void): () => void {
  const socket = connect(whereTo(target));
  socket.on('connect', () => verdict());
  socket.on('error', (error) => verdict(error.message));
  return () => socket.destroy();
}

function getOnce(target: CheckTarget, verdict: (error?: string) => void, nothing: () => void): () => void {
  const trust = typeof target.trust === 'function' ? target.trust : undefined;
  const secureContext = trust?.();
  if (target.kind === 'https' && trust !== undefined && secureContext === undefined) {
    nothing();
    return () => {};
  }
  const request = httpRequest({
    path: target.path ?? '/',
    headers: { host: target.host ?? target.address, 'user-agent': 'ufes-health' },
    createConnection: () => (target.kind === 'http' ? connect(whereTo(target)) : secureConnect(target, secureContext)),
  });
  request.on('response', (response) => judge(target, response, verdict));
  request.on('error', (error) => verdict(error.message));
  request.end();
  return () => request.destroy();
}

function whereTo(target: CheckTarget): { host: string; port: number } {
  return { host: target.address, port: target.port };
}

/** One check in so many shakes hands in full, and so reads and verifies the certificate; the others resume its session. */
const fullEvery = 10;
interface Resumable {
  session: Buffer | undefined;
  readonly secureContext: SecureContext | undefined;
  /** Checks since the last full handshake. */
  resumed: number;
}
const resumables = new WeakMap<CheckTarget, Resumable>();

/** The session to resume: verified under this very trust, and not too often since. */
function resumableOf(target: CheckTarget, secureContext: SecureContext | undefined): Resumable {
  const known = resumables.get(target);
  if (known !== undefined && known.secureContext === secureContext && ++known.resumed < fullEvery) return known;
  const fresh: Resumable = { session: undefined, secureContext, resumed: 0 };
  resumables.set(target, fresh);
  return fresh;
}

function secureConnect(target: CheckTarget, secureContext: SecureContext | undefined): TLSSocket {
  const resumable = resumableOf(target, secureContext);
  const { session } = resumable;
  const socket = tlsConnect({
    ...whereTo(target),
    ...(session === undefined ? {} : { session }),
    ...(target.host === undefined ? {} : { servername: target.host }),
    ...(secureContext === undefined ? {} : { secureContext }),
    rejectUnauthorized: target.trust !== 'anyone',
    checkServerIdentity: () => undefined,
  });
  socket.on('session', (next) => {
    resumable.session = next;
  });
  return socket;
}

function judge(target: CheckTarget, response: IncomingMessage, verdict: (error?: string) => void): void {
  const status = response.statusCode ?? 0;
  const expected = target.status?.length ? target.status.includes(status) : status >= 200 && status < 300;
  const chunks: Buffer[] = [];
  let bytes = 0;
  const end = (): void => {
    const { body } = target;
    if (!expected) verdict(`status ${status}`);
    else if (body !== undefined && !Buffer.concat(chunks).includes(body)) verdict(`no ${JSON.stringify(body)} in body`);
    else verdict();
  };
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (target.body !== undefined) chunks.push(chunk);
    if (bytes >= limits.health.bodyBytes) end();
  });
  response.on('end', end);
  response.on('error', (error) => verdict(error.message));
}
