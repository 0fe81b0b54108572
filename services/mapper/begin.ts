/**
 * What a build is given when it is begun. The builder, predictions and the simulator begin theirs by this, so that what is
 * predicted is the map that would be built.
 */
import type { DesiredService, DesiredState } from '@ufes/core/desired.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Availability } from '@ufes/core/steering/availability.ts';
import type { Base } from '@ufes/core/steering/base.ts';
import { SteeringBuild } from '@ufes/core/steering/build.ts';
import type { Degradations } from '@ufes/core/steering/degraded.ts';
import type { PopNow } from '@ufes/core/steering/judging.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { defaultRoom } from '@ufes/core/steering/room.ts';
import { applyDegraded } from './degraded.ts';
import type { EvidenceTable } from './evidence.ts';
import { type Fed, feedAll } from './feed.ts';
import { distancePrior } from './ground.ts';
import { tellGuards } from './guards.ts';
import type { MapPlan } from './plan.ts';
import type { Traffic } from './traffic.ts';

/** All that is known beside configuration, GeoIP and the map in service. */
export interface Known {
  readonly table: EvidenceTable;
  readonly traffic: Traffic;
  readonly degradations: Degradations;
  readonly availability: Availability;
}

export type On = Pick<Fed, 'geoip' | 'ground'> & { readonly bases: Map<string, Base> };

/** `demoted`: prefixes where the last quarter of an hour speaks. */
export function beginBuild(
  plan: MapPlan,
  { geoip, ground, bases }: On,
  { table, traffic, degradations, availability }: Known,
  inService: SteeringMap | undefined,
  nowMs: number,
): { readonly fed: Fed; readonly demoted: readonly string[] } {
  const build = new SteeringBuild({ ...plan, ground, prior: distancePrior, bases });
  const fed: Fed = { build, plan, geoip, ground };
  const demoted = feedAll(fed, table, nowMs);
  if (inService !== undefined) build.resume(inService);
  if (degradations.now.size > 0) applyDegraded(degradations, fed);
  tellGuards(availability, fed);
  tellRequests(traffic, fed, nowMs);
  return { fed, demoted };
}

export function tellRequests(traffic: Traffic, { build }: Pick<Fed, 'build'>, nowMs: number): void {
  traffic.forEach(nowMs, (family, hi, lo, perSecond) => build.sharing.setRequests(family, hi, lo, perSecond));
}

/** What PoPs are now. */
export function tellPops(
  pops: ReadonlyMap<string, PopNow>,
  { services, room }: Pick<DesiredState, 'services' | 'room'>,
  { build, plan }: Fed,
  inService: SteeringMap | undefined,
  nowMs: number,
): void {
  build.sharing.setClosed(new Set([...pops].flatMap(([id, { isOpen }]) => (isOpen ? [] : [id]))));
  const overloads = overloadsOf(pops, (room ?? defaultRoom).hard);
  const told = new Map([...overloads].map(([id, load]) => [plan.pops.indexOf(id), load]));
  if (inService === undefined) return;
  build.sharing.overloaded(told, inService, followMsOf(services) + limits.dns.feedbackMs, nowMs);
}

/** Until clients have followed what changed, milliseconds. */
export function followMsOf(services: readonly Pick<DesiredService, 'ttlSecondsMax'>[]): number {
  return services.reduce((most, { ttlSecondsMax }) => Math.max(most, 1_000 * ttlSecondsMax), 0);
}

/** PoPs (ids) over their hard limit, and what they carry, requests a second. */
export function overloadsOf(pops: ReadonlyMap<string, PopNow>, hard: number): Map<string, number> {
  const overloads = new Map<string, number>();
  for (const [id, { requestsPerSecond = 0, capacity }] of pops) {
    if (requestsPerSecond > hard * capacity) overloads.set(id, requestsPerSecond);
  }
  return overloads;
}
