/**
 * A vantage on the PoPs: checks each one's edge at its VIP (GET /readyz over TLS), and the services there that have a
 * check of their own, and reports what it sees as votes `vote/NODE/POP[/SERVICE]` in live state, once an interval and at
 * once when a state flips. The node that checks can always read its own votes, store or no store. Used by probe, dns and
 * edges.
 *
 * A PoP is checked at its IPv4 VIP, at its IPv6 VIP when that is all it has: a vantage without IPv6 must not call it down.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { DesiredPop, DesiredService, DesiredState } from '@ufes/core/desired.ts';
import { describeError } from '@ufes/core/errors.ts';
import { checkSettings, healthHost } from '@ufes/core/health.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { targetOf, type Vote, voteExpiryMs } from '@ufes/core/votes.ts';
import { rateLimited } from '../log.ts';
import type { ServiceContext } from '../service.ts';
import type { attempt } from './attempt.ts';
import type { CheckTarget } from './check-target.ts';
import { type CheckResult, createChecker } from './checker.ts';
import { voteKey } from './votes.ts';

export interface PopVantage extends Component {
  /** The PoPs and services to check from now on; of those unchanged the state is kept. */
  follow(desired: Watched): void;
  /** This node's own votes, as of now. */
  votes(): Vote[];
  /** By target: PoP id, or POP/SERVICE. */
  results(): ReadonlyMap<string, CheckResult>;
}

export type Watched = Pick<DesiredState, 'pops' | 'services' | 'room'>;

export interface PopVantageInit {
  /** After each result (two a second and target by default); `matters` when a check failed or a state flipped. */
  readonly onState?: (matters: boolean) => void;
  /** The edge of this PoP: it checks some of its neighbours instead of every PoP. */
  readonly edgeOf?: string;
  /** How one check is made; default: over the network. */
  readonly attempt?: typeof attempt;
}

export function createPopVantage(
  context: Pick<ServiceContext, 'config' | 'state' | 'node' | 'clock' | 'log' | 'bus' | 'store'>,
  { onState = () => {}, edgeOf, attempt }: PopVantageInit = {},
): PopVantage {
  const { clock, log, bus, store, node } = context;
  const { health } = context.config.probes;
  const settings = checkSettings(health);
  const trust = followCa(join(context.state, 'tls', 'ca.crt'), () => clock.monotonicMs());
  const limit = rateLimited(10_000, () => clock.monotonicMs());
  const loads = new Map<string, number>();
  const checker = createChecker({
    settings,
    timeoutMs: health.timeoutMs,
    clock,
    log,
    ...(attempt && { attempt }),
    onResult: ({ error }, changed) => {
      // A failure shortens what the vote promises.
      const matters = changed || error !== undefined;
      onState(matters);
      if (matters) void report();
      else reportSoon();
    },
  });
  let soon: (() => void) | undefined;
  let reporting = false;
  let again = false;
  let watchesLoad = false;
  let stopLoads = (): void => {};

  /** Results that come close together share a put; a vote is in the store well before the one it replaces expires. */
  function reportSoon(): void {
    soon ??= clock.after(settings.intervalMs / 2, () => void report());
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
        key: voteKey(node, target),
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

  /** Loads as the edges tell them; one that cannot be read is not known. */
  async function readLoads(): Promise<void> {
    if (!watchesLoad) return;
    const entries = await store.live.list('load/').catch(() => []);
    loads.clear();
    for (const { key, value } of entries) {
      const load = (value as { requestsPerSecond?: unknown } | null)?.requestsPerSecond;
      if (typeof load === 'number') loads.set(key.slice('load/'.length), load);
    }
  }

  return {
    async start() {
      stopLoads = clock.every(settings.intervalMs, () => void readLoads());
      await checker.start();
    },
    async stop() {
      stopLoads();
      const keys = votes().map(({ target }) => voteKey(node, target));
      await checker.stop();
      soon?.();
      // A vote of a node that has left is no evidence; if the store is gone it expires by itself.
      if (keys.length > 0) await store.live.remove(keys).catch(() => {});
    },
    follow({ pops, services }) {
      const watched = new Set(edgeOf === undefined ? pops : neighbours(pops, edgeOf));
      watchesLoad = services.some(({ check }) => check?.kind === 'load');
      checker.setTargets([
        ...[...watched].flatMap((pop) => popTarget(pop, trust)),
        ...services.flatMap((service) => serviceTargets(service, pops, watched, (pop) => loads.get(pop))),
      ]);
    },
    votes,
    results: () => checker.results(),
  };
}

/** The PoPs that come next in order of id, around the end: each PoP has equally many edges that check it. */
function neighbours(pops: readonly DesiredPop[], self: string): DesiredPop[] {
  const ring = [...pops].sort((a, b) => (a.id < b.id ? -1 : 1));
  const at = ring.findIndex(({ id }) => id === self);
  const count = Math.min(limits.health.neighbours, ring.length - 1);
  return at < 0 ? [] : Array.from({ length: count }, (_, i) => ring[(at + 1 + i) % ring.length]!);
}

function popTarget(pop: DesiredPop, trust: () => SecureContext | undefined): CheckTarget[] {
  const address = pop.vips.v4 ?? pop.vips.v6;
  if (address === undefined) return [];
  return [{ id: pop.id, kind: 'https', address, port: pop.httpsPort, path: '/readyz', host: healthHost, trust }];
}

/** One a candidate, at the address that is answered for it. */
function serviceTargets(
  { id, name, check, candidates }: DesiredService,
  pops: readonly DesiredPop[],
  watched: ReadonlySet<DesiredPop>,
  load: (pop: string) => number | undefined,
): CheckTarget[] {
  if (check === undefined) return [];
  return candidates.flatMap((candidate): CheckTarget[] => {
    const pop = pops[candidate.pop];
    const address = candidate.v4 ?? candidate.v6;
    if (pop === undefined || address === undefined || !watched.has(pop)) return [];
    const target = { id: targetOf(pop.id, id), kind: check.kind, address };
    if (check.kind === 'load') {
      const percent = () => {
        const requests = load(pop.id);
        return requests === undefined ? undefined : (100 * requests) / pop.requestsPerSecond;
      };
      return [{ ...target, port: 0, percentMax: check.percentMax, percent }];
    }
    const port = check.port ?? (check.kind === 'http' ? pop.httpPort : pop.httpsPort);
    if (check.kind === 'tcp') return [{ ...target, port }];
    const { path, status, body } = check;
    const host = name.slice(0, -1);
    return [{ ...target, port, path, host, status, trust: 'anyone', ...(body === undefined ? {} : { body }) }];
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
        // Without the post-quantum key share that is the default: half of the cost, and nothing here is a secret.
        context = createSecureContext({ ca: readFileSync(path), ecdhCurve: 'X25519:P-256' });
        stamp = found;
      }
    } catch {
      // Not there yet, or half written: keep what we have and look again.
    }
    return context;
  };
}
