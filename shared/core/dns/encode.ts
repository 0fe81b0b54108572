/**
 * Writes one answer: header and question copied from the query, records with compressed names, OPT at the end.
 * Nothing throws: what does not fit sets `overflow`, and the finished answer is then empty with TC.
 */
import { answerOptBytes, writeAnswerOpt } from './edns.ts';
import { headerBytes, type Query } from './message.ts';
import { lowerCase } from './name.ts';
import { layouts, type Rcode } from './types.ts';

/** Places of labels remembered as targets of compression pointers. */
const rememberedMax = 64;
/** Pointers have 14 bits. */
const pointerMax = 0x3fff;

export const Section = { answer: 0, authority: 1, additional: 2 } as const;
export type Section = (typeof Section)[keyof typeof Section];

export interface Writer {
  readonly bytes: Uint8Array;
  at: number;
  /** Where records must end; the OPT has its room after it, up to `end`. */
  limit: number;
  end: number;
  overflow: boolean;
  /** By Section. */
  readonly counts: Uint16Array;
  readonly labels: Uint16Array;
  labelCount: number;
}

export function createWriter(bytes: Uint8Array): Writer {
  return {
    bytes,
    at: 0,
    limit: 0,
    end: 0,
    overflow: false,
    counts: new Uint16Array(3),
    labels: new Uint16Array(rememberedMax),
    labelCount: 0,
  };
}

/** Starts an answer of at most `limit` bytes to the query `packet`; the question is echoed as it was written (0x20). */
export function beginAnswer(writer: Writer, packet: Uint8Array, query: Query, limit: number): void {
  const { bytes } = writer;
  const end = query.hasQuestion ? query.questionEnd : headerBytes;
  for (let i = 0; i < end; i++) bytes[i] = packet[i]!;
  writer.at = end;
  writer.end = limit;
  writer.limit = limit - answerOptBytes(query.edns);
  writer.overflow = end > writer.limit;
  writer.counts.fill(0);
  writer.labelCount = 0;
  if (!query.hasQuestion) return;
  for (let i = 0; i < query.name.labels; i++) remember(writer, headerBytes + query.name.labelAt[i]!);
}

/** Sets flags, counts and OPT; returns the length of the answer. */
export function finishAnswer(
  writer: Writer,
  query: Query,
  rcode: Rcode,
  authoritative: boolean,
  scope: number,
): number {
  const { bytes, counts } = writer;
  let truncated = 0;
  if (writer.overflow) {
    writer.at = query.hasQuestion ? query.questionEnd : headerBytes;
    counts.fill(0);
    truncated = 0x02;
  }
  // Opcode and RD stay as they were; RA, Z, AD and CD are clear.
  bytes[2] = 0x80 | (bytes[2]! & 0x79) | (authoritative ? 0x04 : 0) | truncated;
  bytes[3] = rcode & 15;
  putWord(bytes, 4, query.hasQuestion ? 1 : 0);
  putWord(bytes, 6, counts[Section.answer]!);
  putWord(bytes, 8, counts[Section.authority]!);
  putWord(bytes, 10, counts[Section.additional]! + (query.edns.present ? 1 : 0));
  if (!query.edns.present) return writer.at;
  return writeAnswerOpt(bytes, writer.at, writer.end, query.edns, rcode, scope);
}

/** Writes a record of class IN. `owner` undefined: the name asked for. `rdata` is uncompressed. */
export function writeRecord(
  writer: Writer,
  section: Section,
  owner: Uint8Array | undefined,
  type: number,
  ttl: number,
  rdata: Uint8Array,
): void {
  if (owner === undefined) {
    if (!room(writer, 2)) return;
    putWord(writer.bytes, writer.at, 0xc000 | headerBytes);
    writer.at += 2;
  } else {
    writeName(writer, owner, 0);
  }
  if (!room(writer, 10)) return;
  const { bytes } = writer;
  const at = writer.at;
  putWord(bytes, at, type);
  putWord(bytes, at + 2, 1);
  putWord(bytes, at + 4, ttl >>> 16);
  putWord(bytes, at + 6, ttl & 0xffff);
  writer.at = at + 10;
  writeRdata(writer, type, rdata);
  if (writer.overflow) return;
  putWord(bytes, at + 8, writer.at - at - 10);
  writer.counts[section]!++;
}

/** Type → bytes before its names and how many names follow, for the types whose names may be compressed (RFC 3597 §4). */
const compressible = new Map<number, { before: number; names: number }>();
for (const { type, fields } of Object.values(layouts)) {
  const names = fields.filter((field) => field === 'name').length;
  if (names > 0) compressible.set(type, { before: fields[0] === 'u16' ? 2 : 0, names });
}

function writeRdata(writer: Writer, type: number, rdata: Uint8Array): void {
  const shape = compressible.get(type);
  let from = 0;
  if (shape !== undefined) {
    from = copy(writer, rdata, 0, shape.before);
    for (let i = 0; i < shape.names; i++) from = writeName(writer, rdata, from);
  }
  copy(writer, rdata, from, rdata.length);
}

function copy(writer: Writer, from: Uint8Array, start: number, end: number): number {
  if (!room(writer, end - start)) return end;
  for (let i = start; i < end; i++) writer.bytes[writer.at++] = from[i]!;
  return end;
}

/** Writes the name at `from` of `wire`, its longest known suffix as a pointer. Returns the offset after it in `wire`. */
function writeName(writer: Writer, wire: Uint8Array, from: number): number {
  // Not the labels of this very name: what follows them is not written yet.
  const known = writer.labelCount;
  let at = from;
  for (;;) {
    const size = wire[at]!;
    if (size === 0) {
      if (room(writer, 1)) writer.bytes[writer.at++] = 0;
      return at + 1;
    }
    if (writer.overflow) return skipRest(wire, at);
    const place = findLabel(writer, wire, at, known);
    if (place >= 0) {
      if (room(writer, 2)) {
        putWord(writer.bytes, writer.at, 0xc000 | place);
        writer.at += 2;
      }
      return skipRest(wire, at);
    }
    if (!room(writer, size + 1)) return skipRest(wire, at);
    remember(writer, writer.at);
    at = copy(writer, wire, at, at + size + 1);
  }
}

function skipRest(wire: Uint8Array, at: number): number {
  while (wire[at]! !== 0) at += wire[at]! + 1;
  return at + 1;
}

function findLabel(writer: Writer, wire: Uint8Array, from: number, known: number): number {
  for (let i = 0; i < known; i++) {
    const place = writer.labels[i]!;
    if (sameName(writer.bytes, place, wire, from)) return place;
  }
  return -1;
}

/** The name at `place` of our own packet (which may use pointers) is that at `from` of `wire`, in any case. */
function sameName(bytes: Uint8Array, place: number, wire: Uint8Array, from: number): boolean {
  for (;;) {
    while (bytes[place]! >= 0xc0) place = ((bytes[place]! & 0x3f) << 8) | bytes[place + 1]!;
    const size = bytes[place]!;
    if (size !== wire[from]) return false;
    if (size === 0) return true;
    for (let i = 1; i <= size; i++) {
      if (lowerCase[bytes[place + i]!] !== lowerCase[wire[from + i]!]) return false;
    }
    place += size + 1;
    from += size + 1;
  }
}

function remember(writer: Writer, place: number): void {
  if (writer.labelCount < rememberedMax && place <= pointerMax) writer.labels[writer.labelCount++] = place;
}

function room(writer: Writer, bytes: number): boolean {
  if (!writer.overflow && writer.at + bytes > writer.limit) writer.overflow = true;
  return !writer.overflow;
}

function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}
