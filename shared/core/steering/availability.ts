/**
 * PoPs that a network does not reach: of its cells that tried in the last 5 minutes, one vote each, less than 95% did.
 *
 *     beacon   warm-up failed  ─▶ a try that failed     edge   handshake ─▶ a try, or one that failed
 *
 * It takes 20 cells at which a try failed, all networks together, and two of the network's: seen by edges, or by clients
 * while a check of the PoP fails too. What nobody reaches is a PoP that is down, which is found elsewhere (votes.ts); this
 * is for the way of some. Pure: time comes in as a number.
 */
import type { Family } from '../ip.ts';
import { limits } from '../limits.ts';
import type { Cells } from './cells.ts';
import { guarding } from './guards.ts';

export const reaching = {
  windowMs: 5 * 60_000,
  /** Least share of tries that succeed. */
  share: 0.95,
  /** Said once, it holds so long: who left does not come back with the next build. */
  holdMs: 10 * 60_000,
};

interface Tries {
  ok: number;
  failed: number;
  failedAtEdge: number;
}

/** Newest tries of one PoP, in a ring. Of a busy one the window is shorter. */
class Recent {
  readonly #cell = new Uint32Array(2 * limits.mapper.recentTries);
  readonly #flags = new Uint8Array(limits.mapper.recentTries);
  readonly #atMs = new Float64Array(limits.mapper.recentTries);
  #count = 0;
  failedAtMs = Number.NEGATIVE_INFINITY;

  add(family: Family, hi: number, lo: number, ok: boolean, byEdge: boolean, atMs: number): void {
    const at = this.#count++ % limits.mapper.recentTries;
    this.#cell[2 * at] = hi;
    this.#cell[2 * at + 1] = lo;
    this.#flags[at] = (family === 4 ? 4 : 0) + (ok ? 2 : 0) + (byEdge ? 1 : 0);
    this.#atMs[at] = atMs;
    if (!ok) this.failedAtMs = Math.max(this.failedAtMs, atMs);
  }

  /** By row of those cells that are known. */
  tries(cells: Cells, nowMs: number): Map<number, Tries> {
    const { recentTries } = limits.mapper;
    const found = new Map<number, Tries>();
    for (let i = Math.max(0, this.#count - recentTries); i < this.#count; i++) {
      const at = i % recentTries;
      if (nowMs - this.#atMs[at]! > reaching.windowMs) continue;
      const flags = this.#flags[at]!;
      const row = cells.rowOf((flags & 4) > 0 ? 4 : 6, this.#cell[2 * at]!, this.#cell[2 * at + 1]!);
      if (row < 0) continue;
      let tries = found.get(row);
      if (tries === undefined) {
        tries = { ok: 0, failed: 0, failedAtEdge: 0 };
        found.set(row, tries);
      }
      if ((flags & 2) > 0) tries.ok++;
      else tries.failed++;
      if ((flags & 3) === 1) tries.failedAtEdge++;
    }
    return found;
  }
}

export class Availability {
  /** PoP id → AS → until when it is not first for that. */
  readonly now = new Map<string, Map<number, number>>();
  /** PoPs (ids) that a check failed of when last looked. */
  doubted: ReadonlySet<string> = new Set();
  readonly #recent = new Map<string, Recent>();

  add(pop: string, family: Family, hi: number, lo: number, ok: boolean, byEdge: boolean, atMs: number): void {
    let recent = this.#recent.get(pop);
    if (recent === undefined) {
      recent = new Recent();
      this.#recent.set(pop, recent);
    }
    recent.add(family, hi, lo, ok, byEdge, atMs);
  }

  /** Looks at all PoPs again; `doubted`: those (ids) that a check of fails. */
  step(
    cells: Cells,
    asnOf: (row: number) => number,
    pops: readonly string[],
    doubted: ReadonlySet<string>,
    nowMs: number,
  ): void {
    this.doubted = doubted;
    for (const [id, until] of this.now) {
      for (const [asn, untilMs] of until) if (untilMs <= nowMs || !pops.includes(id)) until.delete(asn);
      if (until.size === 0) this.now.delete(id);
    }
    for (const id of pops) {
      const recent = this.#recent.get(id);
      // Mostly nothing failed: then there is nothing to count.
      if (recent === undefined || nowMs - recent.failedAtMs > reaching.windowMs) continue;
      for (const asn of unreached(recent.tries(cells, nowMs), asnOf, doubted.has(id))) {
        const until = this.now.get(id) ?? new Map<number, number>();
        until.set(asn, nowMs + reaching.holdMs);
        this.now.set(id, until);
      }
    }
  }
}

/** ASes that do not reach it. */
function unreached(tries: ReadonlyMap<number, Tries>, asnOf: (row: number) => number, isDoubted: boolean): number[] {
  const networks = new Map<number, { cells: number; shares: number; votes: number }>();
  let votes = 0;
  for (const [row, { ok, failed, failedAtEdge }] of tries) {
    const asn = asnOf(row);
    if (asn === 0) continue;
    const network = networks.get(asn) ?? { cells: 0, shares: 0, votes: 0 };
    networks.set(asn, network);
    network.cells++;
    network.shares += ok / (ok + failed);
    if (failedAtEdge === 0 && !(isDoubted && failed > 0)) continue;
    network.votes++;
    votes++;
  }
  if (votes < guarding.sources) return [];
  return [...networks].flatMap(([asn, network]) =>
    network.votes > guarding.sameAsn && network.shares / network.cells < reaching.share ? [asn] : [],
  );
}
