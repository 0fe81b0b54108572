/**
 * A live feed under a clock that moves when told: its own checks see what the test says, other vantages are simulated by
 * the same hysteresis and vote through a store in memory that can be taken away.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DesiredService, DesiredState } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { type Check, checkSettings, createCheck, fullCredit, holdMs, observe } from '@ufes/core/health.ts';
import type { LiveView } from '@ufes/core/live.ts';
import type { LiveEntry, Store } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { createDecision, decide } from '@ufes/core/steering/decide.ts';
import { prepareService } from '@ufes/core/steering/prepare.ts';
import { voteExpiryMs } from '@ufes/core/votes.ts';
import { localBus } from '@ufes/io/bus.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import type { attempt } from '@ufes/io/health/attempt.ts';
import { voteKey } from '@ufes/io/health/votes.ts';
import { silentLog } from '@ufes/io/log.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { createLiveFeed, type LiveFeed } from './live-feed.ts';
import { desiredState } from './testing.ts';

export interface SimInit {
  readonly pops?: readonly string[];
  readonly service?: Partial<DesiredService>;
  readonly intervalMs?: number;
  readonly vantages?: readonly string[];
  /** What a vantage sees of a target at a time; the node's own name is `dns`. `void`: nothing. Default: all is well. */
  readonly sees?: (vantage: string, target: string, nowMs: number) => boolean | 'void';
  readonly clock?: ManualClock;
  readonly state?: string;
}

export class Sim {
  readonly clock: ManualClock;
  readonly state: string;
  readonly entries = new Map<string, LiveEntry>();
  readonly desired: DesiredState;
  readonly settings;
  /** Vantage → target → check, of the simulated ones. */
  readonly checks = new Map<string, Map<string, Check>>();
  /** Simulated vantages that do not run. */
  readonly dead = new Set<string>();
  readonly feed: LiveFeed;
  sees: NonNullable<SimInit['sees']>;
  storeGone = false;
  view!: LiveView;
  readonly #bus = localBus();
  readonly #out = createDecision(true);
  #prepared;

  constructor(init: SimInit = {}) {
    const {
      pops = ['lon', 'iad', 'sin', 'fra', 'nrt'],
      vantages = ['probe', 'edge-x', 'edge-y'],
      intervalMs = 500,
    } = init;
    this.clock = init.clock ?? new ManualClock();
    this.state = init.state ?? mkdtempSync(join(tmpdir(), 'ufes-live-'));
    this.sees = init.sees ?? (() => true);
    const base = desiredState();
    const service = { ...base.services[0]!, ttlSecondsMin: 1, ttlSecondsMax: 120, ...init.service };
    this.desired = {
      ...base,
      pops: pops.map((id, i) => ({ ...base.pops[0]!, id, vips: { v4: `192.0.2.${i + 1}` } })),
      services: [{ ...service, candidates: pops.map((_, pop) => ({ pop, v4: `192.0.2.${pop + 1}` })) }],
    };
    const health = { intervalMs, timeoutMs: intervalMs, failures: 3, successes: 5 };
    this.settings = checkSettings(health);
    const own: typeof attempt = (target) => {
      const seen = this.sees('dns', target.id, this.clock.nowMs());
      const outcome =
        seen === 'void' ? seen : seen ? { ok: true as const, ms: 1 } : { ok: false as const, ms: 1, error: 'no' };
      return { done: Promise.resolve(outcome), cancel: () => {} };
    };
    const context = {
      state: this.state,
      node: 'dns',
      config: { probes: { health } },
      clock: this.clock,
      log: silentLog,
      bus: this.#bus,
      rng: seededRng('live feed'),
      store: { live: this.#store(), history: { append: async () => {} } },
    } as unknown as ServiceContext;
    this.feed = createLiveFeed(context, own);
    const [first] = this.desired.services;
    this.#prepared = prepareService(first!, 'none', pops, undefined, 0);
    for (const [i, vantage] of vantages.entries()) this.#simulate(vantage, (i + 1) / (vantages.length + 1));
  }

  #store(): Store['live'] {
    const guard = (): void => {
      if (this.storeGone) throw new OperatingError('STORE_UNAVAILABLE', 'gone');
    };
    return {
      put: async (batch) => {
        guard();
        const nowMs = this.clock.nowMs();
        for (const { key, value, ttlMs } of batch)
          this.entries.set(key, { key, value, writtenAtMs: nowMs, expiresAtMs: nowMs + ttlMs });
      },
      list: async (prefix) => {
        guard();
        const nowMs = this.clock.nowMs();
        return [...this.entries.values()].filter(
          ({ key, expiresAtMs }) => key.startsWith(prefix) && expiresAtMs > nowMs,
        );
      },
      remove: async (keys) => {
        guard();
        for (const key of keys) this.entries.delete(key);
      },
    };
  }

  /** Targets as the feed has them: PoPs, and the service at each when it has a check. */
  targets(): string[] {
    const ids = this.desired.pops.map(({ id }) => id);
    const [service] = this.desired.services;
    return service!.check === undefined ? ids : [...ids, ...ids.map((id) => `${id}/${service!.id}`)];
  }

  #simulate(vantage: string, phase: number): void {
    const checks = new Map(this.targets().map((target) => [target, createCheck(this.settings)]));
    this.checks.set(vantage, checks);
    const round = (): void => {
      if (this.dead.has(vantage)) return;
      const nowMs = this.clock.nowMs();
      for (const [target, check] of checks) {
        const seen = this.sees(vantage, target, nowMs);
        if (seen !== 'void') observe(check, seen, nowMs);
        if (seen !== 'void') this.put(voteKey(vantage, target), voteOf(check), voteExpiryMs(this.settings.intervalMs));
      }
      this.#bus.wake('live');
    };
    this.clock.after(phase * this.settings.intervalMs, () => {
      round();
      this.clock.every(this.settings.intervalMs, round);
    });
  }

  /** As another node would; without effect while the store is gone. */
  put(key: string, value: unknown, ttlMs: number): void {
    if (this.storeGone) return;
    const nowMs = this.clock.nowMs();
    this.entries.set(key, { key, value, writtenAtMs: nowMs, expiresAtMs: nowMs + ttlMs });
    if (!key.startsWith('vote/')) this.#bus.wake('live');
  }

  async start(): Promise<void> {
    this.view = this.feed.follow(this.desired);
    await this.feed.start();
    await this.advance(0);
  }

  async stop(remove = true): Promise<void> {
    await this.feed.stop();
    if (remove) rmSync(this.state, { recursive: true, force: true });
  }

  /** Moves the clock in steps, and lets what they started come to its end. */
  async advance(ms: number, stepMs = 50, each: () => void = () => {}): Promise<void> {
    for (let left = ms; ; left -= stepMs) {
      this.clock.advance(Math.max(0, Math.min(left, stepMs)));
      for (let i = 0; i < 40; i++) await undefined;
      each();
      if (left <= stepMs) return;
    }
  }

  /** The answer as it would be now. `consulted`: PoPs that were looked at for it. */
  answer(): { pop: string; ttlSeconds: number; why: number; consulted: string[] } {
    const peer = { family: 4 as const, hi: 0, lo: 0 };
    decide(this.#prepared, this.view, { client: peer, bySubnet: false }, peer, this.#out);
    const ids = this.desired.pops.map(({ id }) => id);
    const { count, candidates, ttlSeconds, why, passed } = this.#out;
    const consulted = ids.filter((_, i) => passed[i] !== 0 || (count > 0 && candidates[0] === i));
    return { pop: count > 0 ? ids[candidates[0]!]! : '', ttlSeconds, why, consulted };
  }
}

function voteOf(check: Check): object {
  return { state: check.state, holdMs: holdMs(check), atMs: check.atMs, sinceMs: check.sinceMs };
}

/** Every simulated vantage that runs is sure of these PoPs. */
export function othersSure(sim: Sim, targets: readonly string[]): boolean {
  for (const [vantage, checks] of sim.checks) {
    if (sim.dead.has(vantage)) continue;
    for (const target of targets) if (!fullCredit(checks.get(target)!)) return false;
  }
  return true;
}
