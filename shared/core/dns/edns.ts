/** EDNS(0) (RFC 6891): the OPT pseudo-record of a query and of its answer. */
import { limits } from '../limits.ts';
import { type Cookie, clientCookieBytes, createCookie, readCookie, serverCookieBytes } from './cookie.ts';
import {
  type ClientSubnet,
  clientSubnetBytes,
  createClientSubnet,
  readClientSubnet,
  writeClientSubnet,
} from './ecs.ts';
import { ExtendedError, Option, Type } from './types.ts';

/** Bytes of an OPT record without options: root name, type, class, TTL, length. */
const optBytes = 11;
const keepaliveBytes = 6;
const extendedErrorBytes = 6;
const cookieBytes = 4 + clientCookieBytes + serverCookieBytes;
const noBytes = new Uint8Array(0);

/** Reused from query to query. Fields beside `present` are valid when it is true. */
export interface Edns {
  present: boolean;
  /** What the requestor can take over UDP; at least 512 counts. */
  udpBytes: number;
  version: number;
  dnssecOk: boolean;
  readonly subnet: ClientSubnet;
  readonly cookie: Cookie;
  /** The name server's id is asked for (RFC 5001). */
  nsid: boolean;
  /** The connection's idle time is asked for (RFC 7828). */
  keepalive: boolean;
  readonly reply: OptReply;
}

/** What the OPT of the answer says beside the client subnet. `resetEdns` leaves all of it out. */
export interface OptReply {
  /** Empty: none. */
  nsid: Uint8Array;
  hasCookie: boolean;
  readonly serverCookie: Uint8Array;
  /** In tenths of a second; -1: none. */
  keepalive: number;
  /** Left out when there is no room. */
  error: ExtendedError;
}

export function createEdns(): Edns {
  return {
    present: false,
    udpBytes: 0,
    version: 0,
    dnssecOk: false,
    subnet: createClientSubnet(),
    cookie: createCookie(),
    nsid: false,
    keepalive: false,
    reply: {
      nsid: noBytes,
      hasCookie: false,
      serverCookie: new Uint8Array(serverCookieBytes),
      keepalive: -1,
      error: ExtendedError.none,
    },
  };
}

/** Before each query. */
export function resetEdns(edns: Edns): void {
  edns.present = false;
  edns.subnet.present = false;
  edns.cookie.present = false;
  edns.nsid = false;
  edns.keepalive = false;
  edns.reply.nsid = noBytes;
  edns.reply.hasCookie = false;
  edns.reply.keepalive = -1;
  edns.reply.error = ExtendedError.none;
}

/**
 * Reads the OPT record whose type field is at `at` and whose data ends at `end` (bounds checked by the caller).
 * False means FORMERR: an option that reaches past the record or breaks its own RFC, a client subnet that stands twice.
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
    } else if (code === Option.cookie) {
      // RFC 7873 §5.2: further ones are ignored.
      if (!out.cookie.present && !readCookie(packet, option, length, out.cookie)) return false;
    } else if (code === Option.nsid) {
      // RFC 5001 §2.1: a payload in a query has no meaning.
      out.nsid = true;
    } else if (code === Option.keepalive) {
      // RFC 7828 §3.1: no time-out in a query; some clients write one, of the size it would have.
      if (length !== 0 && length !== 2) return false;
      out.keepalive = true;
    }
    option += length;
  }
  return true;
}

/** Bytes of the OPT record of the answer, without an extended error: 0 when the query had none. */
export function answerOptBytes(edns: Edns): number {
  if (!edns.present) return 0;
  const { reply, subnet } = edns;
  return (
    optBytes +
    (subnet.present ? clientSubnetBytes(subnet) : 0) +
    (reply.hasCookie ? cookieBytes : 0) +
    (reply.nsid.length > 0 ? 4 + reply.nsid.length : 0) +
    (reply.keepalive >= 0 ? keepaliveBytes : 0)
  );
}

/** Writes the answer's OPT; `rcode` gives its upper eight bits. Returns the offset after it, at most `limit`. */
export function writeAnswerOpt(
  out: Uint8Array,
  at: number,
  limit: number,
  edns: Edns,
  rcode: number,
  scope: number,
): number {
  const { reply } = edns;
  out[at] = 0;
  out[at + 1] = 0;
  out[at + 2] = Type.OPT;
  out[at + 3] = limits.dns.udpBytes >> 8;
  out[at + 4] = limits.dns.udpBytes & 255;
  out[at + 5] = rcode >> 4;
  out[at + 6] = 0;
  out[at + 7] = edns.dnssecOk ? 0x80 : 0;
  out[at + 8] = 0;
  let end = at + optBytes;
  if (edns.subnet.present) end = writeClientSubnet(out, end, edns.subnet, scope);
  if (reply.hasCookie) end = writeCookie(out, end, edns);
  if (reply.nsid.length > 0) {
    end = writeOptionHead(out, end, Option.nsid, reply.nsid.length);
    for (let i = 0; i < reply.nsid.length; i++) out[end++] = reply.nsid[i]!;
  }
  if (reply.keepalive >= 0) end = writeWordOption(out, end, Option.keepalive, reply.keepalive);
  if (reply.error >= 0 && end + extendedErrorBytes <= limit) {
    end = writeWordOption(out, end, Option.extendedError, reply.error);
  }
  const length = end - at - optBytes;
  out[at + 9] = length >> 8;
  out[at + 10] = length & 255;
  return end;
}

function writeCookie(out: Uint8Array, at: number, { cookie, reply }: Edns): number {
  let end = writeOptionHead(out, at, Option.cookie, clientCookieBytes + serverCookieBytes);
  for (let i = 0; i < clientCookieBytes; i++) out[end++] = cookie.bytes[i]!;
  for (let i = 0; i < serverCookieBytes; i++) out[end++] = reply.serverCookie[i]!;
  return end;
}

function writeWordOption(out: Uint8Array, at: number, code: number, word: number): number {
  const end = writeOptionHead(out, at, code, 2);
  out[end] = word >> 8;
  out[end + 1] = word & 255;
  return end + 2;
}

function writeOptionHead(out: Uint8Array, at: number, code: number, length: number): number {
  out[at] = code >> 8;
  out[at + 1] = code & 255;
  out[at + 2] = length >> 8;
  out[at + 3] = length & 255;
  return at + 4;
}

/** How long an answer over UDP may be (RFC 6891 §6.2.3–5). */
export function udpLimit(edns: Edns): number {
  if (!edns.present || edns.udpBytes < 512) return 512;
  return Math.min(edns.udpBytes, limits.dns.udpBytes);
}
