/**
 * Why a client gets its answer: the decision made again, by the same functions and tables that answer queries, and said
 * in words. A client is what a resolver would send as its subnet; an address stands for itself.
 */
import { type ClientSubnet, createClientChoice, createClientSubnet, EcsFamily, scopeOf } from '@ufes/core/dns/ecs.ts';
import { createNameKey, lowerName, nameToWire, setNameKey } from '@ufes/core/dns/name.ts';
import { formatRdata } from '@ufes/core/dns/rdata.ts';
import { Type, typeName } from '@ufes/core/dns/types.ts';
import { addressBytes, cellOf, formatPrefix, type Peer, parsePeer, parsePrefix, prefixOf } from '@ufes/core/ip.ts';
import {
  forceEndsMs,
  forcePinned,
  forcePop,
  forceState,
  LiveState,
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
  Why,
  whyNames,
} from '@ufes/core/steering/decide.ts';
import type { Explanation, ForceExplanation, PopEstimate, PopExplanation } from '@ufes/core/steering/explanation.ts';
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
import { placeAndDecide } from './place.ts';
import type { SteeredService, Tables } from './tables.ts';
import { Found, findName, type Lookup, type ZoneNode } from './zones.ts';

export interface ExplainQuestion {
  readonly name: string;
  /** Address or prefix; absent: the resolver tells no subnet. */
  readonly client?: string | undefined;
  /** Address of the resolver; absent: the client asks itself. */
  readonly resolver?: string | undefined;
  /** Type number: A, AAAA, HTTPS or SVCB. */
  readonly type: number;
}

/** What is known of the force in a slot, beside what live state says. */
export type ForceWords = (slot: number) => Partial<ForceExplanation> | undefined;
const noWords: ForceWords = () => undefined;

/** The explanation, or why there is none. */
export function explain(
  tables: Tables,
  question: ExplainQuestion,
  nowMs: number,
  words: ForceWords = noWords,
): Explanation | string {
  const node = findSteered(tables, question.name);
  if (typeof node === 'string') return node;
  const subnet = createClientSubnet();
  const { client, resolver } = question;
  const placed = client === undefined ? undefined : parseClient(client, subnet);
  if (client !== undefined && placed === undefined) {
    return `${JSON.stringify(client)} is neither an IP address nor a prefix such as 192.0.2.0/24`;
  }
  const peer = resolver === undefined ? placed : parsePeer(resolver);
  if (peer === undefined) return `${JSON.stringify(resolver ?? '')} is no IP address of a resolver`;
  return explainNode(tables, node, { subnet, peer, type: question.type, client: client ?? resolver! }, nowMs, words);
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
  node: Pick<ZoneNode, 'service' | 'pinned'>,
  { subnet, peer, type, client }: Query,
  nowMs: number,
  words: ForceWords = noWords,
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
  const ageSeconds = (createdAtMs: number) => Math.round((nowMs - createdAtMs) / 1000);
  const override = service.overrides?.[decision.override - 1];
  const share = service.shares?.[decision.share - 1];
  const only = service.regions?.[decision.region - 1]?.only ?? service.only;
  return {
    name: service.name,
    client,
    type: typeName(type),
    service: service.id,
    owner: service.owner,
    why: whyNames[decision.why],
    evidence: evidenceNames[decision.evidence as 0 | 1 | 2],
    placed: formatPrefix(cellOf(decision.client)),
    ...(decision.force < 0 ? {} : { force: explainForce(tables, decision.force, words) }),
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
    answers: answersOf(steered, decision, type),
    pops: rankedCandidates(prepared, decision).map((candidate, i) =>
      explainPop(tables, prepared, decision, candidate, i + 1, row, words),
    ),
  };
}

function explainForce({ live, desired }: Tables, slot: number, words: ForceWords): ForceExplanation {
  const endsMs = forceEndsMs(live, slot);
  const state = forceState(live, slot);
  return {
    ...words(slot),
    pop: desired.pops[forcePop(live, slot)]?.id ?? '',
    ...(state === LiveState.unknown ? {} : { state: liveStateNames[state] }),
    pin: forcePinned(live, slot),
    ...(endsMs === 0 ? {} : { endsSeconds: Math.round(endsMs / 1000) }),
  };
}

function findSteered(tables: Tables, name: string): ZoneNode | string {
  const wire = nameToWire(name);
  if (typeof wire === 'string') return wire;
  const key = createNameKey();
  setNameKey(key, lowerName(wire));
  const lookup: Lookup = { found: Found.outside, node: undefined };
  findName(tables.names.table, key, lookup);
  if (lookup.found === Found.outside) return `${name} is in none of our zones`;
  if (lookup.found === Found.referral) return `${name} is delegated to other servers`;
  if (lookup.found === Found.missing || lookup.found === Found.probe) return `${name} does not exist`;
  const node = lookup.node!;
  return node.service >= 0 ? node : `${name} is not steered: it is plain data of its zone`;
}

function parseClient(text: string, subnet: ReturnType<typeof createClientSubnet>): Peer | undefined {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return undefined;
  const bytes = addressBytes(text.split('/')[0]!)!;
  const written = text.includes('/') ? Number(text.split('/')[1]) : bytes.length * 8;
  subnet.present = true;
  subnet.family = bytes.length === 4 ? EcsFamily.v4 : EcsFamily.v6;
  subnet.source = written;
  subnet.address.fill(0);
  for (let bit = 0; bit < written; bit++) subnet.address[bit >> 3]! |= bytes[bit >> 3]! & (0x80 >> (bit & 7));
  return { ...parsePeer(text.split('/')[0]!)!, hi: prefix.hi, lo: prefix.lo };
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
  words: ForceWords,
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
    ...(slot < 0 ? {} : { forced: explainForce(tables, slot, words) }),
    state: liveStateNames[slot < 0 ? liveStateFor(live, row, pop) : forceState(live, slot)],
    sinceSeconds: liveSince(live, pop),
    vips: [v4, v6].filter((vip) => vip !== undefined),
    ...(estimate === undefined ? {} : { estimate }),
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
    tier: tierNames[tier[at] as 0 | 1 | 2 | 3 | 4 | 5] ?? 'none',
    ...(backboneMs === undefined ? {} : { backboneMs, costMs: k * clientMs + backboneMs }),
  };
}
