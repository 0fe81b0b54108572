/**
 * Health checks on a set of targets at a fixed rate: the next check of a target starts one interval after the *start* of
 * the one before, and never while that one is under way. What follows from a result is core/health.ts.
 *
 *     ──┬── check ──┬───── rest ─────┬── check ──┬── …
 *       │◀──────── intervalMs ──────▶│
 *
 * Many targets are spread over the interval: their first checks start close together, because a node that starts wants to
 * know, and each has a phase of its own from its second check on.
 */
import { type Check, type CheckSettings, createCheck, type HealthState, holdMs, observe } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, Log } from '@ufes/core/ports.ts';
import { attempt as attemptNow, release } from './attempt.ts';
import type { CheckTarget } from './check-target.ts';

export interface CheckResult {
  readonly target: string;
  readonly state: HealthState;
  /** As core/health.ts, counted from `atMs`. */
  readonly holdMs: number;
  /** Wall clock since when `state` holds; 0 while unknown. */
  readonly sinceMs: number;
  /** Wall clock of the last result; 0 before the first. */
  readonly atMs: number;
  /** How long the last check took, milliseconds. */
  readonly tookMs: number;
  /** Why the last check failed. */
  readonly error?: string;
}

export interface CheckerOptions {
  readonly targets?: readonly CheckTarget[];
  readonly settings: CheckSettings;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** After each result; `changed` when the state flipped. */
  readonly onResult?: (result: CheckResult, changed: boolean) => void;
  readonly attempt?: typeof attemptNow;
}

export interface Checker extends Component {
  /** Checks these and no others. A target whose description is unchanged keeps its state. */
  setTargets(targets: readonly CheckTarget[]): void;
  /** By target id. */
  results(): ReadonlyMap<string, CheckResult>;
}

/** Its multiples are spread evenly over 0 to 1 however many there are. */
const goldenRatio = 0.618_033_988_749_895;

interface Running {
  readonly target: CheckTarget;
  readonly check: Check;
  /** From its first check to its second; then they are an interval apart. */
  phaseMs: number;
  result: CheckResult;
  /** Monotonic time at which the check under way, or the next, is or was due. */
  dueMs: number;
  /** Ends the timer or the check under way. */
  cancel: () => void;
  stopped: boolean;
}

export function createChecker(options: CheckerOptions): Checker {
  const { settings, clock, attempt = attemptNow } = options;
  // A check ends a little before the next is due, or a target that times out would slip behind its schedule.
  const timeoutMs = Math.min(options.timeoutMs, settings.intervalMs - 10);
  const running = new Map<string, Running>();
  let wanted = options.targets ?? [];
  let started = false;
  let begun = 0;

  function run(one: Running): void {
    const { done, cancel } = attempt(one.target, timeoutMs, clock);
    one.cancel = cancel;
    void done.then((outcome) => {
      if (one.stopped) return;
      if (outcome !== 'void') record(one, outcome.ms, outcome.ok ? undefined : outcome.error);
      schedule(one);
    });
  }

  function schedule(one: Running): void {
    const nowMs = clock.monotonicMs();
    one.dueMs += one.phaseMs;
    one.phaseMs = settings.intervalMs;
    // After a stand-still of this process the missed checks are not made up for.
    if (one.dueMs < nowMs) one.dueMs = nowMs;
    one.cancel = clock.after(one.dueMs - nowMs, () => run(one));
  }

  function record(one: Running, tookMs: number, error: string | undefined): void {
    const { check, target } = one;
    const changed = observe(check, error === undefined, clock.nowMs());
    const { state, sinceMs, atMs } = check;
    const isFirst = one.result.state === 'unknown';
    one.result = {
      target: target.id,
      state,
      holdMs: holdMs(check),
      sinceMs,
      atMs,
      tookMs,
      ...(error === undefined ? {} : { error }),
    };
    if (changed) {
      const where = `${target.address}:${target.port}`;
      // What is down when first looked at is starting, as a rule; what goes down is news.
      if (state === 'down') options.log[isFirst ? 'info' : 'warn']({ target: target.id, where, error }, 'health: down');
      else options.log.info({ target: target.id, where }, 'health: up');
    }
    options.onResult?.(one.result, changed);
  }

  /** `delayMs`: until its first check. */
  function begin(target: CheckTarget, delayMs: number): void {
    const one: Running = {
      target,
      check: createCheck(settings),
      result: { target: target.id, state: 'unknown', holdMs: settings.intervalMs, sinceMs: 0, atMs: 0, tookMs: 0 },
      phaseMs: settings.intervalMs * (1 - ((begun++ * goldenRatio) % 1)),
      dueMs: clock.monotonicMs() + delayMs,
      cancel: () => {},
      stopped: false,
    };
    running.set(target.id, one);
    if (delayMs === 0) run(one);
    else one.cancel = clock.after(delayMs, () => run(one));
  }

  function end(one: Running): void {
    one.stopped = true;
    one.cancel();
    release(one.target);
    running.delete(one.target.id);
  }

  function apply(): void {
    const byId = new Map(wanted.map((target) => [target.id, target]));
    for (const one of [...running.values()]) {
      const target = byId.get(one.target.id);
      if (target === undefined || !sameTarget(target, one.target)) end(one);
    }
    const fresh = [...byId.values()].filter((target) => !running.has(target.id));
    const stepMs = Math.min(limits.health.rampMs, settings.intervalMs / Math.max(1, fresh.length));
    for (const [i, target] of fresh.entries()) begin(target, i * stepMs);
  }

  return {
    async start() {
      started = true;
      apply();
    },
    async stop() {
      started = false;
      for (const one of [...running.values()]) end(one);
    },
    setTargets(targets) {
      wanted = targets;
      if (started) apply();
    },
    results: () => new Map([...running].map(([id, one]) => [id, one.result])),
  };
}

function sameTarget(a: CheckTarget, b: CheckTarget): boolean {
  const text = ({ id: _, trust: __, percent: ___, ...rest }: CheckTarget) => JSON.stringify(rest);
  return text(a) === text(b);
}
