/**
 * The text of master files (RFC 1035 §5.1) cut into entries and tokens: quotes, comments, parentheses, escapes.
 * Escapes are kept in the tokens; names and strings read them each in their own way.
 */

export interface Token {
  readonly text: string;
  /** Began with a quote: `"@"` is no origin and `";"` no comment. */
  readonly quoted: boolean;
}

/** One record or directive, however many lines it takes. */
export interface Entry {
  /** Of its first token, from 1. */
  readonly line: number;
  /** Begins with a blank: the owner is the last one named. */
  readonly blankOwner: boolean;
  readonly tokens: Token[];
}

export interface LineProblem {
  readonly line: number;
  readonly message: string;
}

export function lexMaster(text: string): { entries: Entry[]; problems: LineProblem[] } {
  const entries: Entry[] = [];
  const problems: LineProblem[] = [];
  let line = 1;
  let openLine = 0;
  let depth = 0;
  let entry: Entry | undefined;
  let blank = false;
  const push = (token: Token) => {
    if (entry === undefined) {
      entry = { line, blankOwner: blank, tokens: [] };
      entries.push(entry);
    }
    entry.tokens.push(token);
  };
  let at = 0;
  let lineStart = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === '\n') {
      at++;
      line++;
      if (depth === 0) {
        entry = undefined;
        blank = false;
        lineStart = at;
      }
    } else if (char === ' ' || char === '\t' || char === '\r') {
      if (at === lineStart && char !== '\r') blank = true;
      at++;
    } else if (char === ';') {
      while (at < text.length && text[at] !== '\n') at++;
    } else if (char === '(') {
      if (depth++ === 0) openLine = line;
      at++;
    } else if (char === ')') {
      if (depth === 0) problems.push({ line, message: '")" without "(" before it' });
      else depth--;
      at++;
    } else {
      const token = readToken(text, at);
      if (token.open) problems.push({ line, message: 'a quoted string must end with " on the same line' });
      push(token);
      at = token.next;
    }
  }
  if (depth > 0) problems.push({ line: openLine, message: '"(" is never closed with ")"' });
  return { entries, problems };
}

/** The tokens of one line of data, such as a record's `data` in the configuration; a string says what is wrong. */
export function lexData(text: string): Token[] | string {
  const { entries, problems } = lexMaster(text.replaceAll('\n', ' '));
  return problems[0]?.message ?? entries[0]?.tokens ?? [];
}

function readToken(text: string, start: number): Token & { next: number; open: boolean } {
  const quoted = text[start] === '"';
  let inQuotes = false;
  let out = '';
  let at = start;
  for (; at < text.length; at++) {
    const char = text[at]!;
    if (char === '\n') break;
    if (char === '\\' && at + 1 < text.length && text[at + 1] !== '\n') {
      out += char + text[++at]!;
    } else if (char === '"') {
      inQuotes = !inQuotes;
      // A quoted token ends at its closing quote; key="a b" goes on to the next blank.
      if (!inQuotes && quoted) return { text: out, quoted, next: at + 1, open: false };
    } else if (!inQuotes && /[\s;()]/.test(char)) {
      break;
    } else {
      out += char;
    }
  }
  return { text: out, quoted, next: at, open: inQuotes };
}

/** Text with escapes → bytes, other characters as UTF-8; undefined when an escape is none. */
export function unescapeBytes(text: string): number[] | undefined {
  const out: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '\\') {
      const point = text.codePointAt(i)!;
      if (point > 0xffff) i++;
      if (point < 128) out.push(point);
      else out.push(...new TextEncoder().encode(String.fromCodePoint(point)));
      continue;
    }
    const decimal = /^\d{3}/.exec(text.slice(i + 1))?.[0];
    const value = decimal === undefined ? text.charCodeAt(i + 1) : Number(decimal);
    if (!(value <= 255)) return undefined;
    out.push(value);
    i += decimal === undefined ? 1 : 3;
  }
  return out;
}

/** Bytes → a quoted string that `unescapeBytes` reads back. */
export function quoteBytes(bytes: Uint8Array): string {
  let out = '"';
  for (const byte of bytes) {
    if (byte < 32 || byte > 126) out += `\\${String(byte).padStart(3, '0')}`;
    else out += byte === 34 || byte === 92 ? `\\${String.fromCharCode(byte)}` : String.fromCharCode(byte);
  }
  return `${out}"`;
}

/** `300`, `1h30m`, `2w` → seconds; undefined when it is no period of at most 2^31 - 1 (RFC 2181 §8). */
export function parsePeriod(text: string): number | undefined {
  if (!/^(\d+|(\d+[smhdw])+)$/i.test(text)) return undefined;
  const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  let seconds = 0;
  for (const [, digits, unit] of text.toLowerCase().matchAll(/(\d+)([smhdw]?)/g)) {
    seconds += Number(digits) * (units[unit || 's'] ?? 1);
  }
  return seconds <= 0x7fffffff ? seconds : undefined;
}

/** RFC 5952: the longest run of two or more zero groups is `::`. */
export function formatIp6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  let best = 0;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === '0') length++;
    if (length > bestLength) [best, bestLength] = [start, length];
  }
  if (bestLength < 2) return groups.join(':');
  return `${groups.slice(0, best).join(':')}::${groups.slice(best + bestLength).join(':')}`;
}
