/**
 * Room: what share of its cells a PoP keeps, moved by feedback from its load. Cells go by hash of their
 * unit, so a share that falls lets go of some and moves no other, and one that rises takes back those that went last.
 *
 *     load   0 ─────────────── soft ───────────── hard
 *     share    back to 1, a step      towards hard     share · hard / load, a step at most
 *              at a time              from below
 *
 * Pure; time comes in as a number.
 */
import type { DesiredRoom } from '../desired.ts';
import { limits } from '../limits.ts';
import { wholeShare } from '../live.ts';

export const defaultRoom: DesiredRoom = { soft: 0.8, hard: 0.95 };

/**
 * A share rises only when more than this much of the capacity is free under the hard limit: units are not equally heavy,
 * and caches let the load follow late, so that one at the edge would come and go for ever (loadtest/dns/room.ts).
 */
const slack = 0.05;
/** The share is moved to this much under the hard limit: shares have the grain of units, and would end just above it. */
const grain = 0.01;
/** Readings of load older than this are of another share. */
const readingMs = 10_000;

/** The next share. `load` is of capacity. */
export function nextShare(share: number, load: number, { soft, hard }: DesiredRoom): number {
  if (load > hard - slack && load <= hard) return share;
  const wanted = load < soft ? 1 : (share * (hard - grain)) / load;
  const { shareStep } = limits.dns;
  return Math.min(1, Math.max(0, share - shareStep, Math.min(share + shareStep, wanted)));
}

interface Kept {
  share: number;
  readings: { atMs: number; load: number }[];
}

/** The shares of all PoPs, by id. Steps at whole multiples of the feedback time, so that nodes step together. */
export class RoomShares {
  readonly #pops = new Map<string, Kept>();
  #steppedAt: number | undefined;

  /** What was known before a restart, or of other nodes. */
  adopt(shares: Readonly<Record<string, unknown>>): void {
    for (const [pop, share] of Object.entries(shares)) {
      if (typeof share === 'number' && share >= 0 && share <= 1) this.#of(pop).share = share;
    }
  }

  /** Takes in what a PoP says of its load; the same reading twice counts once. */
  observe(pop: string, load: number, atMs: number): void {
    const { readings } = this.#of(pop);
    if (readings.some((one) => one.atMs === atMs)) return;
    readings.push({ atMs, load });
  }

  /** True when the shares have moved on. A PoP that has not told its load lately keeps its share. */
  step(nowMs: number, room: DesiredRoom): boolean {
    const turn = Math.floor(nowMs / limits.dns.feedbackMs);
    const before = this.#steppedAt;
    this.#steppedAt = turn;
    for (const kept of this.#pops.values()) {
      kept.readings = kept.readings.filter(({ atMs }) => atMs > nowMs - readingMs);
      if (before === undefined || turn <= before) continue;
      const load = meanLoad(kept);
      if (load !== undefined) kept.share = nextShare(kept.share, load, room);
    }
    return before !== undefined && turn > before;
  }

  leftMs(nowMs: number): number {
    return limits.dns.feedbackMs - (nowMs % limits.dns.feedbackMs);
  }

  share(pop: string): number {
    return this.#pops.get(pop)?.share ?? 1;
  }

  /** As live state has it. */
  words(pop: string, room: DesiredRoom): { readonly shed: number; readonly band: number } {
    const kept = this.#pops.get(pop);
    if (kept === undefined) return { shed: 0, band: 0 };
    const moves = kept.share < 1 || (meanLoad(kept) ?? 0) >= room.soft;
    return {
      shed: wholeShare - Math.floor(kept.share * wholeShare),
      band: moves ? Math.ceil(limits.dns.shareStep * wholeShare) : 0,
    };
  }

  shares(): Record<string, number> {
    return Object.fromEntries([...this.#pops].map(([pop, { share }]) => [pop, share]));
  }

  #of(pop: string): Kept {
    let kept = this.#pops.get(pop);
    if (kept === undefined) {
      kept = { share: 1, readings: [] };
      this.#pops.set(pop, kept);
    }
    return kept;
  }
}

function meanLoad({ readings }: Kept): number | undefined {
  if (readings.length === 0) return undefined;
  return readings.reduce((sum, { load }) => sum + load, 0) / readings.length;
}
