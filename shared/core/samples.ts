/**
 * What goes between browser, collector and mapper: measurement plan, beacon, journal record.
 * Wire schemas are TypeBox, so that the collector validates what strangers send with the same text that types it.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { limits } from './limits.ts';

/** Who timed it. Edge-timed evidence outranks browser-timed evidence. */
export type SampleKind = 'edge' | 'browser' | 'agent';

/** `pop:lon` or `origin:eu`. */
export type TargetId = string;

export interface PlanTarget {
  readonly id: TargetId;
  /** Fetched once to warm the connection, then `fetches` times. */
  readonly url: string;
}

/** Answer of GET /rum/plan. */
export interface Plan {
  readonly token: string;
  readonly expiresAtMs: number;
  readonly fetches: number;
  readonly targets: readonly PlanTarget[];
  /** Where the beacon goes, in order: the second one is tried once when the first fails. */
  readonly sinks: readonly string[];
}

export const beaconSchema = Type.Object(
  {
    token: Type.String({ maxLength: 1024 }),
    results: Type.Array(
      Type.Object(
        {
          target: Type.String({ maxLength: 64 }),
          /** False when the warm-up failed: the availability signal. */
          ok: Type.Boolean(),
          /** Milliseconds of each warm fetch that counts; the sample is their median. */
          rttMs: Type.Array(Type.Number({ exclusiveMinimum: 0, maximum: limits.probe.rttMsMax }), { maxItems: 3 }),
        },
        { additionalProperties: false },
      ),
      { maxItems: limits.probe.targetsPerPlan },
    ),
  },
  { additionalProperties: false },
);
export type Beacon = Static<typeof beaconSchema>;
const beaconCheck = Compile(beaconSchema);

/** The beacon, or which of its fields is wrong and why: `results.0.rttMs.1 must be <= 10000`. */
export function checkBeacon(value: unknown): { readonly beacon: Beacon } | { readonly problem: string } {
  if (beaconCheck.Check(value)) return { beacon: value };
  const [first] = beaconCheck.Errors(value);
  const field = first?.instancePath.slice(1).replaceAll('/', '.') || 'the beacon';
  const why = first === undefined || first.keyword === 'boolean' ? 'is not a known field' : first.message;
  return { problem: `${field} ${why}` };
}

export interface Observation {
  readonly target: TargetId;
  readonly ok: boolean;
  /** Median of the fetches, milliseconds; absent when none counted. */
  readonly rttMs?: number;
  /** 1/p of being sampled, capped at 20. */
  readonly weight: number;
}

/** What the collector journals, streams and acknowledges; what the fold reads. JSON, one record a beacon. */
export interface SampleRecord {
  readonly token: string;
  readonly tokenExpiresAtMs: number;
  readonly atMs: number;
  readonly source: string;
  readonly kind: SampleKind;
  /** Observed, truncated address: /24 or /48. */
  readonly prefix: string;
  readonly observations: readonly Observation[];
  /** The plan was another prefix's of the same AS: counts, but never against what an edge has timed. */
  readonly isLoose?: boolean;
}

/**
 * What a collector puts between its records, in every shard, now and then: what it accepted until then is before it. JSON.
 * Number.MAX_SAFE_INTEGER: nothing comes after it, the collector has left for good.
 */
export interface Mark {
  readonly passedMs: number;
}

/** FNV-1a over the prefix text: which shard folds it. */
export function shardOf(prefix: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < prefix.length; i++) hash = Math.imul(hash ^ prefix.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % limits.evidence.shards;
}
