/**
 * One health check: a fresh connection, a hard time-out over all of it, and what came of it.
 *
 * tcp: the connection is accepted. http, https: GET answers 2xx, and its body ends or reaches the bound in time. https
 * verifies the certificate by the given CA but not by name: what is checked is the node behind an address, and every node
 * of ours has a certificate of our CA.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { type SecureContext, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';

export interface CheckTarget {
  readonly id: string;
  readonly kind: 'tcp' | 'http' | 'https';
  readonly address: string;
  readonly port: number;
  /** http, https; default `/`. */
  readonly path?: string;
  /** Host header, and SNI for https; default: the address. */
  readonly host?: string;
  /** https: whom to trust. Undefined result: not known yet, then the check says nothing. Absent: the system's CAs. */
  readonly trust?: () => SecureContext | undefined;
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
  const cancelTimer = clock.after(timeoutMs, () =>
    finish(
      spentMs() > timeoutMs + stalledMs ? 'void' : { ok: false, ms: spentMs(), error: `no answer in ${timeoutMs} ms` },
    ),
  );
  const finish = (outcome: Outcome): void => {
    cancelTimer();
    settle(outcome);
    drop();
  };
  const verdict = (error?: string): void =>
    finish(error === undefined ? { ok: true, ms: spentMs() } : { ok: false, ms: spentMs(), error });

  drop = target.kind === 'tcp' ? connectOnce(target, verdict) : getOnce(target, verdict, () => finish('void'));
  return { done, cancel: () => finish('void') };
}

function connectOnce(target: CheckTarget, verdict: (error?: string) => void): () => void {
  const socket = connect(whereTo(target));
  socket.on('connect', () => verdict());
  socket.on('error', (error) => verdict(error.message));
  return () => socket.destroy();
}

function getOnce(target: CheckTarget, verdict: (error?: string) => void, nothing: () => void): () => void {
  const secureContext = target.trust?.();
  if (target.kind === 'https' && target.trust !== undefined && secureContext === undefined) {
    nothing();
    return () => {};
  }
  const request = httpRequest({
    path: target.path ?? '/',
    headers: { host: target.host ?? target.address, 'user-agent': 'ufes-health' },
    createConnection: () => (target.kind === 'http' ? connect(whereTo(target)) : secureConnect(target, secureContext)),
  });
  request.on('response', (response) => judge(response, verdict));
  request.on('error', (error) => verdict(error.message));
  request.end();
  return () => request.destroy();
}

function whereTo(target: CheckTarget): { host: string; port: number } {
  return { host: target.address, port: target.port };
}

function secureConnect(target: CheckTarget, secureContext: SecureContext | undefined): TLSSocket {
  return tlsConnect({
    ...whereTo(target),
    ...(target.host === undefined ? {} : { servername: target.host }),
    ...(secureContext === undefined ? {} : { secureContext }),
    checkServerIdentity: () => undefined,
  });
}

function judge(response: IncomingMessage, verdict: (error?: string) => void): void {
  const status = response.statusCode ?? 0;
  const result = status >= 200 && status < 300 ? undefined : `status ${status}`;
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes >= limits.health.bodyBytes) verdict(result);
  });
  response.on('end', () => verdict(result));
  response.on('error', (error) => verdict(error.message));
}
