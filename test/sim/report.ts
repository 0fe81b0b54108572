/** The arithmetic of a report: regret against the best PoP, shares, bootstrap intervals over cities; tables as text. */
import type { Rng } from '@ufes/core/ports.ts';

/** One user under one policy, as the judge knows it. Milliseconds over the oracle. */
export interface Outcome {
  /** Cluster of the bootstrap: draw and city. */
  readonly cluster: string;
  readonly regretMs: number;
  /** Of the nearest PoP, the same user. */
  readonly geoMs: number;
}

export interface Summary {
  readonly users: number;
  readonly meanMs: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly over10: number;
  readonly over25: number;
  readonly over100: number;
  /** Share of users that would be better off by more than 5 ms at the nearest PoP. */
  readonly harmed: number;
}

export const harmMs = 5;

export function summarise(outcomes: readonly Outcome[]): Summary {
  const sorted = Float64Array.from(outcomes, ({ regretMs }) => regretMs).sort();
  const share = (test: (outcome: Outcome) => boolean) => outcomes.filter(test).length / Math.max(1, outcomes.length);
  return {
    users: outcomes.length,
    meanMs: mean(sorted),
    p95Ms: quantile(sorted, 0.95),
    p99Ms: quantile(sorted, 0.99),
    over10: share(({ regretMs }) => regretMs > 10),
    over25: share(({ regretMs }) => regretMs > 25),
    over100: share(({ regretMs }) => regretMs > 100),
    harmed: share(({ regretMs, geoMs }) => regretMs > geoMs + harmMs),
  };
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return values.length === 0 ? Number.NaN : sum / values.length;
}

/** Of sorted values: the smallest that at least `share` of them do not exceed. NaN of none. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted.length === 0 ? Number.NaN : sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Mean of paired differences (b − a, the same user under two policies) with its 95% interval: whole clusters are drawn
 * with replacement, since users of one city share their luck.
 */
export function pairedBootstrap(
  pairs: readonly { readonly cluster: string; readonly a: number; readonly b: number }[],
  rng: Rng,
  rounds = 2_000,
): Interval {
  const sums = new Map<string, { sum: number; count: number }>();
  for (const { cluster, a, b } of pairs) {
    const own = sums.get(cluster) ?? { sum: 0, count: 0 };
    sums.set(cluster, { sum: own.sum + b - a, count: own.count + 1 });
  }
  const clusters = [...sums.values()];
  const total = (drawn: readonly { sum: number; count: number }[]) => {
    let [sum, count] = [0, 0];
    for (const one of drawn) [sum, count] = [sum + one.sum, count + one.count];
    return sum / count;
  };
  const means = Float64Array.from({ length: rounds }, () =>
    total(clusters.map(() => clusters[Math.floor(rng.next() * clusters.length)]!)),
  ).sort();
  return { mean: total(clusters), low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

export type Cell = string | number;

/** Columns aligned; numbers to the right, rounded to what is worth reading. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const texts = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? round(cell) : cell)));
  const widths = head.map((title, i) => Math.max(title.length, ...texts.map((row) => row[i]!.length)));
  const line = (cells: readonly string[], row?: readonly Cell[]) =>
    cells
      .map((cell, i) =>
        row !== undefined && typeof row[i] === 'number' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!),
      )
      .join('  ')
      .trimEnd();
  const headless = head.every((title) => title === '');
  return [...(headless ? [] : [line(head)]), ...texts.map((row, i) => line(row, rows[i]))].join('\n');
}

function round(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function percent(share: number): string {
  return Number.isNaN(share) ? '–' : `${(100 * share).toFixed(2)}%`;
}

/** Something that the issue of the product bounds, and whether the figure keeps it. */
export interface Verdict {
  readonly what: string;
  readonly found: number;
  readonly bound: number;
  readonly kept: boolean;
}

export function atMost(what: string, found: number, bound: number): Verdict {
  return { what, found, bound, kept: found <= bound };
}

export function atLeast(what: string, found: number, bound: number): Verdict {
  return { what, found, bound, kept: found >= bound };
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ what, found, bound, kept }) => [what, found, bound, kept ? 'kept' : 'MISSED']);
  return table(['', 'found', 'bound', ''], rows);
}
