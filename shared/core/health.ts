/**
 * One check of one target by one vantage: hysteresis from results to a state. Pure. What the vantages then make of their
 * states together is votes.ts.
 *
 * `failures` failed results take it down, `successes` in a row bring it up, `forgive` in a row wipe out failures that
 * did not suffice. The first result sets the state. A check has *full credit* when its last `forgive` results all
 * confirmed its state; else `holdMs` says how soon the state could flip.
 *
 *             failures-th failure since the last forgiveness
 *          up ───────────────────────────────────────────────▶ down
 *             ◀───────────────────────────────────────────────
 *                       successes-th success in a row
 */
import { limits } from './limits.ts';

/** Host and SNI under which every edge answers /readyz on every VIP. */
export const healthHost = 'health.ufes.internal';

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
