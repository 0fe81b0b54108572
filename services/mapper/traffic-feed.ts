/**
 * Reads what edges say that cells asked of them (live keys `demand/POP`, every half a minute), and gives builds the rates.
 */
import { describeError } from '@ufes/core/errors.ts';
import { parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { tellRequests } from './begin.ts';
import type { Fed } from './feed.ts';
import { Traffic } from './traffic.ts';

type Parts = Pick<ServiceContext, 'store' | 'clock' | 'log'>;

/** Requests by prefix, /24s and /48s, in the `seconds` up to `atMs`. */
export interface ToldDemand {
  readonly atMs: number;
  readonly seconds: number;
  readonly cells: Readonly<Record<string, number>>;
}

export class TrafficFeed implements Component {
  readonly traffic = new Traffic();
  readonly #parts: Parts;
  /** By key, the newest that was taken. */
  readonly #takenMs = new Map<string, number>();
  #stop: (() => void) | undefined;
  #reading: Promise<void> | undefined;
  #isDue = false;
  #isGone = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    await this.read();
    // Twice as often as edges tell: none is missed.
    this.#stop = this.#parts.clock.every(limits.dns.feedbackMs / 2, () => void this.read());
  }

  async stop(): Promise<void> {
    this.#stop?.();
    await this.#reading;
  }

  /** Never rejects: what is not read is asked for again by the same cells soon. */
  read(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Gives a build the rates, when there is news of them. */
  apply(fed: Pick<Fed, 'build'>, nowMs: number): void {
    if (!this.#isDue) return;
    this.#isDue = false;
    tellRequests(this.traffic, fed, nowMs);
  }

  async #read(): Promise<void> {
    const { store, log } = this.#parts;
    try {
      for (const { key, value } of await store.live.list('demand/')) {
        const told = toldDemand(value);
        if (told === undefined || told.atMs <= (this.#takenMs.get(key) ?? Number.NEGATIVE_INFINITY)) continue;
        this.#takenMs.set(key, told.atMs);
        this.#take(told);
      }
      this.#isGone = false;
    } catch (thrown) {
      if (!this.#isGone) log.warn({ error: describeError(thrown) }, 'what cells ask for is that of a while ago');
      this.#isGone = true;
    }
  }

  #take({ atMs, seconds, cells }: ToldDemand): void {
    for (const [text, requests] of Object.entries(cells)) {
      const prefix = parsePrefix(text);
      if (prefix === undefined || typeof requests !== 'number' || !(requests > 0)) continue;
      this.traffic.add(prefix, requests, seconds, atMs);
      this.#isDue = true;
    }
  }
}

function toldDemand(value: unknown): ToldDemand | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { atMs, seconds, cells } = value as Partial<ToldDemand>;
  if (typeof atMs !== 'number' || typeof seconds !== 'number' || !(seconds > 0)) return undefined;
  return typeof cells === 'object' && cells !== null ? { atMs, seconds, cells } : undefined;
}
