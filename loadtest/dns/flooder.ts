/**
 * Hostile clients over TCP, from networks of their own (127.66.N.0/24). A program: job as JSON on standard input, counts as
 * JSON on standard output when its time is over.
 */
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

export type FloodKind = 'loris' | 'connections' | 'pipelining' | 'greedy';

export interface FloodJob {
  readonly port: number;
  readonly kind: FloodKind;
  readonly networks: number;
  /** Held at a time, over all networks. */
  readonly connections: number;
  readonly seconds: number;
  /** A query, hex. */
  readonly query: string;
}

export interface FloodCounts {
  connects: number;
  connected: number;
  endedByServer: number;
  bytesSent: number;
  bytesRead: number;
  mostOpen: number;
}

/** One byte of a query in this time. */
const lorisMs = 2_000;
/**
 * Waiting in all by one connection: with 2,000 of them less than half of what the kernel grants TCP as a whole, and this
 * machine has both ends; an attacker fills his own.
 */
const blastBytes = 300_000;
/** Bounds how fast connections that were ended come back, all together. */
const connectsPerMs = 5;

class Flood {
  readonly #job: FloodJob;
  readonly #message: Buffer;
  readonly #burst: Buffer;
  readonly counts: FloodCounts = {
    ...{ connects: 0, connected: 0, endedByServer: 0 },
    ...{ bytesSent: 0, bytesRead: 0, mostOpen: 0 },
  };
  readonly #open = new Set<Socket>();
  #next = 0;
  #isOver = false;

  constructor(job: FloodJob) {
    this.#job = job;
    const query = Buffer.from(job.query, 'hex');
    this.#message = Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]);
    this.#burst = Buffer.concat(Array.from({ length: 500 }, () => this.#message));
  }

  async run(): Promise<FloodCounts> {
    const endMs = performance.now() + 1000 * this.#job.seconds;
    let atMs = performance.now();
    while (performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      const room = Math.min(Math.round(connectsPerMs * (performance.now() - atMs)), 100);
      atMs = performance.now();
      for (let i = 0; i < room && this.#open.size < this.#job.connections; i++) this.#connect();
      this.counts.mostOpen = Math.max(this.counts.mostOpen, this.#open.size);
      // Holds each for a moment, and opens the next: what counts is the rate.
      if (this.#job.kind === 'connections' && this.#open.size >= this.#job.connections) this.#drop(room);
    }
    this.#isOver = true;
    for (const socket of this.#open) socket.destroy();
    return this.counts;
  }

  #drop(count: number): void {
    let left = count;
    for (const socket of this.#open) {
      if (left-- === 0) return;
      this.#open.delete(socket);
      socket.resetAndDestroy();
    }
  }

  #connect(): void {
    const { port, networks, kind } = this.#job;
    const n = this.#next++;
    const localAddress = `127.66.${n % networks}.${1 + (Math.floor(n / networks) % 250)}`;
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    this.counts.connects++;
    this.#open.add(socket);
    let isConnected = false;
    let cancel = () => {};
    socket.on('error', () => {});
    socket.on('connect', () => {
      isConnected = true;
      this.counts.connected++;
      if (kind === 'loris') cancel = this.#dribble(socket);
      if (kind === 'pipelining' || kind === 'greedy') this.#blast(socket);
      if (kind === 'pipelining') socket.pause();
    });
    socket.on('data', (chunk) => {
      this.counts.bytesRead += chunk.length;
    });
    socket.on('close', () => {
      cancel();
      if (isConnected && !this.#isOver && this.#open.has(socket)) this.counts.endedByServer++;
      this.#open.delete(socket);
    });
  }

  #dribble(socket: Socket): () => void {
    let at = 0;
    const timer = setInterval(() => {
      // Never the last byte: no query gets whole.
      socket.write(this.#message.subarray(at, at + 1));
      this.counts.bytesSent++;
      at = (at + 1) % (this.#message.length - 1);
    }, lorisMs);
    return () => clearInterval(timer);
  }

  #blast(socket: Socket): void {
    let sent = 0;
    const more = () => {
      while (!socket.destroyed && socket.writable && !socket.writableNeedDrain && sent < blastBytes) {
        socket.write(this.#burst);
        sent += this.#burst.length;
        this.counts.bytesSent += this.#burst.length;
      }
      // One that has sent all that it may comes back as another.
      if (sent >= blastBytes && this.#job.kind === 'greedy') socket.end();
    };
    socket.on('drain', more);
    more();
  }
}

const counts = await new Flood(JSON.parse(await text(process.stdin)) as FloodJob).run();
process.stdout.write(`${JSON.stringify(counts)}\n`, () => process.exit(0));
