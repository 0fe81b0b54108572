/**
 * Which clients use which resolver: what dns and edges saw of the same probe IDs, joined.
 *
 *     dns   ID ─▶ resolver, subnet ─┐
 *                                   ├─ Join ─▶ resolver ← prefix ─▶ Populations ─▶ population/BUCKET in the store
 *     edge  ID ─▶ client prefix  ───┘
 *
 * A resolver is an address (v6: a /64), a client its prefix and AS. One side waits ten minutes for the other. Anybody can
 * ask in another's name over UDP, so whoever reads a population gives each prefix one vote. Pure.
 */
import { formatPrefix, parsePrefix } from './ip.ts';
import { limits } from './limits.ts';
import type { Told, ToldByDns, ToldByEdge } from './seen.ts';

export interface Joined {
  readonly resolver: string;
  readonly prefix: string;
  /** The resolver sent a subnet of its own accord. */
  readonly hasSubnet: boolean;
  /** How many IDs it stands for: 1 / share of those told by both. */
  readonly weight: number;
}

interface Pending {
  readonly atMs: number;
  prefix?: string;
  resolvers: ToldByDns;
  joined: number;
  share: number;
}

export class Join {
  /** In the order in which they were first told. */
  readonly #pending = new Map<string, Pending>();

  get size(): number {
    return this.#pending.size;
  }

  /** What dns nodes told; what that makes whole. Entries of another shape are left out. */
  dns({ ids, share }: Told<unknown>, nowMs: number): Joined[] {
    return Object.entries(ids).flatMap(([id, value]) => {
      const resolvers = resolversOf(value);
      const pending = resolvers.length === 0 ? undefined : this.#of(id, share, nowMs);
      if (pending === undefined) return [];
      const known = new Set(pending.resolvers.map(([resolver]) => resolver));
      pending.resolvers = [...pending.resolvers, ...resolvers.filter(([resolver]) => !known.has(resolver))].slice(
        0,
        limits.dns.resolversOfId,
      );
      return joinedOf(pending);
    });
  }

  edge({ ids, share }: Told<unknown>, nowMs: number): Joined[] {
    return Object.entries(ids).flatMap(([id, value]) => {
      const prefix = prefixIn(value);
      const pending = prefix === undefined ? undefined : this.#of(id, share, nowMs);
      if (pending === undefined) return [];
      // Of two families the first that was seen.
      pending.prefix ??= prefix!;
      return joinedOf(pending);
    });
  }

  /** Forgets those whose other side did not come in time. */
  expire(nowMs: number): void {
    for (const [id, { atMs }] of this.#pending) {
      if (nowMs - atMs < limits.mapper.joinMs) return;
      this.#pending.delete(id);
    }
  }

  #of(id: string, share: number, nowMs: number): Pending | undefined {
    let pending = this.#pending.get(id);
    if (pending === undefined) {
      if (this.#pending.size >= limits.mapper.joinIds) return undefined;
      pending = { atMs: nowMs, resolvers: [], joined: 0, share };
      this.#pending.set(id, pending);
    }
    pending.share = Math.min(pending.share, share);
    return pending;
  }
}

/** Each resolver of an ID once. */
function joinedOf(pending: Pending): Joined[] {
  const { prefix, resolvers, share } = pending;
  if (prefix === undefined) return [];
  const fresh = resolvers.slice(pending.joined);
  pending.joined = resolvers.length;
  return fresh.map(([resolver, subnet]) => ({ resolver, prefix, hasSubnet: subnet !== undefined, weight: 1 / share }));
}

function resolversOf(value: unknown): ToldByDns {
  if (!Array.isArray(value)) return [];
  return value.flatMap((one: unknown): ToldByDns => {
    if (!Array.isArray(one)) return [];
    const [resolver, subnet]: unknown[] = one;
    if (typeof resolver !== 'string' || parsePrefix(resolver) === undefined) return [];
    return typeof subnet === 'string' ? [[resolver, subnet]] : [[resolver]];
  });
}

function prefixIn(value: unknown): string | undefined {
  const prefix: unknown = Array.isArray(value) ? (value as unknown as ToldByEdge)[0] : undefined;
  const parsed = typeof prefix === 'string' ? parsePrefix(prefix) : undefined;
  return parsed !== undefined && parsed.length === (parsed.family === 4 ? 24 : 48) ? formatPrefix(parsed) : undefined;
}

/** A client prefix, its AS (0: not known), how often it was joined (halved every day), and when last. */
export type ClientOf = readonly [prefix: string, asn: number, n: number, lastMs: number];

export interface PopulationOf {
  /** Joins of late, all prefixes together, those left out below too. */
  readonly n: number;
  /** Of those, with a subnet: there steering goes by that. */
  readonly subnetN: number;
  readonly lastMs: number;
  /** Those joined most. */
  readonly clients: readonly ClientOf[];
}

/** Value of a live key `population/BUCKET`. */
export type PopulationBucket = Readonly<Record<string, PopulationOf>>;

export const populationKey = 'population/';
export const populationBuckets = 64;
const halfLifeMs = 86_400_000;

interface Held {
  n: number;
  subnetN: number;
  lastMs: number;
  readonly clients: Map<string, { asn: number; n: number; lastMs: number }>;
}

/** Numbers are as of `lastMs` of each. */
export class Populations {
  readonly #held = new Map<string, Held>();
  readonly #changed = new Set<number>();

  get resolvers(): number {
    return this.#held.size;
  }

  add({ resolver, prefix, hasSubnet, weight }: Joined, asn: number, nowMs: number): void {
    const held = this.#of(resolver);
    const fading = faded(held.lastMs, nowMs);
    held.n = held.n * fading + weight;
    held.subnetN = held.subnetN * fading + (hasSubnet ? weight : 0);
    held.lastMs = nowMs;
    const client = held.clients.get(prefix) ?? { asn, n: 0, lastMs: nowMs };
    held.clients.set(prefix, { asn, n: client.n * faded(client.lastMs, nowMs) + weight, lastMs: nowMs });
    if (held.clients.size > limits.mapper.clientsOfResolver) dropLeast(held.clients, prefix, nowMs);
    this.#changed.add(bucketOf(resolver));
  }

  of(resolver: string): PopulationOf | undefined {
    const held = this.#held.get(resolver);
    return held === undefined ? undefined : toldOf(held);
  }

  /** Buckets that changed since this was last asked. */
  takeChanged(): Map<number, PopulationBucket> {
    const taken = new Map<number, Record<string, PopulationOf>>();
    for (const bucket of this.#changed) taken.set(bucket, {});
    this.#changed.clear();
    if (taken.size === 0) return taken;
    for (const [resolver, held] of this.#held) {
      const bucket = taken.get(bucketOf(resolver));
      if (bucket !== undefined) bucket[resolver] = toldOf(held);
    }
    return taken;
  }

  /** Says again that a bucket changed: it could not be written. */
  changed(bucket: number): void {
    this.#changed.add(bucket);
  }

  /** Takes over what the store has; what is no population is left out. */
  load(value: unknown): void {
    if (typeof value !== 'object' || value === null) return;
    for (const [resolver, one] of Object.entries(value as PopulationBucket)) {
      if (this.#held.size >= limits.mapper.resolvers) return;
      if (!isPopulation(one) || parsePrefix(resolver) === undefined) continue;
      const { n, subnetN, lastMs } = one;
      const clients = one.clients.map(([prefix, asn, count, at]) => [prefix, { asn, n: count, lastMs: at }] as const);
      this.#held.set(resolver, { n, subnetN, lastMs, clients: new Map(clients) });
    }
  }

  #of(resolver: string): Held {
    const held = this.#held.get(resolver) ?? { n: 0, subnetN: 0, lastMs: 0, clients: new Map() };
    // The one that was heard of least lately is first in the map, and goes first.
    this.#held.delete(resolver);
    this.#held.set(resolver, held);
    if (this.#held.size <= limits.mapper.resolvers) return held;
    const oldest = this.#held.keys().next().value!;
    this.#held.delete(oldest);
    this.#changed.add(bucketOf(oldest));
    return held;
  }
}

function toldOf({ n, subnetN, lastMs, clients }: Held): PopulationOf {
  const sorted = [...clients].sort(([a, x], [b, y]) => y.n - x.n || (a < b ? -1 : 1));
  return {
    n: rounded(n),
    subnetN: rounded(subnetN),
    lastMs,
    clients: sorted.map(([prefix, client]): ClientOf => [prefix, client.asn, rounded(client.n), client.lastMs]),
  };
}

function dropLeast(clients: Held['clients'], except: string, nowMs: number): void {
  let least = '';
  let leastN = Number.POSITIVE_INFINITY;
  for (const [prefix, { n, lastMs }] of clients) {
    const now = n * faded(lastMs, nowMs);
    if (prefix !== except && now < leastN) [least, leastN] = [prefix, now];
  }
  clients.delete(least);
}

function faded(sinceMs: number, nowMs: number): number {
  return 2 ** (-Math.max(0, nowMs - sinceMs) / halfLifeMs);
}

function rounded(n: number): number {
  return Math.round(1_000 * n) / 1_000;
}

function isPopulation(value: unknown): value is PopulationOf {
  if (typeof value !== 'object' || value === null) return false;
  const { n, subnetN, lastMs, clients } = value as Partial<PopulationOf>;
  const numbers = [n, subnetN, lastMs].every((one) => typeof one === 'number');
  return numbers && Array.isArray(clients) && clients.every((one) => Array.isArray(one) && one.length === 4);
}

/** FNV-1a. */
function bucketOf(resolver: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < resolver.length; i++) hash = Math.imul(hash ^ resolver.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % populationBuckets;
}
