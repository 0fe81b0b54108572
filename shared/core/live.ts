/**
 * Live state: small, mutable, pushed in milliseconds. In each process it is one SharedArrayBuffer of 32-bit words read
 * with Atomics; one writer, any number of readers (worker threads).
 *
 *     word 0            generation, raised after every change
 *     word 1 + 4·pop    state (LiveState)
 *          2 + 4·pop    load, per mille of capacity
 *          3 + 4·pop    holdMs: the state can flip after this long at the earliest; 0 = full credit, no flip in sight
 *          4 + 4·pop    since, seconds since the epoch
 *
 * Pop numbers are indexes into DesiredState.pops. Unknown (0) counts as up: a PoP that nobody could check yet is not
 * taken out of answers for that.
 */
import { limits } from './limits.ts';

export const LiveState = { unknown: 0, up: 1, down: 2, draining: 3 } as const;
export type LiveState = (typeof LiveState)[keyof typeof LiveState];
export const liveStateNames = ['unknown', 'up', 'down', 'draining'] as const;

const words = 4;

export interface LiveView {
  readonly words: Int32Array;
}

export function createLive(buffer = new SharedArrayBuffer(4 * (1 + words * limits.config.pops))): LiveView {
  return { words: new Int32Array(buffer) };
}

export function liveState(live: LiveView, pop: number): LiveState {
  return Atomics.load(live.words, 1 + words * pop) as LiveState;
}

/** Load, per mille of capacity. */
export function liveLoad(live: LiveView, pop: number): number {
  return Atomics.load(live.words, 2 + words * pop);
}

export function liveHoldMs(live: LiveView, pop: number): number {
  return Atomics.load(live.words, 3 + words * pop);
}

export function liveSince(live: LiveView, pop: number): number {
  return Atomics.load(live.words, 4 + words * pop);
}

export interface LivePop {
  state: LiveState;
  loadPerMille: number;
  holdMs: number;
  sinceSeconds: number;
}

export function setLive(live: LiveView, pop: number, value: LivePop): void {
  Atomics.store(live.words, 1 + words * pop, value.state);
  Atomics.store(live.words, 2 + words * pop, value.loadPerMille);
  Atomics.store(live.words, 3 + words * pop, value.holdMs);
  Atomics.store(live.words, 4 + words * pop, value.sinceSeconds);
  Atomics.add(live.words, 0, 1);
}
