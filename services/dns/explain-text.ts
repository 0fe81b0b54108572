/** A decision as the strings of TXT records: one of the whole, one a PoP. What `dig TXT _ufes-explain.NAME` shows. */
import { type ClientSubnet, EcsFamily } from '@ufes/core/dns/ecs.ts';
import { Type } from '@ufes/core/dns/types.ts';
import { formatAddress, type Peer } from '@ufes/core/ip.ts';
import type { Explanation, PopExplanation } from '@ufes/core/steering/explanation.ts';
import { explainNode, nothingKnown } from './explain.ts';
import type { Tables } from './tables.ts';
import type { ZoneNode } from './zones.ts';

/** One string of a TXT record (RFC 1035 §3.3). */
const stringBytes = 255;
/** The rest of a long ranking decides nothing. */
const popsShown = 8;

/** Rdata of the records. */
export function explainText(
  tables: Tables,
  node: ZoneNode,
  subnet: ClientSubnet,
  peer: Peer,
  nowMs: number,
): Uint8Array[] {
  const { v4, v6 } = tables.desired.services[node.explains]!.candidates[0] ?? {};
  const type = v4 === undefined && v6 !== undefined ? Type.AAAA : Type.A;
  const client = subnet.present && subnet.family !== EcsFamily.none ? `subnet /${subnet.source}` : 'resolver';
  const said = explainNode(
    tables,
    { ...node, service: node.explains, pinned: -1 },
    { subnet, peer, type, client },
    nothingKnown('', nowMs),
  );
  return [whole(said, peer), ...said.pops.slice(0, popsShown).map(onePop)].map(txt);
}

function whole(said: Explanation, peer: Peer): string {
  const { force, override, share } = said;
  return [
    `why="${said.why}"`,
    `answer=${said.answers.join(',') || 'none'}`,
    `by="${said.evidence}"`,
    `placed=${said.placed}`,
    `resolver=${formatAddress(peer)}`,
    `scope=${said.scope}`,
    `ttl=${said.ttlSeconds}`,
    ...(force ? [`force=${force.pop}${force.pin ? ',pin' : ''}`] : []),
    ...(override ? [`override=${override.pops.join(',')}${override.pin ? ',pin' : ''}`] : []),
    ...(share ? [`share=${share.pop},${share.percent}%`] : []),
    ...(said.only ? [`only=${said.only.join(',')}`] : []),
    ...(said.control ? ['control'] : []),
    `map=${said.map?.version ?? 'none'}`,
    `names=${said.desired.version}`,
  ].join(' ');
}

function onePop(pop: PopExplanation): string {
  const { estimate, forced } = pop;
  return [
    `${pop.rank}`,
    pop.pop,
    pop.state,
    ...(pop.chosen ? ['chosen'] : []),
    ...(pop.passed ? [`passed="${pop.passed}"`] : []),
    ...(forced ? ['forced'] : []),
    ...(pop.keeps < 1 ? [`keeps=${(100 * pop.keeps).toFixed(1)}%`] : []),
    `load=${(pop.loadPerMille / 10).toFixed(1)}%`,
    ...(estimate ? [`client=${estimate.clientMs.toFixed(1)}ms`, `n=${estimate.n}`, `tier=${estimate.tier}`] : []),
  ].join(' ');
}

/** Long text goes into several strings of one record. */
function txt(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const strings: number[] = [];
  for (let at = 0; at < bytes.length; at += stringBytes) {
    const piece = bytes.subarray(at, at + stringBytes);
    strings.push(piece.length, ...piece);
  }
  return Uint8Array.from(strings);
}
