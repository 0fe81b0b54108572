/** What `explain` says of one decision. Made by services/dns with the code that answers; evidence is added from the map. */
import type { liveStateNames } from '../live.ts';
import type { evidenceNames } from './decide.ts';
import type { tierNames } from './map.ts';

export interface PopExplanation {
  readonly pop: string;
  /** Place in the ranking, from 1. */
  readonly rank: number;
  readonly chosen: boolean;
  /** The rule that chose it; empty when it was not. */
  readonly by: string;
  /** Why it was passed over; empty when it was chosen or not reached. */
  readonly passed: string;
  /** Per mille of capacity. */
  readonly loadPerMille: number;
  /** Share of its cells that it keeps, 0 to 1; below 1 it is full. */
  readonly keeps: number;
  /** The force that says its state. */
  readonly forced?: ForceExplanation;
  readonly state: (typeof liveStateNames)[number];
  readonly sinceSeconds: number;
  readonly vips: readonly string[];
  /** From the map's own cell, or asked of the mapper; absent when neither knows. Milliseconds. */
  readonly estimate?: PopEstimate;
}

/** `id` to `untilMs` are absent where they are not known: in a DNS answer. */
export interface ForceExplanation {
  readonly id?: string;
  readonly glob?: string;
  readonly actor?: string;
  readonly reason?: string;
  readonly untilMs?: number;
  readonly pop: string;
  readonly state?: string;
  readonly pin: boolean;
  /** Absent: not within any TTL. */
  readonly endsSeconds?: number;
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
  /** The rule that decided. */
  readonly why: string;
  readonly evidence: (typeof evidenceNames)[number];
  /** Prefix that the client is taken to be in. */
  readonly placed: string;
  /** Rules that reached the client, whether or not their PoP could take it. */
  readonly force?: ForceExplanation;
  readonly override?: { readonly pops: readonly string[]; readonly pin: boolean };
  readonly share?: { readonly pop: string; readonly percent: number };
  readonly only?: readonly string[];
  /** Steered by distance alone, to compare with. */
  readonly control: boolean;
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
