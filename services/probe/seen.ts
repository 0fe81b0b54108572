/**
 * Which prefix edges saw each plan's probe names asked from, as far as they have told yet (core/seen.ts): every ten
 * seconds, and when there are many of a part of them. A beacon that is here before speaks for where it came from.
 */
import { describeError } from '@ufes/core/errors.ts';
import { cellOf, formatPrefix, parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, LiveStore, Log } from '@ufes/core/ports.ts';
import { readTold, seenKey } from '@ufes/core/seen.ts';

export interface SeenParts {
  readonly store: { readonly live: Pick<LiveStore, 'list'> };
  readonly clock: Clock;
  readonly log: Log;
}

export class SeenPrefixes implements Component {
  readonly #parts: SeenParts;
  /** Of this while, and of the one before: as long as tokens live. */
  #now = new Map<string, string>();
  #before: ReadonlyMap<string, string> = new Map();
  #fromMs = 0;
  #cancel = (): void => {};

  constructor(parts: SeenParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    this.#cancel = this.#parts.clock.every(limits.probe.seenMs, () => void this.look());
  }

  async stop(): Promise<void> {
    this.#cancel();
  }

  prefixOf(label: string): string | undefined {
    return this.#now.get(label) ?? this.#before.get(label);
  }

  /** Never rejects: without a store beacons speak for where they came from. */
  async look(): Promise<void> {
    const { store, clock, log } = this.#parts;
    try {
      const entries = await store.live.list(seenKey.edge);
      const nowMs = clock.nowMs();
      if (nowMs - this.#fromMs >= limits.probe.tokenMs) {
        this.#before = this.#now;
        this.#now = new Map();
        this.#fromMs = nowMs;
      }
      for (const { value } of entries) this.#take(value);
    } catch (thrown) {
      log.debug({ error: describeError(thrown) }, 'what edges saw is not known');
    }
  }

  #take(value: unknown): void {
    for (const [label, told] of Object.entries(readTold(value)?.ids ?? {})) {
      if (this.#now.size >= limits.probe.seenLabels) return;
      const text: unknown = Array.isArray(told) ? told[0] : undefined;
      const prefix = typeof text === 'string' ? parsePrefix(text) : undefined;
      if (prefix !== undefined) this.#now.set(label, formatPrefix(cellOf(prefix)));
    }
  }
}
