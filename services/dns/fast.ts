/**
 * The common query by the short way: one question of class IN for the A or AAAA records of a steered name, with an OPT
 * record or none. One pass copies the question, checks it and hashes the name; then the same functions as on the long
 * way choose and write (core/steering/decide.ts, core/dns/edns.ts, wire.ts), so that the answers are the same byte by
 * byte (fast.test.ts). Whatever is not plainly of this shape is left to the long way (answer.ts), before it had any
 * effect.
 *
 *     header, question ─▶ name ─▶ OPT ─▶ decide ─▶ does it fit? ─▶ rate limit ─▶ records ─▶ OPT
 *          └───────────────┴───────┴───────┴────────────┴──▶ notPlain
 */
import type { ClientChoice } from '@ufes/core/dns/ecs.ts';
import { scopeOf } from '@ufes/core/dns/ecs.ts';
import { answerOptBytes, readOpt, resetEdns, writeAnswerOpt } from '@ufes/core/dns/edns.ts';
import { headerBytes, type Query } from '@ufes/core/dns/message.ts';
import { lowerCase } from '@ufes/core/dns/name.ts';
import { ExtendedError, Rcode, Type } from '@ufes/core/dns/types.ts';
import type { Peer } from '@ufes/core/ip.ts';
import type { Decision } from '@ufes/core/steering/decide.ts';
import { placeAndDecide } from './place.ts';
import { Admitted } from './rrl.ts';
import { hashPrime, hashStart } from './steered-names.ts';
import type { SteeredService, Tables } from './tables.ts';
import type { Wire } from './wire.ts';

/** Results besides the length of an answer. */
const notPlain = -1;
/** Over its network's rate: `admitted` says what is to be done. */
export const overRate = -2;

const notPinned = -1;
const labelBytesMax = 63;
const nameBytesMax = 255;
const optBytes = 11;
/** Of a record with a pointer for its name. */
const record4Bytes = 16;
const record6Bytes = 28;

export class FastPath {
  /** Whose answer it was. */
  steered: SteeredService | undefined;
  admitted: Admitted = Admitted.yes;
  readonly #query: Query;
  readonly #choice: ClientChoice;
  readonly #decision: Decision;
  readonly #wire: Wire;
  /** The name in lower case. */
  readonly #name = new Uint8Array(nameBytesMax + 1);
  #nameLength = 0;
  #hash = 0;

  /** All of these are shared with the long way, which leaves nothing in them either. */
  constructor(query: Query, choice: ClientChoice, decision: Decision, wire: Wire) {
    this.#query = query;
    this.#choice = choice;
    this.#decision = decision;
    this.#wire = wire;
  }

  /** Length of the answer to the `length` bytes at `at`, written at `to`; or notPlain, or overRate. */
  answer(
    tables: Tables,
    input: Uint8Array,
    at: number,
    length: number,
    peer: Peer,
    nowMs: number,
    out: Uint8Array,
    to: number,
  ): number {
    const { edns } = this.#query;
    const end = at + length;
    const questionEnd = this.#readQuestion(input, at, end, out, to);
    if (questionEnd < 0) return notPlain;
    const number = tables.names.steered.find(this.#hash, this.#name, this.#nameLength);
    if (number < 0) return notPlain;
    resetEdns(edns);
    if (!this.#readEdns(input, at, questionEnd, end)) return notPlain;

    const steered = tables.services[number]!;
    const four = input[questionEnd - 3] === Type.A;
    const addresses = four ? steered.wire4 : steered.wire6;
    if (addresses === undefined) return notPlain;
    const decision = this.#decision;
    placeAndDecide(tables, steered.prepared, notPinned, edns.subnet, peer, this.#choice, decision);
    if (decision.count === 0) return notPlain;

    this.#wire.prepare(this.#query, peer, false, nowMs);
    const recordsAt = to + questionEnd - at;
    const recordsEnd = recordsAt + decision.count * (four ? record4Bytes : record6Bytes);
    const limit = this.#wire.udpLimit(this.#query);
    if (recordsEnd - to > limit - answerOptBytes(edns)) return notPlain;
    this.steered = steered;
    this.admitted = this.#wire.limit(peer, length, false, nowMs);
    if (this.admitted !== Admitted.yes) return overRate;

    writeHeader(input, at, out, to, decision.count);
    if (four) writeRecords4(decision, addresses, out, recordsAt);
    else writeRecords6(decision, addresses, out, recordsAt);
    if (!edns.present) return recordsEnd - to;
    if (tables.staleAtMs < nowMs) edns.reply.error = ExtendedError.staleAnswer;
    const scope = edns.subnet.present ? scopeOf(edns.subnet, this.#choice, decision.scope, decision.scoped) : 0;
    return writeAnswerOpt(out, recordsEnd, to + limit, edns, Rcode.noError, scope) - to;
  }

  /** Offset after the question, which is copied, or notPlain. */
  #readQuestion(input: Uint8Array, at: number, end: number, out: Uint8Array, to: number): number {
    // A query, opcode 0; one question, no answers and authorities, at most one additional record.
    if (
      end - at < headerBytes + 5 ||
      (input[at + 2]! & 0xf8) !== 0 ||
      (input[at + 4]! | input[at + 6]! | input[at + 7]! | input[at + 8]! | input[at + 9]! | input[at + 10]!) !== 0 ||
      input[at + 5] !== 1 ||
      input[at + 11]! > 1
    ) {
      return notPlain;
    }
    const name = this.#name;
    let from = at + headerBytes;
    let copied = to + headerBytes;
    let length = 0;
    let hash = hashStart;
    for (;;) {
      const size = input[from]!;
      if (size > labelBytesMax || from + size >= end || length + size >= nameBytesMax) return notPlain;
      out[copied++] = size;
      name[length++] = size;
      hash = Math.imul(hash ^ size, hashPrime);
      from++;
      if (size === 0) break;
      for (const stop = from + size; from < stop; from++) {
        const byte = input[from]!;
        const lower = lowerCase[byte]!;
        out[copied++] = byte;
        name[length++] = lower;
        hash = Math.imul(hash ^ lower, hashPrime);
      }
    }
    const type = input[from + 1]!;
    if (from + 4 > end || (input[from]! | input[from + 2]!) !== 0 || input[from + 3] !== 1) return notPlain;
    if (type !== Type.A && type !== Type.AAAA) return notPlain;
    out[copied] = 0;
    out[copied + 1] = type;
    out[copied + 2] = 0;
    out[copied + 3] = 1;
    this.#nameLength = length;
    this.#hash = hash;
    return from + 4;
  }

  /** False: there is more, or something else, behind the question than an OPT record of version 0. */
  #readEdns(input: Uint8Array, at: number, questionEnd: number, end: number): boolean {
    if (input[at + 11] === 0) return questionEnd === end;
    const { edns } = this.#query;
    const type = questionEnd + 1;
    if (questionEnd + optBytes > end || input[questionEnd] !== 0) return false;
    if (input[type] !== 0 || input[type + 1] !== Type.OPT) return false;
    if (questionEnd + optBytes + ((input[type + 8]! << 8) | input[type + 9]!) !== end) return false;
    return readOpt(input, type, end, edns) && edns.version === 0;
  }
}

function writeHeader(input: Uint8Array, at: number, out: Uint8Array, to: number, answers: number): void {
  out[to] = input[at]!;
  out[to + 1] = input[at + 1]!;
  // QR and AA; of the query RD alone stays.
  out[to + 2] = 0x84 | (input[at + 2]! & 1);
  out[to + 3] = 0;
  out[to + 4] = 0;
  out[to + 5] = 1;
  out[to + 6] = 0;
  out[to + 7] = answers;
  out[to + 8] = 0;
  out[to + 9] = 0;
  out[to + 10] = 0;
  out[to + 11] = input[at + 11]!;
}

/** Everything of a record up to its address: pointer to the question's name, type, class, TTL, length. */
function writeRecordHead(out: Uint8Array, at: number, type: number, ttl: number, length: number): void {
  out[at] = 0xc0;
  out[at + 1] = headerBytes;
  out[at + 2] = 0;
  out[at + 3] = type;
  out[at + 4] = 0;
  out[at + 5] = 1;
  out[at + 6] = ttl >>> 24;
  out[at + 7] = ttl >>> 16;
  out[at + 8] = ttl >>> 8;
  out[at + 9] = ttl;
  out[at + 10] = 0;
  out[at + 11] = length;
}

function writeRecords4(
  { candidates, count, ttlSeconds }: Decision,
  addresses: Uint8Array,
  out: Uint8Array,
  at: number,
) {
  for (let i = 0; i < count; i++, at += record4Bytes) {
    const from = candidates[i]! * 4;
    writeRecordHead(out, at, Type.A, ttlSeconds, 4);
    out[at + 12] = addresses[from]!;
    out[at + 13] = addresses[from + 1]!;
    out[at + 14] = addresses[from + 2]!;
    out[at + 15] = addresses[from + 3]!;
  }
}

function writeRecords6(
  { candidates, count, ttlSeconds }: Decision,
  addresses: Uint8Array,
  out: Uint8Array,
  at: number,
) {
  for (let i = 0; i < count; i++, at += record6Bytes) {
    const from = candidates[i]! * 16;
    writeRecordHead(out, at, Type.AAAA, ttlSeconds, 16);
    for (let byte = 0; byte < 16; byte++) out[at + 12 + byte] = addresses[from + byte]!;
  }
}
