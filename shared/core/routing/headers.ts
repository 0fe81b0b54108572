/**
 * Header hygiene between client and origin (RFC 9110 §7.6): pure, over flat lists [name, value, name, value, …] as node
 * gives them. What belongs to one connection stays on it; what only the edge may say is taken from what came in.
 */
import { limits } from '../limits.ts';
import type { Reason } from './reasons.ts';

/** Belong to one connection, whatever Connection says. `expect` is answered by the edge. */
const hopByHop = new Set([
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** Said by the edge alone on a public listener. `host` is written from the authority that was matched. */
const ours = new Set([
  'forwarded',
  'host',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-request-id',
]);

const requestIdPattern = /^[A-Za-z0-9._-]{1,64}$/;
/** Up to 15: every such number is exact in every reader, and no body is longer. */
const digits = /^[0-9]{1,15}$/;

export interface RequestFacts {
  /** `http` or `https`, as the client came. */
  readonly scheme: string;
  readonly clientAddress: string;
  /** Authority as the client wrote it, in normal form, port included when it was. */
  readonly authority: string;
  /** `1.1` or `2.0`. */
  readonly httpVersion: string;
  /** Used when the client sent none that is well-formed. */
  readonly requestId: string;
  /** Pseudonym in Via. */
  readonly via: string;
}

export interface CleanRequest {
  /** For the origin: lower-case names; Host first. */
  readonly headers: string[];
  readonly requestId: string;
  readonly wantsTrailers: boolean;
}

/**
 * Checks what a parser may let through and would be read differently behind: a second Host, both Content-Length and
 * Transfer-Encoding, codings but chunked, names with underscores (CGI-like servers take them for dashes).
 */
export function checkRequestHeaders(raw: readonly string[]): Reason | undefined {
  if (raw.length > 2 * limits.edge.headers) return 'headers-too-large';
  let hosts = 0;
  let lengths = 0;
  let codings = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (name.includes('_')) return 'bad-header';
    if (name === 'host' && ++hosts > 1) return 'bad-host';
    if (name === 'content-length' && (++lengths > 1 || !digits.test(raw[i + 1]!))) return 'bad-header';
    if (name === 'transfer-encoding') {
      if (++codings > 1) return 'bad-header';
      if (raw[i + 1]!.trim().toLowerCase() !== 'chunked') return 'transfer-coding';
    }
  }
  return lengths > 0 && codings > 0 ? 'bad-header' : undefined;
}

/** Tokens of Connection, lower case. Undefined when there is none, the common case. */
function connectionTokens(raw: readonly string[]): Set<string> | undefined {
  let tokens: Set<string> | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    for (const token of raw[i + 1]!.split(',')) {
      tokens ??= new Set();
      tokens.add(token.trim().toLowerCase());
    }
  }
  return tokens;
}

/** Headers for the origin. Pseudo-headers (h2) are left out; several Cookie fields become one (RFC 9113 §8.2.3). */
export function cleanRequest(raw: readonly string[], facts: RequestFacts): CleanRequest {
  const named = connectionTokens(raw);
  const headers = ['host', facts.authority];
  let forwardedFor = '';
  let via = '';
  let requestId = facts.requestId;
  let cookie = '';
  let wantsTrailers = false;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    const value = raw[i + 1]!;
    if (name.charCodeAt(0) === 58 || name.startsWith('ufes-')) continue;
    if (name === 'te') wantsTrailers ||= /(^|,)\s*trailers\s*(,|$)/i.test(value);
    // Content-Length frames the body: naming it in Connection must not unframe it.
    // Trailers of requests are not forwarded, so they are not announced either.
    if (hopByHop.has(name) || name === 'trailer' || (named?.has(name) && name !== 'content-length')) continue;
    if (name === 'cookie') cookie = cookie === '' ? value : `${cookie}; ${value}`;
    else if (!ours.has(name)) headers.push(name, value);
    else if (name === 'x-forwarded-for') forwardedFor += `${value}, `;
    else if (name === 'via') via += `${value}, `;
    else if (name === 'x-request-id' && requestIdPattern.test(value)) requestId = value;
  }
  if (cookie !== '') headers.push('cookie', cookie);
  if (wantsTrailers) headers.push('te', 'trailers');
  headers.push('x-forwarded-for', forwardedFor + facts.clientAddress);
  headers.push('x-forwarded-proto', facts.scheme, 'x-forwarded-host', facts.authority);
  headers.push('via', `${via}${facts.httpVersion} ${facts.via}`, 'x-request-id', requestId);
  return { headers, requestId, wantsTrailers };
}

export type Fields = Record<string, string | string[]>;

/** An origin's headers (lower-case names) for the client: without those of its connection and internal ones. */
export function cleanResponse(fields: Readonly<Record<string, string | string[] | undefined>>): Fields {
  const connection = fields['connection'];
  const named =
    connection === undefined
      ? undefined
      : connectionTokens(['connection', Array.isArray(connection) ? connection.join() : connection]);
  const clean: Fields = {};
  for (const name of Object.keys(fields)) {
    const value = fields[name];
    if (value === undefined || hopByHop.has(name) || name.startsWith('ufes-')) continue;
    if (named?.has(name) && name !== 'content-length') continue;
    clean[name] = value;
  }
  return clean;
}

/** Trailers cannot carry framing, routing or what must be known before the body (RFC 9110 §6.5.1). */
const notInTrailers = new Set(['content-length', 'content-encoding', 'content-type', 'host', 'set-cookie', 'trailer']);

export function cleanTrailers(fields: Readonly<Record<string, string | string[] | undefined>>): Fields | undefined {
  let clean: Fields | undefined;
  for (const name of Object.keys(fields)) {
    const value = fields[name];
    if (value === undefined || hopByHop.has(name) || notInTrailers.has(name) || name.startsWith('ufes-')) continue;
    clean ??= {};
    clean[name] = value;
  }
  return clean;
}
