/** What the answer path counts, in plain numbers; read when metrics are scraped. */
import { type Rcode, rcodeNames } from '@ufes/core/dns/types.ts';

const transports = ['udp', 'tcp'] as const;
const rcodes = Object.keys(rcodeNames).map(Number) as Rcode[];
const rcodeSpace = 17;

/** Upper bounds of the latency buckets, microseconds; the last bucket is everything above. */
export const latencyBoundsUs = [5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 20_000] as const;
/** One query in this many is timed: reading the clock twice costs as much as a look-up. */
export const timedEvery = 64;

export class Counters {
  /** By transport, then rcode. */
  readonly queries = new Float64Array(transports.length * rcodeSpace);
  readonly latency = new Float64Array(latencyBoundsUs.length + 1);
  latencySumUs = 0;
  /** Packets answered with silence: answers, and less than a header. */
  drops = 0;
  truncated = 0;
  tcpRefused = 0;
  readonly answers = new AnswerCounts();
  #seen = 0;

  count(overTcp: boolean, rcode: Rcode): void {
    this.queries[(overTcp ? rcodeSpace : 0) + rcode]!++;
  }

  /** True for the query to time. */
  timed(): boolean {
    return this.#seen++ % timedEvery === 0;
  }

  took(us: number): void {
    let bucket = 0;
    while (bucket < latencyBoundsUs.length && us > latencyBoundsUs[bucket]!) bucket++;
    this.latency[bucket]!++;
    this.latencySumUs += us;
  }

  *queryCounts(): Generator<[labels: { transport: string; rcode: string }, value: number]> {
    for (const [t, transport] of transports.entries()) {
      for (const rcode of rcodes) {
        const value = this.queries[t * rcodeSpace + rcode]!;
        if (value > 0 || rcode === 0) yield [{ transport, rcode: rcodeNames[rcode] }, value];
      }
    }
  }
}

/** Steered answers by service and PoP. Slots outlive swaps, so that counts only rise. */
export class AnswerCounts {
  #values = new Float64Array(64);
  readonly #slots = new Map<string, number>();
  readonly #labels: { service: string; pop: string }[] = [];

  slot(service: string, pop: string): number {
    const key = `${service} ${pop}`;
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = this.#labels.length;
      this.#slots.set(key, slot);
      this.#labels.push({ service, pop });
      if (slot >= this.#values.length) {
        const grown = new Float64Array(2 * this.#values.length);
        grown.set(this.#values);
        this.#values = grown;
      }
    }
    return slot;
  }

  add(slot: number): void {
    this.#values[slot]!++;
  }

  *entries(): Generator<[labels: { service: string; pop: string }, value: number]> {
    for (const [slot, labels] of this.#labels.entries()) {
      if (this.#values[slot]! > 0) yield [labels, this.#values[slot]!];
    }
  }
}
