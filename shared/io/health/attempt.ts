/**
 * One health check: a hard time-out over all of it, and what came of it.
 *
 * tcp: the connection is accepted. http, https: GET answers 2xx or one of the expected statuses, and its body ends or
 * reaches the bound in time, with the expected text in it. https verifies the certificate by the given CA but not by
 * name: what is checked is the node behind an address, and every node of ours has a certificate of our CA. load: what the
 * PoP's edge said last of its load is within bounds; no connection is made.
 *
 *     check   1 ─ 2 ─ … ─ 10      11 ─ … ─ 20      21 ─ … ─ 30      31 …
 *             full handshake      resumed          resumed          full
 *
 * A failed check ends its connection: the next one is on a fresh one.
 */
import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
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
  let drop = (_isWell: boolean): void => {};
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
    drop(outcome !== 'void' && outcome.ok);
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

/** The result ends it: the connection stays for the next check only when this one ended well. */
function getOnce(
  target: CheckTarget,
  verdict: (error?: string) => void,
  nothing: () => void,
): (isWell: boolean) => void {
  const trust = typeof target.trust === 'function' ? target.trust : undefined;
  const secureContext = trust?.();
  if (target.kind === 'https' && trust !== undefined && secureContext === undefined) {
    nothing();
    return () => {};
  }
  const line = lineOf(target, secureContext);
  let isOver = false;
  let response: IncomingMessage | undefined;
  const ask = (): ClientRequest => {
    const request = httpRequest({
      path: target.path ?? '/',
      headers: { host: target.host ?? target.address, 'user-agent': 'ufes-health' },
      agent: line.agent,
    });
    request.on('response', (received) => {
      response = received;
      judge(target, received, verdict);
    });
    request.on('error', (error) => {
      // The server may have ended an idle connection just now; that says nothing of a new one.
      if (request.reusedSocket && !isOver) current = ask();
      else verdict(error.message);
    });
    request.end();
    return request;
  };
  let current = ask();
  return (isWell) => {
    isOver = true;
    if (isWell && response?.complete === true) return;
    line.checks = limits.health.checksPerConnection;
    current.destroy();
  };
}

function whereTo(target: CheckTarget): { host: string; port: number } {
  return { host: target.address, port: target.port };
}

/** How a target is reached: the connection that a few checks share, and the TLS session that a few connections share. */
interface Line {
  readonly agent: Agent;
  readonly secureContext: SecureContext | undefined;
  session: Buffer | undefined;
  /** Checks on this connection; connections since the last full handshake. */
  checks: number;
  connections: number;
}
const lines = new WeakMap<CheckTarget, Line>();

/** The line to check on now. Verified under this very trust, and not used for too long. */
function lineOf(target: CheckTarget, secureContext: SecureContext | undefined): Line {
  const known = lines.get(target);
  if (
    known !== undefined &&
    known.secureContext === secureContext &&
    known.checks < limits.health.checksPerConnection
  ) {
    known.checks++;
    return known;
  }
  known?.agent.destroy();
  const keeps = known?.secureContext === secureContext;
  const line: Line = {
    agent: new Agent({ keepAlive: true, maxSockets: 1 }),
    secureContext,
    session: keeps ? known?.session : undefined,
    checks: 1,
    connections: keeps ? (known?.connections ?? 0) : 0,
  };
  line.agent.createConnection = () => (target.kind === 'http' ? connect(whereTo(target)) : secureConnect(target, line));
  lines.set(target, line);
  return line;
}

/** Ends what the checks of a target left open. */
export function release(target: CheckTarget): void {
  lines.get(target)?.agent.destroy();
  lines.delete(target);
}

function secureConnect(target: CheckTarget, line: Line): TLSSocket {
  const isFull = line.connections % limits.health.connectionsPerSession === 0;
  const session = isFull ? undefined : line.session;
  line.connections++;
  const socket = tlsConnect({
    ...whereTo(target),
    ...(session === undefined ? {} : { session }),
    ...(target.host === undefined ? {} : { servername: target.host }),
    ...(line.secureContext === undefined ? {} : { secureContext: line.secureContext }),
    rejectUnauthorized: target.trust !== 'anyone',
    checkServerIdentity: () => undefined,
  });
  socket.on('session', (next) => {
    line.session = next;
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
