/** An exchange over HTTP/2: one stream, without node's compatibility layer. */
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Fields } from '@ufes/core/routing/headers.ts';
import { BodyRelay, type ClientConnection, type Exchange } from './exchange.ts';

export class Http2Exchange implements Exchange {
  readonly connection: ClientConnection;
  readonly startMs: number;
  readonly method: string;
  readonly target: string;
  readonly authority: string | undefined;
  readonly httpVersion = '2.0';
  readonly rawHeaders: readonly string[];
  readonly hasBody: boolean;
  readonly problem = undefined;
  onDrain: (() => void) | undefined;
  onClose: (() => void) | undefined;
  /** Never called: what HTTP/2 cannot read ends the stream or the session. */
  onInvalid: (() => void) | undefined;
  responded = false;
  readonly #stream: ServerHttp2Stream;
  #trailers: Fields | undefined;

  constructor(connection: ClientConnection, stream: ServerHttp2Stream, rawHeaders: readonly string[], startMs: number) {
    this.connection = connection;
    this.startMs = startMs;
    this.#stream = stream;
    this.rawHeaders = rawHeaders;
    this.hasBody = !stream.endAfterHeaders;
    let method = '';
    let target = '';
    let authority: string | undefined;
    let host: string | undefined;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const name = rawHeaders[i];
      if (name === ':method') method = rawHeaders[i + 1]!;
      else if (name === ':path') target = rawHeaders[i + 1]!;
      else if (name === ':authority') authority = rawHeaders[i + 1]!;
      else if (name === 'host') host = rawHeaders[i + 1]!;
      else if (name === 'expect' && rawHeaders[i + 1] === '100-continue') this.inform(100, {});
    }
    this.method = method;
    this.target = target;
    // RFC 9113 §8.3.1: the two must agree. One that does not parse is refused later with the same reason.
    const agree = host === undefined || authority === undefined || host.toLowerCase() === authority.toLowerCase();
    this.authority = agree ? (authority ?? host) : '';
    stream.on('drain', () => this.onDrain?.());
    stream.on('wantTrailers', () => this.#sendTrailers());
    stream.on('finish', () => this.#stopReading());
    stream.on('error', () => {}); // 'close' follows and is where it is dealt with
    stream.on('close', () => this.onClose?.());
    if (!this.hasBody) stream.resume();
  }

  /** A stream may be reset before it is announced here. */
  get closed(): boolean {
    return this.#stream.closed || this.#stream.destroyed;
  }

  body(): BodyRelay {
    return new BodyRelay(this.#stream, () => this.#stream.readableEnded && !this.#stream.aborted);
  }

  inform(status: number, fields: Fields): void {
    if (!this.closed) this.#stream.additionalHeaders({ ...fields, ':status': status });
  }

  respond(status: number, fields: Fields, end: boolean): void {
    // An origin that says how long its answer is has no trailers; waiting for some costs a frame.
    const waitForTrailers = !end && fields['content-length'] === undefined;
    this.#stream.respond({ ...fields, ':status': status }, { endStream: end, waitForTrailers });
    this.responded = true;
  }

  write(chunk: Uint8Array): boolean {
    return this.#stream.write(chunk);
  }

  end(trailers?: Fields): void {
    this.#trailers = trailers;
    this.#stream.end();
  }

  /** Trailers that HTTP/2 cannot say are left out (RFC 9110 §6.5): here nobody would catch what it throws. */
  #sendTrailers(): void {
    if (this.closed) return;
    try {
      this.#stream.sendTrailers(this.#trailers ?? {});
    } catch {
      this.#stream.sendTrailers({});
    }
  }

  /** RFC 9113 §8.1: a whole answer before the end of the request is followed by RST_STREAM with NO_ERROR. */
  #stopReading(): void {
    if (this.hasBody && !this.#stream.readableEnded) this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }

  reset(): void {
    // Not close(): that ends the stream first, and an answer without a length would look whole.
    this.#stream.destroy(new Error('cut'));
  }
}
