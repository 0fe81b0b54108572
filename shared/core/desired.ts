/**
 * Desired state: names and routes, compiled by the controller from configuration and objects. Immutable, versioned,
 * sealed (signed); a change reaches every dns and edge node within a second and never waits for a map build.
 * JSON on the wire; readers compile what they need (dns: answer tables, edge: RouteTable).
 */
import { OperatingError } from './errors.ts';
import type { Family } from './ip.ts';
import { limits } from './limits.ts';
import type { Version } from './version.ts';

export const desiredFormat = 1;

export interface DesiredState {
  readonly format: typeof desiredFormat;
  readonly version: Version;
  readonly createdAtMs: number;
  /** The index in this list is the PoP's number in live state and candidates. */
  readonly pops: readonly DesiredPop[];
  readonly origins: readonly DesiredOrigin[];
  readonly zones: readonly DesiredZone[];
  readonly services: readonly DesiredService[];
  /** By host; every host once. */
  readonly hosts: readonly DesiredHost[];
  /** Addresses an edge listens on, beside those of its PoP. */
  readonly vips: readonly DesiredVip[];
  readonly probe: DesiredProbe;
  /** Absent: the defaults. */
  readonly room?: DesiredRoom;
  readonly debug?: DesiredDebug;
}

/** Shares of capacity, 0 to 1 (core/steering/room.ts). */
export interface DesiredRoom {
  readonly soft: number;
  readonly hard: number;
}

/** Names beside the steered ones. */
export interface DesiredDebug {
  /** Label before a steered name that names one PoP: `{pop}` stands for its id. Absent: no such names. */
  readonly pinnedLabel?: string;
  /** Who may ask for `_ufes-explain.NAME`, by the address of the asking resolver; empty: nobody. */
  readonly explainClients: readonly string[];
}

export interface DesiredPop {
  readonly id: string;
  readonly title: string;
  /** Degrees. */
  readonly latitude: number;
  readonly longitude: number;
  readonly vips: { readonly v4?: string; readonly v6?: string };
  readonly httpsPort: number;
  readonly httpPort: number;
  readonly requestsPerSecond: number;
  /** Client connections it can hold; absent: requests alone are measured. */
  readonly connections?: number;
  readonly backboneRttMs: Readonly<Record<string, number>>;
}

export interface DesiredOrigin {
  /** Config: the origin's id. Objects: `NAMESPACE/SERVICE:PORT`. */
  readonly id: string;
  readonly latitude?: number;
  readonly longitude?: number;
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
  readonly healthPath?: string;
  readonly probeUrl?: string;
}

export interface DesiredRecord {
  /** Absolute, lower case, with the final dot. */
  readonly name: string;
  readonly type: string;
  readonly ttl: number;
  /** Presentation form. */
  readonly data: string;
}

export interface DesiredZone {
  /** Absolute, lower case, with the final dot. */
  readonly origin: string;
  /** SOA and NS included. The SOA's serial is the controller's. */
  readonly records: readonly DesiredRecord[];
}

export interface Candidate {
  readonly pop: number;
  readonly v4?: string;
  readonly v6?: string;
}

export interface DesiredService {
  readonly id: string;
  /** Absolute, lower case, with the final dot. */
  readonly name: string;
  /** `config` or `NAMESPACE/INGRESS`: who wrote it; only that writer removes it. */
  readonly owner: string;
  /** False while routes are not yet on every PoP, or after deletion until the TTL is over: not answered. */
  readonly answered: boolean;
  readonly policy: 'latency' | 'geo';
  /** Order is the default list. All publish the same families. */
  readonly candidates: readonly Candidate[];
  /** PoP numbers; absent: all candidates. */
  readonly only?: readonly number[];
  readonly origin: string;
  /** Answered by the resolver, whatever subnet it tells. */
  readonly ignoreSubnet?: boolean;
  /** The longest matching prefix wins. */
  readonly overrides?: readonly DesiredOverride[];
  /** In order: each takes its share of what those before left. */
  readonly shares?: readonly DesiredShare[];
  /** `only` for some clients, beside the service's own; the longest matching prefix wins. */
  readonly regions?: readonly DesiredRegion[];
  /** Share of clients, 0 to 1, that are steered by distance alone. */
  readonly controlShare?: number;
  /** HTTPS and SVCB records of the name; hints are those of the chosen PoPs. */
  readonly bindings?: readonly DesiredBinding[];
  /** Cost = k · client leg + backbone leg. */
  readonly k: number;
  readonly answers: number;
  readonly ttlSecondsMin: number;
  readonly ttlSecondsMax: number;
  readonly allDown: AllDown;
  /** Its PoPs are judged by this too, beside the readiness of their edges. */
  readonly check?: DesiredCheck;
}

export interface DesiredOverride {
  readonly prefixes: readonly string[];
  /** PoP numbers, best first. */
  readonly pops: readonly number[];
  /** Holds even when the PoP is down. */
  readonly pin: boolean;
}

export interface DesiredShare {
  readonly pop: number;
  /** 0 to 1. */
  readonly share: number;
  /** Absent: all clients. */
  readonly prefixes?: readonly string[];
}

export interface DesiredRegion {
  readonly prefixes: readonly string[];
  /** PoP numbers. */
  readonly only: readonly number[];
}

export interface DesiredBinding {
  readonly type: 'HTTPS' | 'SVCB';
  /** Presentation form, without hints. */
  readonly data: string;
}

/** What vantages check of a service at each PoP, at the address that the service publishes there. */
export type DesiredCheck =
  | { readonly kind: 'tcp'; readonly port?: number }
  | {
      /** The certificate is not verified: what is checked is whether the service answers. */
      readonly kind: 'http' | 'https';
      readonly port?: number;
      readonly path: string;
      /** Empty: any 2xx. */
      readonly status: readonly number[];
      /** Text that the body must contain, within its first bytes (limits.health.bodyBytes). */
      readonly body?: string;
    }
  | { readonly kind: 'load'; readonly percentMax: number };

export type AllDown =
  | { readonly rule: 'serve-preferred' }
  | { readonly rule: 'nodata' }
  | { readonly rule: 'fallback'; readonly addresses: readonly { readonly family: Family; readonly address: string }[] };

export interface DesiredHost {
  /** Lower case, no final dot; a leading `*.` covers one label. */
  readonly host: string;
  readonly owner: string;
  /** Name in the secret store of {certificate, key} PEM; absent: the default certificate. */
  readonly secret?: string;
  readonly paths: readonly DesiredPath[];
}

export interface DesiredPath {
  /** In normal form (core/routing/normal.ts). */
  readonly path: string;
  readonly match: 'prefix' | 'exact';
  /** Origin id; absent or unknown: 500 with reason `backend-missing`. */
  readonly origin?: string;
  readonly timeoutMs: number;
}

export interface DesiredVip {
  readonly pop: number;
  readonly address: string;
  readonly owner: string;
}

export interface DesiredProbe {
  /** Absolute, lower case, with the final dot; absent: no probe names. */
  readonly zone?: string;
  readonly sources: readonly string[];
}

/**
 * Services with equal keys share rankings: same candidates in any order, same origin, same k and policy.
 * Text such as `iad,lon,sin|eu|3|latency`.
 */
export function groupKey(service: DesiredService, pops: readonly DesiredPop[]): string {
  const ids = service.candidates.map((candidate) => pops[candidate.pop]!.id).sort();
  return `${ids.join(',')}|${service.origin}|${service.k}|${service.policy}`;
}

/** Throws ARTEFACT_CORRUPT for what is no desired state of this format. What a good one holds its signature vouches for. */
export function decodeDesired(payload: Uint8Array): DesiredState {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new OperatingError('ARTEFACT_CORRUPT', 'desired state is no JSON', { cause });
  }
  const format = typeof value === 'object' && value !== null && 'format' in value ? value.format : undefined;
  if (format !== desiredFormat) {
    throw new OperatingError('ARTEFACT_CORRUPT', `desired state has format ${format}, expected ${desiredFormat}`);
  }
  const desired = value as DesiredState;
  if (desired.pops.length > limits.config.pops) {
    throw new OperatingError('ARTEFACT_CORRUPT', `desired state has ${desired.pops.length} PoPs`);
  }
  return desired;
}
