/**
 * What stands around an answer: cookies, name server id, keepalive, rate limit, CHAOS names. All of it that threads
 * share is in `WireShared`, all that is configured in `WireOptions`; both can be handed to a worker.
 */
import type { Config } from '@ufes/core/config/schema.ts';
import { type CookieKeys, CookieState, checkCookie } from '@ufes/core/dns/cookie.ts';
import { udpLimit } from '@ufes/core/dns/edns.ts';
import type { Query } from '@ufes/core/dns/message.ts';
import { nameToText } from '@ufes/core/dns/name.ts';
import type { Peer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { Admitted, type RateLimit, RateLimiter, type RateTable } from './rrl.ts';

export interface WireOptions {
  /** Empty: not told. */
  readonly nsid: Uint8Array;
  readonly cookies: boolean;
  readonly rateLimit: RateLimit;
  /** UDP answers longer than this are truncated for clients without a valid cookie. */
  readonly udpBytesWithoutCookie: number;
  /** CHAOS names, lower case with the final dot → TXT data. Others are refused. */
  readonly chaos: ReadonlyMap<string, Uint8Array>;
}

export interface WireShared {
  readonly cookieKeys: CookieKeys;
  readonly rates: RateTable;
}

export function wireOptions({ dns }: Config): WireOptions {
  const chaos = new Map<string, Uint8Array>();
  const add = (text: string | undefined, ...names: string[]) => {
    if (text === undefined) return;
    const bytes = new TextEncoder().encode(text);
    for (const name of names) chaos.set(name, Uint8Array.of(bytes.length, ...bytes));
  };
  add(dns.chaos.version, 'version.bind.', 'version.server.');
  add(dns.chaos.id, 'id.server.', 'hostname.bind.');
  return {
    nsid: new TextEncoder().encode(dns.nsid ?? ''),
    cookies: dns.cookies,
    rateLimit: dns.rateLimit,
    udpBytesWithoutCookie: dns.udpBytesWithoutCookie,
    chaos,
  };
}

export class Wire {
  readonly #options: WireOptions;
  readonly #shared: WireShared;
  readonly #rates: RateLimiter;
  /** What clients that ask are told (RFC 7828); 0: the connection is about to end. */
  tcpIdleMs: number = limits.dns.tcpIdleMs;
  /** Of the query given to `admit` last. */
  cookie: CookieState = CookieState.none;

  constructor(options: WireOptions, shared: WireShared) {
    this.#options = options;
    this.#shared = shared;
    this.#rates = new RateLimiter(shared.rates, options.rateLimit);
  }

  /** Both of the next two. */
  admit(query: Query, peer: Peer, bytes: number, overTcp: boolean, nowMs: number): Admitted {
    this.prepare(query, peer, overTcp, nowMs);
    return this.limit(peer, bytes, overTcp, nowMs);
  }

  /** What the OPT of the answer says beside the client subnet: before the answer is begun. No allocation. */
  prepare({ edns }: Query, peer: Peer, overTcp: boolean, nowMs: number): void {
    this.cookie = CookieState.none;
    if (!edns.present) return;
    const { reply } = edns;
    if (edns.nsid) reply.nsid = this.#options.nsid;
    if (edns.keepalive && overTcp) reply.keepalive = this.tcpIdleMs / 100;
    if (!edns.cookie.present || !this.#options.cookies) return;
    const { cookieKeys } = this.#shared;
    this.cookie = checkCookie(cookieKeys, edns.cookie, peer, Math.floor(nowMs / 1000), reply.serverCookie);
    reply.hasCookie = true;
  }

  /** Whether there is to be an answer to a query of `bytes` bytes, after `prepare`: once for each packet. No allocation. */
  limit(peer: Peer, bytes: number, overTcp: boolean, nowMs: number): Admitted {
    if (overTcp || this.cookie === CookieState.valid) return Admitted.yes;
    return this.#rates.admit(peer, bytes, nowMs);
  }

  /** The truncated answer to a query over its limit, of `bytes` bytes, may be sent. */
  afford(bytes: number): boolean {
    return this.#rates.afford(bytes);
  }

  /** How long an answer over UDP may be, after `admit`. */
  udpLimit({ edns }: Query): number {
    const most = udpLimit(edns);
    return this.cookie === CookieState.valid ? most : Math.min(most, this.#options.udpBytesWithoutCookie);
  }

  /** An answer that did not fit: was that for want of a cookie only, and would the client know what to do with one? */
  wantsCookie({ edns }: Query): boolean {
    if (!edns.reply.hasCookie || this.cookie === CookieState.valid) return false;
    return this.#options.udpBytesWithoutCookie < udpLimit(edns);
  }

  /** TXT data of a CHAOS name, for those who may know. */
  chaos({ name }: Query): Uint8Array | undefined {
    if (this.#options.chaos.size === 0) return undefined;
    return this.#options.chaos.get(nameToText(name.bytes.subarray(0, name.length)));
  }
}
