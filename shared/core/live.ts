/**
 * Live state: small, mutable, pushed in milliseconds. In each process it is one SharedArrayBuffer of 32-bit words read
 * with Atomics; one writer, any number of readers (worker threads).
 *
 *     word 0            generation, raised after every change
 *     word 1 + 4·pop    state (LiveState)
 *          2 + 4·pop    load, per mille of capacity
 *          3 + 4·pop    holdMs: the state can flip after this long at the earliest; 0 = full credit, no flip in sight
 *          4 + 4·pop    since, seconds since the epoch
 *     then a row a service, a cell a PoP: holdMs · 4 + state, for services whose PoPs are judged by themselves too
 *
 * Pop numbers are indexes into DesiredState.pops, rows into DesiredState.services. A cell of unknown (0) means "as the
 * PoP"; any other is the whole truth for that service, its PoP's state included. A PoP that is unknown counts as up:
 * one that nobody could check yet is not taken out of answers for that.
 */
import { limits } from './limits.ts';

export const LiveState = { unknown: 0, up: 1, down: 2, draining: 3 } as const;
export type LiveState = (typeof LiveState)[keyof typeof LiveState];
export const liveStateNames = ['unknown', 'up', 'down', 'draining'] as const;

const words = 4;
const firstCell = 1 + words * limits.config.pops;
/** A cell keeps two bits for the state; a promise longer than this is as good as this. */
const holdMsMax = 2 ** 29 - 1;

export interface LiveView {
  readonly words: Int32Array;
}

/** Shared memory for every PoP and this many services; untouched rows take none. */
export function liveBuffer(services = 0): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * (firstCell + services * limits.config.pops));
}

export function createLive(buffer = liveBuffer()): LiveView {
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

/** What a PoP is for a service: its cell, where it has one, else the PoP's own state. `row`: as the service's number. */
export function liveStateFor(live: LiveView, row: number, pop: number): LiveState {
  const cell = cellAt(live, row, pop);
  return cell === 0 ? liveState(live, pop) : ((cell & 3) as LiveState);
}

/** As `liveHoldMs`, of what `liveStateFor` says. */
export function liveHoldMsFor(live: LiveView, row: number, pop: number): number {
  const cell = cellAt(live, row, pop);
  return cell === 0 ? liveHoldMs(live, pop) : cell >>> 2;
}

function cellAt(live: LiveView, row: number, pop: number): number {
  const at = firstCell + row * limits.config.pops + pop;
  return at < live.words.length ? Atomics.load(live.words, at) : 0;
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

/** State and holdMs of a PoP for one service; `LiveState.unknown`: as the PoP. False: the view has no such row. */
export function setLiveFor(live: LiveView, row: number, pop: number, state: LiveState, holdMs: number): boolean {
  const at = firstCell + row * limits.config.pops + pop;
  if (at >= live.words.length) return false;
  const cell = state === LiveState.unknown ? 0 : Math.min(holdMs, holdMsMax) * 4 + state;
  if (Atomics.exchange(live.words, at, cell) !== cell) Atomics.add(live.words, 0, 1);
  return true;
}
