/** What `explain` says of one decision. Made by services/dns with the code that answers; evidence is added from the map. */
import type { liveStateNames } from '../live.ts';
import type { tierNames } from './map.ts';

export interface PopExplanation {
  readonly pop: string;
  /** Place in the ranking, from 1. */
  readonly rank: number;
  readonly chosen: boolean;
  /** Why it was passed over; empty when it was chosen or not reached. */
  readonly passed: string;
  readonly state: (typeof liveStateNames)[number];
  readonly sinceSeconds: number;
  readonly vips: readonly string[];
  /** From the map's own cell, or asked of the mapper; absent when neither knows. Milliseconds. */
  readonly estimate?: PopEstimate;
}

export interface PopEstimate {
  readonly clientMs: number;
  readonly lowMs: number;
  readonly highMs: number;
  readonly n: number;
  readonly tier: (typeof tierNames)[number];
  /** PoP → origin, and k · client + backbone. */
  readonly backboneMs?: number;
  readonly costMs?: number;
}

export interface Explanation {
  readonly name: string;
  readonly client: string;
  readonly type: string;
  readonly service: string;
  readonly owner: string;
  readonly why: string;
  readonly map?: {
    readonly version: string;
    readonly ageSeconds: number;
    readonly sources: readonly string[];
    readonly geoip: string;
  };
  readonly desired: { readonly version: string; readonly ageSeconds: number };
  /** Leaf that matched, e.g. 81.2.69.0/24. */
  readonly prefix: string;
  readonly scope: number;
  /** The measured cell of the client, when it has one. */
  readonly cell?: string;
  readonly place?: string;
  readonly ttlSeconds: number;
  readonly answers: readonly string[];
  readonly pops: readonly PopExplanation[];
}

/** The mapper's answer to GET /evidence?client=: what it believes of a client, by PoP id. */
export interface Evidence {
  readonly client: string;
  readonly prefix: string;
  readonly place: string;
  readonly asn?: number;
  readonly estimates: Readonly<Record<string, PopEstimate>>;
}

/** The map's own estimates stand; the mapper fills in place, network and what a map does not carry. */
export function withEvidence(decision: Explanation, believed: Evidence | undefined): Explanation & { asn?: number } {
  if (believed === undefined) return decision;
  const pops = decision.pops.map((pop): PopExplanation => {
    const other = believed.estimates[pop.pop];
    const estimate: PopEstimate | undefined = pop.estimate ? { ...other, ...pop.estimate } : other;
    return estimate ? { ...pop, estimate } : pop;
  });
  return { ...decision, pops, place: believed.place, ...(believed.asn === undefined ? {} : { asn: believed.asn }) };
}
