/** An exchange over HTTP/1.x: node's request and response objects. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fields } from '@ufes/core/routing/headers.ts';
import type { Reason } from '@ufes/core/routing/reasons.ts';
import { BodyRelay, type ClientConnection, type Exchange } from './exchange.ts';

export class Http1Exchange implements Exchange {
  readonly connection: ClientConnection;
  readonly startMs: number;
  readonly hasBody: boolean;
  readonly problem: Reason | undefined;
  onDrain: (() => void) | undefined;
  onClose: (() => void) | undefined;
  onInvalid: (() => void) | undefined;
  closed = false;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;

  constructor(connection: ClientConnection, request: IncomingMessage, response: ServerResponse, startMs: number) {
    this.connection = connection;
    this.startMs = startMs;
    this.#request = request;
    this.#response = response;
    const length = request.headers['content-length'];
    this.hasBody = request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
    this.problem = problemOf(request);
    // Where the request ends is in doubt: nothing after it is read.
    if (this.problem !== undefined) connection.closing = true;
    response.on('drain', () => this.onDrain?.());
    response.on('close', () => {
      this.closed = true;
      this.onClose?.();
    });
  }

  get method(): string {
    return this.#request.method ?? '';
  }
  get target(): string {
    return this.#request.url ?? '';
  }
  get authority(): string | undefined {
    return this.#request.headers.host;
  }
  get httpVersion(): string {
    return this.#request.httpVersion;
  }
  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }
  get responded(): boolean {
    return this.#response.headersSent;
  }

  body(): BodyRelay {
    return new BodyRelay(this.#request, () => this.#request.complete);
  }

  inform(status: number, fields: Fields): void {
    // RFC 9110 §15.2: a client of HTTP/1.0 must not be sent one.
    const link = fields['link'];
    if (status === 103 && link !== undefined && this.httpVersion === '1.1') {
      this.#response.writeEarlyHints({ ...fields, link });
    }
  }

  respond(status: number, fields: Fields, end: boolean): void {
    // An answer before the end of the request: what is left of it must not be read as the next request.
    const unread = this.hasBody && !this.#request.complete;
    if (this.connection.closing || unread) fields['connection'] = 'close';
    this.#response.writeHead(status, fields);
    if (end) this.#finish();
    else this.#response.flushHeaders();
  }

  write(chunk: Uint8Array): boolean {
    return this.#response.write(chunk);
  }

  end(trailers?: Fields): void {
    if (trailers !== undefined && this.#response.hasHeader('content-length') === false) {
      this.#response.addTrailers(Object.entries(trailers).flatMap(([name, value]) => pairs(name, value)));
    }
    this.#finish();
  }

  #finish(): void {
    this.#response.end();
    // What is left of the body is thrown away, so that the client can finish writing and read the answer.
    if (this.hasBody && !this.#request.complete) this.#request.resume();
  }

  reset(): void {
    this.#request.socket.destroy();
  }
}

/** What node's parser lets through: versions that are not written this way, and RFC 9112 §6.1's faulty framing. */
function problemOf({ httpVersion, headers }: IncomingMessage): Reason | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 'bad-request';
  return httpVersion === '1.0' && headers['transfer-encoding'] !== undefined ? 'bad-header' : undefined;
}

function pairs(name: string, value: string | string[]): [string, string][] {
  return Array.isArray(value) ? value.map((one): [string, string] => [name, one]) : [[name, value]];
}
