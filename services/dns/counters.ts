/**
 * What the answer path counts: plain numbers in shared memory, a block a thread, each written by its thread alone and
 * joined where metrics are scraped.
 */
import { type Rcode, rcodeNames } from '@ufes/core/dns/types.ts';

const transports = ['udp', 'tcp'] as const;
const rcodes = Object.keys(rcodeNames).map(Number) as Rcode[];
const rcodeSpace = Math.max(...rcodes) + 1;

/** Upper bounds of the latency buckets, microseconds; the last bucket is everything above. */
export const latencyBoundsUs = [5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 20_000] as const;
/** One query in this many is timed: reading the clock twice costs as much as a look-up. */
export const timedEvery = 64;

const latencyAt = transports.length * rcodeSpace;
const latencySumAt = latencyAt + latencyBoundsUs.length + 1;
/** Single counts, after the tables. */
const singlesAt = latencySumAt + 1;
/** By CookieState (core/dns/cookie.ts). */
const cookiesAt = singlesAt + 7;
const size = cookiesAt + 4;

export class Counters {
  readonly cells: Float64Array;
  readonly latency: Float64Array;
  /** Queries with a cookie, by CookieState. */
  readonly cookies: Float64Array;
  readonly answers = new AnswerCounts();
  #seen = 0;

  constructor(buffer = new SharedArrayBuffer(8 * size)) {
    this.cells = new Float64Array(buffer);
    this.latency = this.cells.subarray(latencyAt, latencySumAt);
    this.cookies = this.cells.subarray(cookiesAt, size);
  }

  /** Packets answered with silence: answers, and less than a header. */
  get drops(): number {
    return this.cells[singlesAt]!;
  }
  set drops(value: number) {
    this.cells[singlesAt] = value;
  }

  get truncated(): number {
    return this.cells[singlesAt + 1]!;
  }
  set truncated(value: number) {
    this.cells[singlesAt + 1] = value;
  }

  /** TCP connections ended, or not taken, to keep room for others. */
  get tcpRefused(): number {
    return this.cells[singlesAt + 2]!;
  }
  set tcpRefused(value: number) {
    this.cells[singlesAt + 2] = value;
  }

  /** Answers that the system would not send. */
  get sendErrors(): number {
    return this.cells[singlesAt + 3]!;
  }
  set sendErrors(value: number) {
    this.cells[singlesAt + 3] = value;
  }

  /** Entries for the query log and the like that found no room on their way to the main thread. */
  get unremembered(): number {
    return this.cells[singlesAt + 4]!;
  }
  set unremembered(value: number) {
    this.cells[singlesAt + 4] = value;
  }

  /** Queries over a network's rate: left without an answer. */
  get rateDropped(): number {
    return this.cells[singlesAt + 5]!;
  }
  set rateDropped(value: number) {
    this.cells[singlesAt + 5] = value;
  }

  /** The same: answered with TC. */
  get rateSlipped(): number {
    return this.cells[singlesAt + 6]!;
  }
  set rateSlipped(value: number) {
    this.cells[singlesAt + 6] = value;
  }

  get latencySumUs(): number {
    return this.cells[latencySumAt]!;
  }

  count(overTcp: boolean, rcode: Rcode): void {
    this.cells[(overTcp ? rcodeSpace : 0) + rcode]!++;
  }

  /** True for the query to time. */
  timed(): boolean {
    return this.#seen++ % timedEvery === 0;
  }

  took(us: number): void {
    let bucket = 0;
    while (bucket < latencyBoundsUs.length && us > latencyBoundsUs[bucket]!) bucket++;
    this.cells[latencyAt + bucket]!++;
    this.cells[latencySumAt]! += us;
  }

  /** Adds what another thread counted. */
  join(other: Counters): void {
    for (const [i, value] of other.cells.entries()) this.cells[i]! += value;
    this.answers.join(other.answers);
  }

  *queryCounts(): Generator<[labels: { transport: string; rcode: string }, value: number]> {
    for (const [t, transport] of transports.entries()) {
      for (const rcode of rcodes) {
        const value = this.cells[t * rcodeSpace + rcode]!;
        if (value > 0 || rcode === 0) yield [{ transport, rcode: rcodeNames[rcode] }, value];
      }
    }
  }
}

/** The sum of what threads have counted. */
export function joined(all: readonly Counters[]): Counters {
  const sum = new Counters();
  for (const one of all) sum.join(one);
  return sum;
}

export interface AnswerLabels {
  readonly service: string;
  readonly pop: string;
}

/** Steered answers by service and PoP. Slots outlive swaps, so that counts only rise. */
export class AnswerCounts {
  values: Float64Array;
  readonly #own: AnswerLabels[] = [];
  labels: readonly AnswerLabels[] = this.#own;
  /** Of threads that ended before. */
  #settled: AnswerCounts | undefined;
  readonly #slots = new Map<string, number>();

  constructor(slots = 64) {
    this.values = new Float64Array(new SharedArrayBuffer(8 * slots));
  }

  slot(service: string, pop: string): number {
    const key = `${service} ${pop}`;
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = this.labels.length;
      this.#slots.set(key, slot);
      this.#own.push({ service, pop });
      if (slot >= this.values.length) {
        const grown = new Float64Array(new SharedArrayBuffer(16 * this.values.length));
        grown.set(this.values);
        this.values = grown;
      }
    }
    return slot;
  }

  add(slot: number): void {
    this.values[slot]!++;
  }

  /** What another thread writes from now on. */
  replace(values: Float64Array, labels: readonly AnswerLabels[]): void {
    this.values = values;
    this.labels = labels;
  }

  /** Keeps what the thread that wrote here had counted; the next one begins at 0. */
  settle(): void {
    const settled = this.#settled ?? new AnswerCounts();
    settled.join({ labels: this.labels, values: this.values });
    this.#settled = settled;
    this.replace(new Float64Array(0), []);
  }

  join(other: Pick<AnswerCounts, 'labels' | 'values'> & { settled?: AnswerCounts | undefined }): void {
    if (other.settled !== undefined) this.join(other.settled);
    for (const [slot, { service, pop }] of other.labels.entries()) {
      this.values[this.slot(service, pop)]! += other.values[slot]!;
    }
  }

  get settled(): AnswerCounts | undefined {
    return this.#settled;
  }

  *entries(): Generator<[labels: AnswerLabels, value: number]> {
    for (const [slot, labels] of this.labels.entries()) {
      if (this.values[slot]! > 0) yield [labels, this.values[slot]!];
    }
  }
}
