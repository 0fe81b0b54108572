/**
 * The mappers that share the shards. Each says that it is there by the live key `fold/ID`; each takes as many shards as
 * come to it when all take the same, and gives back what it has beyond. A mapper that dies is missed when its key expires,
 * which is when its leases do.
 */
import { limits } from '@ufes/core/limits.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

type Parts = Pick<ServiceContext, 'store' | 'clock' | 'rng' | 'node'>;

export class Crew {
  /** Shards for each. */
  share: number = limits.evidence.shards;
  /** Mappers there are. */
  members = 1;
  readonly #parts: Parts;
  readonly #key: string;
  #saidAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#key = `fold/${this.newOwner()}`;
  }

  /** Of a lease: no two have the same, of the same mapper neither. */
  newOwner(): string {
    const { node, rng } = this.#parts;
    return `${node}-${Buffer.from(rng.bytes(8)).toString('hex')}`;
  }

  /** Says that we are there, and looks who else is. Rejects with STORE_UNAVAILABLE. */
  async refresh(): Promise<void> {
    const { clock, store } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#saidAtMs < limits.evidence.leaseMs / 3) return;
    await store.live.put([{ key: this.#key, value: {}, ttlMs: limits.evidence.leaseMs }]);
    const others = (await store.live.list('fold/')).filter(({ key }) => key !== this.#key);
    this.members = 1 + others.length;
    this.share = Math.ceil(limits.evidence.shards / this.members);
    this.#saidAtMs = nowMs;
  }

  /** Rejects with STORE_UNAVAILABLE. */
  async leave(): Promise<void> {
    await this.#parts.store.live.remove([this.#key]);
  }
}
