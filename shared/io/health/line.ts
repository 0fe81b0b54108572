/** How a target is reached: the connection that a few checks share, and the TLS session that a few connections share. */
import { connect, type Socket } from 'node:net';
import { type SecureContext, connect as tlsConnect } from 'node:tls';
import { limits } from '@ufes/core/limits.ts';
import type { CheckTarget } from './check-target.ts';

/** Of the check under way. */
export interface Listener {
  readonly onData: (chunk: Buffer) => void;
  /** The connection is gone, and why. */
  readonly onGone: (why: string) => void;
}

export class Line {
  readonly secureContext: SecureContext | undefined;
  /** The target answers plainly (plain-response.ts), as far as known. */
  isPlain = true;
  readonly #target: CheckTarget;
  #socket: Socket | undefined;
  #listener: Listener | undefined;
  #session: Buffer | undefined;
  /** Checks on this connection; connections so far. */
  #checks = 0;
  #connections = 0;

  constructor(target: CheckTarget, secureContext: SecureContext | undefined) {
    this.#target = target;
    this.secureContext = secureContext;
  }

  /** Sends a request on the kept connection, or on a fresh one; tells which. Then `listener` hears what comes. */
  send(bytes: string, listener: Listener): { readonly isFresh: boolean } {
    if (this.#checks >= limits.health.checksPerConnection) this.end();
    const isFresh = this.#socket === undefined;
    this.#socket ??= this.#keep(this.open());
    this.#listener = listener;
    this.#checks++;
    this.#socket.write(bytes, 'latin1');
    return { isFresh };
  }

  /** The check is over, and the connection waits for the next. */
  rest(): void {
    this.#listener = undefined;
  }

  /** The next check is on a fresh connection. */
  end(): void {
    this.#listener = undefined;
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#checks = 0;
  }

  /** A connection that is the caller's own. */
  open(): Socket {
    const { kind, address, port, host, trust } = this.#target;
    if (kind !== 'https') return connect({ host: address, port });
    const isFull = this.#connections++ % limits.health.connectionsPerSession === 0;
    const session = isFull ? undefined : this.#session;
    const socket = tlsConnect({
      host: address,
      port,
      ...(session === undefined ? {} : { session }),
      ...(host === undefined ? {} : { servername: host }),
      ...(this.secureContext === undefined ? {} : { secureContext: this.secureContext }),
      rejectUnauthorized: trust !== 'anyone',
      checkServerIdentity: () => undefined,
    });
    socket.on('session', (next) => {
      this.#session = next;
    });
    return socket;
  }

  #keep(socket: Socket): Socket {
    let why = 'the target ended the connection';
    socket.setNoDelay(true);
    // A connection at rest keeps no process alive; a check under way has its time-out.
    socket.unref();
    socket.on('data', (chunk: Buffer) => {
      if (socket !== this.#socket) return;
      // At rest: an answer to nothing that was asked.
      if (this.#listener === undefined) this.end();
      else this.#listener.onData(chunk);
    });
    socket.on('error', (error) => {
      why = error.message;
    });
    socket.on('close', () => {
      if (socket !== this.#socket) return;
      const listener = this.#listener;
      this.end();
      listener?.onGone(why);
    });
    return socket;
  }
}
