/** The machine's clock. */
import type { Clock } from '@ufes/core/ports.ts';

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
  every: (ms, fn) => {
    const timer = setInterval(fn, ms);
    return () => clearInterval(timer);
  },
};

/** A clock that moves only when told, for tests and simulations. Timers fire in order, at their own times. */
export class ManualClock implements Clock {
  #nowMs: number;
  #next = 0;
  readonly #timers = new Map<number, { atMs: number; everyMs?: number; fn: () => void }>();

  constructor(startMs = 1_764_000_000_000) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(ms: number, fn: () => void): () => void {
    return this.#add({ atMs: this.#nowMs + ms, fn });
  }

  every(ms: number, fn: () => void): () => void {
    return this.#add({ atMs: this.#nowMs + ms, everyMs: ms, fn });
  }

  #add(timer: { atMs: number; everyMs?: number; fn: () => void }): () => void {
    const id = this.#next++;
    this.#timers.set(id, timer);
    return () => this.#timers.delete(id);
  }

  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      let due: [number, { atMs: number; everyMs?: number; fn: () => void }] | undefined;
      for (const entry of this.#timers)
        if (entry[1].atMs <= endMs && (due === undefined || entry[1].atMs < due[1].atMs)) due = entry;
      if (due === undefined) break;
      const [id, timer] = due;
      this.#nowMs = timer.atMs;
      if (timer.everyMs === undefined) this.#timers.delete(id);
      else timer.atMs += timer.everyMs;
      timer.fn();
    }
    this.#nowMs = endMs;
  }
}
