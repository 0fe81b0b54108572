/**
 * A part of the page that another process has: asked again and again, the last good answer kept. When it stops
 * answering, the page shows what it had, and `missing()` says what is old, since when, and what to do.
 */
import type { Missing } from '@ufes/core/dashboard.ts';
import { describeError } from '@ufes/core/errors.ts';
import type { Clock, Component } from '@ufes/core/ports.ts';

const retryMs = 1_000;

export interface PartInit<T> {
  /** Of the page, as people call it: `Measured users`. */
  readonly part: string;
  /** The process that has it. */
  readonly node: string;
  readonly everyMs: number;
  /** Asks and checks; rejects when it is not there or is not what was expected. */
  readonly ask: () => Promise<T>;
  readonly clock: Clock;
  /** Called after each change of value or of health. */
  readonly changed?: () => void;
}

export class Part<T> implements Component {
  readonly init: PartInit<T>;
  value: T | undefined;
  /** When `value` came; undefined: never. */
  valueAtMs: number | undefined;
  #failure: { sinceMs: number; why: string } | undefined;
  #cancel: (() => void) | undefined;
  #running = false;

  constructor(init: PartInit<T>) {
    this.init = init;
  }

  async start(): Promise<void> {
    this.#running = true;
    // Not waited for: the others may start after us.
    void this.poll().then(() => this.#again());
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#cancel?.();
  }

  #again(): void {
    if (!this.#running) return;
    // What is not there is looked for more often: it may just be starting.
    const afterMs = this.#failure === undefined ? this.init.everyMs : Math.min(this.init.everyMs, retryMs);
    this.#cancel = this.init.clock.after(afterMs, () => void this.poll().then(() => this.#again()));
  }

  /** Asks once. Never rejects. */
  async poll(): Promise<void> {
    const { ask, clock, changed } = this.init;
    try {
      this.value = await ask();
      this.valueAtMs = clock.nowMs();
      this.#failure = undefined;
    } catch (thrown) {
      const why = describeError(thrown);
      this.#failure = { sinceMs: this.#failure?.sinceMs ?? clock.nowMs(), why };
    }
    changed?.();
  }

  /** Is the value from a moment ago? */
  fresh(): boolean {
    const { clock, everyMs } = this.init;
    return this.valueAtMs !== undefined && clock.nowMs() - this.valueAtMs < 3 * everyMs + 1_000;
  }

  missing(): Missing | undefined {
    if (this.#failure === undefined) return undefined;
    const { part, node } = this.init;
    const { sinceMs, why } = this.#failure;
    const todo =
      node === 'ufes'
        ? 'Processes are run one by one, or `ufes up` is not running: look at each with `ufes status`.'
        : '`ufes status` shows all processes.';
    return { part, node, sinceMs: this.valueAtMs ?? sinceMs, why, todo };
  }
}
