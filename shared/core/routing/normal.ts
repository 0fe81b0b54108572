/**
 * The normal form of what a request asks for: path and authority. Authorising, matching and forwarding all use these
 * same bytes, so that no spelling of a path reaches a route that its normal form would not.
 *
 *     /a/./b/../%7euser/%c3%a9//x?q=%2F   →   /a/~user/%C3%A9//x   and   ?q=%2F
 *
 * Dot segments are removed (RFC 3986 §5.2.4), unreserved octets decoded, hexadecimal upper-cased, `//` kept. The query is
 * not touched. Octets that servers disagree about (%2F, %5C, %00, a raw backslash, overlong UTF-8) are refused.
 */
import { addressBytes } from '../ip.ts';

export const badTarget = {
  'no-leading-slash': 'the path must begin with /',
  'bad-encoding': '% must be followed by two hexadecimal digits, and UTF-8 must not be overlong',
  'encoded-slash': '%2F in a path is refused',
  'encoded-backslash': 'a backslash or %5C in a path is refused',
  'encoded-null': '%00 in a path is refused',
  'bad-octet': 'a request target consists of printable ASCII; others are percent-encoded',
  'bad-authority': 'the authority must be HOST or HOST:PORT',
  'bad-form': 'the request target must be /PATH, http(s)://HOST/PATH, or * for OPTIONS',
} as const;
export type BadTarget = keyof typeof badTarget;

export interface Authority {
  /** Lower case, no final dot; an IPv6 literal keeps its brackets. Punycode stays as it is. */
  readonly host: string;
  readonly port?: number;
}

export interface Target {
  /** Normal form; `*` for OPTIONS *. */
  readonly path: string;
  /** With its `?`, byte for byte; empty when there is none. */
  readonly query: string;
  /** Of the absolute form: replaces Host (RFC 9112 §3.2.2). */
  readonly authority?: Authority;
}

/** Printable ASCII without # (a fragment is never sent). */
const badPathOctet = /[^\x21-\x7e]|#/;
/** Octets above ASCII are left to the origin in a query, as the query is not touched. */
const badQueryOctet = /[^\x21-\x7e\x80-\xff]|#/;
const encoded = /%(?:([0-9a-fA-F]{2})|)/g;
/** Two-octet forms of ASCII, and three- and four-octet forms of what fits in fewer. */
const overlong = /%C[01]%[89AB]|%E0%[89]|%F0%8/;
const unreserved = /[A-Za-z0-9._~-]/;
const absoluteForm = /^(https?):\/\/([^/?#]*)(.*)$/is;

/** The target of a request line or `:path`, in normal form, or why it is refused. */
export function normaliseTarget(method: string, raw: string): Target | BadTarget {
  if (raw.charCodeAt(0) === 47) return originForm(raw);
  if (raw === '*') return method === 'OPTIONS' ? { path: '*', query: '' } : 'bad-form';
  const match = absoluteForm.exec(raw);
  if (!match) return raw === '' ? 'no-leading-slash' : 'bad-form';
  const authority = parseAuthority(match[2]!);
  if (authority === undefined) return 'bad-authority';
  const rest = match[3]!;
  if (rest === '' && method === 'OPTIONS') return { path: '*', query: '', authority };
  const target = originForm(rest.startsWith('/') ? rest : `/${rest}`);
  return typeof target === 'string' ? target : { ...target, authority };
}

function originForm(raw: string): Target | BadTarget {
  const mark = raw.indexOf('?');
  const query = mark < 0 ? '' : raw.slice(mark);
  if (mark >= 0 && badQueryOctet.test(query)) return 'bad-octet';
  const path = normalisePath(mark < 0 ? raw : raw.slice(0, mark));
  return path.charCodeAt(0) === 47 ? { path, query } : (path as BadTarget);
}

/** A path without query in normal form (begins with /), or why it is refused (does not). */
export function normalisePath(raw: string): string {
  if (raw.charCodeAt(0) !== 47) return 'no-leading-slash' satisfies BadTarget;
  if (badPathOctet.test(raw) || raw.includes('?')) return 'bad-octet' satisfies BadTarget;
  if (raw.includes('\\')) return 'encoded-backslash' satisfies BadTarget;
  const decoded = raw.includes('%') ? decodeUnreserved(raw) : raw;
  return decoded.includes('/.') ? removeDotSegments(decoded) : decoded;
}

function decodeUnreserved(raw: string): string {
  let refused: BadTarget | undefined;
  const decoded = raw.replace(encoded, (_, hex: string | undefined) => {
    const octet = hex === undefined ? -1 : Number.parseInt(hex, 16);
    const char = String.fromCharCode(octet);
    if (octet < 0) refused ??= 'bad-encoding';
    else if (octet === 0x2f) refused ??= 'encoded-slash';
    else if (octet === 0x5c) refused ??= 'encoded-backslash';
    else if (octet === 0) refused ??= 'encoded-null';
    else if (octet < 128 && unreserved.test(char)) return char;
    return `%${hex?.toUpperCase()}`;
  });
  return refused ?? (overlong.test(decoded) ? ('bad-encoding' satisfies BadTarget) : decoded);
}

/** RFC 3986 §5.2.4 over segments; empty segments (`//`) are segments. `path` begins with /, or is a refusal. */
function removeDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/');
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i]!;
    const last = i === segments.length - 1;
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
    if (last && (segment === '.' || segment === '..')) kept.push('');
  }
  return `/${kept.join('/')}`;
}

const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT`; undefined when it is none. User information and non-ASCII are refused. */
export function parseAuthority(text: string): Authority | undefined {
  const match = /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,254})(?::([0-9]{0,5}))?$/.exec(text);
  if (!match) return undefined;
  const port = match[2] ? Number(match[2]) : undefined;
  if (port !== undefined && (port > 65535 || port === 0)) return undefined;
  const host = match[1]!.startsWith('[') ? literalHost(match[1]!) : namedHost(match[1]!);
  return host === undefined ? undefined : port === undefined ? { host } : { host, port };
}

function literalHost(text: string): string | undefined {
  return addressBytes(text.slice(1, -1))?.length === 16 ? text.toLowerCase() : undefined;
}

/** A host name in lower case without its final dot, or undefined. */
export function namedHost(text: string): string | undefined {
  const host = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  if (host.length > 253) return undefined;
  for (const part of host.split('.')) if (!label.test(part)) return undefined;
  return host;
}
