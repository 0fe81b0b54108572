/**
 * The LoadBalancer interface: what the controller asks for when a VIP is needed, whoever provides it. Idempotent, and safe
 * to repeat after a crash at any line.
 *
 * The loopback provider takes addresses from the PoPs' pools; its edges listen on them directly, so members do not matter
 * to it. An address never changes while its holder lives. Released, it rests in quarantine before anyone else gets it.
 */
import { canonicalAddress, parsePool, poolAddress } from '@ufes/core/config/pool.ts';
import type { Config } from '@ufes/core/config/schema.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import type { Clock } from '@ufes/core/ports.ts';

/** What wants a VIP at one PoP: a class of Ingresses, `class/ufes`. */
export interface LoadBalancerService {
  readonly id: string;
  readonly pop: string;
}

export interface LoadBalancerStatus {
  readonly address: string;
}

export interface LoadBalancer {
  getLoadBalancer(cluster: string, service: LoadBalancerService): Promise<LoadBalancerStatus | undefined>;
  /** Rejects with POOL_EXHAUSTED when there is no address left. */
  ensureLoadBalancer(
    cluster: string,
    service: LoadBalancerService,
    members: readonly string[],
  ): Promise<LoadBalancerStatus>;
  updateLoadBalancer(cluster: string, service: LoadBalancerService, members: readonly string[]): Promise<void>;
  ensureLoadBalancerDeleted(cluster: string, service: LoadBalancerService): Promise<void>;
}

export interface Allocation {
  readonly pop: string;
  readonly address: string;
  readonly sinceMs: number;
}

export interface Quarantined {
  readonly pop: string;
  readonly address: string;
  readonly untilMs: number;
}

/** What must outlive a restart. */
export interface Allocations {
  /** By `CLUSTER|SERVICE|POP`. */
  readonly held: Record<string, Allocation>;
  readonly quarantine: Quarantined[];
}

export interface LoopbackInit {
  readonly clock: Clock;
  readonly config: () => Config;
  /** How long a released address rests. */
  readonly quarantineMs: () => number;
  /** Read at start. */
  readonly allocations: Allocations;
  /** Makes a change durable; called before anyone is told of the address. */
  readonly save: (allocations: Allocations) => Promise<void>;
}

export function createLoopbackBalancer(init: LoopbackInit): LoadBalancer & { allocations(): Allocations } {
  const { clock, config } = init;
  let held = { ...init.allocations.held };
  let quarantine = [...init.allocations.quarantine];
  /** Changes follow one another, so that two callers never take the same address. */
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.catch(() => {}).then(work);
    last = turn;
    return turn;
  };
  const keyOf = (cluster: string, { id, pop }: LoadBalancerService) => `${cluster}|${id}|${pop}`;

  const save = async (nextHeld: typeof held, nextQuarantine: typeof quarantine) => {
    await init.save({ held: nextHeld, quarantine: nextQuarantine });
    held = nextHeld;
    quarantine = nextQuarantine;
  };

  const free = (pop: string): string => {
    const text = config().pops[pop]?.pool;
    const pool = text === undefined ? undefined : parsePool(text);
    if (pool === undefined) {
      throw new OperatingError('POOL_EXHAUSTED', `pops.${pop} has no pool to take a VIP from`);
    }
    const taken = new Set([
      ...Object.values(held).map(({ address }) => address),
      ...quarantine.map(({ address }) => address),
      ...Object.values(config().pops).flatMap(({ vips }) => Object.values(vips).map(canonicalAddress)),
    ]);
    for (let index = 0n; index < pool.count; index++) {
      const address = poolAddress(pool, index);
      if (!taken.has(address)) return address;
    }
    const resting = quarantine.filter((one) => one.pop === pop);
    const next = Math.min(...resting.map(({ untilMs }) => untilMs));
    const hint =
      resting.length === 0
        ? `; make pops.${pop}.pool larger`
        : `; ${resting.length} rest in quarantine, the first is free in ${Math.ceil((next - clock.nowMs()) / 1_000)} s`;
    throw new OperatingError('POOL_EXHAUSTED', `no address is left in ${text}, the pool of PoP ${pop}${hint}`);
  };

  return {
    allocations: () => ({ held, quarantine }),
    async getLoadBalancer(cluster, service) {
      const allocation = held[keyOf(cluster, service)];
      return allocation && { address: allocation.address };
    },
    ensureLoadBalancer(cluster, service) {
      return inTurn(async () => {
        const key = keyOf(cluster, service);
        const before = held[key];
        if (before !== undefined) return { address: before.address };
        const nowMs = clock.nowMs();
        quarantine = quarantine.filter(({ untilMs }) => untilMs > nowMs);
        const address = free(service.pop);
        await save({ ...held, [key]: { pop: service.pop, address, sinceMs: nowMs } }, quarantine);
        return { address };
      });
    },
    async updateLoadBalancer() {
      // Members are the edges themselves.
    },
    ensureLoadBalancerDeleted(cluster, service) {
      return inTurn(async () => {
        const key = keyOf(cluster, service);
        const { [key]: gone, ...rest } = held;
        if (gone === undefined) return;
        const untilMs = clock.nowMs() + init.quarantineMs();
        await save(rest, [...quarantine, { pop: gone.pop, address: gone.address, untilMs }]);
      });
    },
  };
}
