import { limits } from '@ufes/core/limits.ts';
import type { Version } from '@ufes/core/version.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HostProgramme } from './ingress.ts';
import { advance, type HostPhase, isAnswered, isPublished, published } from './order.ts';

const programme: HostProgramme = {
  ...{ host: 'app.shop.example', owner: 'shop/web', className: 'ufes', ttlSecondsMin: 5, ttlSecondsMax: 20 },
  candidates: [
    { pop: 'lon', address: '192.0.2.17' },
    { pop: 'iad', address: '198.51.100.17' },
  ],
  ...{ paths: [], origins: [] },
};

type Step =
  | { readonly do: 'create' | 'delete' | 'hold' }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'apply'; readonly node: 'lon' | 'iad' | 'dns' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom<Step>({ do: 'create' }, { do: 'delete' }, { do: 'hold' }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 900, 4_999, 5_000, 19_999, 20_000) }),
  fc.record({
    do: fc.constant('apply' as const),
    node: fc.constantFrom('lon' as const, 'iad' as const, 'dns' as const),
  }),
);

describe('any sequence of events', () => {
  it('never has an answer without a route, and never drops a route that a resolver may still send to', () => {
    let dropped = 0;
    let answered = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 40, maxLength: 120, size: 'max' }), (steps) => {
        let nowMs = 1_764_000_000_000;
        let phases: ReadonlyMap<string, HostPhase> = new Map();
        let exists: 'yes' | 'no' | 'held' = 'no';
        let version: Version = { ms: nowMs, writer: 'a' };
        /** What each node has applied: version, and for PoPs whether that had the route; for dns whether it answers. */
        const edges = new Map<string, Version>();
        const routes = new Map<string, boolean>();
        const dns = new Map<string, Version>();
        let dnsAnswers: readonly string[] = [];
        /** Until when a resolver may hold an answer that names the PoP. */
        const heldUntilMs = new Map<string, number>();
        let withdrawnAtMs = 0;
        /** When dns first applied what has no record. */
        let dnsSeenAtMs = 0;

        for (const one of steps) {
          if (one.do === 'create') exists = 'yes';
          else if (one.do === 'delete') exists = 'no';
          else if (one.do === 'hold') exists = 'held';
          else if (one.do === 'wait') nowMs += one.ms;
          else if (one.do === 'apply' && one.node === 'dns') {
            dns.set('dns', version);
            dnsSeenAtMs = Math.min(dnsSeenAtMs, nowMs);
            const phase = phases.get(programme.host);
            dnsAnswers = phase !== undefined && isAnswered(phase) ? appliedPops(phase) : [];
          } else if (one.do === 'apply') {
            edges.set(one.node, version);
            routes.set(one.node, phases.has(programme.host));
          }
          for (const pop of dnsAnswers) heldUntilMs.set(pop, nowMs + programme.ttlSecondsMax * 1_000);

          const before = phases.get(programme.host);
          const input = {
            programmes: new Map(exists === 'yes' ? [[programme.host, programme]] : []),
            isHeld: () => exists === 'held',
            taken: new Set<string>(),
            nodes: { edges, dns, isDown: () => false },
            nowMs,
          };
          phases = advance(phases, input).phases;
          const after = phases.get(programme.host);
          if (JSON.stringify(before) !== JSON.stringify(after) || !isPublished(phases)) {
            version = { ms: version.ms + 1, writer: 'a' };
            phases = published(phases, version, nowMs);
          }
          const phase = phases.get(programme.host);
          if (phase !== undefined && isAnswered(phase)) {
            answered++;
            expect(appliedPops(phase).length).toBeGreaterThan(0);
            for (const pop of appliedPops(phase)) expect(routes.get(pop)).toBe(true);
          }
          if (phase?.state === 'withdrawing' && before?.state !== 'withdrawing') {
            withdrawnAtMs = nowMs;
            dnsSeenAtMs = Number.POSITIVE_INFINITY;
          }
          if (before !== undefined && after === undefined) {
            dropped++;
            // A dns node that applies nothing for 5 s is as good as gone: it is not waited for.
            const patience = limits.controller.appliedMs + programme.ttlSecondsMax * 1_000;
            const isDnsLost =
              dnsSeenAtMs - withdrawnAtMs >= limits.controller.appliedMs && nowMs - withdrawnAtMs >= patience;
            for (const untilMs of heldUntilMs.values()) expect(isDnsLost || untilMs <= nowMs).toBe(true);
            heldUntilMs.clear();
            dnsAnswers = [];
            if (before.state !== 'programming') expect(before.state).toBe('draining');
          }
          if (exists === 'held' && before !== undefined) expect(after).toBeDefined();
        }
      }),
      { numRuns: 1_000 },
    );
    // The sequences do get there.
    expect(Math.min(dropped, answered)).toBeGreaterThan(100);
  });
});

function appliedPops(phase: HostPhase): string[] {
  return Object.entries(phase.pops).flatMap(([pop, { isApplied }]) => (isApplied ? [pop] : []));
}

describe('advance', () => {
  const input = (nowMs: number, extra: object = {}) => ({
    programmes: new Map([[programme.host, programme]]),
    isHeld: () => false,
    taken: new Set<string>(),
    nodes: { edges: new Map<string, Version>(), dns: new Map<string, Version>(), isDown: () => false },
    nowMs,
    ...extra,
  });

  it('says when to look again: at the end of a bounded wait, and of a drain', () => {
    const first = advance(new Map(), input(1_000));
    expect(first.nextMs).toBeUndefined();
    const stamped = published(first.phases, { ms: 5, writer: 'a' }, 1_000);
    expect(advance(stamped, input(1_001)).nextMs).toBe(1_000 + limits.controller.appliedMs);
    const draining = new Map([
      [programme.host, { ...stamped.get(programme.host)!, state: 'draining' as const, sinceMs: 2_000 }],
    ]);
    expect(advance(draining, input(2_001, { programmes: new Map() })).nextMs).toBe(22_000);
  });

  it('forgets a host that was deleted before any PoP had it', () => {
    const { phases } = advance(new Map(), input(1_000));
    expect(advance(phases, input(1_001, { programmes: new Map() })).phases.size).toBe(0);
  });

  it('lets the configuration take a host at once', () => {
    const { phases } = advance(new Map(), input(1_000));
    expect(advance(phases, input(1_001, { taken: new Set([programme.host]) })).phases.size).toBe(0);
  });
});
