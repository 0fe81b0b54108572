/**
 * Staging: how much of what wants to move may go now. In any window no more than a budget goes; what is larger than the
 * budget alone goes alone, when nothing else went in its window, so that the smallest possible move is never stalled.
 * What is too large and has waited for a window is made room for: until the window is empty nothing else goes.
 *
 *     window   ├──────── 10 min ────────┤
 *     budget   ▓▓▓░░░░░ 5% ░░░░░░░        ▓ went already, ░ may go now
 *
 * Pure; time comes in as a number.
 */

/** Shares are sums of many. */
const rounding = 1e-9;

export interface Budget {
  readonly windowMs: number;
  /** Share of demand, 0 to 1. */
  readonly share: number;
  /** So many units go in a window whatever their share; 0: the share alone counts. */
  readonly units: number;
}

/** What may go. `fits`: there is room where it goes to; asked in order, so that it may count on what went before. */
export interface Candidate {
  readonly share: number;
  fits(): boolean;
}

export class Stage {
  readonly #budget: Budget;
  #went: { readonly atMs: number; readonly share: number; readonly units: number }[] = [];
  #largeSinceMs: number | undefined;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** What went before a restart. */
  adopt(atMs: number, share: number, units: number): void {
    if (share > 0) this.#went.push({ atMs, share, units });
  }

  spent(nowMs: number): number {
    this.#forget(nowMs);
    return this.#went.reduce((sum, { share }) => sum + share, 0);
  }

  /** Those that go now, of candidates in the order of their urgency. */
  admit<T extends Candidate>(candidates: readonly T[], nowMs: number): T[] {
    const { share: budget, units } = this.#budget;
    const isLarge = ({ share }: T) => share > budget + rounding;
    let left = budget - this.spent(nowMs);
    let unitsLeft = units - this.#went.reduce((sum, one) => sum + one.units, 0);
    const isEmpty = this.#went.length === 0;
    if (!candidates.some(isLarge)) this.#largeSinceMs = undefined;
    else this.#largeSinceMs ??= nowMs;
    const isReserved = this.#largeSinceMs !== undefined && nowMs - this.#largeSinceMs >= this.#budget.windowMs;
    if (isReserved && !isEmpty) return [];
    const gone: T[] = [];
    if (!isReserved) {
      for (const one of candidates) {
        if (one.share > left + rounding && unitsLeft <= 0) continue;
        if (!one.fits()) continue;
        gone.push(one);
        left -= one.share;
        unitsLeft--;
      }
    }
    if (gone.length === 0 && isEmpty) {
      const smallest = candidates
        .filter((one) => !isReserved || isLarge(one))
        .toSorted((a, b) => a.share - b.share)
        .find((one) => one.fits());
      if (smallest !== undefined) gone.push(smallest);
    }
    if (gone.some(isLarge)) this.#largeSinceMs = undefined;
    if (gone.length > 0) {
      this.#went.push({ atMs: nowMs, share: gone.reduce((sum, { share }) => sum + share, 0), units: gone.length });
    }
    return gone;
  }

  #forget(nowMs: number): void {
    this.#went = this.#went.filter(({ atMs }) => atMs > nowMs - this.#budget.windowMs);
  }
}
