/**
 * The names we answer for, compiled from desired state: one hash table over every owner name of every zone, empty
 * non-terminals included, so that a look-up is one probe for a name that exists and one more per missing label.
 *
 *     www.shop.example. ──▶ node {rrsets, cname, service}       RFC 4592: a missing name is answered by the wildcard
 *         shop.example. ──▶ node (apex of its zone)             of its closest encloser, and by nothing further up
 *     a.sub.shop.example. ─▶ node {cut: sub.shop.example.}      below a cut: occluded, answered by a referral
 *
 * Built whole at every swap and never changed after. Reading allocates nothing.
 */
import type { DesiredService, DesiredState, DesiredZone } from '@ufes/core/desired.ts';
import {
  createNameKey,
  isWithin,
  lowerName,
  type NameKey,
  nameBytesMax,
  nameToText,
  nameToWire,
  parentName,
  setNameKey,
} from '@ufes/core/dns/name.ts';
import { parseRdata } from '@ufes/core/dns/rdata.ts';
import { Type, typeNumber } from '@ufes/core/dns/types.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { runThrough, type Slices } from '@ufes/io/slices.ts';
import { SteeredNames } from './steered-names.ts';

export interface RrSet {
  readonly type: number;
  ttl: number;
  /** Uncompressed wire. */
  readonly rdatas: Uint8Array[];
}

export interface Zone {
  readonly name: Uint8Array;
  readonly apex: ZoneNode;
  readonly soa: RrSet;
  /** Smaller of the SOA's TTL and its minimum (RFC 2308 §5). */
  readonly negativeTtl: number;
}

export interface ZoneNode {
  /** Lower case, wire. */
  readonly name: Uint8Array;
  zone: Zone | undefined;
  readonly rrsets: RrSet[];
  cname: RrSet | undefined;
  /** Its child `*`. */
  wildcard: ZoneNode | undefined;
  /** The delegation at or above it, inside its zone. */
  cut: ZoneNode | undefined;
  /** Names one label below it are probe names, ID-POP. */
  probe: boolean;
  /** Number of the steered service at this name, -1: none. */
  service: number;
  /** The candidate of `service` that this name pins, -1: it is the service's own name. */
  pinned: number;
  /** Number of the service whose decisions this name explains, -1: none. */
  explains: number;
}

export interface Names {
  readonly table: NameTable;
  /** Of those in the table that are answered by a service, where they stand. */
  readonly steered: SteeredNames;
  /** Services that cannot be answered where they stand, with the reason. */
  readonly unserved: { readonly service: string; readonly reason: string }[];
}

export const Found = {
  /** In none of our zones. */
  outside: 0,
  /** The name exists, as itself or as an empty non-terminal. */
  exact: 1,
  /** Synthesised from the wildcard in `node`. */
  wildcard: 2,
  /** It does not exist; `node` is its closest encloser. */
  missing: 3,
  /** At or below the cut in `node`. */
  referral: 4,
  /** One label below the probe zone, which is `node`; no such name is in the zone. */
  probe: 5,
} as const;
export type Found = (typeof Found)[keyof typeof Found];

/** Open addressing over suffix hashes (core/dns/name.ts). */
export class NameTable {
  readonly #mask: number;
  readonly #slots: Int32Array;
  readonly #hashes: Int32Array;
  readonly #nodes: ZoneNode[] = [];
  readonly #key = createNameKey();

  /** For `count` nodes, which are then added one by one. */
  constructor(count: number) {
    const size = 2 ** Math.ceil(Math.log2(2 * count + 2));
    this.#mask = size - 1;
    this.#slots = new Int32Array(size).fill(-1);
    this.#hashes = new Int32Array(count);
  }

  add(node: ZoneNode): void {
    setNameKey(this.#key, node.name);
    const hash = this.#key.hash[0]!;
    const i = this.#nodes.length;
    this.#hashes[i] = hash;
    let slot = slotOf(hash) & this.#mask;
    while (this.#slots[slot]! >= 0) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = i;
    this.#nodes.push(node);
  }

  get size(): number {
    return this.#nodes.length;
  }

  /** The node of the name that starts at label `label` of `key`. */
  get(key: NameKey, label: number): ZoneNode | undefined {
    const hash = key.hash[label]!;
    for (let slot = slotOf(hash) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const i = this.#slots[slot]!;
      if (i < 0) return undefined;
      if (this.#hashes[i] === hash && same(this.#nodes[i]!.name, key, key.labelAt[label]!)) return this.#nodes[i];
    }
  }
}

function slotOf(hash: number): number {
  return hash ^ (hash >>> 15);
}

function same(name: Uint8Array, key: NameKey, from: number): boolean {
  const length = key.length - from;
  if (name.length !== length) return false;
  for (let i = 0; i < length; i++) if (name[i] !== key.bytes[from + i]) return false;
  return true;
}

/** Result of `findName`, reused. */
export interface Lookup {
  found: Found;
  node: ZoneNode | undefined;
}

export function findName(table: NameTable, key: NameKey, out: Lookup): void {
  let node = table.get(key, 0);
  out.node = node;
  if (node !== undefined) {
    out.found = Found.exact;
    if (node.cut !== undefined) refer(node.cut, out);
    return;
  }
  for (let label = 1; label <= key.labels; label++) {
    node = table.get(key, label);
    if (node === undefined) continue;
    out.node = node;
    out.found = Found.missing;
    if (node.cut !== undefined) refer(node.cut, out);
    else if (node.probe && label === 1) out.found = Found.probe;
    else expand(node, out);
    return;
  }
  out.found = Found.outside;
}

/** RFC 4592 §3.3.1: the source of synthesis is the wildcard child of the closest encloser. */
export function expand(encloser: ZoneNode, out: Lookup): void {
  if (encloser.wildcard === undefined) {
    out.found = Found.missing;
    return;
  }
  out.node = encloser.wildcard;
  out.found = Found.wildcard;
}

function refer(cut: ZoneNode, out: Lookup): void {
  out.node = cut;
  out.found = Found.referral;
}

/**
 * Compiles zones and the names of answered services (by index in `desired.services`). Throws ZONE_INVALID when a zone
 * cannot be served; the controller has checked them by the same rules, so that is damage or a fault.
 */
export function compileNames(desired: DesiredState): Names {
  return runThrough(compileNamesInSlices(desired));
}

/** The same, a few records at a time. */
export function* compileNamesInSlices(desired: DesiredState): Slices<Names> {
  const builder = new Builder();
  const zones = [...desired.zones].sort((a, b) => a.origin.length - b.origin.length);
  for (const zone of zones) builder.addApex(zone);
  for (const zone of zones) yield* builder.addRecords(zone);
  yield* builder.finishZones();
  for (const [index, service] of desired.services.entries()) {
    if (service.answered) builder.addService(service.id, service.name, index);
    if (index % slice === 0) yield;
  }
  // After all of them, so that no name of a service is taken for a debug name of another.
  for (const [index, service] of desired.services.entries()) {
    if (service.answered) builder.addDebugNames(service, index, desired);
    if (index % slice === 0) yield;
  }
  if (desired.probe.zone !== undefined) builder.addProbeZone(desired.probe.zone);
  return yield* builder.finish();
}

/** Records, services or nodes between two yields: some ten microseconds. */
const slice = 16;

class Builder {
  readonly #nodes = new Map<string, ZoneNode>();
  /** By text of the origin; the deepest one a name lies in owns it. */
  readonly #apexes = new Map<string, ZoneNode>();
  readonly #unserved: { service: string; reason: string }[] = [];
  #debugNames = 0;

  addApex({ origin }: DesiredZone): void {
    const name = wireOf(origin, `zone ${origin}`);
    const node = this.#node(name);
    this.#apexes.set(nameToText(name), node);
  }

  *addRecords(zone: DesiredZone): Slices<void> {
    const apex = this.#apexes.get(nameToText(wireOf(zone.origin, zone.origin)))!;
    for (const [i, record] of zone.records.entries()) {
      if (i % slice === 0) yield;
      const where = `zone ${zone.origin}, ${record.name} ${record.type}`;
      const name = wireOf(record.name, where);
      if (!isWithin(name, apex.name)) throw invalid(`${where}: not in the zone`);
      // What lies in a zone of ours below this one is that zone's; here it is glue or a delegation to ourselves.
      if (this.#apexOf(name) !== apex) continue;
      const type = typeNumber(record.type);
      const rdata = type === undefined ? 'unknown type' : parseRdata(type, record.data);
      if (type === undefined || typeof rdata === 'string') throw invalid(`${where}: ${rdata}`);
      addTo(this.#ensure(name, apex), type, record.ttl, rdata);
    }
  }

  *finishZones(): Slices<void> {
    for (const [origin, apex] of this.#apexes) {
      const soa = rrsetOf(apex, Type.SOA);
      if (soa?.rdatas.length !== 1) throw invalid(`zone ${origin} has ${soa?.rdatas.length ?? 0} SOA records`);
      const rdata = soa.rdatas[0]!;
      const minimum = new DataView(rdata.buffer, rdata.byteOffset).getUint32(rdata.length - 4);
      const zone: Zone = { name: apex.name, apex, soa, negativeTtl: Math.min(soa.ttl, minimum) };
      apex.zone = zone;
    }
    // Nodes are younger than their ancestors only by chance: set zones by name.
    let i = 0;
    for (const node of this.#nodes.values()) {
      node.zone ??= this.#apexOf(node.name)?.zone;
      if (i++ % slice === 0) yield;
    }
  }

  addService(id: string, name: string, index: number): void {
    const wire = wireOf(name, `service ${id}`);
    const apex = this.#apexOf(wire);
    if (apex === undefined) {
      this.#unserved.push({ service: id, reason: `${name} is in none of our zones` });
      return;
    }
    const node = this.#ensure(wire, apex);
    if (node.service >= 0) {
      this.#unserved.push({ service: id, reason: `${name} is steered by another service already` });
      return;
    }
    node.service = index;
    // A steered name has addresses of its own; an alias beside them would hide them.
    node.cname = undefined;
  }

  /** POP.NAME and _ufes-explain.NAME, where the zone has nothing else by that name. */
  addDebugNames({ id, name, candidates, only }: DesiredService, index: number, { pops, debug }: DesiredState): void {
    const node = this.#nodes.get(nameToText(wireOf(name, `service ${id}`)));
    if (debug === undefined || node?.service !== index || name.startsWith('*')) return;
    const { pinnedLabel, explainClients } = debug;
    for (const [candidate, { pop }] of candidates.entries()) {
      if (pinnedLabel === undefined || (only !== undefined && !only.includes(pop))) continue;
      const pinned = this.#ensureFree(`${pinnedLabel.replace('{pop}', pops[pop]!.id)}.${name}`);
      if (pinned === undefined) continue;
      pinned.service = index;
      pinned.pinned = candidate;
    }
    const explains = explainClients.length === 0 ? undefined : this.#ensureFree(`_ufes-explain.${name}`);
    if (explains !== undefined) explains.explains = index;
  }

  /** A new node; undefined when the name exists, or cannot. */
  #ensureFree(text: string): ZoneNode | undefined {
    const name = nameToWire(text);
    if (typeof name === 'string' || this.#nodes.has(nameToText(lowerName(name)))) return undefined;
    if (this.#debugNames++ === limits.dns.debugNames) {
      this.#unserved.push({
        service: text,
        reason: 'there are too many debug names; this and those after are left out',
      });
    }
    if (this.#debugNames > limits.dns.debugNames) return undefined;
    return this.#ensure(lowerName(name), this.#apexOf(lowerName(name))!);
  }

  addProbeZone(name: string): void {
    const wire = wireOf(name, 'probe zone');
    const apex = this.#apexOf(wire);
    if (apex === undefined) this.#unserved.push({ service: 'probe zone', reason: `${name} is in none of our zones` });
    else this.#ensure(wire, apex).probe = true;
  }

  *finish(): Slices<Names> {
    const table = new NameTable(this.#nodes.size);
    const steered: ZoneNode[] = [];
    let i = 0;
    for (const nodes of yield* this.#byLength()) {
      for (const node of nodes) {
        if (i++ % slice === 0) yield;
        this.#finishNode(node);
        table.add(node);
        if (node.service >= 0 && node.pinned < 0 && node.cut === undefined) steered.push(node);
      }
    }
    return { table, steered: new SteeredNames(steered), unserved: this.#unserved };
  }

  /** Parents before children: a name is longer than what it lies in. */
  *#byLength(): Slices<ZoneNode[][]> {
    const lists: ZoneNode[][] = Array.from({ length: nameBytesMax + 1 }, () => []);
    let i = 0;
    for (const node of this.#nodes.values()) {
      lists[node.name.length]!.push(node);
      if (i++ % slice === 0) yield;
    }
    return lists;
  }

  #finishNode(node: ZoneNode): void {
    const parent = this.#parent(node);
    if (node.name[0] === 1 && node.name[1] === 42 && parent !== undefined) parent.wildcard = node;
    if (parent?.zone === node.zone && parent?.cut !== undefined) node.cut = parent.cut;
    else if (node.zone?.apex !== node && rrsetOf(node, Type.NS) !== undefined) node.cut = node;
    if (node.cut === undefined || node.service < 0) return;
    this.#unserved.push({
      service: nameToText(node.name),
      reason: `it lies at or below the delegation ${nameToText(node.cut.name)}`,
    });
  }

  #parent(node: ZoneNode): ZoneNode | undefined {
    const name = node.zone?.apex === node ? undefined : parentName(node.name);
    return name && this.#nodes.get(nameToText(name));
  }

  #apexOf(name: Uint8Array): ZoneNode | undefined {
    for (let at: Uint8Array | undefined = name; at !== undefined; at = parentName(at)) {
      const apex = this.#apexes.get(nameToText(at));
      if (apex !== undefined) return apex;
    }
    return undefined;
  }

  /** The node of `name` and of every name between it and its apex. */
  #ensure(name: Uint8Array, apex: ZoneNode): ZoneNode {
    for (let at = name; at.length > apex.name.length; at = parentName(at)!) this.#node(at).zone = apex.zone;
    return this.#node(name);
  }

  #node(name: Uint8Array): ZoneNode {
    const text = nameToText(name);
    let node = this.#nodes.get(text);
    if (node === undefined) {
      node = {
        name: name.slice(),
        zone: undefined,
        rrsets: [],
        cname: undefined,
        wildcard: undefined,
        cut: undefined,
        probe: false,
        service: -1,
        pinned: -1,
        explains: -1,
      };
      this.#nodes.set(text, node);
    }
    return node;
  }
}

function addTo(node: ZoneNode, type: number, ttl: number, rdata: Uint8Array): void {
  let rrset = rrsetOf(node, type);
  if (rrset === undefined) {
    rrset = { type, ttl, rdatas: [] };
    node.rrsets.push(rrset);
    if (type === Type.CNAME) node.cname = rrset;
  }
  // RFC 2181 §5.2: one TTL for the set, the lowest written; §5: the same record counts once.
  rrset.ttl = Math.min(rrset.ttl, ttl);
  if (!rrset.rdatas.some((one) => one.length === rdata.length && one.every((byte, i) => byte === rdata[i]))) {
    rrset.rdatas.push(rdata);
  }
}

export function rrsetOf(node: ZoneNode, type: number): RrSet | undefined {
  for (let i = 0; i < node.rrsets.length; i++) if (node.rrsets[i]!.type === type) return node.rrsets[i];
  return undefined;
}

function wireOf(text: string, where: string): Uint8Array {
  const wire = nameToWire(text);
  if (typeof wire === 'string') throw invalid(`${where}: ${wire}`);
  return lowerName(wire);
}

function invalid(message: string): OperatingError {
  return new OperatingError('ZONE_INVALID', message);
}
