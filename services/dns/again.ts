/**
 * The answer to a query made again: by an Answerer of its own, over tables of now or of the past, at the time of these.
 * What nobody can make again are other cookies than ours; their bytes differ, nothing else.
 */
import { createCookieKeys } from '@ufes/core/dns/cookie.ts';
import { type ClientSubnet, clientSubnetBytes, writeClientSubnet } from '@ufes/core/dns/ecs.ts';
import { headerBytes } from '@ufes/core/dns/message.ts';
import { Class, type Rcode, rcodeNames, Type } from '@ufes/core/dns/types.ts';
import type { Peer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { Answerer } from './answer.ts';
import { Counters } from './counters.ts';
import { createRateTable } from './rrl.ts';
import type { Tables } from './tables.ts';
import { Wire, type WireOptions } from './wire.ts';

export class AnswerAgain {
  readonly #answerer: Answerer;
  #nowMs = 0;

  constructor(options: WireOptions) {
    // Whoever explains is not to be told that a network asks too much.
    const unlimited = { ...options, rateLimit: { ...options.rateLimit, answersPerSecond: 0 } };
    this.#answerer = new Answerer({
      clock: { nowMs: () => this.#nowMs, monotonicMs: () => 0, after: () => () => {}, every: () => () => {} },
      counters: new Counters(),
      recent: { addAnswer: () => {} },
      probes: { addProbe: () => {} },
      wire: new Wire(unlimited, { cookieKeys: createCookieKeys(), rates: createRateTable(0) }),
    });
  }

  /** Empty: there is no answer. Valid until the next call. */
  answer(tables: Tables, query: Uint8Array, peer: Peer, overTcp: boolean, nowMs: number): Uint8Array {
    this.#nowMs = nowMs;
    this.#answerer.tables = tables;
    return this.#answerer.out.subarray(0, this.#answerer.answer(query, peer, overTcp));
  }
}

/** A query as resolvers ask it: id 0, recursion desired, OPT with the subnet when there is one. */
export function queryFor(name: Uint8Array, type: number, subnet: ClientSubnet): Uint8Array {
  const option = subnet.present ? clientSubnetBytes(subnet) : 0;
  const query = new Uint8Array(headerBytes + name.length + 4 + 11 + option);
  const view = new DataView(query.buffer);
  query[2] = 1;
  view.setUint16(4, 1);
  view.setUint16(10, 1);
  query.set(name, headerBytes);
  let at = headerBytes + name.length;
  view.setUint16(at, type);
  view.setUint16(at + 2, Class.IN);
  // The root's name is one zero byte.
  at += 5;
  view.setUint16(at, Type.OPT);
  view.setUint16(at + 2, limits.dns.udpBytes);
  view.setUint16(at + 8, option);
  if (subnet.present) writeClientSubnet(query, at + 10, subnet, 0);
  return query;
}

export function rcodeOf(answer: Uint8Array): string {
  return answer.length < headerBytes ? 'none' : (rcodeNames[(answer[3]! & 15) as Rcode] ?? String(answer[3]! & 15));
}
