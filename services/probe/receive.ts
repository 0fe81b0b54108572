/**
 * `POST /rum/beacon` on node:http alone. All other routes are asked for once a page view at most and have a framework
 * (collector.ts); this one is what a collector does all day, and half of its time would go there.
 *
 *     headers ─▶ body, bounded ─▶ `take` (parse, token, journal) ─▶ 204
 *                  └─✗ 413          └─✗ 400, 403, 503 with Retry-After
 *
 * Answers have the format of shared/io/http.ts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { statusOf } from '@ufes/io/http.ts';

export interface ReceiverParts {
  readonly log: Log;
  /** Resolves when what the body says is durable; rejects with an operating error that says what is wrong. */
  readonly take: (request: IncomingMessage, body: string) => Promise<void>;
  /** After each answer. */
  readonly onStatus: (status: number) => void;
}

/** Takes the request if it is a beacon; false: it is another's. */
export type Receiver = (request: IncomingMessage, response: ServerResponse) => boolean;

const beaconPath = '/rum/beacon';

export function createReceiver({ log, take, onStatus }: ReceiverParts): Receiver {
  const fail = (request: IncomingMessage, response: ServerResponse, thrown: unknown): void => {
    const isOurs = thrown instanceof OperatingError;
    if (!isOurs) log.error({ url: request.url, stack: stackOf(thrown) }, describeError(thrown));
    const status = isOurs ? statusOf(thrown.code) : 500;
    const said = isOurs
      ? { code: thrown.code, message: thrown.message }
      : { code: 'INTERNAL', message: 'internal error; the log says more' };
    const headers: Record<string, string> = { ...answerHeaders, 'content-type': 'application/json; charset=utf-8' };
    if (status === 503) headers['retry-after'] = String(limits.probe.retryAfterSeconds);
    // What is not read of a body would be taken for the next request.
    if (!request.complete) headers['connection'] = 'close';
    response.writeHead(status, headers);
    response.end(JSON.stringify(said));
    onStatus(status);
  };

  return (request, response) => {
    if (request.method !== 'POST' || pathOf(request.url) !== beaconPath) return false;
    readBody(request, (problem, body) => {
      if (problem !== undefined) {
        fail(request, response, problem);
        return;
      }
      take(request, body).then(
        () => {
          response.writeHead(204, answerHeaders).end();
          onStatus(204);
        },
        (thrown: unknown) => fail(request, response, thrown),
      );
    });
    return true;
  };
}

/** Pages of any site may read the answer. */
const answerHeaders: Record<string, string> = {
  'access-control-allow-origin': '*',
  'timing-allow-origin': '*',
  'cache-control': 'no-store',
};

const pathOf = (url = ''): string => {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
};

/** Calls back once: with the whole body, or with why there is none. A client that goes away is not called back for. */
function readBody(request: IncomingMessage, done: (problem: OperatingError | undefined, body: string) => void): void {
  const most = limits.probe.beaconBytes;
  const tooLarge = (): void => done(new OperatingError('BODY_TOO_LARGE', `the body is larger than ${most} bytes`), '');
  if (Number(request.headers['content-length'] ?? 0) > most) {
    tooLarge();
    return;
  }
  const chunks: Buffer[] = [];
  let length = 0;
  let isOver = false;
  request.on('data', (chunk: Buffer) => {
    if (isOver) return;
    length += chunk.length;
    isOver = length > most;
    if (isOver) tooLarge();
    else chunks.push(chunk);
  });
  request.on('end', () => {
    if (!isOver) done(undefined, (chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString('utf8'));
  });
}

function stackOf(thrown: unknown): string | undefined {
  return thrown instanceof Error ? thrown.stack : undefined;
}
