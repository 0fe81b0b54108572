/**
 * Which PoP a client is sent to: the one pure function behind dns, `explain` and the simulator.
 *
 * Ranking (map, or the default list) → of it the first PoPs that serve this service, are allowed, are up and are not
 * draining; N of them. When none is left, the service's all-down rule. No allocation, no await, no throw.
 */
import type { DesiredService } from '../desired.ts';
import type { Address } from '../ip.ts';
import { LiveState, type LiveView, liveHoldMsFor, liveStateFor } from '../live.ts';
import { findInterval, leafLength, type MapGroup, noPop, type SteeringMap } from './map.ts';

/** A service with its look-ups prepared for one desired state and one map. Made at swap time by `prepareService`. */
export interface PreparedService {
  readonly service: DesiredService;
  /** Undefined: no map, or it does not know the group yet; then the default list ranks. */
  readonly group: MapGroup | undefined;
  /** Map PoP number → candidate index, noPop when it is no candidate. */
  readonly candidateOfMapPop: Uint8Array;
  /** Candidate index → PoP number of the desired state, for live state. */
  readonly popOfCandidate: Uint8Array;
  /** Candidate index → 1 when `only` allows it. */
  readonly allowed: Uint8Array;
  /** The service's number in the desired state: its row of cells in live state. */
  readonly row: number;
}

export const Why = {
  /** The map's ranking chose. */
  map: 0,
  /** No ranking for this group: the service's default list chose. */
  defaultList: 1,
  /** No candidate up: answered as if all were. */
  servePreferred: 2,
  /** No candidate up: the fallback addresses. */
  fallback: 3,
  /** No candidate up: an empty answer. */
  nodata: 4,
} as const;
export type Why = (typeof Why)[keyof typeof Why];
export const whyNames = [
  'map',
  'default list',
  'all down: serve preferred',
  'all down: fallback',
  'all down: nodata',
] as const;

/** Why a candidate was passed over. 0: not reached, or chosen. */
export const Passed = { no: 0, notAllowed: 1, down: 2, draining: 3 } as const;
export const passedNames = ['', 'not in `only`', 'down', 'draining'] as const;

/** Reused from query to query; `decide` sets every field. */
export interface Decision {
  why: Why;
  /** Candidate indexes, best first; the first `count` are valid. */
  readonly candidates: Uint8Array;
  count: number;
  /** RFC 7871 scope prefix length in the family of the client. */
  scope: number;
  /** Row of the group's rankings, -1 for the default list. */
  ranking: number;
  ttlSeconds: number;
  /** Candidate index → Passed. */
  readonly passed: Uint8Array;
}

export function createDecision(): Decision {
  return {
    why: Why.map,
    candidates: new Uint8Array(255),
    count: 0,
    scope: 0,
    ranking: -1,
    ttlSeconds: 0,
    passed: new Uint8Array(255),
  };
}

export function prepareService(
  service: DesiredService,
  key: string,
  popIds: readonly string[],
  map: SteeringMap | undefined,
  row = 0,
): PreparedService {
  const group = map?.groups.find((one) => one.key === key);
  const candidateOfMapPop = new Uint8Array(map?.pops.length ?? 0).fill(noPop);
  const popOfCandidate = Uint8Array.from(service.candidates, (candidate) => candidate.pop);
  for (const [mapPop, id] of (map?.pops ?? []).entries()) {
    const index = service.candidates.findIndex((candidate) => popIds[candidate.pop] === id);
    if (index >= 0) candidateOfMapPop[mapPop] = index;
  }
  const allowed = Uint8Array.from(service.candidates, ({ pop }) =>
    service.only === undefined || service.only.includes(pop) ? 1 : 0,
  );
  return { service, group, candidateOfMapPop, popOfCandidate, allowed, row };
}

/** Decides for a client into `out`. The client is the ECS prefix or the resolver's address. */
export function decide(prepared: PreparedService, live: LiveView, client: Address, out: Decision): void {
  const { service, group, candidateOfMapPop } = prepared;
  const total = service.candidates.length;
  out.count = 0;
  out.scope = 0;
  out.ranking = -1;
  out.passed.fill(0, 0, total);
  out.ttlSeconds = service.ttlSecondsMax;

  let rankings: Uint8Array | undefined;
  let row = 0;
  let width = total;
  if (group !== undefined) {
    const index = client.family === 4 ? group.v4 : group.v6;
    const at = findInterval(index, client.hi, client.lo);
    out.scope = leafLength(index, at, client.hi, client.lo);
    out.ranking = index.ranking[at]!;
    rankings = group.rankings;
    width = group.width;
    row = out.ranking * width;
  }
  out.why = rankings === undefined ? Why.defaultList : Why.map;

  for (let i = 0; i < width && out.count < service.answers; i++) {
    const candidate = rankings === undefined ? i : candidateAt(rankings, row + i, candidateOfMapPop);
    if (candidate === noPop) continue;
    const passed = passOver(prepared, live, candidate);
    if (passed === Passed.no) out.candidates[out.count++] = candidate;
    out.passed[candidate] = passed;
    holdTtl(prepared, live, candidate, out);
  }
  if (out.count === 0) allDown(prepared, rankings, row, width, out);
}

function candidateAt(rankings: Uint8Array, at: number, candidateOfMapPop: Uint8Array): number {
  const mapPop = rankings[at]!;
  return mapPop === noPop ? noPop : candidateOfMapPop[mapPop]!;
}

function passOver(prepared: PreparedService, live: LiveView, candidate: number): number {
  if (prepared.allowed[candidate] === 0) return Passed.notAllowed;
  const state = liveStateFor(live, prepared.row, prepared.popOfCandidate[candidate]!);
  if (state === LiveState.down) return Passed.down;
  if (state === LiveState.draining) return Passed.draining;
  return Passed.no;
}

/** A TTL says how long the answer can be expected to hold (DNS.md, Health): every consulted PoP may shorten it. */
function holdTtl(prepared: PreparedService, live: LiveView, candidate: number, out: Decision): void {
  if (prepared.allowed[candidate] === 0) return;
  const holdMs = liveHoldMsFor(live, prepared.row, prepared.popOfCandidate[candidate]!);
  if (holdMs === 0) return;
  const { ttlSecondsMin, ttlSecondsMax } = prepared.service;
  const ttl = Math.min(ttlSecondsMax, Math.max(ttlSecondsMin, Math.floor(holdMs / 1000)));
  if (ttl < out.ttlSeconds) out.ttlSeconds = ttl;
}

function allDown(
  prepared: PreparedService,
  rankings: Uint8Array | undefined,
  row: number,
  width: number,
  out: Decision,
): void {
  const { service, candidateOfMapPop, allowed } = prepared;
  out.ttlSeconds = service.ttlSecondsMin;
  if (service.allDown.rule === 'nodata') {
    out.why = Why.nodata;
    out.scope = 0;
    return;
  }
  if (service.allDown.rule === 'fallback') {
    out.why = Why.fallback;
    out.scope = 0;
    return;
  }
  out.why = Why.servePreferred;
  for (let i = 0; i < width && out.count < service.answers; i++) {
    const candidate = rankings === undefined ? i : candidateAt(rankings, row + i, candidateOfMapPop);
    if (candidate !== noPop && allowed[candidate] === 1) out.candidates[out.count++] = candidate;
  }
  if (out.count === 0) out.why = Why.nodata;
}
