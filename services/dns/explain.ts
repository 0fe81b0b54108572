/**
 * Why a client gets its answer: the decision made again, by the same functions and tables that answer queries, and said
 * in words. A client is what a resolver would send as its subnet; an address stands for itself.
 */
import { chooseClient, createClientChoice, createClientSubnet, EcsFamily, scopeOf } from '@ufes/core/dns/ecs.ts';
import { createNameKey, lowerName, nameToWire, setNameKey } from '@ufes/core/dns/name.ts';
import { formatRdata } from '@ufes/core/dns/rdata.ts';
import { Type, typeName } from '@ufes/core/dns/types.ts';
import { type Address, addressBytes, formatPrefix, parsePrefix, prefixOf } from '@ufes/core/ip.ts';
import { liveSince, liveStateFor, liveStateNames } from '@ufes/core/live.ts';
import {
  createDecision,
  type Decision,
  decide,
  type PreparedService,
  passedNames,
  Why,
  whyNames,
} from '@ufes/core/steering/decide.ts';
import type { Explanation, PopEstimate, PopExplanation } from '@ufes/core/steering/explanation.ts';
import { findCell, noPop, type SteeringMap, tierNames } from '@ufes/core/steering/map.ts';
import { formatVersion } from '@ufes/core/version.ts';
import { scopedBy } from './answer.ts';
import type { SteeredService, Tables } from './tables.ts';
import { Found, findName, type Lookup } from './zones.ts';

export interface ExplainQuestion {
  readonly name: string;
  /** Address or prefix. */
  readonly client: string;
  /** Type number: A or AAAA. */
  readonly type: number;
}

/** The explanation, or why there is none. */
export function explain(tables: Tables, question: ExplainQuestion, nowMs: number): Explanation | string {
  const steered = findSteered(tables, question.name);
  if (typeof steered === 'string') return steered;
  const subnet = createClientSubnet();
  const peer = parseClient(question.client, subnet);
  if (peer === undefined) {
    return `${JSON.stringify(question.client)} is neither an IP address nor a prefix such as 192.0.2.0/24`;
  }
  const choice = createClientChoice();
  chooseClient(subnet, peer, choice);
  const decision = createDecision();
  decide(steered.prepared, tables.live, choice.client, decision);

  const { service, prepared } = steered;
  const ranked = scopedBy(decision);
  const cell = tables.map && findCell(tables.map.cells, choice.client);
  const length = choice.client.family === 4 ? 24 : 48;
  return {
    name: service.name,
    client: question.client,
    type: typeName(question.type),
    service: service.id,
    owner: service.owner,
    why: whyNames[decision.why],
    ...(tables.map === undefined || tables.mapVersion === undefined
      ? {}
      : {
          map: {
            version: formatVersion(tables.mapVersion),
            ageSeconds: Math.round((nowMs - tables.map.createdAtMs) / 1000),
            sources: tables.map.sources,
            geoip: tables.map.geoip,
          },
        }),
    desired: {
      version: formatVersion(tables.desired.version),
      ageSeconds: Math.round((nowMs - tables.desired.createdAtMs) / 1000),
    },
    prefix: formatPrefix(prefixOf(choice.client, decision.scope)),
    scope: scopeOf(subnet, choice, decision.scope, ranked),
    ...(cell !== undefined && cell >= 0 ? { cell: formatPrefix(prefixOf(choice.client, length)) } : {}),
    ttlSeconds: decision.ttlSeconds,
    answers: answersOf(steered, decision, question.type),
    pops: rankedCandidates(prepared, decision).map((candidate, i) =>
      explainPop(tables, prepared, decision, candidate, i + 1, cell ?? -1),
    ),
  };
}

function findSteered(tables: Tables, name: string): SteeredService | string {
  const wire = nameToWire(name);
  if (typeof wire === 'string') return wire;
  const key = createNameKey();
  setNameKey(key, lowerName(wire));
  const lookup: Lookup = { found: Found.outside, node: undefined };
  findName(tables.names.table, key, lookup);
  if (lookup.found === Found.outside) return `${name} is in none of our zones`;
  if (lookup.found === Found.referral) return `${name} is delegated to other servers`;
  if (lookup.found === Found.missing || lookup.found === Found.probe) return `${name} does not exist`;
  const service = lookup.node!.service;
  return service >= 0 ? tables.services[service]! : `${name} is not steered: it is plain data of its zone`;
}

function parseClient(text: string, subnet: ReturnType<typeof createClientSubnet>): Address | undefined {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return undefined;
  const bytes = addressBytes(text.split('/')[0]!)!;
  const written = text.includes('/') ? Number(text.split('/')[1]) : bytes.length * 8;
  subnet.present = true;
  subnet.family = bytes.length === 4 ? EcsFamily.v4 : EcsFamily.v6;
  subnet.source = written;
  subnet.address.fill(0);
  for (let bit = 0; bit < written; bit++) subnet.address[bit >> 3]! |= bytes[bit >> 3]! & (0x80 >> (bit & 7));
  return { family: prefix.family, hi: prefix.hi, lo: prefix.lo };
}

function answersOf(steered: SteeredService, decision: Decision, type: number): string[] {
  const four = type === Type.A;
  const addresses =
    decision.why === Why.fallback
      ? four
        ? steered.fallback4
        : steered.fallback6
      : Array.from(decision.candidates.subarray(0, decision.count), (candidate) =>
          four ? steered.v4[candidate] : steered.v6[candidate],
        );
  return addresses.flatMap((address) => (address === undefined ? [] : (formatRdata(type, address) ?? [])));
}

/** Candidate indexes in the order they were considered. */
function rankedCandidates(prepared: PreparedService, decision: Decision): number[] {
  const { group, candidateOfMapPop, service } = prepared;
  if (group === undefined || decision.ranking < 0) return service.candidates.map((_, i) => i);
  const row = group.rankings.subarray(decision.ranking * group.width, (decision.ranking + 1) * group.width);
  return Array.from(row, (pop) => (pop === noPop ? noPop : candidateOfMapPop[pop]!)).filter(
    (candidate) => candidate !== noPop,
  );
}

function explainPop(
  tables: Tables,
  prepared: PreparedService,
  decision: Decision,
  candidate: number,
  rank: number,
  cell: number,
): PopExplanation {
  const { service } = prepared;
  const { v4, v6 } = service.candidates[candidate]!;
  const pop = prepared.popOfCandidate[candidate]!;
  const { id, backboneRttMs } = tables.desired.pops[pop]!;
  const estimate = tables.map && estimateOf(tables.map, cell, id, service.k, backboneRttMs[service.origin]);
  return {
    pop: id,
    rank,
    chosen: decision.candidates.subarray(0, decision.count).includes(candidate),
    passed: passedNames[decision.passed[candidate] as 0 | 1 | 2 | 3],
    state: liveStateNames[liveStateFor(tables.live, prepared.row, pop)],
    sinceSeconds: liveSince(tables.live, pop),
    vips: [v4, v6].filter((vip) => vip !== undefined),
    ...(estimate === undefined ? {} : { estimate }),
  };
}

function estimateOf(
  map: SteeringMap,
  cell: number,
  pop: string,
  k: number,
  backboneMs: number | undefined,
): PopEstimate | undefined {
  const number = map.pops.indexOf(pop);
  if (cell < 0 || number < 0) return undefined;
  const at = cell * map.pops.length + number;
  const { estimate, low, high, n, tier } = map.cells;
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
