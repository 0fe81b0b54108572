/**
 * Honest clients, each of a network of its own (127.77.N.0/24): some keep a TCP connection and pipeline, some open one for
 * each query, some ask over UDP. A program: job as JSON on standard input, answered and latencies as JSON on standard
 * output. A query not answered within `waitMs` was not answered, also when its connection ended.
 */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

export interface HonestJob {
  readonly port: number;
  readonly seconds: number;
  /** Hex. */
  readonly query: string;
}

export interface HonestCounts {
  readonly asked: number;
  readonly answered: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly mostUs: number;
}

export type Honest = Readonly<Record<'kept' | 'single' | 'udp', HonestCounts>>;

const clients = 20;
/** Between queries of one client. */
const keptMs = 40;
const singleMs = 200;
const udpMs = 20;
const waitMs = 2_000;

class Tally {
  asked = 0;
  readonly #us: number[] = [];

  /** The result is called with the answer. */
  ask(): () => void {
    this.asked++;
    const startMs = performance.now();
    let isAnswered = false;
    return () => {
      const tookMs = performance.now() - startMs;
      if (!isAnswered && tookMs <= waitMs) this.#us.push(1000 * tookMs);
      isAnswered = true;
    };
  }

  counts(): HonestCounts {
    const us = this.#us.toSorted((a, b) => a - b);
    const at = (part: number) => Math.round(us[Math.min(us.length - 1, Math.floor(part * us.length))] ?? Number.NaN);
    return { asked: this.asked, answered: us.length, p50Us: at(0.5), p99Us: at(0.99), mostUs: at(1) };
  }
}

class Clients {
  readonly #job: HonestJob;
  readonly #query: Buffer;
  readonly #framed: Buffer;
  readonly kept = new Tally();
  readonly single = new Tally();
  readonly udp = new Tally();
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(job: HonestJob) {
    this.#job = job;
    this.#query = Buffer.from(job.query, 'hex');
    this.#framed = Buffer.concat([Buffer.from([this.#query.length >> 8, this.#query.length & 255]), this.#query]);
  }

  async run(): Promise<Honest> {
    for (let n = 0; n < clients; n++) {
      const localAddress = `127.77.${n}.1`;
      this.#every(keptMs, n, this.#keeper(localAddress));
      this.#every(singleMs, n, () => this.#askOnce(localAddress));
      this.#every(udpMs, n, this.#udpClient(localAddress));
    }
    await pause(1000 * this.#job.seconds);
    for (const timer of this.#timers) clearInterval(timer);
    await pause(waitMs);
    return { kept: this.kept.counts(), single: this.single.counts(), udp: this.udp.counts() };
  }

  /** Clients do not ask in step. */
  #every(ms: number, client: number, ask: () => void): void {
    setTimeout(() => this.#timers.push(setInterval(ask, ms)), (ms * client) / clients);
  }

  #keeper(localAddress: string): () => void {
    let socket: Socket | undefined;
    let owed: (() => void)[] = [];
    const open = () => {
      const opened = connect({ port: this.#job.port, host: '127.0.0.1', localAddress, noDelay: true });
      socket = opened;
      const mine: (() => void)[] = [];
      owed = mine;
      let received = Buffer.alloc(0);
      opened.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
        for (let end = endOf(received); end > 0; end = endOf(received)) {
          received = received.subarray(end);
          mine.shift()?.();
        }
      });
      opened.on('error', () => {});
      opened.on('close', () => {
        if (socket === opened) socket = undefined;
      });
    };
    return () => {
      if (socket === undefined) open();
      owed.push(this.kept.ask());
      socket!.write(this.#framed);
    };
  }

  #askOnce(localAddress: string): void {
    const answered = this.single.ask();
    const socket = connect({ port: this.#job.port, host: '127.0.0.1', localAddress, noDelay: true });
    let received = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (endOf(received) === 0) return;
      answered();
      socket.destroy();
    });
    socket.setTimeout(waitMs, () => socket.destroy());
    socket.write(this.#framed);
  }

  #udpClient(localAddress: string): () => void {
    const socket = createSocket('udp4');
    socket.bind(0, localAddress);
    const owed = new Map<number, () => void>();
    let id = 0;
    socket.on('message', (answer) => {
      owed.get(answer.readUInt16BE(0))?.();
      owed.delete(answer.readUInt16BE(0));
    });
    return () => {
      const query = Buffer.from(this.#query);
      query.writeUInt16BE(++id & 0xffff, 0);
      owed.set(id & 0xffff, this.udp.ask());
      socket.send(query, this.#job.port, '127.0.0.1');
    };
  }
}

/** Of the first whole message; 0: none. */
function endOf(bytes: Buffer): number {
  if (bytes.length < 2) return 0;
  const end = 2 + bytes.readUInt16BE(0);
  return bytes.length >= end ? end : 0;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const outcome = await new Clients(JSON.parse(await text(process.stdin)) as HonestJob).run();
process.stdout.write(`${JSON.stringify(outcome)}\n`, () => process.exit(0));
