/**
 * What `explain` says of one decision, now or in the past. Made by services/dns with the code that answers; evidence is
 * added from the map. GET /explain of dns gives it as JSON; `ufes explain` and the dashboard show it.
 */
import type { HealthState } from '../health.ts';
import type { liveStateNames } from '../live.ts';
import type { evidenceNames, ttlCauseNames } from './decide.ts';
import type { PopGuard } from './guards.ts';
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
  /** The guard that keeps it from being first for the client's prefix, as the mapper has it now. */
  readonly guard?: PopGuard;
  /** How its state is known; absent where nobody checked yet, and in a DNS answer. */
  readonly health?: HealthExplanation;
  /** The same of the service there, where it has a check of its own. */
  readonly serviceHealth?: HealthExplanation;
  /** What operators said of it; a force is in `forced`. */
  readonly drain?: DrainExplanation;
  readonly said?: SaidExplanation;
}

export interface HealthExplanation {
  /** What all votes come to. */
  readonly state: HealthState;
  readonly sinceMs: number;
  /** Votes behind it; 0: nobody could say, it is what was known last. */
  readonly counted: number;
  /** The last check of each vantage. Of the past: this node's own alone, without the time. */
  readonly votes: readonly VoteExplanation[];
}

export interface VoteExplanation {
  readonly vantage: string;
  readonly state: HealthState;
  readonly atMs?: number;
}

export interface DrainExplanation {
  readonly untilMs: number;
  readonly by: string;
  readonly reason: string;
}

/** A verdict from outside, which counts whatever the checks say. */
export interface SaidExplanation extends DrainExplanation {
  readonly state: 'up' | 'down';
}

export interface TtlExplanation {
  readonly minSeconds: number;
  readonly maxSeconds: number;
  /** Why it is as long as it is. */
  readonly why: (typeof ttlCauseNames)[number];
  /** The PoP that it is about. */
  readonly pop?: string;
  /** What ends then. */
  readonly endsMs?: number;
}

/** A query that asks for this, and its answer, as bytes in base64. The answer is what goes out, but for cookies. */
export interface MessageExplanation {
  readonly query: string;
  readonly answer: string;
  readonly rcode: string;
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

/** What does not fit the place that GeoIP gives a client. */
export interface Doubts {
  /** Edges timed it faster than its place allows: what GeoIP says of it counts for nothing. */
  readonly isDisputed?: boolean;
  /** By PoP id: what clients timed faster than their place allows. It counts for nothing. */
  readonly quarantined?: Readonly<Record<string, Quarantined>>;
}

export interface Explanation extends Doubts {
  /** The time that is explained. */
  readonly atMs: number;
  /** The dns node that answers, or answered, so. */
  readonly node: string;
  /** Explained from what was kept; absent: as it is now. */
  readonly past?: {
    /** Live state had stayed as it was since then. */
    readonly sinceMs: number;
  };
  /** Name of the service; `asked` is what was asked, another one when it names a PoP. */
  readonly name: string;
  readonly asked: string;
  readonly zone: string;
  readonly client: string;
  readonly resolver: string;
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
  readonly ttl: TtlExplanation;
  /** Absent in a DNS answer. */
  readonly message?: MessageExplanation;
  readonly answers: readonly string[];
  readonly pops: readonly PopExplanation[];
}

/** The mapper's answer to GET /evidence?client=: what it believes of a client, by PoP id. */
export interface Evidence extends Doubts {
  readonly client: string;
  readonly prefix: string;
  readonly place: string;
  readonly asn?: number;
  readonly estimates: Readonly<Record<string, PopEstimate>>;
  /** By PoP id, when a service is named: what keeps it from being first. */
  readonly guards?: Readonly<Record<string, PopGuard>>;
}

export interface Quarantined {
  /** Ever. */
  readonly samples: number;
  /** p25. */
  readonly ms: number;
  readonly lastAtMs: number;
}

/**
 * The map's own estimates stand; the mapper fills in place, network and what a map does not carry. Of the past it can only
 * tell the place: what it believes now is no reason for what was answered then.
 */
export function withEvidence(decision: Explanation, believed: Evidence | undefined): Explanation & { asn?: number } {
  if (believed === undefined) return decision;
  const asn = believed.asn === undefined ? {} : { asn: believed.asn };
  if (decision.past !== undefined) return { ...decision, place: believed.place, ...asn };
  const pops = decision.pops.map((pop): PopExplanation => {
    const other = believed.estimates[pop.pop];
    const estimate: PopEstimate | undefined = pop.estimate ? { ...other, ...pop.estimate } : other;
    const guard = believed.guards?.[pop.pop];
    return { ...pop, ...(estimate && { estimate }), ...(guard && { guard }) };
  });
  const { isDisputed, quarantined } = believed;
  const doubts = { ...(isDisputed && { isDisputed }), ...(quarantined && { quarantined }) };
  return { ...decision, pops, place: believed.place, ...asn, ...doubts };
}

/** What a guard means, in the words of both who show it. */
export const guardTexts: Readonly<Record<PopGuard, string>> = {
  slow: 'not first: every fourth request takes more than 1.5 times as long as elsewhere, as 20 prefixes say',
  unreachable: 'not first: less than 95% of its network reach it',
};
