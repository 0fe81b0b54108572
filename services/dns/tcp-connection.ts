/**
 * One connection of DNS over TCP: bytes in → whole messages → answers out, a turn at a time.
 *
 *     chunk ─▶ partial message (grows as its bytes come, whatever length it claims) ─▶ answer ─▶ socket
 *        └─▶ rest of the chunk, when the turn is over or the peer lags behind in reading; then nothing more is read
 */
import type { Socket } from 'node:net';
import type { Peer } from '@ufes/core/ip.ts';
import type { AnswerFunction } from './source.ts';

const lengthBytes = 2;
/** First room for a partial message: nearly every query fits. */
const partialBytes = 512;
/** Room for some answers: node takes it from a pool. */
const outBytes = 1_024;
const none = Buffer.alloc(0);

export interface ConnectionOwner {
  /** How many messages may be answered now. */
  readonly turn: () => number;
  /** So many whole messages came and were answered. */
  readonly active: (answered: number) => void;
  readonly closed: () => void;
  /** The turn is over, and there is more: `turn` is to be called. */
  readonly unfinished: () => void;
  /** Calls once a client that asks on would have. The result cancels. */
  readonly afterQuiet: (fn: () => void) => () => void;
}

export class TcpConnection {
  /** Monotonic; of the last whole query, or of the start. Kept by the owner. */
  activeAtMs = 0;
  readonly #socket: Socket;
  readonly #peer: Peer;
  readonly #answerer: AnswerFunction;
  readonly #owner: ConnectionOwner;
  /** Of a message, its length included; `#filled` bytes are there. */
  #partial = none;
  #filled = 0;
  /** Not looked at yet. */
  #rest: Buffer = none;
  /** Answers of the turn that go out together. */
  #out = none;
  #outUsed = 0;
  #isQueued = false;
  #isDraining = false;
  #isFinished = false;
  #cancelQuiet = () => {};

  /** `unread`: what came before, and has not been answered; a turn begins with it. */
  constructor(socket: Socket, peer: Peer, answerer: AnswerFunction, owner: ConnectionOwner, unread = none) {
    this.#socket = socket;
    this.#peer = peer;
    this.#answerer = answerer;
    this.#owner = owner;
    this.#rest = unread;
    socket.on('data', (chunk: Buffer) => {
      if (this.#isFinished) return;
      this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
      if (!this.#isQueued) this.#work();
    });
    socket.on('drain', () => {
      if (!this.#isQueued) this.#work();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#cancelQuiet();
      owner.closed();
    });
  }

  /** Nothing of a query has come, and all answers have left. */
  get isIdle(): boolean {
    return this.#rest.length === 0 && this.#filled === 0 && this.#socket.writableLength === 0;
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** At once. */
  end(): void {
    this.#owner.closed();
    this.#socket.destroy();
  }

  /** Ends in the first pause after its next answer, so that no query crosses the end on its way. */
  drain(): void {
    this.#isDraining = true;
  }

  /**
   * After the answers under way: no more of them. What still comes is read and thrown away until the client ends its side
   * too (or `end`): closed with a query unread, the connection would be reset, and answers not read yet be lost with it.
   * To the client a query after our FIN is one that was not answered, to be asked again (RFC 7766 §6.2.4).
   */
  finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#rest = none;
    this.#socket.end();
    this.#socket.resume();
  }

  /**
   * What another process needs to go on here: the descriptor, and the bytes that came and are not answered. Undefined:
   * not now, while answers wait for the peer, or more than `bytes` for their turn. Once the descriptor has been passed, `end`
   * lets go of it here; that has to follow at once, before anything more is read.
   */
  handOver(bytes: number): { readonly fd: number; readonly unread: Buffer } | undefined {
    const socket = this.#socket;
    // Not in node's interface; where it is not there, the connection ends here.
    const { fd } = (socket as unknown as { readonly _handle?: { readonly fd?: number } })._handle ?? {};
    if (fd === undefined || fd < 0 || socket.destroyed || this.#isFinished) return undefined;
    if (socket.writableEnded || socket.writableLength > 0) return undefined;
    if (this.#filled + this.#rest.length + socket.readableLength > bytes) return undefined;
    // What node has read ahead goes the way of all data, or, in a turn that waits, to the rest of it.
    while (socket.read() !== null);
    return socket.writableLength > 0
      ? undefined
      : { fd, unread: Buffer.concat([this.#partial.subarray(0, this.#filled), this.#rest]) };
  }

  /** Goes on where the last turn was over. */
  turn(): void {
    this.#isQueued = false;
    this.#work();
  }

  #work(): void {
    const socket = this.#socket;
    if (socket.destroyed || this.#isFinished || socket.writableEnded) return;
    const most = this.#owner.turn();
    let answered = 0;
    while (this.#rest.length > 0 && answered < most && !socket.writableNeedDrain) {
      const message = this.#nextMessage();
      if (message === undefined) break;
      answered++;
      this.#answer(message);
    }
    this.#flush();
    if (answered > 0) this.#owner.active(answered);
    if (answered > 0 && this.#isDraining) this.#endWhenQuiet();
    this.#readOn();
  }

  #endWhenQuiet(): void {
    this.#cancelQuiet();
    this.#cancelQuiet = this.#owner.afterQuiet(() => {
      // What came while this thread was late is read first, and begins the pause anew.
      const before = this.activeAtMs;
      setImmediate(() => {
        if (this.activeAtMs === before && this.#rest.length === 0 && this.#filled === 0) this.finish();
      });
    });
  }

  /** What has not been looked at is not added to: the peer's own window fills. */
  #readOn(): void {
    const socket = this.#socket;
    if (this.#rest.length === 0) {
      socket.resume();
      return;
    }
    socket.pause();
    if (socket.writableNeedDrain) return;
    this.#isQueued = true;
    this.#owner.unfinished();
  }

  /** The next whole message, valid until the next call; undefined: its end has not come yet. */
  #nextMessage(): Buffer | undefined {
    const rest = this.#rest;
    if (this.#filled === 0 && rest.length >= lengthBytes) {
      const end = lengthBytes + rest.readUInt16BE(0);
      if (rest.length >= end) {
        this.#rest = rest.subarray(end);
        return rest.subarray(lengthBytes, end);
      }
    }
    const wanted = this.#filled < lengthBytes ? lengthBytes : lengthBytes + this.#partial.readUInt16BE(0);
    this.#fill(wanted - this.#filled);
    if (this.#filled < lengthBytes) return undefined;
    const end = lengthBytes + this.#partial.readUInt16BE(0);
    if (this.#filled < end) return this.#rest.length > 0 ? this.#nextMessage() : undefined;
    this.#filled = 0;
    return this.#partial.subarray(lengthBytes, end);
  }

  /** Moves up to `bytes` from the rest into the partial message. */
  #fill(bytes: number): void {
    const moved = Math.min(bytes, this.#rest.length);
    const needed = this.#filled + moved;
    if (needed > this.#partial.length) {
      const grown = Buffer.allocUnsafe(Math.max(partialBytes, needed, 2 * this.#partial.length));
      this.#partial.copy(grown, 0, 0, this.#filled);
      this.#partial = grown;
    }
    this.#rest.copy(this.#partial, this.#filled, 0, moved);
    this.#rest = this.#rest.subarray(moved);
    this.#filled = needed;
  }

  #answer(message: Buffer): void {
    const length = this.#answerer.answer(message, this.#peer, true);
    if (length === 0) return;
    const end = this.#outUsed + lengthBytes + length;
    if (end > this.#out.length) {
      this.#flush();
      this.#out = Buffer.allocUnsafe(Math.max(outBytes, lengthBytes + length));
    }
    const at = this.#out.writeUInt16BE(length, this.#outUsed);
    this.#out.set(this.#answerer.out.subarray(0, length), at);
    this.#outUsed = at + length;
  }

  #flush(): void {
    if (this.#outUsed > 0) this.#socket.write(this.#out.subarray(0, this.#outUsed));
    this.#out = none;
    this.#outUsed = 0;
  }
}
