/** Resolvers that keep TCP connections: each pipelines queries without a pause and comes back when it is hung up on. */
import { connect, type Socket } from 'node:net';

export interface TcpCounts {
  asked: number;
  answered: number;
  /** Connections that ended while answers were owed, and how many. */
  owed: number;
  refused: number;
  /** Ended by the server with nothing owed. */
  drained: number;
}

const everyMs = 20;

/** `stop` waits for the answers owed, at most a second, and gives the counts. */
export function startTcpClients(
  port: number,
  query: Uint8Array,
  count: number,
): { counts: TcpCounts; stop: () => Promise<TcpCounts> } {
  const counts: TcpCounts = { asked: 0, answered: 0, owed: 0, refused: 0, drained: 0 };
  const message = Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]);
  const clients = Array.from({ length: count }, () => new Client(port, message, counts));
  return {
    counts,
    async stop() {
      await Promise.all(clients.map((client) => client.stop()));
      return counts;
    },
  };
}

class Client {
  readonly #port: number;
  readonly #message: Buffer;
  readonly #counts: TcpCounts;
  #socket: Socket | undefined;
  #pending = 0;
  #received = Buffer.alloc(0);
  #timer: NodeJS.Timeout;
  #stopped = false;

  constructor(port: number, message: Buffer, counts: TcpCounts) {
    this.#port = port;
    this.#message = message;
    this.#counts = counts;
    this.#timer = setInterval(() => this.#ask(), everyMs);
    this.#connect();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (let i = 0; i < 100 && this.#pending > 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    this.#stopped = true;
    this.#counts.owed += this.#pending;
    this.#socket?.destroy();
  }

  #connect(): void {
    if (this.#stopped) return;
    this.#pending = 0;
    this.#received = Buffer.alloc(0);
    const socket = connect({ host: '127.0.0.1', port: this.#port });
    this.#socket = socket;
    let isConnected = false;
    let isLeft = false;
    socket.on('connect', () => {
      isConnected = true;
    });
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => {});
    // RFC 7766 §6.2.3: the server may close an idle connection; what was asked before it did is owed.
    const leave = () => {
      if (isLeft) return;
      isLeft = true;
      if (this.#stopped) return;
      if (!isConnected) this.#counts.refused++;
      else if (this.#pending > 0) this.#counts.owed += this.#pending;
      else this.#counts.drained++;
      this.#socket = undefined;
      socket.destroy();
      setTimeout(() => this.#connect(), everyMs);
    };
    socket.on('end', leave);
    socket.on('close', leave);
  }

  #ask(): void {
    if (this.#socket === undefined || this.#socket.connecting || !this.#socket.writable) return;
    this.#socket.write(this.#message);
    this.#pending++;
    this.#counts.asked++;
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 2) {
      const length = this.#received.readUInt16BE(0);
      if (this.#received.length < 2 + length) return;
      this.#received = this.#received.subarray(2 + length);
      this.#pending--;
      this.#counts.answered++;
    }
  }
}
