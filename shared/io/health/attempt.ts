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
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import type { SecureContext } from 'node:tls';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import type { CheckTarget } from './check-target.ts';
import { Line, type Listener } from './line.ts';
import { PlainReader } from './plain-response.ts';

/**
 * `ok`, or not and why; `ms` since the start. `void`: this process itself was held up (or lacks the CA), so the check
 * says nothing about the target.
 */
export type Outcome =
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly ms: number; readonly error: string }
  | 'void';

const userAgent = 'ufes-health';

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

function connectOnce({ address, port }: CheckTarget, verdict: (error?: string) => void): () => void {
  const socket = connect({ host: address, port });
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
  let end: (isWell: boolean) => void = () => {};
  const byLibrary = (): void => {
    end = askByLibrary(target, line, verdict);
  };
  if (line.isPlain) end = askPlainly(target, line, verdict, byLibrary);
  else byLibrary();
  return (isWell) => end(isWell);
}

const lines = new WeakMap<CheckTarget, Line>();

/** Connections are verified under the trust of now. */
function lineOf(target: CheckTarget, secureContext: SecureContext | undefined): Line {
  const known = lines.get(target);
  if (known?.secureContext === secureContext && known !== undefined) return known;
  known?.end();
  const line = new Line(target, secureContext);
  lines.set(target, line);
  return line;
}

/** Ends what the checks of a target left open. */
export function release(target: CheckTarget): void {
  lines.get(target)?.end();
  lines.delete(target);
}

/** On the kept connection, or a fresh one that is kept. `otherwise`: the answer is not plain, now and from now on. */
function askPlainly(
  target: CheckTarget,
  line: Line,
  verdict: (error?: string) => void,
  otherwise: () => void,
): (isWell: boolean) => void {
  const { path = '/', host = target.address } = target;
  const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: ${userAgent}\r\n\r\n`;
  const reader = new PlainReader();
  let isKept = false;
  const listener: Listener = {
    onData(chunk) {
      const response = reader.read(chunk);
      if (response === undefined) return;
      if (response === 'odd') {
        line.isPlain = false;
        line.end();
        otherwise();
        return;
      }
      isKept = response.kept;
      verdict(judge(target, response.status, response.body));
    },
    onGone(why) {
      // The server may have ended an idle connection just now; that says nothing of a new one.
      if (!sent.isFresh && reader.isEmpty) sent = line.send(request, listener);
      else verdict(why);
    },
  };
  let sent = line.send(request, listener);
  return (isWell) => (isWell && isKept ? line.rest() : line.end());
}

/** On a connection of its own. */
function askByLibrary(target: CheckTarget, line: Line, verdict: (error?: string) => void): () => void {
  const request = httpRequest({
    path: target.path ?? '/',
    headers: { host: target.host ?? target.address, 'user-agent': userAgent },
    createConnection: () => line.open(),
  });
  request.on('response', (response) => {
    let body = '';
    const end = (): void => verdict(judge(target, response.statusCode ?? 0, body));
    response.setEncoding('latin1');
    response.on('data', (chunk: string) => {
      body += chunk;
      if (body.length >= limits.health.bodyBytes) end();
    });
    response.on('end', end);
    response.on('error', (error) => verdict(error.message));
  });
  request.on('error', (error) => verdict(error.message));
  request.end();
  return () => request.destroy();
}

/** What is wrong, or undefined. `body`: a character a byte. */
function judge({ status: wanted, body: text }: CheckTarget, status: number, body: string): string | undefined {
  const expected = wanted?.length ? wanted.includes(status) : status >= 200 && status < 300;
  if (!expected) return `status ${status}`;
  if (text !== undefined && !body.includes(Buffer.from(text).toString('latin1')))
    return `no ${JSON.stringify(text)} in body`;
  return undefined;
}
