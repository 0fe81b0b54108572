/**
 * Keeps the live state that answers read: this node's own checks and the votes of all vantages, drains and loads.
 *
 *     own checks ──┐
 *     vote/… ──────┼─ tally ─┐
 *     drain/POP ───┼─────────┼─▶ LiveView (shared memory) ─▶ the very next answer
 *     load/POP ────┘─────────┘
 *
 * With the store gone the last votes run out and own checks decide; a drain holds until its own expiry.
 */
import type { DesiredPop } from '@ufes/core/desired.ts';
import { describeError } from '@ufes/core/errors.ts';
import { tally, type Verdict, type Vote } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import { createLive, LiveState, type LiveView, setLive } from '@ufes/core/live.ts';
import type { Component, LiveEntry } from '@ufes/core/ports.ts';
import { createPopVantage, readVotes } from '@ufes/io/health/pop-checker.ts';
import { rateLimited } from '@ufes/io/log.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

type Parts = Pick<ServiceContext, 'config' | 'state' | 'node' | 'clock' | 'log' | 'bus' | 'store'>;

export interface LiveFeed extends Component {
  /** The view of these PoPs, by their numbers, kept up to date from now on. The same list gives the same view. */
  follow(pops: readonly DesiredPop[]): LiveView;
  /** Resolves when every PoP has been checked once, or after `ms`. */
  settled(ms: number): Promise<void>;
  /** Votes that count now, by PoP id. */
  votes(): ReadonlyMap<string, Vote[]>;
}

export function createLiveFeed(context: Parts): LiveFeed {
  return new Feed(context);
}

class Feed implements LiveFeed {
  readonly #context: Parts;
  readonly #intervalMs: number;
  readonly #vantage;
  readonly #limit;
  #pops: readonly DesiredPop[] = [];
  #view: LiveView = createLive();
  #entries: readonly LiveEntry[] = [];
  #verdicts: ReadonlyMap<string, Verdict> = new Map();
  #stops: (() => void)[] = [];
  #reading: Promise<void> | undefined;
  #readAgain = false;
  #onResult: () => void = () => {};

  constructor(context: Parts) {
    this.#context = context;
    this.#intervalMs = context.config.probes.health.intervalMs;
    this.#limit = rateLimited(10_000, () => context.clock.monotonicMs());
    this.#vantage = createPopVantage(context, () => {
      this.#update();
      this.#onResult();
    });
  }

  async start(): Promise<void> {
    const { bus, clock } = this.#context;
    this.#stops = [bus.on('live', () => void this.#read()), clock.every(limits.store.pollMs, () => void this.#read())];
    await this.#vantage.start();
    await this.#read();
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    await this.#reading;
    await this.#vantage.stop();
  }

  follow(pops: readonly DesiredPop[]): LiveView {
    const same = pops.length === this.#pops.length && pops.every((pop, i) => pop.id === this.#pops[i]!.id);
    // Another numbering gets another view: answers under way keep the one they began with.
    if (!same) this.#view = createLive();
    this.#pops = pops;
    this.#vantage.setPops(pops);
    this.#update();
    return this.#view;
  }

  settled(ms: number): Promise<void> {
    const done = () => {
      const results = this.#vantage.results();
      return [...results.values()].every((result) => result.atMs > 0);
    };
    if (done()) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = () => {
        cancel();
        this.#onResult = () => {};
        resolve();
      };
      const cancel = this.#context.clock.after(ms, finish);
      this.#onResult = () => done() && finish();
    });
  }

  votes(): ReadonlyMap<string, Vote[]> {
    const own = this.#vantage.votes();
    const others = readVotes(this.#entries).filter((vote) => vote.vantage !== this.#context.node);
    return Map.groupBy([...own, ...others], (vote) => vote.target);
  }

  /** One reading at a time; a wake-up during one causes another after it. */
  #read(): Promise<void> {
    this.#readAgain = true;
    this.#reading ??= this.#readWhileAsked().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readWhileAsked(): Promise<void> {
    while (this.#readAgain) {
      this.#readAgain = false;
      try {
        const { live } = this.#context.store;
        const lists = await Promise.all([live.list('vote/'), live.list('drain/'), live.list('load/')]);
        this.#entries = lists.flat();
      } catch (error) {
        this.#limit('read', (suppressed) =>
          this.#context.log.warn(
            { error: describeError(error), suppressed },
            'dns: live state cannot be read, own health checks decide',
          ),
        );
      }
      this.#update();
    }
  }

  /** From what is known now to the words that answers read. */
  #update(): void {
    const nowMs = this.#context.clock.nowMs();
    const last = new Map(
      this.#pops.map(({ id }): [string, Verdict] => [
        id,
        this.#verdicts.get(id) ?? { state: 'unknown', holdMs: this.#intervalMs, sinceMs: nowMs },
      ]),
    );
    const entries = this.#entries.filter((entry) => entry.expiresAtMs > nowMs);
    const known = (vote: Vote) => last.has(vote.target);
    const votes = readVotes(entries).filter(known);
    const own = this.#vantage.votes().filter(known);
    const verdicts = tally(votes, own, last, this.#intervalMs, nowMs);
    for (const [number, { id, requestsPerSecond }] of this.#pops.entries()) {
      const verdict = verdicts.get(id)!;
      setLive(this.#view, number, {
        state: stateOf(
          verdict,
          entries.some((entry) => entry.key === `drain/${id}`),
        ),
        loadPerMille: Math.round((1000 * loadOf(entries, id)) / requestsPerSecond),
        holdMs: verdict.holdMs,
        sinceSeconds: Math.floor(verdict.sinceMs / 1000),
      });
      this.#tellChange(id, verdict);
    }
    this.#verdicts = verdicts;
  }

  #tellChange(pop: string, { state }: Verdict): void {
    const before = this.#verdicts.get(pop)?.state;
    if (before === undefined || before === state) return;
    this.#context.log[state === 'down' ? 'warn' : 'info']({ pop, before, state }, 'dns: PoP changed state');
  }
}

function stateOf({ state }: Verdict, drains: boolean): LiveState {
  if (state === 'down') return LiveState.down;
  if (drains) return LiveState.draining;
  return state === 'up' ? LiveState.up : LiveState.unknown;
}

/** Requests a second that the PoP's edge says it carries. */
function loadOf(entries: readonly LiveEntry[], pop: string): number {
  const value = entries.find((entry) => entry.key === `load/${pop}`)?.value;
  if (typeof value !== 'object' || value === null || !('requestsPerSecond' in value)) return 0;
  return typeof value.requestsPerSecond === 'number' ? value.requestsPerSecond : 0;
}
