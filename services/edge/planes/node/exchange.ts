/**
 * One request and its answer, the same for HTTP/1.1 and HTTP/2: what the rest of the plane works on.
 *
 *     respond(status, fields, end)   once; end: there is no body
 *     write(chunk) → false           wait for onDrain, or the answer would be buffered here
 *     end(trailers)                  once, after respond without end
 *     reset()                        instead of end: the client must see that the answer is not whole
 *     onClose                        exactly once, after all of the above or when the client went away
 */
import { Readable } from 'node:stream';
import type { Fields } from '@ufes/core/routing/headers.ts';
import type { Reason } from '@ufes/core/routing/reasons.ts';
import type { HandshakeTime } from '../../data-plane.ts';

export interface ClientConnection {
  /** Of the client; v4-mapped addresses as IPv4. */
  readonly address: string;
  readonly secure: boolean;
  /** Name of the certificate that SNI selected; compared with that of each request's host. */
  readonly certificate: string;
  /** Of the handshake; 0 in clear text. The connection's first request paid for it. */
  readonly tlsMs: number;
  /** Undefined in clear text and with TLS 1.2. */
  readonly handshake: HandshakeTime | undefined;
  requests: number;
  /** ID of the probe name that was asked for last. */
  probe: string;
  inFlight: number;
  /** No further requests after those under way. */
  closing: boolean;
  /** Says GOAWAY on HTTP/2; on HTTP/1.1 the next answer says `Connection: close`. */
  announceClose(): void;
  /** Ends when no request is under way. */
  closeWhenIdle(): void;
  destroy(): void;
}

export interface Exchange {
  readonly connection: ClientConnection;
  readonly method: string;
  /** As it came, not in normal form. */
  readonly target: string;
  /** Host or :authority as it came; undefined when there is none. */
  readonly authority: string | undefined;
  /** `1.0`, `1.1` or `2.0`. */
  readonly httpVersion: string;
  /** Flat; HTTP/2 pseudo-headers included. */
  readonly rawHeaders: readonly string[];
  readonly hasBody: boolean;
  /** What is wrong with the request as its protocol framed it. */
  readonly problem: Reason | undefined;
  readonly startMs: number;
  readonly responded: boolean;
  readonly closed: boolean;
  onDrain: (() => void) | undefined;
  onClose: (() => void) | undefined;
  /** The rest of the request cannot be read; called only while there is no answer. Unset: the connection is cut. */
  onInvalid: (() => void) | undefined;
  /** May be taken again as long as nothing has been read from the one before. */
  body(): BodyRelay;
  inform(status: number, fields: Fields): void;
  respond(status: number, fields: Fields, end: boolean): void;
  write(chunk: Uint8Array): boolean;
  end(trailers?: Fields): void;
  reset(): void;
}

/**
 * A request's body for the origin. Its own stream, because whoever sends it destroys it when sending fails, and that must
 * not take the client's connection along. Pulls only on demand, so that a slow origin slows the client.
 */
export class BodyRelay extends Readable {
  /** Something has been read: the request can no longer be sent to another endpoint. */
  consumed = false;
  readonly #source: Readable;
  readonly #whole: () => boolean;
  #attached = false;
  readonly #onData = (chunk: Uint8Array): void => {
    this.consumed = true;
    if (!this.push(chunk)) this.#source.pause();
  };
  readonly #onEnd = (): void => void this.push(null);
  readonly #onClose = (): void => {
    if (!this.#whole()) this.destroy(new Error('the client did not finish the request body'));
  };

  /** `whole` tells whether the body came to its proper end. */
  constructor(source: Readable, whole: () => boolean) {
    super();
    this.#source = source;
    this.#whole = whole;
    this.on('error', () => {}); // whoever sends it may have let go of it already
  }

  override _read(): void {
    if (!this.#attached) this.#attach();
    this.#source.resume();
  }

  #attach(): void {
    this.#attached = true;
    this.#source.on('data', this.#onData);
    this.#source.on('end', this.#onEnd);
    this.#source.on('close', this.#onClose);
    if (this.#source.readableEnded) this.push(null);
    else if (this.#source.destroyed) this.#onClose();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#source.off('data', this.#onData);
    this.#source.off('end', this.#onEnd);
    this.#source.off('close', this.#onClose);
    if (this.#attached && !this.#source.readableEnded) this.#source.pause();
    done(error);
  }
}

export function clientAddress(remoteAddress: string | undefined): string {
  const address = remoteAddress ?? '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}
