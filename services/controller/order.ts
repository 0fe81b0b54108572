/**
 * The order of creation and deletion, one life a host of an Ingress. Pure: what was is handed in, what is next comes out.
 *
 *     programming   route, certificate and VIP are published, the name is not answered
 *         │         every PoP that is up has applied that version, or 5 s passed and at least one has
 *     answering     the name is answered, by those PoPs alone; others join when they have the route
 *         │         every dns node has applied that version, or 5 s passed
 *     live          its status says so
 *         │         the object is gone
 *     withdrawing   the name is not answered any more
 *         │         every dns node has applied that, or 5 s passed
 *     draining      resolvers may hold the record: the route stays
 *         │         the longest TTL is over
 *     (nothing)     the route goes; the VIP, when its class has no host left, into quarantine
 *
 * An object that comes back on the way out goes to `programming`, where what PoPs have already applied still counts.
 * States are kept across restarts; nothing here depends on how often it is asked.
 */
import { limits } from '@ufes/core/limits.ts';
import { compareVersions, parseVersion, type Version } from '@ufes/core/version.ts';
import type { HostProgramme } from './ingress.ts';

export type PhaseState = 'programming' | 'answering' | 'live' | 'withdrawing' | 'draining';

export interface PopPhase {
  readonly address: string;
  /** First published version with this host's route at this PoP; absent until it is published. */
  readonly version?: string;
  readonly isApplied: boolean;
}

export interface HostPhase {
  /** The newest one; the last one once the object is gone. */
  readonly programme: HostProgramme;
  readonly state: PhaseState;
  readonly sinceMs: number;
  /** First published version in which this state shows, and when that was. */
  readonly version?: string;
  readonly publishedAtMs?: number;
  readonly pops: Readonly<Record<string, PopPhase>>;
}

/** What the nodes say they have applied, and which PoPs are down. */
export interface Nodes {
  /** By PoP id. */
  readonly edges: ReadonlyMap<string, Version>;
  /** By node name. */
  readonly dns: ReadonlyMap<string, Version>;
  readonly isDown: (pop: string) => boolean;
}

export interface OrderInput {
  /** By host. */
  readonly programmes: ReadonlyMap<string, HostProgramme>;
  /** Whether the object may exist although it is not seen: then all stays as it is. */
  readonly isHeld: (phase: HostPhase) => boolean;
  /** Hosts that the configuration has now: theirs at once. */
  readonly taken: ReadonlySet<string>;
  readonly nodes: Nodes;
  readonly nowMs: number;
}

export interface OrderResult {
  /** Those that are left, by host. */
  readonly phases: ReadonlyMap<string, HostPhase>;
  /** When to look again, if nothing happens before; undefined: when something happens. */
  readonly nextMs: number | undefined;
}

export function isAnswered({ state }: HostPhase): boolean {
  return state === 'answering' || state === 'live';
}

export function advance(phases: ReadonlyMap<string, HostPhase>, input: OrderInput): OrderResult {
  const next = new Map<string, HostPhase>();
  const times: number[] = [];
  const hosts = new Set([...phases.keys(), ...input.programmes.keys()]);
  for (const host of [...hosts].sort()) {
    if (input.taken.has(host)) continue;
    const before = phases.get(host);
    const programme = input.programmes.get(host);
    let phase: HostPhase | undefined;
    if (programme !== undefined) phase = grow(before, programme, input);
    else if (before !== undefined && input.isHeld(before)) phase = grow(before, before.programme, input);
    else if (before !== undefined) phase = shrink(before, input);
    if (phase === undefined) continue;
    next.set(host, phase);
    const due = dueMs(phase);
    if (due !== undefined && due > input.nowMs) times.push(due);
  }
  return { phases: next, nextMs: times.length === 0 ? undefined : Math.min(...times) };
}

/** The publication that shows the phases as they are. `version` in a phase is the first that does. */
export function published(
  phases: ReadonlyMap<string, HostPhase>,
  version: Version,
  nowMs: number,
): ReadonlyMap<string, HostPhase> {
  const text = `${version.ms}-${version.writer}`;
  const stamp = (phase: HostPhase): HostPhase => {
    const pops = Object.fromEntries(
      Object.entries(phase.pops).map(([pop, one]) => [
        pop,
        one.version === undefined ? { ...one, version: text } : one,
      ]),
    );
    const own = phase.version === undefined ? { version: text, publishedAtMs: nowMs } : {};
    return { ...phase, ...own, pops };
  };
  return new Map([...phases].map(([host, phase]) => [host, stamp(phase)]));
}

/** Whether every phase has been part of a publication. */
export function isPublished(phases: ReadonlyMap<string, HostPhase>): boolean {
  return [...phases.values()].every(
    (phase) => phase.version !== undefined && Object.values(phase.pops).every(({ version }) => version !== undefined),
  );
}

function grow(before: HostPhase | undefined, programme: HostProgramme, input: OrderInput): HostPhase {
  const { nodes, nowMs } = input;
  const pops = popsOf(before, programme, nodes);
  const enter = (state: PhaseState): HostPhase => ({ programme, state, sinceMs: nowMs, pops });
  if (before === undefined || before.state === 'withdrawing' || before.state === 'draining')
    return enter('programming');
  const same: HostPhase = { ...before, programme, pops };
  switch (before.state) {
    case 'programming':
      return isProgrammed(same, nodes, nowMs) ? enter('answering') : same;
    case 'answering':
      return isSeenByDns(same, nodes, nowMs) ? { ...same, state: 'live', sinceMs: nowMs } : same;
    default:
      return same;
  }
}

function shrink(before: HostPhase, { nodes, nowMs }: OrderInput): HostPhase | undefined {
  const { programme, pops } = before;
  switch (before.state) {
    case 'programming':
      // It never had a record, unless it came back from one: then the record's TTL counts again.
      return Object.values(pops).some(({ isApplied }) => isApplied)
        ? { programme, state: 'withdrawing', sinceMs: nowMs, pops }
        : undefined;
    case 'answering':
    case 'live':
      return { programme, state: 'withdrawing', sinceMs: nowMs, pops };
    case 'withdrawing':
      return isSeenByDns(before, nodes, nowMs) ? { ...before, state: 'draining', sinceMs: nowMs } : before;
    case 'draining':
      return nowMs >= before.sinceMs + programme.ttlSecondsMax * 1_000 ? undefined : before;
  }
}

/** Candidates as they are now; what a PoP has applied stays applied. */
function popsOf(before: HostPhase | undefined, programme: HostProgramme, nodes: Nodes): Record<string, PopPhase> {
  return Object.fromEntries(
    programme.candidates.map(({ pop, address }): [string, PopPhase] => {
      const old = before?.pops[pop];
      if (old === undefined || old.address !== address) return [pop, { address, isApplied: false }];
      return [pop, { ...old, isApplied: old.isApplied || hasApplied(nodes.edges.get(pop), old.version) }];
    }),
  );
}

function hasApplied(applied: Version | undefined, wanted: string | undefined): boolean {
  const version = wanted === undefined ? undefined : parseVersion(wanted);
  return applied !== undefined && version !== undefined && compareVersions(applied, version) >= 0;
}

function isProgrammed(phase: HostPhase, nodes: Nodes, nowMs: number): boolean {
  const pops = Object.entries(phase.pops);
  if (!pops.some(([, { isApplied }]) => isApplied)) return false;
  const missing = pops.filter(([pop, { isApplied }]) => !isApplied && !nodes.isDown(pop));
  return missing.length === 0 || isOverdue(phase, nowMs);
}

function isSeenByDns(phase: HostPhase, nodes: Nodes, nowMs: number): boolean {
  if (phase.version === undefined) return false;
  return [...nodes.dns.values()].every((version) => hasApplied(version, phase.version)) || isOverdue(phase, nowMs);
}

function isOverdue({ publishedAtMs }: HostPhase, nowMs: number): boolean {
  return publishedAtMs !== undefined && nowMs - publishedAtMs >= limits.controller.appliedMs;
}

/** When the phase moves on even if nobody reports anything. */
function dueMs(phase: HostPhase): number | undefined {
  if (phase.state === 'draining') return phase.sinceMs + phase.programme.ttlSecondsMax * 1_000;
  if (phase.state === 'live' || phase.publishedAtMs === undefined) return undefined;
  return phase.publishedAtMs + limits.controller.appliedMs;
}
