/**
 * Data of records: presentation form ⇄ wire, by the layouts of types.ts. Unknown types and `\# LENGTH HEX` by RFC 3597.
 * Parsing is for configuration and tools, never for the answer path; problems come back as strings.
 */
import { addressBytes } from '../ip.ts';
import { nameToText, nameToWire, readName } from './name.ts';
import { formatParams, parseParams } from './svcparams.ts';
import { formatIp6, lexData, parsePeriod, quoteBytes, type Token, unescapeBytes } from './text.ts';
import { type Field, layouts, typeName } from './types.ts';

/** Presentation form → wire. Relative names are completed with `origin` (wire). A string says what is wrong. */
export function parseRdata(type: number, data: string, origin?: Uint8Array): Uint8Array | string {
  const tokens = lexData(data);
  return typeof tokens === 'string' ? tokens : parseRdataTokens(type, tokens, origin);
}

export function parseRdataTokens(type: number, tokens: readonly Token[], origin?: Uint8Array): Uint8Array | string {
  const name = typeName(type);
  if (tokens[0]?.text === '\\#' && !tokens[0].quoted) return parseGeneric(type, tokens);
  const layout = layouts[name];
  if (layout === undefined)
    return `${name} is not a type with a text form known here; write its data as \\# LENGTH HEX`;
  const wanted = `${name} data is written ${layout.form}`;
  const out: number[] = [];
  let next = 0;
  for (const field of layout.fields) {
    if (field === 'params') {
      const params = parseParams(tokens.slice(next));
      if (typeof params === 'string') return `${name}: ${params}`;
      for (const byte of params) out.push(byte);
      next = tokens.length;
      continue;
    }
    const token = tokens[next];
    if (token === undefined) return wanted;
    const rest = field === 'strings' || field === 'hex';
    const problem = rest ? parseRest(field, tokens.slice(next), out) : parseField(field, token, origin, out);
    if (problem !== undefined) return `${problem}; ${wanted}`;
    next = rest ? tokens.length : next + 1;
  }
  if (next < tokens.length) return `${JSON.stringify(tokens[next]!.text)} is too much; ${wanted}`;
  return out.length <= 65_535 ? Uint8Array.from(out) : `${name} data is longer than 65535 bytes`;
}

/** RFC 8659 §4.1, and its bound for issuers. */
const tagPattern = /^[a-zA-Z0-9]{1,15}$/;
const widths = { u8: 1, u16: 2, u32: 4 } as const;

function parseField(field: Field, token: Token, origin: Uint8Array | undefined, out: number[]): string | undefined {
  const { text } = token;
  switch (field) {
    case 'ip4':
    case 'ip6': {
      const bytes = addressBytes(text);
      if (bytes?.length !== (field === 'ip4' ? 4 : 16)) {
        return `${JSON.stringify(text)} is no IPv${field === 'ip4' ? 4 : 6} address`;
      }
      out.push(...bytes);
      return undefined;
    }
    case 'name':
    case 'plainName': {
      const wire = nameToWire(text, origin);
      if (typeof wire === 'string') return wire;
      out.push(...wire);
      return undefined;
    }
    case 'u8':
    case 'u16':
    case 'u32': {
      const width = widths[field];
      const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
      if (!(value < 256 ** width)) return `${JSON.stringify(text)} is no number from 0 to ${256 ** width - 1}`;
      pushNumber(out, value, width);
      return undefined;
    }
    case 'period': {
      const seconds = parsePeriod(text);
      if (seconds === undefined) return `${JSON.stringify(text)} is no time in seconds, or with units as in 1h30m`;
      pushNumber(out, seconds, 4);
      return undefined;
    }
    case 'string':
      return pushString(text, out);
    case 'tag':
      if (!tagPattern.test(text)) return `${JSON.stringify(text)} is no tag such as issue`;
      out.push(text.length, ...new TextEncoder().encode(text));
      return undefined;
    case 'value': {
      const bytes = unescapeBytes(text);
      if (bytes === undefined) return `${JSON.stringify(text)} has a wrong \\ escape`;
      out.push(...bytes);
      return undefined;
    }
    default:
      return undefined;
  }
}

function parseRest(field: 'strings' | 'hex', tokens: readonly Token[], out: number[]): string | undefined {
  if (field === 'strings') {
    for (const token of tokens) {
      const problem = pushString(token.text, out);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
  const bytes = hexBytes(tokens.map((token) => token.text).join(''));
  if (bytes === undefined || bytes.length === 0) return 'the last part must be pairs of hex digits';
  out.push(...bytes);
  return undefined;
}

function pushString(text: string, out: number[]): string | undefined {
  const bytes = unescapeBytes(text);
  if (bytes === undefined) return `${JSON.stringify(text)} has a wrong \\ escape`;
  if (bytes.length > 255) {
    return `a string of ${bytes.length} bytes: at most 255 are allowed, write it as several strings in quotes`;
  }
  out.push(bytes.length, ...bytes);
  return undefined;
}

function pushNumber(out: number[], value: number, width: number): void {
  for (let i = width - 1; i >= 0; i--) out.push(Math.floor(value / 256 ** i) & 255);
}

function hexBytes(text: string): number[] | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Array.from({ length: text.length / 2 }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** RFC 3597 §5: `\# 4 c0000201`. */
function parseGeneric(type: number, tokens: readonly Token[]): Uint8Array | string {
  const bytes = hexBytes(
    tokens
      .slice(2)
      .map((token) => token.text)
      .join(''),
  );
  if (bytes === undefined) return 'after \\# LENGTH come pairs of hex digits';
  if (tokens[1]?.text !== String(bytes.length)) {
    return `\\# says ${tokens[1]?.text ?? 'no length'}, the hex digits after it are ${bytes.length} bytes`;
  }
  const wire = Uint8Array.from(bytes);
  if (formatRdata(type, wire) === undefined) return `these bytes are no ${typeName(type)} data`;
  return wire;
}

/** Wire (uncompressed) → presentation form; undefined when the bytes are no data of this type. */
export function formatRdata(type: number, wire: Uint8Array): string | undefined {
  const layout = layouts[typeName(type)];
  if (layout === undefined) return `\\# ${wire.length}${wire.length > 0 ? ` ${toHex(wire)}` : ''}`;
  const parts: string[] = [];
  let at = 0;
  for (const field of layout.fields) {
    const read = formatField(field, wire, at);
    if (read === undefined) return undefined;
    if (read.text !== '') parts.push(read.text);
    at = read.next;
  }
  return at === wire.length ? parts.join(' ') : undefined;
}

function formatField(field: Field, wire: Uint8Array, at: number): { text: string; next: number } | undefined {
  switch (field) {
    case 'ip4':
      return at + 4 <= wire.length ? { text: wire.subarray(at, at + 4).join('.'), next: at + 4 } : undefined;
    case 'ip6':
      return at + 16 <= wire.length ? { text: formatIp6(wire.subarray(at, at + 16)), next: at + 16 } : undefined;
    case 'name':
    case 'plainName': {
      const read = readName(wire, at);
      // Pointers are of messages; a name that used one is longer than what it took here.
      if (read === undefined || read.wire.length !== read.next - at) return undefined;
      return { text: nameToText(read.wire), next: read.next };
    }
    case 'u8':
    case 'u16':
    case 'u32':
    case 'period': {
      const next = at + (field === 'period' ? 4 : widths[field]);
      if (next > wire.length) return undefined;
      return { text: String(wire.subarray(at, next).reduce((sum, byte) => sum * 256 + byte, 0)), next };
    }
    case 'string':
    case 'tag': {
      const next = at + 1 + (wire[at] ?? 256);
      if (next > wire.length) return undefined;
      const bytes = wire.subarray(at + 1, next);
      if (field === 'string') return { text: quoteBytes(bytes), next };
      const tag = String.fromCharCode(...bytes);
      return tagPattern.test(tag) ? { text: tag, next } : undefined;
    }
    case 'strings': {
      const texts: string[] = [];
      do {
        const read = formatField('string', wire, at);
        if (read === undefined) return undefined;
        texts.push(read.text);
        at = read.next;
      } while (at < wire.length);
      return { text: texts.join(' '), next: at };
    }
    case 'value':
      return { text: quoteBytes(wire.subarray(at)), next: wire.length };
    case 'hex':
      return at < wire.length ? { text: toHex(wire.subarray(at)), next: wire.length } : undefined;
    case 'params': {
      const text = formatParams(wire.subarray(at));
      return text === undefined ? undefined : { text, next: wire.length };
    }
  }
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
