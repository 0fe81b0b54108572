/**
 * Query bytes and the address they came from → answer bytes; UDP and TCP alike. Nothing here awaits or throws.
 *
 *     decode ─▶ find zone or service ─▶ decide (steered names: core decide) ─▶ write
 *        │              │                        │
 *        ├ silence      ├ REFUSED                └ all down: the service's rule
 *        ├ FORMERR      ├ referral
 *        ├ NOTIMP       ├ NXDOMAIN, NODATA
 *        └ BADVERS      └ SERVFAIL: no desired state yet
 */
import { chooseClient, createClientChoice, scopeOf } from '@ufes/core/dns/ecs.ts';
import { udpLimit } from '@ufes/core/dns/edns.ts';
import { beginAnswer, createWriter, finishAnswer, Section, writeRecord } from '@ufes/core/dns/encode.ts';
import { createQuery, Decoded, decodeQuery } from '@ufes/core/dns/message.ts';
import { createNameKey, type NameKey, setNameKey } from '@ufes/core/dns/name.ts';
import { Class, Rcode, Type } from '@ufes/core/dns/types.ts';
import type { Address } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { createDecision, decide, Why } from '@ufes/core/steering/decide.ts';
import type { Counters } from './counters.ts';
import type { ProbeQueries, RecentAnswers } from './recent.ts';
import type { SteeredService, Tables } from './tables.ts';
import { expand, Found, findName, type Lookup, type RrSet, rrsetOf, type Zone, type ZoneNode } from './zones.ts';

/** Longest message over TCP (RFC 1035 §4.2.2). */
const tcpBytes = 65_535;
/** A probe name is asked once; a short TTL keeps it from filling caches. */
const probeTtlSeconds = 5;
/** RFC 8482 §4.2. */
const anyRdata = Uint8Array.from([7, ...new TextEncoder().encode('RFC8482'), 0]);
const anyTtlSeconds = 3_789;

export interface AnswererInit {
  readonly clock: Clock;
  readonly counters: Counters;
  readonly recent: RecentAnswers;
  readonly probes: ProbeQueries;
}

export class Answerer {
  /** The last answer; valid until the next call. */
  readonly out = new Uint8Array(tcpBytes);
  /** Undefined: no desired state yet. Swapped whole. */
  tables: Tables | undefined;

  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #recent: RecentAnswers;
  readonly #probes: ProbeQueries;
  readonly #query = createQuery();
  readonly #writer = createWriter(this.out);
  readonly #choice = createClientChoice();
  readonly #decision = createDecision();
  readonly #lookup: Lookup = { found: Found.outside, node: undefined };
  readonly #target = createNameKey();
  #authoritative = false;
  #scope = 0;

  constructor(init: AnswererInit) {
    this.#clock = init.clock;
    this.#counters = init.counters;
    this.#recent = init.recent;
    this.#probes = init.probes;
  }

  /** Length of the answer in `out`; 0: none is to be sent. */
  answer(packet: Uint8Array, peer: Address, overTcp: boolean): number {
    const counters = this.#counters;
    const timed = counters.timed();
    const startedMs = timed ? this.#clock.monotonicMs() : 0;
    const query = this.#query;
    const decoded = decodeQuery(packet, query);
    if (decoded === Decoded.drop) {
      counters.drops++;
      return 0;
    }
    this.#authoritative = false;
    this.#scope = 0;
    beginAnswer(this.#writer, packet, query, overTcp ? tcpBytes : udpLimit(query.edns));
    const rcode = decoded === Decoded.ok ? this.#respond(peer) : errorRcode(decoded);
    if (this.#writer.overflow) counters.truncated++;
    const length = finishAnswer(this.#writer, query, rcode, this.#authoritative, this.#scope);
    counters.count(overTcp, rcode);
    if (timed) counters.took((this.#clock.monotonicMs() - startedMs) * 1000);
    return length;
  }

  #respond(peer: Address): Rcode {
    const { tables } = this;
    const query = this.#query;
    if (tables === undefined) return Rcode.servFail;
    if (query.type === Type.OPT || query.type === 0) return Rcode.formErr;
    if (query.class !== Class.IN || query.type === Type.AXFR || query.type === Type.IXFR) return Rcode.refused;
    return this.#resolve(tables, peer);
  }

  /** Follows the name, and CNAMEs inside our zones, to what answers it. */
  #resolve(tables: Tables, peer: Address): Rcode {
    const { type } = this.#query;
    const lookup = this.#lookup;
    let key: NameKey = this.#query.name;
    let owner: Uint8Array | undefined;
    let afterFirstLink = 0;
    for (let links = 0; ; links++) {
      findName(tables.names.table, key, lookup);
      if (lookup.found === Found.probe) {
        const rcode = this.#answerProbe(tables, key, owner, peer);
        if (rcode !== -1) return rcode;
        expand(lookup.node!, lookup);
      }
      const { found, node } = lookup;
      if (found === Found.outside || node === undefined) return links === 0 ? Rcode.refused : Rcode.noError;
      if (found === Found.referral && !(type === Type.DS && isCutItself(node, key))) {
        if (links === 0) this.#refer(tables, node);
        return Rcode.noError;
      }
      this.#authoritative = true;
      if (found === Found.missing) return this.#negative(node.zone!, Rcode.nxDomain);
      if (node.service >= 0 && (type === Type.A || type === Type.AAAA)) {
        // RFC 7871 §7.2.1: links and their end have different scopes, and one answer has one.
        if (links > 0 && this.#query.edns.subnet.present) return this.#cutAfter(afterFirstLink);
        return this.#steer(tables, tables.services[node.service]!, node.zone!, owner, type, peer);
      }
      if (type === Type.ANY) {
        writeRecord(this.#writer, Section.answer, owner, Type.HINFO, anyTtlSeconds, anyRdata);
        return Rcode.noError;
      }
      const rrset = rrsetOf(node, type);
      if (rrset !== undefined) return this.#writeSet(Section.answer, owner, rrset);
      if (node.cname === undefined) return this.#negative(node.zone!, Rcode.noError);
      this.#writeSet(Section.answer, owner, node.cname);
      if (links === 0) afterFirstLink = this.#writer.at;
      if (links >= limits.dns.chain) return Rcode.noError;
      owner = node.cname.rdatas[0]!;
      key = this.#target;
      setNameKey(key, owner);
    }
  }

  #steer(
    tables: Tables,
    steered: SteeredService,
    zone: Zone,
    owner: Uint8Array | undefined,
    type: number,
    peer: Address,
  ): Rcode {
    const decision = this.#decision;
    const { subnet } = this.#query.edns;
    chooseClient(subnet, peer, this.#choice);
    decide(steered.prepared, tables.live, this.#choice.client, decision);
    let written = 0;
    if (decision.why === Why.fallback) {
      const addresses = type === Type.A ? steered.fallback4 : steered.fallback6;
      for (const address of addresses) {
        writeRecord(this.#writer, Section.answer, owner, type, decision.ttlSeconds, address);
        written++;
      }
    } else {
      const addresses = type === Type.A ? steered.v4 : steered.v6;
      for (let i = 0; i < decision.count; i++) {
        const address = addresses[decision.candidates[i]!];
        if (address === undefined) continue;
        writeRecord(this.#writer, Section.answer, owner, type, decision.ttlSeconds, address);
        written++;
      }
    }
    this.#remember(tables, steered);
    if (written === 0) {
      const ttlMax = decision.why === Why.nodata ? steered.service.ttlSecondsMin : zone.negativeTtl;
      return this.#negative(zone, Rcode.noError, ttlMax);
    }
    if (subnet.present) {
      this.#scope = scopeOf(subnet, this.#choice, decision.scope, scopedBy(decision));
    }
    return Rcode.noError;
  }

  #remember(tables: Tables, steered: SteeredService): void {
    const { service } = steered;
    const decision = this.#decision;
    const first = decision.count > 0 ? decision.candidates[0]! : service.candidates.length;
    this.#counters.answers.add(steered.counts[first]!);
    const pop = decision.count > 0 ? tables.desired.pops[service.candidates[first]!.pop]!.id : '';
    this.#recent.add(this.#clock.nowMs(), service.name, pop, this.#choice, this.#query.edns.subnet);
  }

  /** ID-POP, one label below the probe zone: any cut at a hyphen that leaves the id of a PoP. -1: no probe name. */
  #answerProbe(tables: Tables, key: NameKey, owner: Uint8Array | undefined, peer: Address): Rcode | -1 {
    const label = String.fromCharCode(...key.bytes.subarray(1, 1 + key.bytes[0]!));
    for (let at = label.indexOf('-'); at > 0; at = label.indexOf('-', at + 1)) {
      const name = label.slice(at + 1);
      const pop = tables.probePops.get(name);
      if (pop === undefined) continue;
      const { subnet } = this.#query.edns;
      chooseClient(subnet, peer, this.#choice);
      this.#probes.add(label.slice(0, at), name, this.#clock.nowMs(), peer, this.#choice, subnet);
      this.#authoritative = true;
      const { type } = this.#query;
      const address = type === Type.A ? pop.v4 : type === Type.AAAA ? pop.v6 : undefined;
      if (address === undefined) return this.#negative(this.#lookup.node!.zone!, Rcode.noError);
      writeRecord(this.#writer, Section.answer, owner, type, probeTtlSeconds, address);
      return Rcode.noError;
    }
    return -1;
  }

  /** RFC 2308 §2: the SOA tells how long the absence may be believed. */
  #negative(zone: Zone, rcode: Rcode, ttlMax = zone.negativeTtl): Rcode {
    const ttl = Math.min(zone.negativeTtl, ttlMax);
    writeRecord(this.#writer, Section.authority, zone.name, Type.SOA, ttl, zone.soa.rdatas[0]!);
    return rcode;
  }

  #writeSet(section: Section, owner: Uint8Array | undefined, rrset: RrSet): Rcode {
    for (let i = 0; i < rrset.rdatas.length; i++) {
      writeRecord(this.#writer, section, owner, rrset.type, rrset.ttl, rrset.rdatas[i]!);
    }
    return Rcode.noError;
  }

  /** Not authoritative: the servers of the child zone, with the addresses we hold of those inside this zone (RFC 9471). */
  #refer(tables: Tables, cut: ZoneNode): void {
    const servers = rrsetOf(cut, Type.NS)!;
    this.#writeSet(Section.authority, cut.name, servers);
    for (const server of servers.rdatas) {
      setNameKey(this.#target, server);
      const node = tables.names.table.get(this.#target, 0);
      if (node === undefined || node.zone !== cut.zone) continue;
      for (const type of [Type.A, Type.AAAA]) {
        const glue = rrsetOf(node, type);
        if (glue !== undefined) this.#writeSet(Section.additional, node.name, glue);
      }
    }
  }

  #cutAfter(at: number): Rcode {
    this.#writer.at = at;
    this.#writer.counts[Section.answer] = 1;
    return Rcode.noError;
  }
}

function errorRcode(decoded: Decoded): Rcode {
  if (decoded === Decoded.notImp) return Rcode.notImp;
  return decoded === Decoded.badVers ? Rcode.badVers : Rcode.formErr;
}

/** The ranking of the map had a part in it, so the answer holds for the leaf alone. */
export function scopedBy(decision: { readonly why: Why; readonly ranking: number }): boolean {
  return decision.ranking >= 0 && (decision.why === Why.map || decision.why === Why.servePreferred);
}

function isCutItself(cut: ZoneNode, key: NameKey): boolean {
  return cut.name.length === key.length;
}
