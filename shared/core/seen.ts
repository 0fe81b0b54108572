/**
 * What dns and edges saw of probe names, as it is told for the join of resolvers and their clients.
 *
 *     seen/dns/NODE    ID ─▶ resolvers that asked, with the subnet they sent
 *     seen/edge/POP    ID ─▶ client prefix, handshake            ╲ same ID: this client uses that resolver
 *
 * Live keys, written anew every few seconds. Of more IDs than are told at a time it is those with the lowest hashes, so
 * that both sides tell of the same ones; `share` is how many of all those are. No address of a client is among it.
 */
import { limits } from './limits.ts';

export interface Told<T> {
  readonly atMs: number;
  /** Of all IDs that were seen, those whose hash is below this share of all hashes. */
  readonly share: number;
  readonly ids: Readonly<Record<string, T>>;
}

/** Resolver address (v6: its /64), then the subnet it sent, or nothing. */
export type ToldByDns = readonly (readonly [resolver: string, subnet?: string])[];
/** Client /24 or /48, then the round trip of its handshake, milliseconds, when it was a full one. */
export type ToldByEdge = readonly [prefix: string, rttMs?: number];

export const seenKey = { dns: 'seen/dns/', edge: 'seen/edge/' } as const;

/** What was seen since the last take; of more IDs than `most` half of them, again and again. */
export class SeenIds<T> {
  readonly #most: number;
  #share = 1;
  #ids = new Map<string, T>();

  constructor(most: number = limits.edge.idsTold) {
    this.#most = most;
  }

  get ids(): ReadonlyMap<string, T> {
    return this.#ids;
  }

  /** `merge`: of what an ID has already, if any; undefined leaves it. */
  add(id: string, merge: (before: T | undefined) => T | undefined): void {
    if (this.#share < 1 && hashOf(id) >= this.#share) return;
    const value = merge(this.#ids.get(id));
    if (value === undefined) return;
    this.#ids.set(id, value);
    while (this.#ids.size > this.#most) {
      this.#share /= 2;
      for (const one of this.#ids.keys()) if (hashOf(one) >= this.#share) this.#ids.delete(one);
    }
  }

  take(atMs: number): Told<T> {
    const taken = { atMs, share: this.#share, ids: Object.fromEntries(this.#ids) };
    this.#share = 1;
    this.#ids = new Map();
    return taken;
  }
}

/** FNV-1a, as a number in [0, 1). */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  // Its high bits alone depend little on the last characters.
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** What a live key holds, or undefined: it is none of ours. Entries are left to whoever reads them. */
export function readTold(value: unknown): Told<unknown> | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { atMs, share, ids } = value as Partial<Told<unknown>>;
  if (typeof atMs !== 'number' || typeof share !== 'number' || !(share > 0 && share <= 1)) return undefined;
  if (typeof ids !== 'object' || ids === null || Object.keys(ids).length > limits.edge.idsTold) return undefined;
  return { atMs, share, ids };
}
