/** EDNS(0) (RFC 6891): the OPT pseudo-record of a query and of its answer. */
import { limits } from '../limits.ts';
import {
  type ClientSubnet,
  clientSubnetBytes,
  createClientSubnet,
  readClientSubnet,
  writeClientSubnet,
} from './ecs.ts';
import { Option, Type } from './types.ts';

/** Bytes of an OPT record without options: root name, type, class, TTL, length. */
const optBytes = 11;

/** Reused from query to query. Fields beside `present` are valid when it is true. */
export interface Edns {
  present: boolean;
  /** What the requestor can take over UDP; at least 512 counts. */
  udpBytes: number;
  version: number;
  dnssecOk: boolean;
  readonly subnet: ClientSubnet;
}

export function createEdns(): Edns {
  return { present: false, udpBytes: 0, version: 0, dnssecOk: false, subnet: createClientSubnet() };
}

/**
 * Reads the OPT record whose type field is at `at` and whose data ends at `end` (bounds checked by the caller).
 * False means FORMERR: an option that reaches past the record, a client subnet that is none or stands twice.
 * Options we do not know are ignored; those of another EDNS version are not read.
 */
export function readOpt(packet: Uint8Array, at: number, end: number, out: Edns): boolean {
  out.present = true;
  out.udpBytes = (packet[at + 2]! << 8) | packet[at + 3]!;
  out.version = packet[at + 5]!;
  out.dnssecOk = (packet[at + 6]! & 0x80) !== 0;
  if (out.version !== 0) return true;
  for (let option = at + 10; option < end; ) {
    if (option + 4 > end) return false;
    const code = (packet[option]! << 8) | packet[option + 1]!;
    const length = (packet[option + 2]! << 8) | packet[option + 3]!;
    option += 4;
    if (option + length > end) return false;
    if (code === Option.clientSubnet) {
      if (out.subnet.present || !readClientSubnet(packet, option, length, out.subnet)) return false;
    }
    option += length;
  }
  return true;
}

/** Bytes of the OPT record of the answer: 0 when the query had none. */
export function answerOptBytes(edns: Edns): number {
  if (!edns.present) return 0;
  return optBytes + (edns.subnet.present ? clientSubnetBytes(edns.subnet) : 0);
}

/** Writes the answer's OPT; `rcode` gives its upper eight bits. Returns the offset after it. */
export function writeAnswerOpt(out: Uint8Array, at: number, edns: Edns, rcode: number, scope: number): number {
  out[at] = 0;
  out[at + 1] = 0;
  out[at + 2] = Type.OPT;
  out[at + 3] = limits.dns.udpBytes >> 8;
  out[at + 4] = limits.dns.udpBytes & 255;
  out[at + 5] = rcode >> 4;
  out[at + 6] = 0;
  out[at + 7] = edns.dnssecOk ? 0x80 : 0;
  out[at + 8] = 0;
  const end = edns.subnet.present ? writeClientSubnet(out, at + optBytes, edns.subnet, scope) : at + optBytes;
  const length = end - at - optBytes;
  out[at + 9] = length >> 8;
  out[at + 10] = length & 255;
  return end;
}

/** How long an answer over UDP may be (RFC 6891 §6.2.3–5). */
export function udpLimit(edns: Edns): number {
  if (!edns.present || edns.udpBytes < 512) return 512;
  return Math.min(edns.udpBytes, limits.dns.udpBytes);
}
