/**
 * Why a client gets its answer: the decision made again, by the same functions and tables that answer queries, and said
 * in words.
 */
import { type ClientSubnet, createClientChoice, scopeOf } from '@ufes/core/dns/ecs.ts';
import { nameToText } from '@ufes/core/dns/name.ts';
import { formatRdata } from '@ufes/core/dns/rdata.ts';
import { Type, typeName } from '@ufes/core/dns/types.ts';
import { cellOf, formatAddress, formatPrefix, type Peer, prefixOf } from '@ufes/core/ip.ts';
import {
  forceEndsMs,
  forcePinned,
  forcePop,
  forceState,
  LiveState,
  liveFeedbackMs,
  liveHoldMsFor,
  liveLoad,
  liveShed,
  liveSince,
  liveStateFor,
  liveStateNames,
  rowStates,
  wholeShare,
} from '@ufes/core/live.ts';
import {
  createDecision,
  type Decision,
  evidenceNames,
  forceOn,
  passedNames,
  TtlCause,
  ttlCauseNames,
  Why,
  whyNames,
} from '@ufes/core/steering/decide.ts';
import type {
  DrainExplanation,
  Explanation,
  ForceExplanation,
  HealthExplanation,
  PopEstimate,
  PopExplanation,
  SaidExplanation,
  TtlExplanation,
} from '@ufes/core/steering/explanation.ts';
import {
  type CellRow,
  cellRow,
  findCell,
  findInterval,
  noPop,
  type SteeringMap,
  tierNames,
} from '@ufes/core/steering/map.ts';
import type { PreparedService } from '@ufes/core/steering/prepare.ts';
import { formatVersion } from '@ufes/core/version.ts';
import { targetOf } from '@ufes/core/votes.ts';
import { placeAndDecide } from './place.ts';
import type { SteeredService, Tables } from './tables.ts';
import type { ZoneNode } from './zones.ts';

/** What a node knows of its live state beside the words that answers read. */
export interface Known {
  readonly node: string;
  readonly atMs: number;
  readonly past?: Explanation['past'];
  force(slot: number): Partial<ForceExplanation> | undefined;
  /** Of a PoP, or of POP/SERVICE. */
  health(target: string): HealthExplanation | undefined;
  drain(pop: string): DrainExplanation | undefined;
  said(target: string): SaidExplanation | undefined;
}

/** Nothing beside them. */
export function nothingKnown(node: string, atMs: number): Known {
  const nothing = () => undefined;
  return { node, atMs, force: nothing, health: nothing, drain: nothing, said: nothing };
}

export interface Query {
  readonly subnet: ClientSubnet;
  readonly peer: Peer;
  readonly type: number;
  /** As it was asked. */
  readonly client: string;
}

/** Of a steered name's node: the service's own, or a pinned one. */
export function explainNode(
  tables: Tables,
  node: Pick<ZoneNode, 'service' | 'pinned' | 'name' | 'zone'>,
  { subnet, peer, type, client }: Query,
  known: Known,
): Explanation {
  const steered = tables.services[node.service]!;
  const { service, prepared } = steered;
  const choice = createClientChoice();
  const decision = createDecision(true);
  placeAndDecide(tables, prepared, node.pinned, subnet, peer, choice, decision);

  const idOf = (pop: number): string => tables.desired.pops[pop]!.id;
  const cell = tables.map && findCell(tables.map.cells, decision.client);
  const { map, mapVersion, desired } = tables;
  const row = map !== undefined && cell !== undefined && cell >= 0 ? cellRow(map, cell) : undefined;
  const ageSeconds = (createdAtMs: number) => Math.round((known.atMs - createdAtMs) / 1000);
  const override = service.overrides?.[decision.override - 1];
  const share = service.shares?.[decision.share - 1];
  const only = service.regions?.[decision.region - 1]?.only ?? service.only;
  return {
    atMs: known.atMs,
    node: known.node,
    ...(known.past === undefined ? {} : { past: known.past }),
    name: service.name,
    asked: nameToText(node.name),
    zone: nameToText(node.zone!.name),
    client,
    resolver: formatAddress(peer),
    type: typeName(type),
    service: service.id,
    owner: service.owner,
    why: whyNames[decision.why],
    evidence: evidenceNames[decision.evidence as 0 | 1 | 2],
    placed: formatPrefix(cellOf(decision.client)),
    ...(decision.force < 0 ? {} : { force: explainForce(tables, decision.force, known) }),
    ...(override === undefined ? {} : { override: { pops: override.pops.map(idOf), pin: override.pin } }),
    ...(share === undefined ? {} : { share: { pop: idOf(share.pop), percent: share.share * 100 } }),
    ...(only === undefined ? {} : { only: only.map(idOf) }),
    control: decision.geo,
    ...(map === undefined || mapVersion === undefined
      ? {}
      : {
          map: {
            version: formatVersion(mapVersion),
            ageSeconds: ageSeconds(map.createdAtMs),
            sources: map.sources,
            geoip: map.geoip,
          },
        }),
    desired: { version: formatVersion(desired.version), ageSeconds: ageSeconds(desired.createdAtMs) },
    prefix: formatPrefix(prefixOf(decision.client, decision.scope)),
    scope: scopeOf(subnet, choice, decision.scope, decision.scoped),
    ...(cell !== undefined && cell >= 0 ? { cell: formatPrefix(cellOf(decision.client)) } : {}),
    ttlSeconds: decision.ttlSeconds,
    ttl: explainTtl(tables, prepared, decision, known.atMs),
    answers: answersOf(steered, decision, type),
    pops: rankedCandidates(prepared, decision).map((candidate, i) =>
      explainPop(tables, prepared, decision, candidate, i + 1, row, known),
    ),
  };
}

function explainForce({ live, desired }: Tables, slot: number, known: Known): ForceExplanation {
  const endsMs = forceEndsMs(live, slot);
  const state = forceState(live, slot);
  return {
    ...known.force(slot),
    pop: desired.pops[forcePop(live, slot)]?.id ?? '',
    ...(state === LiveState.unknown ? {} : { state: liveStateNames[state] }),
    pin: forcePinned(live, slot),
    ...(endsMs === 0 ? {} : { endsSeconds: Math.round(endsMs / 1000) }),
  };
}

function explainTtl(
  { live, desired }: Tables,
  { service, row }: PreparedService,
  { ttlCause, ttlPop, force }: Decision,
  atMs: number,
): TtlExplanation {
  const pop = desired.pops[ttlPop]?.id;
  const holdsMs = {
    [TtlCause.none]: 0,
    [TtlCause.allDown]: 0,
    [TtlCause.force]: force < 0 ? 0 : forceEndsMs(live, force),
    [TtlCause.stateForce]: ttlPop < 0 ? 0 : forceEndsMs(live, forceOn(live, rowStates(live, row), ttlPop)),
    [TtlCause.state]: ttlPop < 0 ? 0 : liveHoldMsFor(live, row, ttlPop),
    [TtlCause.room]: liveFeedbackMs(live),
  }[ttlCause];
  return {
    minSeconds: service.ttlSecondsMin,
    maxSeconds: service.ttlSecondsMax,
    why: ttlCauseNames[ttlCause],
    ...(pop === undefined ? {} : { pop }),
    ...(holdsMs > 0 ? { endsMs: atMs + holdsMs } : {}),
  };
}

function answersOf(steered: SteeredService, decision: Decision, type: number): string[] {
  const { candidates, count, why } = decision;
  const isFallback = why === Why.fallback;
  if (type !== Type.A && type !== Type.AAAA) {
    if (count === 0 && !isFallback) return [];
    const bindings = steered.bindings.filter((binding) => binding.type === type);
    return bindings.flatMap((one) => formatRdata(type, isFallback ? one.fallback : one.join(candidates, count)) ?? []);
  }
  const four = type === Type.A;
  const addresses = isFallback
    ? four
      ? steered.fallback4
      : steered.fallback6
    : Array.from(candidates.subarray(0, count), (candidate) => (four ? steered.v4[candidate] : steered.v6[candidate]));
  return addresses.flatMap((address) => (address === undefined ? [] : (formatRdata(type, address) ?? [])));
}

/** Candidate indexes by the ranking that was read, or would have been; then those it does not have. */
function rankedCandidates(prepared: PreparedService, decision: Decision): number[] {
  const { group, geo, candidateOfMapPop, service } = prepared;
  const all = service.candidates.map((_, i) => i);
  const read = decision.geo ? geo : group;
  if (read === undefined) return all;
  const { hi, lo, family } = decision.client;
  const index = family === 4 ? read.v4 : read.v6;
  const row = decision.ranking >= 0 ? decision.ranking : index.ranking[findInterval(index, hi, lo)]!;
  const pops = read.rankings.subarray(row * read.width, (row + 1) * read.width);
  const ranked = Array.from(pops, (pop) => (pop === noPop ? noPop : candidateOfMapPop[pop]!));
  return [...new Set([...ranked.filter((candidate) => candidate !== noPop), ...all])];
}

function explainPop(
  tables: Tables,
  prepared: PreparedService,
  decision: Decision,
  candidate: number,
  rank: number,
  cell: CellRow | undefined,
  known: Known,
): PopExplanation {
  const { service, row } = prepared;
  const { live, map, desired } = tables;
  const { v4, v6 } = service.candidates[candidate]!;
  const pop = prepared.popOfCandidate[candidate]!;
  const { id, backboneRttMs } = desired.pops[pop]!;
  const estimate = map && estimateOf(map, cell, id, service.k, backboneRttMs[service.origin]);
  const place = decision.candidates.subarray(0, decision.count).indexOf(candidate);
  const why = decision.count === 1 ? decision.why : (decision.by[place] as Why);
  const slot = forceOn(live, rowStates(live, row), pop);
  return {
    pop: id,
    rank,
    chosen: place >= 0,
    by: place < 0 ? '' : whyNames[why],
    passed: place >= 0 ? '' : passedNames[decision.passed[candidate] as 0 | 1 | 2 | 3 | 4],
    loadPerMille: liveLoad(live, pop),
    keeps: 1 - liveShed(live, pop) / wholeShare,
    ...(slot < 0 ? {} : { forced: explainForce(tables, slot, known) }),
    state: liveStateNames[slot < 0 ? liveStateFor(live, row, pop) : forceState(live, slot)],
    sinceSeconds: liveSince(live, pop),
    vips: [v4, v6].filter((vip) => vip !== undefined),
    ...(estimate === undefined ? {} : { estimate }),
    ...knownOf(known, id, service.id),
  };
}

/** What the checks and operators say of a PoP; of the service there, where that is judged by itself. */
function knownOf(known: Known, pop: string, service: string) {
  const target = targetOf(pop, service);
  const [health, own] = [known.health(pop), known.health(target)];
  const [drain, said] = [known.drain(pop), known.said(target) ?? known.said(pop)];
  return {
    ...(health === undefined ? {} : { health }),
    ...(own === undefined ? {} : { serviceHealth: own }),
    ...(drain === undefined ? {} : { drain }),
    ...(said === undefined ? {} : { said }),
  };
}

function estimateOf(
  map: SteeringMap,
  cell: CellRow | undefined,
  pop: string,
  k: number,
  backboneMs: number | undefined,
): PopEstimate | undefined {
  const at = map.pops.indexOf(pop);
  if (cell === undefined || at < 0) return undefined;
  const { estimate, low, high, n, tier } = cell;
  if (estimate[at] === 65_535) return undefined;
  const clientMs = estimate[at]! / 10;
  return {
    clientMs,
    lowMs: low[at]! / 10,
    highMs: high[at]! / 10,
    n: n[at]!,
    tier: tierNames[tier[at] as 0 | 1 | 2 | 3 | 4] ?? 'none',
    ...(backboneMs === undefined ? {} : { backboneMs, costMs: k * clientMs + backboneMs }),
  };
}
