/**
 * A strict reader of answers, written apart from the code under test: sections, names with pointers backwards only,
 * one OPT at the end, nothing after, the question echoed. Fast enough to read ten million of them.
 */

/** What is wrong with `answer` to `query`; undefined: nothing. */
export function parseAnswer(query: Uint8Array, answer: Uint8Array): string | undefined {
  if (answer.length < 12) return 'shorter than a header';
  if (word(answer, 0) !== word(query, 0)) return 'another id';
  if ((answer[2]! & 0x80) === 0) return 'not marked as an answer';
  if ((answer[2]! & 0x79) !== (query[2]! & 0x79)) return 'opcode or RD not echoed';
  if ((answer[3]! & 0xf0) !== 0) return 'RA, Z, AD or CD set';
  const questions = word(answer, 4);
  if (questions > 1) return 'more than one question';
  let at = 12;
  if (questions === 1) {
    const end = nameEnd(answer, at);
    if (end < 0 || end + 4 > answer.length) return 'question does not parse';
    at = end + 4;
    for (let i = 12; i < at; i++) if (answer[i] !== query[i]) return 'question not echoed';
  }
  const counts = [word(answer, 6), word(answer, 8), word(answer, 10)];
  if ((answer[2]! & 0x02) !== 0 && (counts[0]! > 0 || counts[1]! > 0)) return 'TC with records';
  let opts = 0;
  for (const [section, count] of counts.entries()) {
    for (let i = 0; i < count; i++) {
      const end = nameEnd(answer, at);
      if (end < 0 || end + 10 > answer.length) return 'record does not parse';
      const next = end + 10 + word(answer, end + 8);
      if (next > answer.length) return 'record reaches past the end';
      if (word(answer, end) === 41) {
        opts++;
        if (section !== 2 || i !== count - 1 || answer[at] !== 0) return 'OPT out of place';
        if (answer[end + 5] !== 0) return 'OPT of another version';
        if (!optionsEnd(answer, end + 10, next)) return 'options do not end with the OPT';
      }
      at = next;
    }
  }
  if (opts > 1) return 'two OPTs';
  if (at !== answer.length) return 'bytes after the message';
  return undefined;
}

function optionsEnd(bytes: Uint8Array, from: number, end: number): boolean {
  let at = from;
  while (at + 4 <= end) at += 4 + word(bytes, at + 2);
  return at === end;
}

/** Offset after the name, every pointer of which goes backwards; -1: it is none. */
function nameEnd(bytes: Uint8Array, from: number): number {
  let at = from;
  let end = -1;
  let length = 1;
  for (;;) {
    if (at >= bytes.length) return -1;
    const size = bytes[at]!;
    if (size === 0) return end < 0 ? at + 1 : end;
    if (size >= 0xc0) {
      if (at + 2 > bytes.length) return -1;
      if (end < 0) end = at + 2;
      const target = ((size & 0x3f) << 8) | bytes[at + 1]!;
      if (target >= at || target < 12) return -1;
      at = target;
      continue;
    }
    length += size + 1;
    if (size > 63 || length > 255) return -1;
    at += size + 1;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}
