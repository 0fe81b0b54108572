/**
 * Beacons that were not taken, and why: counted by reason, and by prefix for those that have been refused most, in so
 * many entries as there is room for. What is kept of a client is its prefix.
 */
import { type ErrorCode, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Refused, RefusedPrefix } from '@ufes/core/quarantine.ts';
import { type RefusalReason, refusalReasons } from '@ufes/core/quarantine-words.ts';

const codes: Record<RefusalReason, ErrorCode> = {
  forged: 'TOKEN_INVALID',
  expired: 'TOKEN_INVALID',
  'foreign-prefix': 'TOKEN_INVALID',
  'over-address-cap': 'TOO_MANY',
  'over-prefix-cap': 'TOO_MANY',
  'agent-unknown': 'TOKEN_INVALID',
  'agent-signature': 'TOKEN_INVALID',
  'agent-elsewhere': 'TOKEN_INVALID',
  'over-agent-cap': 'TOO_MANY',
};

/** An operating error with the reason that it is counted under. */
export class Refusal extends OperatingError {
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super(codes[reason], message);
    this.reason = reason;
  }
}

interface Entry {
  readonly prefix: string;
  readonly reason: RefusalReason;
  readonly source: string;
  count: number;
  readonly firstAtMs: number;
  lastAtMs: number;
}

const hourMs = 3_600_000;

export class RefusalBook {
  readonly #sinceMs: number;
  readonly #totals = new Map<RefusalReason, number>(refusalReasons.map((reason) => [reason, 0]));
  /** By clock hour, the last 24. */
  readonly #hours = new Map<number, Map<RefusalReason, number>>();
  readonly #entries = new Map<string, Entry>();

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  note(reason: RefusalReason, prefix: string, source: string, nowMs: number): void {
    this.#totals.set(reason, (this.#totals.get(reason) ?? 0) + 1);
    const hour = Math.floor(nowMs / hourMs);
    let counts = this.#hours.get(hour);
    if (counts === undefined) {
      counts = new Map();
      this.#hours.set(hour, counts);
      for (const old of [...this.#hours.keys()]) if (old <= hour - 24) this.#hours.delete(old);
    }
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
    const key = `${prefix} ${reason} ${source}`;
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.count++;
      known.lastAtMs = nowMs;
      return;
    }
    if (this.#entries.size >= limits.probe.refusedPrefixes) this.#forget();
    this.#entries.set(key, { prefix, reason, source, count: 1, firstAtMs: nowMs, lastAtMs: nowMs });
  }

  /** A quarter of the entries goes, those with least: what is seen often stays, whatever else is made up. */
  #forget(): void {
    const sorted = [...this.#entries].sort(([, a], [, b]) => a.count - b.count || a.lastAtMs - b.lastAtMs);
    for (const [key] of sorted.slice(0, limits.probe.refusedPrefixes >> 2)) this.#entries.delete(key);
  }

  report(nowMs: number, most: number): Refused {
    const from = Math.floor(nowMs / hourMs) - 23;
    const reasons = refusalReasons.map((reason) => {
      let day = 0;
      for (const [hour, counts] of this.#hours) if (hour >= from) day += counts.get(reason) ?? 0;
      return { reason, total: this.#totals.get(reason) ?? 0, day };
    });
    const prefixes = [...this.#entries.values()]
      .sort((a, b) => b.count - a.count || b.lastAtMs - a.lastAtMs)
      .slice(0, most)
      .map((entry): RefusedPrefix => ({ ...entry }));
    return { sinceMs: this.#sinceMs, reasons, prefixes };
  }
}
