/**
 * `explain` of a name and a client as people write them. A client is what a resolver would send as its subnet; an address
 * stands for itself.
 */
import { type ClientSubnet, createClientSubnet, EcsFamily } from '@ufes/core/dns/ecs.ts';
import { createNameKey, lowerName, nameToWire, setNameKey } from '@ufes/core/dns/name.ts';
import { Type, typeNumber } from '@ufes/core/dns/types.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { addressBytes, addressOf, be32, type Peer, parsePeer } from '@ufes/core/ip.ts';
import type { Explanation } from '@ufes/core/steering/explanation.ts';
import { type AnswerAgain, queryFor, rcodeOf } from './again.ts';
import { explainNode, type Known } from './explain.ts';
import type { Tables } from './tables.ts';
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

/** The explanation, or why there is none. */
export function explain(
  tables: Tables,
  question: ExplainQuestion,
  known: Known,
  again: AnswerAgain,
): Explanation | string {
  const node = findSteered(tables, question.name);
  if (typeof node === 'string') return node;
  const subnet = createClientSubnet();
  const { client, resolver, type } = question;
  const placed = client === undefined ? undefined : parseClient(client, subnet);
  if (client !== undefined && placed === undefined) {
    return `${JSON.stringify(client)} is neither an IP address nor a prefix such as 192.0.2.0/24`;
  }
  const peer = resolver === undefined ? placed : parsePeer(resolver);
  if (peer === undefined) return `${JSON.stringify(resolver ?? '')} is no IP address of a resolver`;
  const said = explainNode(tables, node, { subnet, peer, type, client: client ?? resolver! }, known);
  const query = queryFor(node.name, type, subnet);
  const answer = again.answer(tables, query, peer, false, known.atMs);
  const message = { query: base64(query), answer: base64(answer), rcode: rcodeOf(answer) };
  return { ...said, ...(resolver === undefined ? {} : { resolver }), message };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

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

/** Bits beyond the length are cleared; a resolver would not send them. */
function parseClient(text: string, subnet: ClientSubnet): Peer | undefined {
  const [written = '', length, ...more] = text.split('/');
  const bytes = addressBytes(written);
  if (bytes === undefined || more.length > 0) return undefined;
  const source = length === undefined ? bytes.length * 8 : /^\d{1,3}$/.test(length) ? Number(length) : 129;
  if (source > bytes.length * 8) return undefined;
  subnet.present = true;
  subnet.family = bytes.length === 4 ? EcsFamily.v4 : EcsFamily.v6;
  subnet.source = source;
  subnet.address.fill(0);
  for (let bit = 0; bit < source; bit++) subnet.address[bit >> 3]! |= bytes[bit >> 3]! & (0x80 >> (bit & 7));
  const sent = subnet.address.slice(0, bytes.length);
  const address = addressOf(sent);
  return {
    ...address,
    tailHi: address.family === 4 ? 0 : be32(sent, 8),
    tailLo: address.family === 4 ? 0 : be32(sent, 12),
  };
}

const steeredTypes: readonly number[] = [Type.A, Type.AAAA, Type.HTTPS, Type.SVCB];

/** Of a request; throws REQUEST_INVALID. */
export function questionOf({
  name,
  client,
  resolver,
  type = 'A',
}: Readonly<Record<string, string | undefined>>): ExplainQuestion {
  const number = typeNumber(type);
  if (!name || (!client && !resolver)) {
    throw new OperatingError('REQUEST_INVALID', '/explain wants name=, and client= or resolver=');
  }
  if (number === undefined || !steeredTypes.includes(number)) {
    throw new OperatingError('REQUEST_INVALID', `type ${type} is not steered; A, AAAA, HTTPS and SVCB are`);
  }
  return { name, client: client || undefined, resolver: resolver || undefined, type: number };
}
