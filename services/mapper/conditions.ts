/**
 * What PoPs are now, as the live state in the store has it: the same votes, verdicts and drains that dns nodes believe,
 * merged by the same rules, and what edges say they carry.
 */
import { type Belief, believe, mergeExternal, readDrains, readExternal } from '@ufes/core/belief.ts';
import type { DesiredState } from '@ufes/core/desired.ts';
import { describeError } from '@ufes/core/errors.ts';
import { checkSettings } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import { LiveState } from '@ufes/core/live.ts';
import type { Component, LiveEntry } from '@ufes/core/ports.ts';
import type { PopNow } from '@ufes/core/steering/judging.ts';
import { doubtedTargets, tally, unknownVerdict, type Verdict } from '@ufes/core/votes.ts';
import { readVotes } from '@ufes/io/health/votes.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

type Parts = Pick<ServiceContext, 'store' | 'bus' | 'clock' | 'log' | 'config'>;

export class Conditions implements Component {
  readonly #parts: Parts;
  readonly #settings;
  #entries: readonly LiveEntry[] = [];
  #verdicts: ReadonlyMap<string, Verdict> = new Map();
  #stops: (() => void)[] = [];
  #reading: Promise<void> | undefined;
  #isGone = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#settings = checkSettings(parts.config.probes.health);
  }

  async start(): Promise<void> {
    const { bus, clock } = this.#parts;
    await this.read();
    this.#stops = [bus.on('live', () => void this.read()), clock.every(limits.store.pollMs, () => void this.read())];
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    await this.#reading;
  }

  /** Never rejects: with the store gone, what was known last holds. */
  read(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { store, log, clock } = this.#parts;
    try {
      const kinds = ['vote/', 'drain/', 'load/', 'verdict/', 'release/', 'degraded/', 'room/'];
      this.#entries = (await Promise.all(kinds.map((kind) => store.live.list(kind)))).flat();
      const votes = readVotes(this.#entries);
      this.#verdicts = tally(votes, [], this.#verdicts, this.#settings, clock.nowMs());
      this.#isGone = false;
    } catch (thrown) {
      if (!this.#isGone) log.warn({ error: describeError(thrown) }, 'live state is that of a while ago');
      this.#isGone = true;
    }
  }

  /** PoPs by id. Those that nobody checked yet take clients, as they do for dns. */
  pops({ pops }: Pick<DesiredState, 'pops'>): Map<string, PopNow> {
    const nowMs = this.#parts.clock.nowMs();
    const entries = this.#entries.filter(({ expiresAtMs }) => expiresAtMs > nowMs);
    const drains = readDrains(entries);
    const external = mergeExternal([], readExternal(entries), nowMs);
    const unknown = unknownVerdict(this.#settings.intervalMs, nowMs);
    return new Map(
      pops.map(({ id, requestsPerSecond: capacity }) => {
        const belief = believe(this.#verdicts.get(id) ?? unknown, external.get(id), drains.get(id), nowMs);
        const load = loadOf(entries.find(({ key }) => key === `load/${id}`));
        const now = {
          isOpen: isOpen(belief),
          capacity,
          isDegraded: entries.some(({ key }) => key === `degraded/${id}`),
        };
        return [id, { ...now, ...(load === undefined ? {} : { requestsPerSecond: load }) }];
      }),
    );
  }

  /** PoPs (ids) that a check fails of, be it one alone. */
  doubted(): ReadonlySet<string> {
    return doubtedTargets(readVotes(this.#entries), this.#settings.intervalMs, this.#parts.clock.nowMs());
  }

  /** Shares of their cells that full PoPs keep, as the dns node that spoke last has them; the nodes step together. */
  keeps(): Readonly<Record<string, number>> {
    const told = this.#entries.filter(({ key }) => key.startsWith('room/'));
    const newest = told.toSorted((a, b) => b.writtenAtMs - a.writtenAtMs)[0]?.value;
    return typeof newest === 'object' && newest !== null ? (newest as Readonly<Record<string, number>>) : {};
  }

  /** Live key `release/map`: until when an operator lets pass what guardrails would hold. */
  isReleased(): boolean {
    const nowMs = this.#parts.clock.nowMs();
    return this.#entries.some(({ key, expiresAtMs }) => key === 'release/map' && expiresAtMs > nowMs);
  }
}

function isOpen({ state }: Belief): boolean {
  return state !== LiveState.down && state !== LiveState.draining;
}

function loadOf(entry: LiveEntry | undefined): number | undefined {
  const value = entry?.value;
  if (typeof value !== 'object' || value === null || !('requestsPerSecond' in value)) return undefined;
  return typeof value.requestsPerSecond === 'number' ? value.requestsPerSecond : undefined;
}
