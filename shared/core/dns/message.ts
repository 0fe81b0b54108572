/**
 * A query off the wire (RFC 1035 §4.1), decoded into one reused struct as a ladder of guards: no throw, no allocation.
 *
 *     header  question  answer, authority (skipped over)  additional (OPT is read)  nothing after
 */
import { createEdns, type Edns, readOpt, resetEdns } from './edns.ts';
import { createNameKey, type NameKey, readNameKey, skipName } from './name.ts';
import { Opcode, Type } from './types.ts';

export const headerBytes = 12;

/** What to do with a packet. */
export const Decoded = {
  ok: 0,
  /** Shorter than a header, or an answer: silence. */
  drop: 1,
  formErr: 2,
  notImp: 3,
  badVers: 4,
  /** No question, but a cookie: who sends it wants a server cookie (RFC 7873 §5.4). */
  cookieOnly: 5,
} as const;
export type Decoded = (typeof Decoded)[keyof typeof Decoded];

export interface Query {
  opcode: number;
  /** One whole question was read: the four fields after are valid, and it is echoed. */
  hasQuestion: boolean;
  readonly name: NameKey;
  type: number;
  class: number;
  /** Offset after the question, where the header has ended when there is none. */
  questionEnd: number;
  readonly edns: Edns;
}

export function createQuery(): Query {
  return {
    opcode: 0,
    hasQuestion: false,
    name: createNameKey(),
    type: 0,
    class: 0,
    questionEnd: headerBytes,
    edns: createEdns(),
  };
}

/** `packet` is exactly one message. Fields stay valid until the next call. */
export function decodeQuery(packet: Uint8Array, query: Query): Decoded {
  query.hasQuestion = false;
  query.questionEnd = headerBytes;
  resetEdns(query.edns);
  if (packet.length < headerBytes) return Decoded.drop;
  if ((packet[2]! & 0x80) !== 0) return Decoded.drop;
  query.opcode = (packet[2]! >> 3) & 15;
  const wellFormed = readSections(packet, query);
  if (query.opcode !== Opcode.query) return Decoded.notImp;
  if (!wellFormed) return Decoded.formErr;
  if (query.edns.present && query.edns.version !== 0) return Decoded.badVers;
  if (!query.hasQuestion)
    return query.edns.cookie.present && word(packet, 4) === 0 ? Decoded.cookieOnly : Decoded.formErr;
  return Decoded.ok;
}

function readSections(packet: Uint8Array, query: Query): boolean {
  const end = packet.length;
  let at = headerBytes;
  if (word(packet, 4) === 1) {
    at = readNameKey(packet, at, end, query.name);
    if (at < 0 || at + 4 > end) return false;
    query.type = word(packet, at);
    query.class = word(packet, at + 2);
    at += 4;
    query.questionEnd = at;
    query.hasQuestion = true;
  } else {
    for (let left = word(packet, 4); left > 0; left--) {
      at = skipName(packet, at, end);
      if (at < 0 || at + 4 > end) return false;
      at += 4;
    }
  }
  const beforeAdditional = word(packet, 6) + word(packet, 8);
  const records = beforeAdditional + word(packet, 10);
  for (let record = 0; record < records; record++) {
    const owner = at;
    at = skipName(packet, at, end);
    if (at < 0 || at + 10 > end) return false;
    const next = at + 10 + word(packet, at + 8);
    if (next > end) return false;
    if (word(packet, at) === Type.OPT) {
      // RFC 6891 §6.1.1: one, in the additional section, owned by the root.
      if (query.edns.present || record < beforeAdditional || packet[owner] !== 0) return false;
      if (!readOpt(packet, at, next, query.edns)) return false;
    }
    at = next;
  }
  // Bytes that belong to nothing are the mark of a broken sender or of smuggling: refused, as BIND and Knot do.
  return at === end;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
