/**
 * Open-loop load: queries leave when they are due, whether or not answers came, from many source addresses of the
 * loopback block. A program of its own, started with its job as JSON on standard input; the result is JSON too.
 *
 * One thread, one socket. Each turn sends what is due in one sendmmsg(2), takes what has come, and sleeps for `sleepMs`,
 * so that whatever shares its core at a lower priority still runs. A latency is the time of the datagram's arrival by
 * the kernel's clock (SO_TIMESTAMPNS) less the time just before it was sent: waiting of this process is in none of them.
 * How late it sent by its own plan is told beside them.
 */
import { readFileSync } from 'node:fs';
import { seededRng } from '@ufes/core/seeded.ts';
import * as c from '@ufes/io/udp/libc.ts';
import { sumOfDrops, udpDrops } from './machine.ts';

export interface Job {
  readonly port: number;
  /** TCP stream of queries and the PoP expected of each (queries.ts). */
  readonly stream: string;
  readonly expected: string;
  readonly family: 4 | 6;
  /** Also right: the expected PoP moved on by one (`shifted` of the map, ufes.ts). */
  readonly orShifted: boolean;
  readonly pops: number;
  readonly queriesPerSecond: number;
  readonly seconds: number;
  /** At the start, sent and answered but not counted among the latencies. */
  readonly warmupSeconds: number;
  readonly seed: string;
}

export interface Outcome {
  readonly sent: number;
  readonly answered: number;
  readonly unanswered: number;
  /** Not NOERROR with one address of the PoP expected. */
  readonly wrong: number;
  /** Of those: how often which response code came, and with NOERROR how far on from the expected PoP (`0+2`). */
  readonly wrongBy: Readonly<Record<string, number>>;
  /** Answers that this process itself was too slow to take; among the unanswered. */
  readonly generatorDrops: number;
  /** When queries without an answer were sent, tenths of a second from the start, and how many. */
  readonly unansweredAt: Readonly<Record<number, number>>;
  /** Right by the shifted map, when that is allowed. */
  readonly shifted: number;
  /** Over all that were sent; one without an answer has waited until a resolver asks again (askAgainMs). */
  readonly latencyUs: { readonly p50: number; readonly p99: number; readonly p999: number; readonly most: number };
  /** How far behind its plan the generator sent. */
  readonly lateUs: { readonly p99: number; readonly most: number };
  readonly answerBytes: number;
}

const batch = 64;
const slotBytes = 512;
const sleepMs = 0.08;
const sources = 4096;
/** Waited for answers after the last query. */
const graceMs = 1_000;
/** What a resolver waits before it asks again, roughly. */
const askAgainMs = 400;
/** Beyond what others may ask for, for root. */
const SO_RCVBUFFORCE = 33;
const SO_TIMESTAMPNS = 35;
const IP_PKTINFO = 8;
const int32 = (value: number) => Int32Array.of(value);

/** Headers, vectors and slots of one direction. */
class Lane {
  readonly headers = new Int32Array(batch * 16);
  readonly slots = new Uint8Array(batch * slotBytes);
  readonly control = new Int32Array((batch * c.controlBytes) / 4);
  readonly #vectors = new BigUint64Array(batch * 2);
  /** Lengths in the vectors, every fourth word. */
  readonly lengths = new Int32Array(this.#vectors.buffer);

  /** Where all of it goes; kept, because the headers point at it. */
  readonly name: Uint8Array | undefined;

  constructor(libc: c.Libc, name: Uint8Array | undefined) {
    this.name = name;
    const wide = new BigUint64Array(this.headers.buffer);
    for (let i = 0; i < batch; i++) {
      this.#vectors[i * 2] = libc.address(this.slots) + BigInt(i * slotBytes);
      this.#vectors[i * 2 + 1] = BigInt(slotBytes);
      wide[i * 8] = name === undefined ? 0n : libc.address(name);
      this.headers[i * 16 + 2] = name === undefined ? 0 : 16;
      wide[i * 8 + 2] = libc.address(this.#vectors) + BigInt(i * c.iovecBytes);
      wide[i * 8 + 3] = 1n;
      wide[i * 8 + 4] = libc.address(this.control) + BigInt(i * c.controlBytes);
      wide[i * 8 + 5] = BigInt(c.controlBytes);
    }
  }
}

class Generator {
  readonly #job: Job;
  readonly #libc = c.libc();
  readonly #fd: number;
  readonly #out: Lane;
  readonly #in: Lane;
  readonly #queries: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #expected: Uint8Array;
  /** Source addresses as they lie in memory. */
  readonly #sources: Int32Array;
  /** By id: performance.now() of sending; 0: none open. And which query it was. */
  readonly #sentAtMs = new Float64Array(65_536);
  readonly #sentQuery = new Uint32Array(65_536);
  readonly #latencies: Float64Array;
  readonly #late: Float64Array;
  #latencyCount = 0;
  #lateCount = 0;
  #clockOffsetMs = 0;
  #measureFromMs = 0;
  #sent = 0;
  #answered = 0;
  #wrong = 0;
  readonly #wrongBy = new Map<string, number>();
  readonly #unansweredAt = new Map<number, number>();
  #startMs = 0;
  #port = 0;
  #shifted = 0;
  #answerBytes = 0;

  constructor(job: Job) {
    this.#job = job;
    const libc = this.#libc;
    this.#fd = libc.socket(c.AF_INET, c.SOCK_DGRAM, 0);
    libc.setsockopt(this.#fd, c.SOL_SOCKET, c.SO_RCVBUF, int32(16 << 20), 4);
    libc.setsockopt(this.#fd, c.SOL_SOCKET, SO_RCVBUFFORCE, int32(16 << 20), 4);
    libc.setsockopt(this.#fd, c.SOL_SOCKET, c.SO_SNDBUF, int32(4 << 20), 4);
    libc.setsockopt(this.#fd, c.SOL_SOCKET, SO_TIMESTAMPNS, int32(1), 4);
    if (libc.bind(this.#fd, sockaddr(0), 16) !== 0) throw new Error(`cannot bind: errno ${libc.errno()}`);
    this.#out = new Lane(libc, sockaddr(job.port));
    this.#in = new Lane(libc, undefined);
    this.#queries = readFileSync(job.stream);
    this.#starts = startsOf(this.#queries);
    this.#expected = readFileSync(job.expected);
    const rng = seededRng(`${job.seed}/sources`);
    this.#sources = Int32Array.from({ length: sources }, () => {
      const [b, d, e] = [
        128 + Math.floor(rng.next() * 100),
        Math.floor(rng.next() * 256),
        1 + Math.floor(rng.next() * 254),
      ];
      return 127 | (b << 8) | (d << 16) | (e << 24);
    });
    const room = Math.ceil(job.queriesPerSecond * job.seconds * 1.01) + batch;
    this.#latencies = new Float64Array(room);
    this.#late = new Float64Array(room);
    this.#layOutControl();
  }

  run(): Outcome {
    this.#calibrate();
    const { queriesPerSecond, seconds, warmupSeconds } = this.#job;
    const perMs = queriesPerSecond / 1000;
    const total = Math.floor(queriesPerSecond * seconds);
    const startMs = performance.now();
    this.#startMs = startMs;
    this.#measureFromMs = startMs + warmupSeconds * 1000;
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    while (this.#sent < total) {
      const nowMs = performance.now();
      const due = Math.min(total, Math.floor((nowMs - startMs) * perMs));
      while (this.#sent < due) this.#send(Math.min(batch, due - this.#sent), startMs, perMs);
      this.#receive();
      Atomics.wait(sleeper, 0, 0, sleepMs);
    }
    const endMs = performance.now() + graceMs;
    while (performance.now() < endMs && this.#answered < this.#sent) {
      this.#receive();
      Atomics.wait(sleeper, 0, 0, 1);
    }
    return this.#outcome();
  }

  #send(count: number, startMs: number, perMs: number): void {
    const { slots, lengths, control, headers } = this.#out;
    for (let i = 0; i < count; i++) {
      const id = (this.#sent + i) & 65_535;
      const query = (this.#sent + i) % this.#starts.length;
      const start = this.#starts[query]!;
      const length = (this.#queries[start - 2]! << 8) | this.#queries[start - 1]!;
      const at = i * slotBytes;
      for (let j = 2; j < length; j++) slots[at + j] = this.#queries[start + j]!;
      slots[at] = id >>> 8;
      slots[at + 1] = id & 255;
      lengths[i * 4 + 2] = length;
      // in_pktinfo.ipi_spec_dst: the address it leaves from.
      control[(i * c.controlBytes) / 4 + 5] = this.#sources[(this.#sent + i) % sources]!;
      this.#sentQuery[id] = query;
    }
    const nowMs = performance.now();
    for (let i = 0; i < count; i++) {
      const id = (this.#sent + i) & 65_535;
      if (this.#sentAtMs[id] !== 0) this.#countUnanswered(this.#sentAtMs[id]!);
      this.#sentAtMs[id] = nowMs;
      if (nowMs >= this.#measureFromMs) this.#late[this.#lateCount++] = nowMs - startMs - (this.#sent + i) / perMs;
    }
    let done = 0;
    while (done < count) {
      const sent = this.#libc.sendmmsg(this.#fd, headers.subarray(done * 16), count - done, 0);
      if (sent > 0) done += sent;
      else if (this.#libc.errno() !== c.EINTR) throw new Error(`cannot send: errno ${this.#libc.errno()}`);
    }
    this.#sent += count;
  }

  #receive(): void {
    const { headers, slots, control } = this.#in;
    for (;;) {
      for (let i = 0; i < batch; i++) headers[i * 16 + 10] = c.controlBytes;
      const count = this.#libc.recvmmsg(this.#fd, headers, batch, c.MSG_DONTWAIT, null);
      for (let i = 0; i < count; i++) {
        const at = (i * c.controlBytes) / 4;
        const arrivedMs = (control[at + 4]! >>> 0) * 1000 + control[at + 6]! / 1e6 - this.#clockOffsetMs;
        this.#take(slots, i * slotBytes, headers[i * 16 + 14]!, arrivedMs);
      }
      if (count < batch) return;
    }
  }

  #take(slots: Uint8Array, at: number, length: number, arrivedMs: number): void {
    const id = (slots[at]! << 8) | slots[at + 1]!;
    const sentMs = this.#sentAtMs[id]!;
    if (sentMs === 0) return;
    this.#sentAtMs[id] = 0;
    this.#answered++;
    this.#answerBytes = length;
    if (sentMs >= this.#measureFromMs) this.#latencies[this.#latencyCount++] = arrivedMs - sentMs;
    const pop = this.#popIn(slots, at, length);
    const expected = this.#expected[this.#sentQuery[id]!]!;
    if (pop === expected) return;
    if (this.#job.orShifted && pop === shiftedPop(expected, this.#job.pops)) this.#shifted++;
    else {
      this.#wrong++;
      const { pops } = this.#job;
      const key = `${slots[at + 3]! & 15}+${pop < 0 ? '?' : (pop - expected + pops) % pops}`;
      this.#wrongBy.set(key, (this.#wrongBy.get(key) ?? 0) + 1);
    }
  }

  #countUnanswered(sentMs: number): void {
    const at = Math.floor((sentMs - this.#startMs) / 100);
    this.#unansweredAt.set(at, (this.#unansweredAt.get(at) ?? 0) + 1);
  }

  /** The PoP whose address is the one answer; -1: something else. */
  #popIn(slots: Uint8Array, at: number, length: number): number {
    if ((slots[at + 2]! & 0x80) === 0 || (slots[at + 3]! & 15) !== 0 || slots[at + 7] !== 1) return -1;
    let end = at + 12;
    while (slots[end] !== 0 && end < at + length) end += 1 + slots[end]!;
    // After the question, a compressed owner, type, class, TTL and length (RFC 1035 §4.1.3).
    const rdata = end + 5 + 12;
    return this.#job.family === 4 ? slots[rdata + 2]! : slots[rdata + 7]!;
  }

  /** Source addresses go out, and times come in, as control messages: cmsg_len, level, type, data. */
  #layOutControl(): void {
    const { control, headers } = this.#out;
    for (let i = 0; i < batch; i++) {
      const at = (i * c.controlBytes) / 4;
      control[at] = 28;
      control[at + 2] = c.IPPROTO_IP;
      control[at + 3] = IP_PKTINFO;
      headers[i * 16 + 10] = 32;
    }
  }

  /** Kernel clock less performance.now(), by datagrams to ourselves: the least seen is the truest. */
  #calibrate(): void {
    const libc = this.#libc;
    const own = new Uint8Array(16);
    libc.getsockname(this.#fd, own, int32(16));
    this.#port = (own[2]! << 8) | own[3]!;
    const lane = new Lane(libc, sockaddr(this.#port));
    lane.headers[10] = 0;
    lane.lengths[2] = 12;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 2_000; i++) {
      const beforeMs = performance.now();
      libc.sendmmsg(this.#fd, lane.headers, 1, 0);
      const { headers, control } = this.#in;
      headers[10] = c.controlBytes;
      if (libc.recvmmsg(this.#fd, headers, 1, 0, null) !== 1) continue;
      least = Math.min(least, (control[4]! >>> 0) * 1000 + control[6]! / 1e6 - beforeMs);
    }
    this.#clockOffsetMs = least;
  }

  #outcome(): Outcome {
    for (const sentMs of this.#sentAtMs) if (sentMs !== 0) this.#countUnanswered(sentMs);
    const latencies = this.#latencies.subarray(0, this.#latencyCount).sort();
    const late = this.#late.subarray(0, this.#lateCount).sort();
    return {
      sent: this.#sent,
      answered: this.#answered,
      unanswered: this.#sent - this.#answered,
      wrong: this.#wrong,
      wrongBy: Object.fromEntries(this.#wrongBy),
      generatorDrops: sumOfDrops(udpDrops(this.#port)),
      unansweredAt: Object.fromEntries(this.#unansweredAt),
      shifted: this.#shifted,
      latencyUs: {
        p50: quantileUs(latencies, 0.5, late.length),
        p99: quantileUs(latencies, 0.99, late.length),
        p999: quantileUs(latencies, 0.999, late.length),
        most: quantileUs(latencies, 1, late.length),
      },
      lateUs: { p99: quantileUs(late, 0.99), most: quantileUs(late, 1) },
      answerBytes: this.#answerBytes,
    };
  }
}

/** The answer of the other map of a pair: every PoP moved on by one. */
export function shiftedPop(pop: number, pops: number): number {
  return (pop + 1) % pops;
}

/** `total`: of how many these are the ones that ended. */
function quantileUs(sortedMs: Float64Array, q: number, total = sortedMs.length): number {
  const at = Math.min(total - 1, Math.floor(q * total));
  return at < 0 ? Number.NaN : Math.round(1e4 * (sortedMs[at] ?? askAgainMs)) / 10;
}

/** 127.0.0.1, or any address for port 0. In a buffer of its own that never moves; its first 16 bytes are meant. */
function sockaddr(port: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(256));
  const host = port === 0 ? [0, 0, 0, 0] : [127, 0, 0, 1];
  bytes.set([c.AF_INET, 0, port >> 8, port & 255, ...host]);
  return bytes;
}

function startsOf(stream: Uint8Array): Uint32Array {
  const starts: number[] = [];
  for (let at = 0; at < stream.length; ) {
    starts.push(at + 2);
    at += 2 + ((stream[at]! << 8) | stream[at + 1]!);
  }
  return Uint32Array.from(starts);
}

if (process.argv[1] === import.meta.filename) {
  const job = JSON.parse(readFileSync(0, 'utf8')) as Job;
  process.stdout.write(JSON.stringify(new Generator(job).run()));
}
