/** From desired state to what a map is built for: PoPs, groups of services that rank alike, backbone legs. */
import {
  type DesiredOrigin,
  type DesiredPop,
  type DesiredRoom,
  type DesiredService,
  type DesiredState,
  groupKey,
} from '@ufes/core/desired.ts';
import { distanceKm, type GroupPlan, vectorsOf } from '@ufes/core/steering/base.ts';
import type { Prior } from '@ufes/core/steering/estimation.ts';
import { geoKey } from '@ufes/core/steering/prepare.ts';
import { defaultRoom } from '@ufes/core/steering/room.ts';
import { rulingPlanOf } from '@ufes/core/steering/ruling.ts';

/** A backbone is engineered: less detour and no access line, so less than clients see over the same distance. */
const backboneShare = 0.6;

export interface MapPlan {
  /** Map PoP number → PoP id, sorted by id, so that the order in a configuration changes nothing. */
  readonly pops: readonly string[];
  readonly popVectors: Float32Array;
  readonly groups: readonly GroupPlan[];
  readonly sources: readonly string[];
}

/** What of a desired state a map depends on. */
type Wanted = Pick<DesiredState, 'pops' | 'origins' | 'services' | 'probe'> & Pick<Partial<DesiredState>, 'room'>;

export function planOf(desired: Wanted, prior: Prior): MapPlan {
  const pops = desired.pops.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const popVectors = vectorsOf(
    pops.map(({ latitude }) => latitude),
    pops.map(({ longitude }) => longitude),
  );
  const groups = new Map<string, GroupPlan>();
  const byGroup = Map.groupBy(desired.services, (service) => groupKey(service, desired.pops));
  for (const service of desired.services) {
    const key = groupKey(service, desired.pops);
    // The first service of a group in the desired state gives the order where nothing is known of a client.
    if (service.candidates.length === 0 || groups.has(key)) continue;
    const group = groupOf(key, service, desired, pops, prior);
    const ruling = service.policy === 'geo' ? undefined : rulingPlanOf(byGroup.get(key)!, desired.pops);
    groups.set(key, { ...group, ...(ruling && { ruling }) });
    // The control arm's: the same candidates by distance alone. It shares its base, so it costs next to nothing.
    const geo = geoKey(key);
    if (!groups.has(geo)) groups.set(geo, { ...group, key: geo, policy: 'geo' });
  }
  return {
    pops: pops.map(({ id }) => id),
    popVectors,
    groups: withLimits([...groups.values()], pops, desired.room ?? defaultRoom),
    sources: desired.probe.sources.toSorted(),
  };
}

function groupOf(
  key: string,
  service: DesiredService,
  desired: Wanted,
  pops: readonly DesiredPop[],
  prior: Prior,
): GroupPlan {
  const origin = desired.origins.find(({ id }) => id === service.origin);
  const candidates = service.candidates.map(({ pop }) => desired.pops[pop]!);
  const places = candidates.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return {
    key,
    pops: places.map((pop) => pops.indexOf(pop)),
    backboneMs: places.map((pop) => backboneMs(pop, origin, prior)),
    k: service.k,
    policy: service.policy,
    defaultOrder: candidates.map((pop) => places.indexOf(pop)),
  };
}

/**
 * Which of its services a cell asks is not counted: each group is taken to have as much of every cell, and of a PoP as
 * much as the other groups that go there. A group's limits are beside all that cells ask for.
 */
function withLimits(groups: readonly GroupPlan[], pops: readonly DesiredPop[], room: DesiredRoom): GroupPlan[] {
  const steered = groups.filter(({ policy }) => policy !== 'geo');
  const sharing = pops.map((_, pop) => steered.filter((group) => group.pops.includes(pop)).length);
  return groups.map((group) => {
    if (group.policy === 'geo') return group;
    const whole = group.pops.map((pop) => (pops[pop]!.requestsPerSecond * steered.length) / sharing[pop]!);
    const of = (share: number) => whole.map((perSecond) => share * perSecond);
    return { ...group, limits: { soft: of(room.soft), hard: of(room.hard) } };
  });
}

/** Round trip PoP → origin: as configured, else by distance; 0 when nobody knows where the origin is. */
function backboneMs(pop: DesiredPop, origin: DesiredOrigin | undefined, prior: Prior): number {
  if (origin === undefined) return 0;
  const known = pop.backboneRttMs[origin.id];
  if (known !== undefined) return known;
  if (origin.latitude === undefined || origin.longitude === undefined) return 0;
  const vectors = vectorsOf([pop.latitude, origin.latitude], [pop.longitude, origin.longitude]);
  return backboneShare * prior.expectedMs(distanceKm(vectors, 0, vectors, 1));
}
