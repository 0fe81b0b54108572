/**
 * Health: from single check results to what a node believes about a target. Pure; two layers.
 *
 * Check (hysteresis, one per vantage and target). `failures` failed results take it down, `successes` in a row bring it
 * up, `forgive` in a row wipe out failures that did not suffice. The first result sets the state. A check has *full
 * credit* when its last `forgive` results all confirmed its state; else `holdMs` says how soon the state could flip.
 *
 *             failures-th failure since the last forgiveness
 *          up ───────────────────────────────────────────────▶ down
 *             ◀───────────────────────────────────────────────
 *                       successes-th success in a row
 *
 * Votes (one verdict per target). Every vantage reports the state of its checks; see `tally` for how they count.
 */
import { limits } from './limits.ts';

export type HealthState = 'unknown' | 'up' | 'down';

export interface CheckSettings {
  /** Between the starts of two checks. */
  readonly intervalMs: number;
  /** Failures to down. They need not be in a row: a target that answers every other time is not well. */
  readonly failures: number;
  /** Successes in a row to up. */
  readonly successes: number;
  /** Successes in a row after which earlier failures no longer count; also what it takes to be settled after a flip. */
  readonly forgive: number;
}

/** Settings of `probes.health` in the configuration, or the defaults. Forgiving takes as many results as condemning. */
export function checkSettings(
  health: { intervalMs: number; failures: number; successes: number } = limits.health,
): CheckSettings {
  const { intervalMs, failures, successes } = health;
  return { intervalMs, failures, successes, forgive: failures };
}

export interface Check {
  readonly settings: CheckSettings;
  state: HealthState;
  /** Wall clock of the last flip (or first result); 0 before. */
  sinceMs: number;
  /** Wall clock of the last result; 0 before. */
  atMs: number;
  /** Failures not yet forgiven; valid while up. */
  failed: number;
  /** Successes in a row; valid while down. */
  succeeded: number;
  /** Results in a row that confirmed the state, counted up to `forgive`. */
  confirmed: number;
}

export function createCheck(settings: CheckSettings): Check {
  return { settings, state: 'unknown', sinceMs: 0, atMs: 0, failed: 0, succeeded: 0, confirmed: 0 };
}

/** Takes in one result. True when the state changed. */
export function observe(check: Check, ok: boolean, nowMs: number): boolean {
  check.atMs = nowMs;
  if (check.state === 'unknown') return flip(check, ok ? 'up' : 'down', nowMs);
  const confirms = ok === (check.state === 'up');
  check.confirmed = confirms ? Math.min(check.confirmed + 1, check.settings.forgive) : 0;
  if (check.state === 'up') {
    if (!ok) check.failed++;
    else if (check.confirmed >= check.settings.forgive) check.failed = 0;
    return check.failed >= check.settings.failures && flip(check, 'down', nowMs);
  }
  check.succeeded = ok ? check.succeeded + 1 : 0;
  return check.succeeded >= check.settings.successes && flip(check, 'up', nowMs);
}

function flip(check: Check, state: HealthState, nowMs: number): true {
  check.state = state;
  check.sinceMs = nowMs;
  check.failed = 0;
  check.succeeded = 0;
  check.confirmed = 1;
  return true;
}

/** Every one of the last `forgive` results confirmed the state: no flip in sight. */
export function fullCredit(check: Check): boolean {
  return check.state !== 'unknown' && check.confirmed >= check.settings.forgive;
}

/**
 * How long the state is sure to stay, counted from the last result: interval × results until it could flip.
 * 0 with full credit (then no flip is in sight); one interval while unknown.
 */
export function holdMs(check: Check): number {
  if (fullCredit(check)) return 0;
  const { intervalMs, failures, successes } = check.settings;
  if (check.state === 'unknown') return intervalMs;
  return intervalMs * (check.state === 'up' ? failures - check.failed : successes - check.succeeded);
}

/** What one vantage says of one target. */
export interface Vote {
  readonly vantage: string;
  readonly target: string;
  readonly state: 'up' | 'down';
  /** As `holdMs` of its check, counted from `atMs`. */
  readonly holdMs: number;
  /** Wall clock of the result behind it. */
  readonly atMs: number;
}

export interface Verdict {
  readonly state: HealthState;
  /** The state can flip after this long at the earliest; 0: no flip in sight. */
  readonly holdMs: number;
  /** Wall clock since when `state` holds. */
  readonly sinceMs: number;
}

/** A vote older than this no longer counts. */
export function voteExpiryMs(intervalMs: number): number {
  return intervalMs * limits.health.voteIntervals;
}

/**
 * Verdicts on every target that has a vote or a last verdict.
 *
 * - `votes`: of all vantages, e.g. from the live store; `own`: this node's own checks, which replace what `votes` has of
 *   the same vantage. Of a vantage and target the newest counts. Votes older than three intervals do not count; once
 *   those of the others have expired, own checks decide alone.
 * - A vantage that sees more than half of its targets down *suspects itself* and abstains. Among the rest a target is
 *   down on a majority (a tie is up: taking a PoP out of answers is what needs the evidence).
 * - When every live vantage suspects itself: two or more are believed (everything really is down), by the same majority.
 *   A lone one keeps the last verdict. That holds for a lone node with a single target too: it cannot tell a dead PoP
 *   from its own cut cable, and there is no other PoP that answers could move to. With two targets of which one is down
 *   it does not suspect itself, so real deaths leave the answers of a node that is cut off from all others.
 * - No live vote on a target: the last verdict stays, with the shortest promise.
 *
 * holdMs is the shortest remaining promise of the votes that counted.
 */
export function tally(
  votes: readonly Vote[],
  own: readonly Vote[],
  last: ReadonlyMap<string, Verdict>,
  intervalMs: number,
  nowMs: number,
): Map<string, Verdict> {
  const vantages = byVantage(votes, own, voteExpiryMs(intervalMs), nowMs);
  const targets = new Set(last.keys());
  for (const of of vantages.values()) for (const target of of.keys()) targets.add(target);

  const all = [...vantages.values()];
  const trusted = all.filter((of) => !suspectsItself(of));
  const counted = trusted.length > 0 ? trusted : all.length >= 2 ? all : [];

  const verdicts = new Map<string, Verdict>();
  for (const target of targets) {
    const before = last.get(target) ?? { state: 'unknown', holdMs: intervalMs, sinceMs: nowMs };
    const ballots = counted.flatMap((of) => of.get(target) ?? []);
    const state = ballots.length === 0 ? before.state : majority(ballots);
    verdicts.set(target, {
      state,
      holdMs: ballots.length === 0 ? intervalMs : remainingMs(ballots, nowMs),
      sinceMs: state === before.state ? before.sinceMs : nowMs,
    });
  }
  return verdicts;
}

type Ballots = Map<string, Vote>;

/** Live votes: vantage → target → newest vote. */
function byVantage(
  votes: readonly Vote[],
  own: readonly Vote[],
  expiryMs: number,
  nowMs: number,
): Map<string, Ballots> {
  const ownVantages = new Set(own.map((vote) => vote.vantage));
  const vantages = new Map<string, Ballots>();
  const take = (vote: Vote): void => {
    if (Math.abs(nowMs - vote.atMs) > expiryMs) return;
    const ballots = vantages.get(vote.vantage) ?? new Map<string, Vote>();
    vantages.set(vote.vantage, ballots);
    const known = ballots.get(vote.target);
    if (known === undefined || known.atMs < vote.atMs) ballots.set(vote.target, vote);
  };
  for (const vote of votes) if (!ownVantages.has(vote.vantage)) take(vote);
  for (const vote of own) take(vote);
  return vantages;
}

/** More than half of its targets are down. */
function suspectsItself(ballots: Ballots): boolean {
  let down = 0;
  for (const vote of ballots.values()) if (vote.state === 'down') down++;
  return down * 2 > ballots.size;
}

function majority(ballots: readonly Vote[]): 'up' | 'down' {
  const down = ballots.filter((vote) => vote.state === 'down').length;
  return down * 2 > ballots.length ? 'down' : 'up';
}

/** Shortest of what is left of the promises; at least 1 when there is one, because 0 means "no flip in sight". */
function remainingMs(ballots: readonly Vote[], nowMs: number): number {
  let least = 0;
  for (const vote of ballots) {
    if (vote.holdMs <= 0) continue;
    const left = Math.max(1, vote.holdMs - Math.max(0, nowMs - vote.atMs));
    least = least === 0 ? left : Math.min(least, left);
  }
  return least;
}
