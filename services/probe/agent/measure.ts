/**
 * One target measured as a browser would: a new connection, one request that warms it, then as many as the plan asks for.
 *
 *     resolve ─ connect ─▶ TLS ─ handshakeMs ─▶ GET (warm-up) ─▶ GET × fetches: rttMs, first byte after request
 */

import type { IncomingMessage } from 'node:http';
import { Agent as Connections, request as httpsRequest } from 'node:https';
import type { LookupFunction, Socket } from 'node:net';
import type { Clock } from '@ufes/core/ports.ts';
import type { PlanTarget } from '@ufes/core/samples.ts';

export interface MeasureOptions {
  readonly clock: Clock;
  readonly fetches: number;
  readonly timeoutMs: number;
  /** PEM of a CA to trust beside those of the system. */
  readonly ca?: string;
  readonly lookup?: LookupFunction;
}

export interface Measured {
  readonly target: string;
  readonly ok: boolean;
  readonly rttMs: readonly number[];
  /** From connected to the end of the TLS handshake. */
  readonly handshakeMs?: number;
  /** Why it could not be reached. */
  readonly problem?: string;
}

/** Never rejects. */
export async function measure({ id, url }: PlanTarget, options: MeasureOptions): Promise<Measured> {
  const connections = new Connections({ keepAlive: true, maxSockets: 1, ...(options.ca && { ca: options.ca }) });
  let handshakeMs: number | undefined;
  const rttMs: number[] = [];
  try {
    const warm = await fetchOnce(url, connections, options);
    handshakeMs = warm.handshakeMs;
    for (let n = 0; n < options.fetches; n++) {
      const { reused, ms } = await fetchOnce(url, connections, options);
      if (reused && ms > 0) rttMs.push(ms);
    }
  } catch (thrown) {
    const problem = thrown instanceof Error ? thrown.message : String(thrown);
    // Like a browser's: reached once is reached, whatever became of the rest.
    if (handshakeMs === undefined) return { target: id, ok: false, rttMs: [], problem };
  } finally {
    connections.destroy();
  }
  return { target: id, ok: true, rttMs, ...(handshakeMs !== undefined && { handshakeMs }) };
}

interface Fetched {
  readonly ms: number;
  readonly reused: boolean;
  /** 0 on a connection that was there. */
  readonly handshakeMs: number;
}

function fetchOnce(url: string, agent: Connections, { clock, timeoutMs, lookup }: MeasureOptions): Promise<Fetched> {
  return new Promise((resolve, reject) => {
    let startMs = clock.monotonicMs();
    let handshakeMs = 0;
    const request = httpsRequest(url, { agent, ...(lookup && { lookup }), headers: { 'cache-control': 'no-store' } });
    const cancel = clock.after(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    request.once('socket', (socket: Socket) => {
      if (request.reusedSocket) return;
      let connectedMs = startMs;
      socket.once('connect', () => {
        connectedMs = clock.monotonicMs();
      });
      socket.once('secureConnect', () => {
        startMs = clock.monotonicMs();
        handshakeMs = startMs - connectedMs;
      });
    });
    request.once('error', (error) => {
      cancel();
      reject(error);
    });
    request.once('response', (response) => {
      const ms = clock.monotonicMs() - startMs - appMs(response);
      response.resume();
      response.once('error', reject);
      response.once('end', () => {
        cancel();
        const { statusCode = 0 } = response;
        if (statusCode === 200) resolve({ ms, reused: request.reusedSocket, handshakeMs });
        else reject(new Error(`status ${statusCode}`));
      });
    });
    request.end();
  });
}

/** What the server says it computed for. */
function appMs({ headers }: IncomingMessage): number {
  const said = String(headers['server-timing'] ?? '');
  const ms = Number(/(?:^|,)\s*app\s*;(?:[^,]*;)?\s*dur=([\d.]+)/.exec(said)?.[1] ?? 0);
  return Number.isFinite(ms) ? ms : 0;
}
