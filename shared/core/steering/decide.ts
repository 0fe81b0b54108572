/**
 * Which PoP a client is sent to: the one pure function behind dns, `explain` and the simulator.
 *
 *     evidence     subnet ─▶ clients of the resolver, where they agree ─▶ the resolver's own address
 *     rules        force ─▶ override ─▶ shares ─▶ ranking (measured, then prior; control arm: prior alone) ─▶ default list
 *     of those     serves it ─ allowed here ─ up ─ not draining ─ has room ─▶ the first N
 *     none left    has no room ─▶ is draining ─▶ the service's all-down rule
 *
 * What is looked at decides the scope: the longest block of all prefix look-ups on the way, and of the unit where a hash
 * was asked (unit.ts). Every address of that block takes the same way, so the scopes partition the address space.
 *
 * No allocation, no await, no throw.
 */
import type { Address, Family } from '../ip.ts';
import {
  forceEndsMs,
  forcePinned,
  forcePop,
  forceState,
  LiveState,
  type LiveView,
  liveBand,
  liveFeedbackMs,
  liveHoldMsFor,
  liveShed,
  liveStateFor,
  liveWeek,
  rowForce,
  rowStates,
  wholeShare,
} from '../live.ts';
import { findInterval, type IntervalIndex, leafLength, noPop } from './map.ts';
import type { PrefixTable } from './prefixes.ts';
import type { PreparedService } from './prepare.ts';
import { placeOf, unitLength4, unitLength6, unitOfClient, unitOfResolver, weeklySalt } from './unit.ts';

/** The rule that named the answer, or why there is none. */
export const Why = {
  map: 0,
  defaultList: 1,
  servePreferred: 2,
  fallback: 3,
  nodata: 4,
  force: 5,
  override: 6,
  share: 7,
  control: 8,
  noRoom: 9,
  draining: 10,
  pinned: 11,
} as const;
export type Why = (typeof Why)[keyof typeof Why];
export const whyNames = [
  'map',
  'default list',
  'all down: serve preferred',
  'all down: fallback',
  'all down: nodata',
  'forced',
  'prefix override',
  'share',
  'control arm: by distance alone',
  'all full: the first that is up',
  'none up: the first that is draining',
  'pinned name',
] as const;

/** Why a candidate was passed over. 0: not reached, or chosen. */
export const Passed = { no: 0, notAllowed: 1, down: 2, draining: 3, full: 4 } as const;
export const passedNames = ['', 'not in `only`', 'down', 'draining', 'no room'] as const;

/** What made a TTL as short as it is. */
export const TtlCause = { none: 0, state: 1, stateForce: 2, room: 3, force: 4, allDown: 5 } as const;
export type TtlCause = (typeof TtlCause)[keyof typeof TtlCause];
export const ttlCauseNames = [
  'nothing in sight that would change it',
  'the state of a PoP can change',
  'a force on the state of a PoP ends',
  'a full PoP keeps another share after the next feedback',
  'the force ends',
  'no PoP is up',
] as const;

/** By whose address the client is placed. */
export const Evidence = { subnet: 0, population: 1, resolver: 2 } as const;
export const evidenceNames = ['client subnet', 'clients of the resolver', 'address of the resolver'] as const;

/** Who asks: `ClientChoice` of core/dns/ecs.ts. */
export interface Asked {
  /** Valid when `bySubnet`. */
  readonly client: Address;
  readonly bySubnet: boolean;
}

/** Reused from query to query; `decide` sets every field but `tracing`. */
export interface Decision {
  why: Why;
  /** Candidate indexes, best first; the first `count` are valid. */
  readonly candidates: Uint8Array;
  /** Why of each of them. */
  readonly by: Uint8Array;
  count: number;
  /** RFC 7871 scope prefix length in the family of the client. Counts when `scoped`. */
  scope: number;
  /** The client's address had a part in it. */
  scoped: boolean;
  /** Of Evidence. */
  evidence: number;
  /** Where the client is taken to be. */
  readonly client: Address;
  /** Row of the group's rankings that was read, -1: none. */
  ranking: number;
  /** That row is of the control arm's group. */
  geo: boolean;
  /** Row of `allowed`. */
  region: number;
  /** From 1; 0: none reached the client. */
  override: number;
  share: number;
  /** Slot of the force that names a PoP, -1: none. */
  force: number;
  ttlSeconds: number;
  /** Why it is not the longest, and the PoP it is about, -1: none. */
  ttlCause: TtlCause;
  ttlPop: number;
  /** Asks for `passed`. */
  tracing: boolean;
  /** Candidate index → Passed, when tracing. */
  readonly passed: Uint8Array;
  unit: number;
  firstFull: number;
  firstDraining: number;
}

export function createDecision(tracing = false): Decision {
  return {
    why: Why.map,
    candidates: new Uint8Array(255),
    by: new Uint8Array(255),
    count: 0,
    scope: 0,
    scoped: false,
    evidence: Evidence.resolver,
    client: { family: 4, hi: 0, lo: 0 },
    ranking: -1,
    geo: false,
    region: 0,
    override: 0,
    share: 0,
    force: -1,
    ttlSeconds: 0,
    ttlCause: TtlCause.none,
    ttlPop: -1,
    tracing,
    passed: new Uint8Array(255),
    unit: 0,
    firstFull: noPop,
    firstDraining: noPop,
  };
}

/** Decides for a client into `out`. `peer`: the resolver that asks. */
export function decide(prepared: PreparedService, live: LiveView, asked: Asked, peer: Address, out: Decision): void {
  begin(prepared, asked, peer, out);
  runRules(prepared, live, out, false);
  if (out.count > 0) out.why = out.by[0] as Why;
  else if (out.firstFull !== noPop) settle(out, out.firstFull, Why.noRoom);
  else if (out.firstDraining !== noPop) settle(out, out.firstDraining, Why.draining);
  else allDown(prepared, live, out);
  if (prepared.ignoresSubnet) out.scoped = false;
}

/** The decision for a name that names the PoP: nothing but `only` speaks against it. */
export function decidePinned(
  prepared: PreparedService,
  asked: Asked,
  peer: Address,
  candidate: number,
  out: Decision,
): void {
  begin(prepared, asked, peer, out);
  if (isAllowed(prepared, candidate, out)) settle(out, candidate, Why.pinned);
  else out.why = Why.nodata;
  if (prepared.ignoresSubnet) out.scoped = false;
}

function begin(prepared: PreparedService, asked: Asked, peer: Address, out: Decision): void {
  out.count = 0;
  out.scope = 0;
  out.scoped = false;
  out.ranking = -1;
  out.geo = false;
  out.override = 0;
  out.share = 0;
  out.force = -1;
  out.firstFull = noPop;
  out.firstDraining = noPop;
  out.ttlSeconds = prepared.service.ttlSecondsMax;
  out.ttlCause = TtlCause.none;
  out.ttlPop = -1;
  if (out.tracing) out.passed.fill(Passed.no);
  if (asked.bySubnet && !prepared.ignoresSubnet) {
    place(out, Evidence.subnet, asked.client.family, asked.client.hi, asked.client.lo);
    out.unit = unitOfClient(asked.client);
  } else {
    placeByResolver(prepared, peer, out);
    out.unit = unitOfResolver(peer);
  }
  out.region = prepared.regions === undefined ? 0 : consult(prepared.regions, out);
}

function place(out: Decision, evidence: number, family: Family, hi: number, lo: number): void {
  out.evidence = evidence;
  out.client.family = family;
  out.client.hi = hi;
  out.client.lo = lo;
}

function placeByResolver({ population }: PreparedService, peer: Address, out: Decision): void {
  if (population !== undefined) {
    const index = peer.family === 4 ? population.v4 : population.v6;
    const row = index.ranking[findInterval(index, peer.hi, peer.lo)]!;
    if (row > 0) {
      const family = population.family[row] as Family;
      place(out, Evidence.population, family, population.hi[row]!, population.lo[row]!);
      return;
    }
  }
  place(out, Evidence.resolver, peer.family, peer.hi, peer.lo);
}

/** The value of the client in a table; its leaf counts for the scope. */
function consult(table: PrefixTable, out: Decision): number {
  return consultIndex(out.client.family === 4 ? table.v4 : table.v6, out);
}

function consultIndex(index: IntervalIndex, out: Decision): number {
  const { hi, lo } = out.client;
  const at = findInterval(index, hi, lo);
  const leaf = leafLength(index, at, hi, lo);
  if (leaf > out.scope) out.scope = leaf;
  out.scoped = true;
  return index.ranking[at]!;
}

/** The client's place on the circle of a salt; its unit counts for the scope. */
function consultUnit(salt: number, out: Decision): number {
  if (out.evidence === Evidence.subnet) {
    const length = out.client.family === 4 ? unitLength4 : unitLength6;
    if (length > out.scope) out.scope = length;
  }
  out.scoped = true;
  return placeOf(out.unit, salt);
}

/** Considers what the rules name, in their order, until there are enough. `asIfUp`: whatever their state. */
function runRules(prepared: PreparedService, live: LiveView, out: Decision, asIfUp: boolean): void {
  const slot = rowForce(live, prepared.row) - 1;
  if (slot >= 0) {
    out.force = slot;
    capTtl(prepared, forceEndsMs(live, slot), TtlCause.force, forcePop(live, slot), out);
    const candidate = prepared.candidateOfPop[forcePop(live, slot)] ?? noPop;
    if (consider(prepared, live, candidate, Why.force, forcePinned(live, slot), asIfUp, out)) return;
  }
  if (prepared.overrides !== undefined && override(prepared, prepared.overrides, live, asIfUp, out)) return;
  if (prepared.shares.length > 0 && share(prepared, live, asIfUp, out)) return;
  if (prepared.group !== undefined && rank(prepared, live, asIfUp, out)) return;
  for (let candidate = 0; candidate < prepared.popOfCandidate.length; candidate++) {
    if (consider(prepared, live, candidate, Why.defaultList, false, asIfUp, out)) return;
  }
}

function override(
  prepared: PreparedService,
  overrides: PrefixTable,
  live: LiveView,
  asIfUp: boolean,
  out: Decision,
): boolean {
  out.override = consult(overrides, out);
  if (out.override === 0) return false;
  const { candidates, pin } = prepared.overrideRules[out.override - 1]!;
  for (let i = 0; i < candidates.length; i++) {
    if (consider(prepared, live, candidates[i]!, Why.override, pin, asIfUp, out)) return true;
  }
  return false;
}

/** The first share that takes the client; it gives way like every rule when its PoP cannot. */
function share(prepared: PreparedService, live: LiveView, asIfUp: boolean, out: Decision): boolean {
  for (let i = 0; i < prepared.shares.length; i++) {
    const { candidate, below, salt, clients } = prepared.shares[i]!;
    if (clients !== undefined && consult(clients, out) === 0) continue;
    if (consultUnit(salt, out) >= below) continue;
    out.share = i + 1;
    return consider(prepared, live, candidate, Why.share, false, asIfUp, out);
  }
  return false;
}

function rank(prepared: PreparedService, live: LiveView, asIfUp: boolean, out: Decision): boolean {
  let group = prepared.group!;
  let why: Why = Why.map;
  if (prepared.controlBelow > 0 && prepared.geo !== undefined) {
    if (consultUnit(weeklySalt(prepared.controlSalt, liveWeek(live)), out) < prepared.controlBelow) {
      group = prepared.geo;
      why = Why.control;
      out.geo = true;
    }
  }
  const { rankings, width } = group;
  out.ranking = consultIndex(out.client.family === 4 ? group.v4 : group.v6, out);
  const row = out.ranking * width;
  for (let i = 0; i < width; i++) {
    const pop = rankings[row + i]!;
    if (pop === noPop) break;
    if (consider(prepared, live, prepared.candidateOfMapPop[pop]!, why, false, asIfUp, out)) return true;
  }
  return false;
}

/** Takes the candidate, or passes it over. True when there are enough. */
function consider(
  prepared: PreparedService,
  live: LiveView,
  candidate: number,
  why: Why,
  pin: boolean,
  asIfUp: boolean,
  out: Decision,
): boolean {
  if (candidate === noPop) return false;
  for (let i = 0; i < out.count; i++) if (out.candidates[i] === candidate) return false;
  if (!isAllowed(prepared, candidate, out)) return false;
  if (!asIfUp && !pin && !isOpen(prepared, live, candidate, out)) return false;
  out.by[out.count] = why;
  out.candidates[out.count++] = candidate;
  return pin || out.count >= prepared.service.answers;
}

function isAllowed(prepared: PreparedService, candidate: number, out: Decision): boolean {
  if (prepared.allowed[out.region * prepared.popOfCandidate.length + candidate] === 1) return true;
  return pass(out, candidate, Passed.notAllowed);
}

/** Up, not draining, and with room for this client. Whatever is looked at may shorten the TTL. */
function isOpen(prepared: PreparedService, live: LiveView, candidate: number, out: Decision): boolean {
  const pop = prepared.popOfCandidate[candidate]!;
  const state = stateFor(prepared, live, pop, out);
  if (state === LiveState.down) return pass(out, candidate, Passed.down);
  if (state === LiveState.draining) {
    if (out.firstDraining === noPop) out.firstDraining = candidate;
    return pass(out, candidate, Passed.draining);
  }
  const shed = liveShed(live, pop);
  const band = liveBand(live, pop);
  if (shed === 0 && band === 0) return true;
  const at = consultUnit(prepared.roomSalts[candidate]!, out) >>> 16;
  const kept = wholeShare - shed;
  if (at >= kept - band && at < kept + band) capTtl(prepared, liveFeedbackMs(live), TtlCause.room, pop, out);
  if (at < kept) return true;
  if (out.firstFull === noPop) out.firstFull = candidate;
  return pass(out, candidate, Passed.full);
}

/** What the PoP is taken to be: as forced, else as checked. A TTL says how long that can be expected to hold. */
function stateFor(prepared: PreparedService, live: LiveView, pop: number, out: Decision): LiveState {
  const forces = rowStates(live, prepared.row);
  const slot = forces === 0 ? -1 : forceOn(live, forces, pop);
  if (slot >= 0) {
    capTtl(prepared, forceEndsMs(live, slot), TtlCause.stateForce, pop, out);
    return forceState(live, slot);
  }
  capTtl(prepared, liveHoldMsFor(live, prepared.row, pop), TtlCause.state, pop, out);
  return liveStateFor(live, prepared.row, pop);
}

/** Slot of the first force of the set that says something of the PoP, -1: none. */
export function forceOn(live: LiveView, forces: number, pop: number): number {
  for (let left = forces; left !== 0; left &= left - 1) {
    const slot = 31 - Math.clz32(left & -left);
    if (forcePop(live, slot) === pop) return slot;
  }
  return -1;
}

function pass(out: Decision, candidate: number, passed: number): false {
  if (out.tracing) out.passed[candidate] = passed;
  return false;
}

/** 0: nothing in sight that would end it. */
function capTtl(prepared: PreparedService, holdMs: number, cause: TtlCause, pop: number, out: Decision): void {
  if (holdMs === 0) return;
  const { ttlSecondsMin, ttlSecondsMax } = prepared.service;
  const ttl = Math.min(ttlSecondsMax, Math.max(ttlSecondsMin, Math.floor(holdMs / 1000)));
  if (ttl >= out.ttlSeconds) return;
  out.ttlSeconds = ttl;
  out.ttlCause = cause;
  out.ttlPop = pop;
}

function settle(out: Decision, candidate: number, why: Why): void {
  out.candidates[0] = candidate;
  out.by[0] = why;
  out.count = 1;
  out.why = why;
}

function allDown(prepared: PreparedService, live: LiveView, out: Decision): void {
  const { service } = prepared;
  const { rule } = service.allDown;
  out.ttlSeconds = service.ttlSecondsMin;
  out.ttlCause = TtlCause.allDown;
  out.ttlPop = -1;
  // An empty answer may be taken as true for everyone (RFC 7871 §7.4): it is given only when it is.
  if (rule === 'nodata' && isDownForAll(prepared, live, out)) {
    out.why = Why.nodata;
    out.scope = 0;
    out.scoped = false;
    return;
  }
  if (rule === 'fallback') {
    out.why = Why.fallback;
    // Everybody gets it, unless others may have other PoPs: then it holds for the block that was looked at.
    if (prepared.regions !== undefined || prepared.pinsSome) return;
    out.scope = 0;
    out.scoped = false;
    return;
  }
  runRules(prepared, live, out, true);
  out.ttlSeconds = service.ttlSecondsMin;
  out.why = out.count > 0 ? Why.servePreferred : Why.nodata;
}

/** No client anywhere is answered a PoP. */
function isDownForAll(prepared: PreparedService, live: LiveView, out: Decision): boolean {
  const { allowed, popOfCandidate, regions, pinsSome } = prepared;
  if (pinsSome) return false;
  if (regions === undefined) return true;
  if (out.force >= 0 && forcePinned(live, out.force)) return false;
  for (let i = 0; i < allowed.length; i++) {
    if (allowed[i] === 0) continue;
    if (stateFor(prepared, live, popOfCandidate[i % popOfCandidate.length]!, out) !== LiveState.down) return false;
  }
  return true;
}
