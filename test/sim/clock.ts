/**
 * Steering by the clock: beacons come in when they come in, a build every minute as the mapper looks at everything
 * again, and what happens between is the mode's.
 */
import { seededRng } from '@ufes/core/seeded.ts';
import { type BeaconInit, Beacons, beaconTimes } from './beacons.ts';
import type { Steering } from './steering.ts';

const buildMs = 60_000;

export interface Run {
  readonly steering: Steering;
  readonly measured: readonly number[];
  /** Of every one of these, or by user. */
  readonly beaconsPerDay: number | ((user: number) => number);
  readonly beacons: BeaconInit;
  readonly seed: string;
}

export class Clock {
  nowMs: number;
  readonly #run: Run;
  readonly #source: Beacons;
  #spans = 0;

  constructor(run: Run, startMs: number) {
    this.#run = run;
    this.nowMs = startMs;
    this.#source = new Beacons(run.steering, seededRng(`${run.seed}/beacons`), run.beacons);
    run.steering.build(startMs, true);
  }

  /** Goes on for a time. `everyMs`: builds; `then` after each of them. */
  advance(spanMs: number, then: (nowMs: number) => void = () => {}, everyMs = buildMs): void {
    const { steering, measured, beaconsPerDay, seed } = this.#run;
    const endMs = this.nowMs + spanMs;
    const rng = seededRng(`${seed}/times/${this.#spans++}`);
    const times = beaconTimes(measured, beaconsPerDay, this.nowMs, endMs, rng);
    let next = 0;
    while (this.nowMs < endMs) {
      this.nowMs = Math.min(endMs, this.nowMs + everyMs);
      const from = next;
      while (next < times.length && times[next]!.atMs < this.nowMs) next++;
      steering.fold(times.slice(from, next).map(({ user, atMs }) => this.#source.one(user, atMs)));
      steering.build(this.nowMs, true);
      then(this.nowMs);
    }
  }
}
