/**
 * From a worker thread to the main one: a ring of records in shared memory, one writer, one reader. Writing takes no
 * allocation and never waits; where the ring is full, the record is left out and that is counted.
 *
 *     words 0, 1    records written, records read; both only rise
 *     a record      kind · bytes of A · bytes of B · 8 numbers · time · A · B
 */
import type { ClientChoice, ClientSubnet } from '@ufes/core/dns/ecs.ts';
import type { Address, Family, Peer } from '@ufes/core/ip.ts';
import type { Counters } from './counters.ts';
import type { QueryLog } from './query-log.ts';
import {
  type AnswerSink,
  answeredPrefix,
  type ProbeQueries,
  type ProbeSink,
  probePrefix,
  type RecentAnswers,
} from './recent.ts';

const Kind = { answer: 1, probe: 2, exchange: 3 } as const;
const records = 512;
const recordBytes = 1_024;
const headBytes = 64;
/** Of the first part; the second has what is left. */
const firstBytes = 448;
const secondBytes = recordBytes - headBytes - firstBytes;
const ringBytes = 16 + records * recordBytes;
/** Places of words in a record. */
const at = { kind: 0, first: 1, second: 2, numbers: 3, timeF64: 6 } as const;

export function ringBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer(ringBytes);
}

interface Ring {
  readonly words: Int32Array;
  readonly times: Float64Array;
  readonly bytes: Uint8Array;
}

function viewRing(buffer: SharedArrayBuffer): Ring {
  return { words: new Int32Array(buffer), times: new Float64Array(buffer), bytes: new Uint8Array(buffer) };
}

export class RingWriter implements AnswerSink, ProbeSink {
  readonly #ring: Ring;
  readonly #counters: Counters;

  constructor(buffer: SharedArrayBuffer, counters: Counters) {
    this.#ring = viewRing(buffer);
    this.#counters = counters;
  }

  addAnswer(atMs: number, name: string, pop: string, choice: ClientChoice, subnet: ClientSubnet): void {
    const base = this.#begin(Kind.answer, atMs);
    if (base < 0) return;
    this.#address(base, 0, choice.client);
    this.#number(base, 3, answeredPrefix(choice, subnet));
    this.#texts(base, name, pop);
  }

  addProbe(id: string, pop: string, atMs: number, peer: Address, choice: ClientChoice, subnet: ClientSubnet): void {
    const base = this.#begin(Kind.probe, atMs);
    if (base < 0) return;
    this.#address(base, 0, peer);
    this.#address(base, 3, choice.client);
    this.#number(base, 6, probePrefix(choice, subnet));
    this.#texts(base, id, pop);
  }

  /** A query and its answer, 0 bytes long when there was none. Longer ones are cut. */
  addExchange(
    atMs: number,
    peer: Peer,
    query: Uint8Array,
    queryAt: number,
    queryLength: number,
    answer: Uint8Array,
    answerAt: number,
    answerLength: number,
  ): void {
    const base = this.#begin(Kind.exchange, atMs);
    if (base < 0) return;
    const { words, bytes } = this.#ring;
    this.#address(base, 0, peer);
    this.#number(base, 3, answerLength);
    this.#number(base, 4, peer.tailHi | 0);
    this.#number(base, 5, peer.tailLo | 0);
    const first = Math.min(queryLength, firstBytes);
    const second = Math.min(answerLength, secondBytes);
    const to = base + headBytes;
    for (let i = 0; i < first; i++) bytes[to + i] = query[queryAt + i]!;
    for (let i = 0; i < second; i++) bytes[to + firstBytes + i] = answer[answerAt + i]!;
    words[(base >> 2) + at.first] = first;
    words[(base >> 2) + at.second] = second;
    this.#end();
  }

  /** Where the next record goes, -1: the reader lags behind. */
  #begin(kind: number, atMs: number): number {
    const { words, times } = this.#ring;
    const written = words[0]!;
    if (((written - Atomics.load(words, 1)) | 0) >= records) {
      this.#counters.unremembered++;
      return -1;
    }
    const base = 16 + (written & (records - 1)) * recordBytes;
    words[(base >> 2) + at.kind] = kind;
    times[(base >> 3) + at.timeF64] = atMs;
    return base;
  }

  #number(base: number, place: number, value: number): void {
    this.#ring.words[(base >> 2) + at.numbers + place] = value;
  }

  #address(base: number, place: number, { family, hi, lo }: Address): void {
    this.#number(base, place, family);
    this.#number(base, place + 1, hi | 0);
    this.#number(base, place + 2, lo | 0);
  }

  #texts(base: number, first: string, second: string): void {
    const { words } = this.#ring;
    words[(base >> 2) + at.first] = this.#text(base + headBytes, first, firstBytes);
    words[(base >> 2) + at.second] = this.#text(base + headBytes + firstBytes, second, secondBytes);
    this.#end();
  }

  /** Names and ids are ASCII. */
  #text(to: number, text: string, most: number): number {
    const length = Math.min(text.length, most);
    for (let i = 0; i < length; i++) this.#ring.bytes[to + i] = text.charCodeAt(i);
    return length;
  }

  #end(): void {
    Atomics.store(this.#ring.words, 0, (this.#ring.words[0]! + 1) | 0);
  }
}

export interface RingReaders {
  readonly recent: RecentAnswers;
  readonly probes: ProbeQueries;
  readonly log: QueryLog | undefined;
}

/** Hands what was written to who remembers it. */
export function drainRing(buffer: SharedArrayBuffer, { recent, probes, log }: RingReaders): void {
  const { words, times, bytes } = viewRing(buffer);
  const end = Atomics.load(words, 0);
  for (let read = words[1]!; read !== end; read = (read + 1) | 0) {
    const base = 16 + (read & (records - 1)) * recordBytes;
    const number = (place: number) => words[(base >> 2) + at.numbers + place]!;
    const address = (place: number): Address => ({
      family: number(place) as Family,
      hi: number(place + 1) >>> 0,
      lo: number(place + 2) >>> 0,
    });
    const first = bytes.slice(base + headBytes, base + headBytes + words[(base >> 2) + at.first]!);
    const secondAt = base + headBytes + firstBytes;
    const second = bytes.slice(secondAt, secondAt + words[(base >> 2) + at.second]!);
    const atMs = times[(base >> 3) + at.timeF64]!;
    const kind = words[(base >> 2) + at.kind];
    if (kind === Kind.answer) recent.put(atMs, latin1(first), latin1(second), address(0), number(3));
    else if (kind === Kind.probe) probes.put(latin1(first), latin1(second), atMs, address(0), address(3), number(6));
    else if (log !== undefined) {
      const peer = { ...address(0), tailHi: number(4) >>> 0, tailLo: number(5) >>> 0 };
      log.write({ atMs, peer, overTcp: false, query: first, answer: second, answerBytes: number(3) });
    }
    Atomics.store(words, 1, (read + 1) | 0);
  }
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
