/**
 * A vantage on the PoPs: checks each one's edge at its VIP (GET /readyz over TLS) and reports what it sees as votes
 * `vote/NODE/POP` in live state, once an interval and at once when a state flips. The node that checks can always read
 * its own votes, store or no store. Used by probe and dns.
 *
 * A PoP is checked at its IPv4 VIP, at its IPv6 VIP when that is all it has: a vantage without IPv6 must not call it down.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { DesiredPop } from '@ufes/core/desired.ts';
import { describeError } from '@ufes/core/errors.ts';
import { checkSettings, type Vote, voteExpiryMs } from '@ufes/core/health.ts';
import type { Component, LiveEntry } from '@ufes/core/ports.ts';
import { rateLimited } from '../log.ts';
import type { ServiceContext } from '../service.ts';
import type { CheckTarget } from './attempt.ts';
import { type CheckResult, createChecker } from './checker.ts';

/** Host and SNI under which every edge answers /readyz on every VIP. */
export const healthHost = 'health.ufes.internal';

export interface PopVantage extends Component {
  /** The PoPs to check from now on; of those unchanged the state is kept. */
  setPops(pops: readonly DesiredPop[]): void;
  /** This node's own votes, as of now. */
  votes(): Vote[];
  /** By PoP id. */
  results(): ReadonlyMap<string, CheckResult>;
}

/** `onState` runs after each result (two a second and PoP by default); `changed` when a state flipped. */
export function createPopVantage(
  context: Pick<ServiceContext, 'config' | 'state' | 'node' | 'clock' | 'log' | 'bus' | 'store'>,
  onState: (changed: boolean) => void = () => {},
): PopVantage {
  const { clock, log, bus, store, node } = context;
  const { health } = context.config.probes;
  const settings = checkSettings(health);
  const trust = followCa(join(context.state, 'tls', 'ca.crt'), () => clock.monotonicMs());
  const limit = rateLimited(10_000, () => clock.monotonicMs());
  const checker = createChecker({
    settings,
    timeoutMs: health.timeoutMs,
    clock,
    log,
    onResult: (_, changed) => {
      onState(changed);
      if (changed) void report();
      else reportSoon();
    },
  });
  let soon: (() => void) | undefined;
  let reporting = false;
  let again = false;

  /** Results that come close together share a put; a vote is in the store well before the one it replaces expires. */
  function reportSoon(): void {
    soon ??= clock.after(settings.intervalMs / 5, () => void report());
  }

  /** One put at a time; a change that comes during one is put right after it. */
  async function report(): Promise<void> {
    soon?.();
    soon = undefined;
    again = reporting;
    if (reporting) return;
    reporting = true;
    try {
      const ttlMs = voteExpiryMs(settings.intervalMs);
      const entries = votes().map(({ target, state, holdMs, atMs }) => ({
        key: `vote/${node}/${target}`,
        value: { state, holdMs, atMs, sinceMs: checker.results().get(target)?.sinceMs ?? atMs },
        ttlMs,
      }));
      if (entries.length > 0) {
        await store.live.put(entries);
        bus.wake('live');
      }
    } catch (error) {
      limit('put', (suppressed) =>
        log.warn(
          { error: describeError(error), suppressed },
          'health: votes not reported, other nodes decide without them',
        ),
      );
    } finally {
      reporting = false;
      if (again) void report();
    }
  }

  function votes(): Vote[] {
    const found: Vote[] = [];
    for (const { target, state, holdMs, atMs } of checker.results().values())
      if (state !== 'unknown') found.push({ vantage: node, target, state, holdMs, atMs });
    return found;
  }

  return {
    start: () => checker.start(),
    async stop() {
      const keys = votes().map(({ target }) => `vote/${node}/${target}`);
      await checker.stop();
      soon?.();
      // A vote of a node that has left is no evidence; if the store is gone it expires by itself.
      if (keys.length > 0) await store.live.remove(keys).catch(() => {});
    },
    setPops: (pops) => checker.setTargets(pops.flatMap((pop) => popTarget(pop, trust))),
    votes,
    results: () => checker.results(),
  };
}

function popTarget(pop: DesiredPop, trust: () => SecureContext | undefined): CheckTarget[] {
  const address = pop.vips.v4 ?? pop.vips.v6;
  if (address === undefined) return [];
  return [{ id: pop.id, kind: 'https', address, port: pop.httpsPort, path: '/readyz', host: healthHost, trust }];
}

/** The votes among live entries (`store.live.list('vote/')`); what is malformed is left out. */
export function readVotes(entries: readonly LiveEntry[]): Vote[] {
  return entries.flatMap(({ key, value }) => {
    const [kind, vantage, target, rest] = key.split('/');
    if (kind !== 'vote' || !vantage || !target || rest !== undefined) return [];
    if (typeof value !== 'object' || value === null) return [];
    const { state, holdMs, atMs } = value as Record<string, unknown>;
    if (state !== 'up' && state !== 'down') return [];
    if (typeof holdMs !== 'number' || typeof atMs !== 'number') return [];
    return [{ vantage, target, state, holdMs, atMs }];
  });
}

/** The internal CA as a TLS context, read when first asked for and again when the file changes. Undefined: none yet. */
function followCa(path: string, monotonicMs: () => number): () => SecureContext | undefined {
  let context: SecureContext | undefined;
  let stamp = '';
  let nextMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (monotonicMs() < nextMs) return context;
    nextMs = monotonicMs() + 1_000;
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const found = `${mtimeMs}/${size}/${ino}`;
      if (found !== stamp) {
        context = createSecureContext({ ca: readFileSync(path) });
        stamp = found;
      }
    } catch {
      // Not there yet, or half written: keep what we have and look again.
    }
    return context;
  };
}
