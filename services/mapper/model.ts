/**
 * What is believed of one client, as the API tells it: a measured cell's estimates as of the last build, or those of its
 * place when it has no evidence.
 */
import type { DesiredService } from '@ufes/core/desired.ts';
import { groupKey } from '@ufes/core/desired.ts';
import { type Address, cellOf, formatAddress, formatPrefix, type Prefix } from '@ufes/core/ip.ts';
import type { GroupPlan } from '@ufes/core/steering/base.ts';
import type { Estimates } from '@ufes/core/steering/estimation.ts';
import type { Evidence, PopEstimate } from '@ufes/core/steering/explanation.ts';
import { locationOf } from '@ufes/core/steering/ground.ts';
import { tierNames } from '@ufes/core/steering/map.ts';
import type { Current } from './builder.ts';
import { placeText } from './ground.ts';

interface Belief {
  readonly cell: Prefix;
  readonly location: number;
  readonly estimates: Estimates;
}

function beliefOf({ build, ground }: Current, client: Address): Belief {
  const cell = cellOf(client);
  const location = locationOf(ground, cell.family, cell.hi, cell.lo);
  return { cell, location, estimates: build.estimatesAt(cell.family, cell.hi, cell.lo) };
}

/** The service named or identified by `text`; without it, the first that is steered by latency, or the first. */
export function serviceOf({ desired }: Current, text: string | undefined): DesiredService | undefined {
  const { services } = desired;
  if (text === undefined) return services.find(({ policy }) => policy === 'latency') ?? services[0];
  const name = text.toLowerCase().replace(/\.?$/, '.');
  return services.find((service) => service.id === text) ?? services.find((service) => service.name === name);
}

export function groupIndexOf({ plan, desired }: Current, service: DesiredService): number {
  const key = groupKey(service, desired.pops);
  return plan.groups.findIndex((group) => group.key === key);
}

/** Evidence of a client by PoP; with a service, backbone leg and cost too, for its candidates. */
export function evidenceOf(current: Current, client: Address, service: DesiredService | undefined): Evidence {
  const { cell, location, estimates } = beliefOf(current, client);
  const group = service === undefined ? undefined : current.plan.groups[groupIndexOf(current, service)];
  const asn = current.geoip.asn(client);
  const byPop: Record<string, PopEstimate> = {};
  for (const [pop, id] of current.plan.pops.entries()) {
    const estimate = popEstimate(estimates, pop, group);
    if (estimate !== undefined) byPop[id] = estimate;
  }
  return {
    client: formatAddress(client),
    prefix: formatPrefix(cell),
    place: placeText(current.geoip, location, cell),
    ...(asn === 0 ? {} : { asn }),
    estimates: byPop,
  };
}

function popEstimate(estimates: Estimates, pop: number, group: GroupPlan | undefined): PopEstimate | undefined {
  const clientMs = estimates.ms[pop]!;
  if (Number.isNaN(clientMs)) return undefined;
  const place = group?.pops.indexOf(pop) ?? -1;
  const legs =
    group === undefined || place < 0
      ? {}
      : {
          backboneMs: tenth(group.backboneMs[place]!),
          costMs: tenth(group.k * clientMs + group.backboneMs[place]!),
        };
  return {
    clientMs: tenth(clientMs),
    lowMs: tenth(estimates.lowMs[pop]!),
    // JSON knows no infinity: an open interval ends where round trips do.
    highMs: Math.min(10_000, tenth(estimates.highMs[pop]!)),
    n: Math.round(estimates.n[pop]!),
    tier: tierNames[estimates.tier[pop]!]!,
    ...legs,
  };
}

export function tenth(ms: number): number {
  return Math.round(ms * 10) / 10;
}
