/**
 * Posts beacons as fast as they are taken, over connections that stay open, one request at a time on each. All requests
 * are made beforehand: real tokens, five targets of three fetches, a client of its own each (X-Forwarded-For).
 * Job as JSON on stdin, outcome as JSON on stdout.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { limits } from '@ufes/core/limits.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { beaconBody, clientOf, requestBytes } from './beacons.ts';

export interface PostJob {
  readonly port: number;
  readonly seconds: number;
  /** Default: as fast as they are taken. */
  readonly perSecond?: number;
  /** Not counted, before. */
  readonly warmupSeconds: number;
  readonly connections: number;
  /** Requests to make. Each is sent once, so that no token is seen again, */
  readonly requests: number;
  /** unless the server does not look at them. */
  readonly again: boolean;
  /** /24s that they are from. */
  readonly prefixes: number;
  readonly tokenKey: string;
  readonly seed: string;
}

export interface PostOutcome {
  readonly perSecond: number;
  /** Answers by status, warm-up and all. */
  readonly statuses: Readonly<Record<string, number>>;
  /** The requests were used up before the time was over. */
  readonly ranOut: boolean;
}

async function run(job: PostJob): Promise<PostOutcome> {
  const key = readFileSync(job.tokenKey);
  const rng = seededRng(job.seed);
  const expiresAtMs = Date.now() + limits.probe.tokenMs;
  const requests = Array.from({ length: job.requests }, (_, i) => {
    const client = clientOf(i, job.prefixes);
    return requestBytes(beaconBody(key, rng, client, expiresAtMs), client);
  });
  const statuses: Record<string, number> = {};
  let next = 0;
  let counted = 0;
  let isCounting = false;
  let isOver = false;
  /** Requests that may be sent now, and who waits to send them. */
  let due = job.perSecond === undefined ? Number.POSITIVE_INFINITY : 0;
  const idle: (() => void)[] = [];
  let pacedAtMs = performance.now();
  const pacer = setInterval(() => {
    const nowMs = performance.now();
    due += ((job.perSecond ?? 0) * (nowMs - pacedAtMs)) / 1000;
    pacedAtMs = nowMs;
    while (due >= 1 && idle.length > 0) idle.shift()!();
  }, 5);

  function talk(socket: Socket): void {
    let rest = '';
    const send = (): void => {
      if (due < 1 && !isOver) {
        idle.push(send);
        return;
      }
      due--;
      if (job.again && next === requests.length) next = 0;
      const request = requests[next++];
      if (request === undefined || isOver) socket.destroy();
      else socket.write(request);
    };
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      rest += chunk.toString('latin1');
      const head = rest.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(rest.slice(0, head))?.[1] ?? 0);
      if (rest.length < head + 4 + length) return;
      const status = rest.slice(9, 12);
      rest = '';
      statuses[status] = (statuses[status] ?? 0) + 1;
      if (isCounting && status === '204') counted++;
      send();
    });
    socket.on('error', (error) => {
      statuses[error.message] = (statuses[error.message] ?? 0) + 1;
    });
    socket.once('connect', send);
  }

  const sockets = Array.from({ length: job.connections }, () => connect(job.port, '127.0.0.1'));
  for (const socket of sockets) talk(socket);
  await new Promise((resolve) => setTimeout(resolve, 1000 * job.warmupSeconds));
  isCounting = true;
  const startMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 1000 * job.seconds));
  const seconds = (performance.now() - startMs) / 1000;
  isOver = true;
  clearInterval(pacer);
  for (const socket of sockets) socket.destroy();
  return { perSecond: Math.round(counted / seconds), statuses, ranOut: next >= requests.length };
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(readFileSync(0, 'utf8')) as PostJob)));
}
