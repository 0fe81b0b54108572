/**
 * Query bytes and the address they came from → answer bytes; UDP and TCP alike. Nothing here awaits or throws.
 *
 *     decode ─▶ find zone or service ─▶ decide (steered names: core decide) ─▶ write
 *        │              │                        │
 *        ├ silence      ├ REFUSED                └ all down: the service's rule
 *        ├ FORMERR      ├ referral
 *        ├ NOTIMP       ├ NXDOMAIN, NODATA
 *        └ BADVERS      └ SERVFAIL: no desired state yet
 *
 * Around it stands wire.ts: cookies, options, and the rate limit, over which an answer is short or none.
 */
import { CookieState } from '@ufes/core/dns/cookie.ts';
import { chooseClient, createClientChoice, scopeOf } from '@ufes/core/dns/ecs.ts';
import { beginAnswer, createWriter, finishAnswer, Section, writeRecord } from '@ufes/core/dns/encode.ts';
import { createQuery, Decoded, decodeQuery } from '@ufes/core/dns/message.ts';
import { createNameKey, type NameKey, setNameKey } from '@ufes/core/dns/name.ts';
import { Class, ExtendedError, Rcode, Type } from '@ufes/core/dns/types.ts';
import type { Peer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock } from '@ufes/core/ports.ts';
import { createDecision, Why } from '@ufes/core/steering/decide.ts';
import { findPrefix } from '@ufes/core/steering/prefixes.ts';
import type { Counters } from './counters.ts';
import { explainText } from './explain-text.ts';
import { FastPath, overRate } from './fast.ts';
import { placeAndDecide } from './place.ts';
import type { AnswerSink, ProbeSink } from './recent.ts';
import { Admitted } from './rrl.ts';
import type { SteeredService, Tables } from './tables.ts';
import type { Wire } from './wire.ts';
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
  readonly recent: AnswerSink;
  readonly probes: ProbeSink;
  readonly wire: Wire;
  /** Remember one steered answer each time that `remembers` is set; default: all. */
  readonly samples?: boolean;
}

export class Answerer {
  /** The last answer; valid until the next call. */
  readonly out = new Uint8Array(tcpBytes);
  /** Undefined: no desired state yet. Swapped whole. */
  tables: Tables | undefined;
  /** The next steered answer is remembered; who sets it once for all remembers all. */
  remembers = true;
  /** Off after each one remembered: whoever answers in batches remembers one of each. */
  readonly #samples: boolean;

  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #recent: AnswerSink;
  readonly #probes: ProbeSink;
  readonly #wire: Wire;
  readonly #query = createQuery();
  readonly #writer = createWriter(this.out);
  readonly #choice = createClientChoice();
  readonly #decision = createDecision();
  readonly #fast: FastPath;
  readonly #lookup: Lookup = { found: Found.outside, node: undefined };
  readonly #target = createNameKey();
  #authoritative = false;
  #scope = 0;

  constructor(init: AnswererInit) {
    this.#clock = init.clock;
    this.#counters = init.counters;
    this.#recent = init.recent;
    this.#probes = init.probes;
    this.#wire = init.wire;
    this.#samples = init.samples ?? false;
    this.#fast = new FastPath(this.#query, this.#choice, this.#decision, init.wire);
  }

  /**
   * Answers the `length` bytes of UDP at `at` of `input` into `out` at `to`, where limits.dns.udpBytes have room.
   * Returns the length of the answer; 0: none is to be sent.
   */
  answerInto(input: Uint8Array, at: number, length: number, peer: Peer, out: Uint8Array, to: number): number {
    const { tables } = this;
    if (tables !== undefined) {
      const counters = this.#counters;
      const timed = counters.timed();
      const startedMs = timed ? this.#clock.monotonicMs() : 0;
      const answered = this.#fast.answer(tables, input, at, length, peer, this.#clock.nowMs(), out, to);
      if (answered > 0) {
        this.#remember(tables, this.#fast.steered!);
        if (this.#query.edns.cookie.present) counters.cookies[this.#wire.cookie]!++;
        counters.count(false, Rcode.noError);
        if (timed) counters.took((this.#clock.monotonicMs() - startedMs) * 1000);
        return answered;
      }
      if (answered === overRate) {
        return this.#copyOut(this.#answerOverRate(input.subarray(at, at + length), peer), out, to);
      }
    }
    return this.#copyOut(this.answer(input.subarray(at, at + length), peer, false), out, to);
  }

  #copyOut(length: number, out: Uint8Array, to: number): number {
    for (let i = 0; i < length; i++) out[to + i] = this.out[i]!;
    return length;
  }

  /** What the fast path found to be over its network's rate. */
  #answerOverRate(packet: Uint8Array, peer: Peer): number {
    const query = this.#query;
    const decoded = decodeQuery(packet, query);
    this.#authoritative = false;
    this.#scope = 0;
    this.#wire.prepare(query, peer, false, this.#clock.nowMs());
    return this.#answerShortly(packet, decoded, this.#fast.admitted);
  }

  /** Length of the answer in `out`; 0: none is to be sent. */
  answer(packet: Uint8Array, peer: Peer, overTcp: boolean): number {
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
    const admitted = this.#wire.admit(query, peer, packet.length, overTcp, this.#clock.nowMs());
    if (admitted !== Admitted.yes) return this.#answerShortly(packet, decoded, admitted);
    if (query.edns.cookie.present) counters.cookies[this.#wire.cookie]!++;
    beginAnswer(this.#writer, packet, query, overTcp ? tcpBytes : this.#wire.udpLimit(query));
    let rcode = decoded === Decoded.ok ? this.#respond(peer) : this.#refuse(decoded);
    if (this.#writer.overflow) {
      counters.truncated++;
      if (this.#wire.wantsCookie(query)) rcode = this.#askForCookie();
    }
    const length = finishAnswer(this.#writer, query, rcode, this.#authoritative, this.#scope);
    counters.count(overTcp, rcode);
    if (timed) counters.took((this.#clock.monotonicMs() - startedMs) * 1000);
    return length;
  }

  /** To a network over its rate: nothing, or a few bytes that let a real client come back. */
  #answerShortly(packet: Uint8Array, decoded: Decoded, admitted: Admitted): number {
    const counters = this.#counters;
    const query = this.#query;
    if (admitted === Admitted.slipped && decoded === Decoded.ok) {
      beginAnswer(this.#writer, packet, query, this.#wire.udpLimit(query));
      this.#writer.overflow = true;
      const rcode = query.edns.reply.hasCookie ? this.#askForCookie() : Rcode.noError;
      const length = finishAnswer(this.#writer, query, rcode, false, 0);
      if (this.#wire.afford(length)) {
        counters.rateSlipped++;
        counters.count(false, rcode);
        return length;
      }
    }
    counters.rateDropped++;
    return 0;
  }

  /** RFC 7873 §5.2.3: an empty answer with a good cookie, to come back with. */
  #askForCookie(): Rcode {
    this.#writer.at = this.#query.questionEnd;
    this.#writer.counts.fill(0);
    this.#writer.overflow = false;
    this.#authoritative = false;
    this.#scope = 0;
    return Rcode.badCookie;
  }

  /** What is no query that could be answered. */
  #refuse(decoded: Decoded): Rcode {
    const { reply } = this.#query.edns;
    if (decoded === Decoded.cookieOnly) {
      return this.#wire.cookie === CookieState.bad ? Rcode.badCookie : Rcode.noError;
    }
    if (decoded === Decoded.badVers) return Rcode.badVers;
    if (decoded !== Decoded.notImp) return Rcode.formErr;
    reply.error = ExtendedError.notSupported;
    return Rcode.notImp;
  }

  #respond(peer: Peer): Rcode {
    const { tables } = this;
    const query = this.#query;
    if (query.type === Type.OPT || query.type === 0) return Rcode.formErr;
    if (query.class === Class.CH) return this.#answerChaos();
    if (tables === undefined) return this.#fail(Rcode.servFail, ExtendedError.notReady);
    if (query.class !== Class.IN) return this.#fail(Rcode.refused, ExtendedError.notSupported);
    if (query.type === Type.AXFR || query.type === Type.IXFR)
      return this.#fail(Rcode.refused, ExtendedError.prohibited);
    return this.#resolve(tables, peer);
  }

  #fail(rcode: Rcode, error: ExtendedError): Rcode {
    this.#query.edns.reply.error = error;
    return rcode;
  }

  /** Who and what we are, for those who may know. */
  #answerChaos(): Rcode {
    const { type } = this.#query;
    const text = this.#wire.chaos(this.#query);
    if (text === undefined) return this.#fail(Rcode.refused, ExtendedError.prohibited);
    this.#authoritative = true;
    if (type === Type.TXT || type === Type.ANY) {
      const { at, bytes } = this.#writer;
      writeRecord(this.#writer, Section.answer, undefined, Type.TXT, 0, text);
      // After the pointer to the name and the type.
      bytes[at + 5] = Class.CH;
    }
    return Rcode.noError;
  }

  /** Follows the name, and CNAMEs inside our zones, to what answers it. */
  #resolve(tables: Tables, peer: Peer): Rcode {
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
      if (found === Found.outside || node === undefined) {
        return links === 0 ? this.#fail(Rcode.refused, ExtendedError.notAuthoritative) : Rcode.noError;
      }
      if (found === Found.referral && !(type === Type.DS && isCutItself(node, key))) {
        if (links === 0) this.#refer(tables, node);
        return Rcode.noError;
      }
      this.#authoritative = true;
      if (found === Found.missing) return this.#negative(node.zone!, Rcode.nxDomain);
      if (node.service >= 0 && isSteered(tables.services[node.service]!, type)) {
        // RFC 7871 §7.2.1: links and their end have different scopes, and one answer has one.
        if (links > 0 && this.#query.edns.subnet.present) return this.#cutAfter(afterFirstLink);
        return this.#steer(tables, tables.services[node.service]!, node, owner, type, peer);
      }
      if (node.explains >= 0 && type === Type.TXT) return this.#explain(tables, node, owner, peer);
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
    { zone, pinned }: ZoneNode,
    owner: Uint8Array | undefined,
    type: number,
    peer: Peer,
  ): Rcode {
    const decision = this.#decision;
    const { subnet } = this.#query.edns;
    placeAndDecide(tables, steered.prepared, pinned, subnet, peer, this.#choice, decision);
    const written = this.#writeSteered(steered, owner, type);
    this.#remember(tables, steered);
    if (tables.staleAtMs < this.#clock.nowMs()) this.#query.edns.reply.error = ExtendedError.staleAnswer;
    if (written === 0) {
      const ttlMax = decision.why === Why.nodata ? steered.service.ttlSecondsMin : zone!.negativeTtl;
      return this.#negative(zone!, Rcode.noError, ttlMax);
    }
    if (subnet.present) this.#scope = scopeOf(subnet, this.#choice, decision.scope, decision.scoped);
    return Rcode.noError;
  }

  /** Records of the PoPs decided for, whatever the type; returns how many. */
  #writeSteered(steered: SteeredService, owner: Uint8Array | undefined, type: number): number {
    const { candidates, count, why, ttlSeconds } = this.#decision;
    let written = 0;
    if (type !== Type.A && type !== Type.AAAA) {
      if (count === 0 && why !== Why.fallback) return 0;
      for (let i = 0; i < steered.bindings.length; i++) {
        const binding = steered.bindings[i]!;
        if (binding.type !== type) continue;
        const one = count === 1 ? binding.single[candidates[0]!]! : binding.fallback;
        const rdata = count > 1 ? binding.join(candidates, count) : one;
        writeRecord(this.#writer, Section.answer, owner, type, ttlSeconds, rdata);
        written++;
      }
      return written;
    }
    if (why === Why.fallback) {
      const addresses = type === Type.A ? steered.fallback4 : steered.fallback6;
      for (let i = 0; i < addresses.length; i++, written++) {
        writeRecord(this.#writer, Section.answer, owner, type, ttlSeconds, addresses[i]!);
      }
      return written;
    }
    const addresses = type === Type.A ? steered.v4 : steered.v6;
    for (let i = 0; i < count; i++) {
      const address = addresses[candidates[i]!];
      if (address === undefined) continue;
      writeRecord(this.#writer, Section.answer, owner, type, ttlSeconds, address);
      written++;
    }
    return written;
  }

  /** `_ufes-explain.NAME`: the decision in words, for those who may know. Never from a cache. */
  #explain(tables: Tables, node: ZoneNode, owner: Uint8Array | undefined, peer: Peer): Rcode {
    if (findPrefix(tables.explainClients, peer) === 0) return this.#fail(Rcode.refused, ExtendedError.prohibited);
    const { subnet } = this.#query.edns;
    for (const rdata of explainText(tables, node, subnet, peer, this.#clock.nowMs())) {
      writeRecord(this.#writer, Section.answer, owner, Type.TXT, 0, rdata);
    }
    return Rcode.noError;
  }

  #remember(tables: Tables, steered: SteeredService): void {
    const { service } = steered;
    const decision = this.#decision;
    const first = decision.count > 0 ? decision.candidates[0]! : service.candidates.length;
    this.#counters.answers.add(steered.counts[first]!);
    if (!this.remembers) return;
    this.remembers = !this.#samples;
    const pop = decision.count > 0 ? tables.desired.pops[service.candidates[first]!.pop]!.id : '';
    this.#recent.addAnswer(this.#clock.nowMs(), service.name, pop, this.#choice, this.#query.edns.subnet);
  }

  /** ID-POP, one label below the probe zone: any cut at a hyphen that leaves the id of a PoP. -1: no probe name. */
  #answerProbe(tables: Tables, key: NameKey, owner: Uint8Array | undefined, peer: Peer): Rcode | -1 {
    const label = String.fromCharCode(...key.bytes.subarray(1, 1 + key.bytes[0]!));
    for (let at = label.indexOf('-'); at > 0; at = label.indexOf('-', at + 1)) {
      const name = label.slice(at + 1);
      const pop = tables.probePops.get(name);
      if (pop === undefined) continue;
      const { subnet } = this.#query.edns;
      chooseClient(subnet, peer, this.#choice);
      this.#probes.addProbe(label.slice(0, at), name, this.#clock.nowMs(), peer, this.#choice, subnet);
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

/** A, AAAA, and the bindings that the service has. */
function isSteered({ bindings }: SteeredService, type: number): boolean {
  if (type === Type.A || type === Type.AAAA) return true;
  for (let i = 0; i < bindings.length; i++) if (bindings[i]!.type === type) return true;
  return false;
}

function isCutItself(cut: ZoneNode, key: NameKey): boolean {
  return cut.name.length === key.length;
}
