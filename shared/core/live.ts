/**
 * Live state: small, mutable, pushed in milliseconds. In each process it is one SharedArrayBuffer of 32-bit words; one
 * writer, which stores with Atomics, and any number of readers (worker threads). A query reads ten of them, each by
 * itself: as plain elements, which are never torn (ECMA-262 §29.8, aligned integers) and seen by the next query at the
 * latest. Atomics.load is a call of 5 ns.
 *
 *     head       generation, raised after every change · week of the control arm · ms until the next room feedback
 *     per PoP    state (LiveState)
 *                load, per mille of capacity
 *                holdMs: the state can flip after this long at the earliest; 0 = full credit, no flip in sight
 *                since, seconds since the epoch
 *                shed: the part of its cells that it does not keep, of `wholeShare` (core/steering/room.ts)
 *                band: how far shed can move at the next feedback; 0 = it will not
 *     per force  PoP, the state it is taken to be in (0: the PoP is to be answered), pinned, ms to its end (0: not in sight)
 *     per service, a row: a cell a PoP: holdMs · 4 + state, for services whose PoPs are judged by themselves too;
 *                the force that answers the service, from 1 (0: none); its forces on PoP states, a bit each
 *
 * Pop numbers are indexes into DesiredState.pops, rows into DesiredState.services. A cell of unknown (0) means "as the
 * PoP"; any other is the whole truth for that service, its PoP's state included. A PoP that is unknown counts as up:
 * one that nobody could check yet is not taken out of answers for that.
 */
import { limits } from './limits.ts';

export const LiveState = { unknown: 0, up: 1, down: 2, draining: 3 } as const;
export type LiveState = (typeof LiveState)[keyof typeof LiveState];
export const liveStateNames = ['unknown', 'up', 'down', 'draining'] as const;

/** All of a PoP's cells, in `shed` and `band`. */
export const wholeShare = 65_536;

const head = 4;
const words = 6;
const forceWords = 4;
const firstForce = head + words * limits.config.pops;
const firstCell = firstForce + forceWords * limits.dns.forces;
const rowWords = limits.config.pops + 2;
/** A cell keeps two bits for the state; a promise longer than this is as good as this. */
const holdMsMax = 2 ** 29 - 1;

export interface LiveView {
  readonly words: Int32Array;
}

/** Shared memory for every PoP and this many services; untouched rows take none. */
export function liveBuffer(services = 0): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * (firstCell + services * rowWords));
}

export function createLive(buffer = liveBuffer()): LiveView {
  return { words: new Int32Array(buffer) };
}

// --- PoPs ------------------------------------------------------------------------------------------------------------

export function liveState(live: LiveView, pop: number): LiveState {
  return live.words[head + words * pop]! as LiveState;
}

/** Load, per mille of capacity. */
export function liveLoad(live: LiveView, pop: number): number {
  return live.words[head + 1 + words * pop]!;
}

export function liveHoldMs(live: LiveView, pop: number): number {
  return live.words[head + 2 + words * pop]!;
}

export function liveSince(live: LiveView, pop: number): number {
  return live.words[head + 3 + words * pop]!;
}

/** What a PoP is for a service: its cell, where it has one, else the PoP's own state. `row`: as the service's number. */
export function liveStateFor(live: LiveView, row: number, pop: number): LiveState {
  const cell = rowWord(live, row, pop);
  return cell === 0 ? liveState(live, pop) : ((cell & 3) as LiveState);
}

/** As `liveHoldMs`, of what `liveStateFor` says. */
export function liveHoldMsFor(live: LiveView, row: number, pop: number): number {
  const cell = rowWord(live, row, pop);
  return cell === 0 ? liveHoldMs(live, pop) : cell >>> 2;
}

/** 0 where the view has no such row. */
function rowWord(live: LiveView, row: number, word: number): number {
  const at = firstCell + row * rowWords + word;
  return at < live.words.length ? live.words[at]! : 0;
}

export interface LivePop {
  state: LiveState;
  loadPerMille: number;
  holdMs: number;
  sinceSeconds: number;
}

export function setLive(live: LiveView, pop: number, value: LivePop): void {
  const at = head + words * pop;
  Atomics.store(live.words, at, value.state);
  Atomics.store(live.words, at + 1, value.loadPerMille);
  Atomics.store(live.words, at + 2, value.holdMs);
  Atomics.store(live.words, at + 3, value.sinceSeconds);
  Atomics.add(live.words, 0, 1);
}

/** State and holdMs of a PoP for one service; `LiveState.unknown`: as the PoP. False: the view has no such row. */
export function setLiveFor(live: LiveView, row: number, pop: number, state: LiveState, holdMs: number): boolean {
  const at = firstCell + row * rowWords + pop;
  if (at >= live.words.length) return false;
  const cell = state === LiveState.unknown ? 0 : Math.min(holdMs, holdMsMax) * 4 + state;
  if (Atomics.exchange(live.words, at, cell) !== cell) Atomics.add(live.words, 0, 1);
  return true;
}

// --- Room ------------------------------------------------------------------------------------------------------------

/** The part of its cells that a PoP does not keep, of `wholeShare`. */
export function liveShed(live: LiveView, pop: number): number {
  return live.words[head + 4 + words * pop]!;
}

/** How far `liveShed` can move at the next feedback. */
export function liveBand(live: LiveView, pop: number): number {
  return live.words[head + 5 + words * pop]!;
}

export function setRoom(live: LiveView, pop: number, shed: number, band: number): void {
  Atomics.store(live.words, head + 4 + words * pop, shed);
  Atomics.store(live.words, head + 5 + words * pop, band);
  Atomics.add(live.words, 0, 1);
}

/** Weeks since the epoch: the salt of the control arm, the same on every node. */
/** Weeks change on Mondays, as 1970-01-01 was a Thursday. UTC. */
export function weekOf(nowMs: number): number {
  return Math.floor((nowMs - 4 * 86_400_000) / (7 * 86_400_000));
}

export function liveWeek(live: LiveView): number {
  return live.words[1]!;
}

export function liveFeedbackMs(live: LiveView): number {
  return live.words[2]!;
}

export function setTimes(live: LiveView, week: number, feedbackMs: number): void {
  Atomics.store(live.words, 1, week);
  Atomics.store(live.words, 2, feedbackMs);
}

// --- Forces ----------------------------------------------------------------------------------------------------------

export interface LiveForce {
  readonly pop: number;
  /** The state that the PoP is taken to be in; unknown: the PoP is to be answered. */
  readonly state: LiveState;
  readonly pin: boolean;
  /** 0: not within any TTL. */
  readonly endsMs: number;
}

/** By slot, 0 to limits.dns.forces − 1. */
export function setForce(live: LiveView, slot: number, force: LiveForce): void {
  const at = firstForce + forceWords * slot;
  Atomics.store(live.words, at, force.pop);
  Atomics.store(live.words, at + 1, force.state);
  Atomics.store(live.words, at + 2, force.pin ? 1 : 0);
  Atomics.store(live.words, at + 3, force.endsMs);
}

export function forcePop(live: LiveView, slot: number): number {
  return live.words[firstForce + forceWords * slot]!;
}

export function forceState(live: LiveView, slot: number): LiveState {
  return live.words[firstForce + 1 + forceWords * slot]! as LiveState;
}

export function forcePinned(live: LiveView, slot: number): boolean {
  return live.words[firstForce + 2 + forceWords * slot]! === 1;
}

export function forceEndsMs(live: LiveView, slot: number): number {
  return live.words[firstForce + 3 + forceWords * slot]!;
}

/** `answer`: slot + 1 of the force that names the service's PoP. `states`: slots, a bit each. False: no such row. */
export function setRowForces(live: LiveView, row: number, answer: number, states: number): boolean {
  const at = firstCell + row * rowWords + limits.config.pops;
  if (at >= live.words.length) return false;
  const before = Atomics.exchange(live.words, at, answer) === answer;
  const same = Atomics.exchange(live.words, at + 1, states) === (states | 0);
  if (!before || !same) Atomics.add(live.words, 0, 1);
  return true;
}

/** Slot + 1 of the force that names the service's PoP, 0: none. */
export function rowForce(live: LiveView, row: number): number {
  return rowWord(live, row, limits.config.pops);
}

/** Slots of the forces on PoP states that reach the service, a bit each. */
export function rowStates(live: LiveView, row: number): number {
  return rowWord(live, row, limits.config.pops + 1);
}
