/** What operators change, drawn at random: PoPs, drains, capacity, policy, k, origins, weights, TTLs. */
import type { DesiredState } from '@ufes/core/desired.ts';
import type { Rng } from '@ufes/core/ports.ts';
import { defaultRoom } from '@ufes/core/steering/room.ts';
import { pick } from '../draw.ts';

export interface Change {
  readonly kind: string;
  readonly desired: DesiredState;
  /** By PoP id. */
  readonly drained: ReadonlySet<string>;
}

/** One thing changed, anything that a configuration or a drain can say. `all`: with every PoP of the world. */
export function drawChange(now: DesiredState, all: DesiredState, drained: ReadonlySet<string>, rng: Rng): Change {
  const absent = all.pops.filter(({ id }) => !now.pops.some((pop) => pop.id === id));
  const service = now.services[0]!;
  const popOf = () => pick(rng, now.pops);
  const one = (kind: string, over: Partial<DesiredState>, drains = drained): Change => ({
    kind,
    desired: { ...now, ...over },
    drained: drains,
  });
  const withService = (kind: string, over: Partial<DesiredState['services'][number]>) =>
    one(kind, { services: [{ ...service, ...over }] });
  const numbers = now.pops.map((_, pop) => pop);
  const kinds: (() => Change)[] = [
    () => (absent.length === 0 ? removePop() : one('a PoP more', withPops(now, [...now.pops, pick(rng, absent)]))),
    removePop,
    () => one('a PoP drains', {}, new Set([...drained, popOf().id])),
    () => (drained.size === 0 ? one('a PoP drains', {}, new Set([popOf().id])) : one('drains end', {}, new Set())),
    () => {
      const { id } = popOf();
      const factor = 0.3 + 1.2 * rng.next();
      const pops = now.pops.map((pop) =>
        pop.id === id ? { ...pop, requestsPerSecond: pop.requestsPerSecond * factor } : pop,
      );
      return one('capacity', { pops });
    },
    () => withService('policy', { policy: service.policy === 'geo' ? 'latency' : 'geo' }),
    () =>
      withService('k', {
        k: pick(
          rng,
          [1, 1.5, 2.5, 3].filter((k) => k !== service.k),
        ),
      }),
    () =>
      withService('origin', {
        origin: pick(
          rng,
          now.origins.map(({ id }) => id).filter((id) => id !== service.origin),
        ),
      }),
    () => withService('ttl', { ttlSecondsMax: pick(rng, [20, 120, 300]) }),
    () =>
      withService('only', {
        only: numbers.filter(() => rng.next() < 0.7).concat(Math.floor(rng.next() * numbers.length)),
      }),
    () => withService('weights', { shares: [{ pop: now.pops.indexOf(popOf()), share: 0.05 + 0.25 * rng.next() }] }),
    () => withService('control', { controlShare: 0.3 * rng.next() }),
  ];
  return pick(rng, kinds)();

  function removePop(): Change {
    const { id } = popOf();
    return one(
      'a PoP less',
      withPops(
        now,
        now.pops.filter((pop) => pop.id !== id),
      ),
      new Set([...drained].filter((other) => other !== id)),
    );
  }
}

/**
 * Whether there is room for what a change asks of PoPs: all that is asked for is at most half of what they can take, and what rules or distance alone send to one is below its hard limit. `nearest`: demand by PoP id if all of it
 * went to the nearest of these.
 */
export function hasRoom(
  { desired, drained }: Change,
  total: number,
  nearest: (ids: ReadonlySet<string>) => ReadonlyMap<string, number>,
): boolean {
  const { policy, only, shares = [], controlShare = 0 } = desired.services[0]!;
  const { hard } = desired.room ?? defaultRoom;
  const open = desired.pops.filter(({ id }, pop) => !drained.has(id) && (only === undefined || only.includes(pop)));
  const near = nearest(new Set(open.map(({ id }) => id)));
  const byDistance = policy === 'geo' ? 1 : controlShare;
  return (
    total <= 0.5 * open.reduce((sum, { requestsPerSecond }) => sum + requestsPerSecond, 0) &&
    open.every(({ id, requestsPerSecond }) => byDistance * near.get(id)! <= hard * requestsPerSecond) &&
    shares.every(({ pop, share }) => share * total <= hard * desired.pops[pop]!.requestsPerSecond)
  );
}

/** The same configuration with other PoPs: rules that name one that went go with it. */
function withPops(now: DesiredState, pops: DesiredState['pops']): Partial<DesiredState> {
  const sorted = pops.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const numberOf = (old: number) => sorted.findIndex(({ id }) => id === now.pops[old]!.id);
  const services = now.services.map(({ only, shares, ...service }) => {
    const kept = only?.map(numberOf).filter((pop) => pop >= 0) ?? [];
    return {
      ...service,
      candidates: sorted.map((_, pop) => ({ pop, v4: `192.0.2.${pop}` })),
      ...(kept.length > 0 && { only: kept }),
      shares: (shares ?? []).map((one) => ({ ...one, pop: numberOf(one.pop) })).filter(({ pop }) => pop >= 0),
    };
  });
  return { pops: sorted, services };
}
