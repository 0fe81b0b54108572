import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DesiredService } from '../desired.ts';
import { type Address, parseAddress, parsePrefix, prefixOf } from '../ip.ts';
import {
  createLive,
  LiveState,
  type LiveView,
  liveBuffer,
  setForce,
  setLive,
  setRoom,
  setRowForces,
  setTimes,
} from '../live.ts';
import { seededRng } from '../seeded.ts';
import { createDecision, type Decision, decide, Passed, Why } from './decide.ts';
import type { SteeringMap } from './map.ts';
import { prepareService } from './prepare.ts';
import {
  anyAddress,
  anyWorld,
  byResolver,
  bySubnet,
  group,
  key,
  mapOf,
  type PopCondition,
  popIds,
  populationOf,
  resolver,
  service,
  setCondition,
} from './testing-decide.ts';

const [fra, iad, lon, sin] = [0, 1, 2, 3];
const geo = key.replace('latency', 'geo');
const client = parseAddress('81.2.69.160')!;
const everywhere = ['0.0.0.0/0'];

function prepared(one: DesiredService, map?: SteeringMap) {
  return prepareService(one, key, popIds, map, 0);
}

/** PoPs chosen, and the decision. */
function ask(one: DesiredService, live: LiveView, map?: SteeringMap, asked = bySubnet(client), peer = resolver) {
  const ready = prepared(one, map);
  const decision = createDecision(true);
  decide(ready, live, asked, peer, decision);
  return { decision, pops: chosen(decision, ready) };
}

function chosen(decision: Decision, ready: ReturnType<typeof prepared>): number[] {
  return Array.from(decision.candidates.subarray(0, decision.count), (candidate) => ready.popOfCandidate[candidate]!);
}

const newLive = () => createLive(liveBuffer(1));

describe('precedence', () => {
  // From the highest to the lowest. Each names one PoP.
  const rules = ['pinned force', 'force', 'pinned override', 'override', 'share', 'control arm', 'map', 'default list'];
  const conditions: PopCondition[] = ['up', 'down', 'draining', 'full'];
  const alike = [
    ['pinned force', 'force'],
    ['pinned override', 'override'],
    ['control arm', 'map'],
  ];
  const pairs = rules.flatMap((high, i) => rules.slice(i + 1).map((low) => [high, low] as const));
  const tested = pairs.filter((pair) => !alike.some((two) => two.join() === pair.join()));
  const rows = tested.flatMap(([high, low]) =>
    conditions.flatMap((highIs) => conditions.map((lowIs) => [high, highIs, low, lowIs] as const)),
  );

  /** A world in which `high` names fra and `low` names iad; all else comes down to lon. */
  function worldOf(high: string, low: string) {
    const live = newLive();
    const named = (name: string): number | undefined => (high === name ? fra : low === name ? iad : undefined);
    const force = named('force') ?? named('pinned force');
    const override = named('override') ?? named('pinned override');
    const share = named('share');
    const control = named('control arm');
    const byMap = named('map');
    const list = low === 'default list' ? [iad, lon, fra, sin] : [lon, fra, iad, sin];
    if (force !== undefined) {
      setForce(live, 0, { pop: force, state: LiveState.unknown, pin: high === 'pinned force', endsMs: 0 });
      setRowForces(live, 0, 1, 0);
    }
    const pin = [high, low].includes('pinned override');
    const one = service({
      candidates: list.map((pop) => ({ pop: pop!, v4: `192.0.2.${pop}` })),
      ...(override !== undefined && { overrides: [{ prefixes: everywhere, pops: [override], pin }] }),
      ...(share !== undefined && { shares: [{ pop: share, share: 1 }] }),
      ...(control !== undefined && { controlShare: 1 }),
    });
    const groups = [];
    if (byMap !== undefined || control !== undefined) groups.push(group(key, [['0.0.0.0', [byMap ?? sin!]]]));
    if (control !== undefined) groups.push(group(geo, [['0.0.0.0', [control]]]));
    return { live, one, map: groups.length > 0 ? mapOf(groups) : undefined };
  }

  it(`covers every pair that can stand side by side: ${tested.length} × 16`, () => {
    expect(rows).toHaveLength(tested.length * 16);
    expect(tested).toHaveLength(25);
  });

  it.each(rows)('%s (%s) before %s (%s)', (high, highIs, low, lowIs) => {
    const { live, one, map } = worldOf(high, low);
    setCondition(live, fra!, highIs);
    setCondition(live, iad!, lowIs);
    const holds = (rule: string, is: PopCondition) => is === 'up' || rule.startsWith('pinned');
    const expected = holds(high, highIs) ? fra : holds(low, lowIs) ? iad : lon;
    const { pops, decision } = ask(one, live, map);
    expect(pops).toEqual([expected]);
    const whys = [Why.force, Why.force, Why.override, Why.override, Why.share, Why.control, Why.map, Why.defaultList];
    if (expected !== lon) {
      expect(decision.why).toBe(whys[rules.indexOf(expected === fra ? high : low)]);
    }
    const passed = { up: Passed.no, down: Passed.down, draining: Passed.draining, full: Passed.full };
    const highAt = one.candidates.findIndex(({ pop }) => pop === fra);
    expect(decision.passed[highAt]).toBe(holds(high, highIs) ? Passed.no : passed[highIs]);
  });
});

describe('evidence', () => {
  const map = mapOf(
    [
      group(key, [
        ['0.0.0.0', [fra!, iad!, lon!, sin!]],
        ['81.2.69.0', [lon!, fra!, iad!, sin!]],
        ['81.2.70.0', [iad!, fra!, lon!, sin!]],
        ['203.0.113.0', [sin!, fra!, lon!, iad!]],
      ]),
    ],
    {
      population: populationOf([
        ['203.0.113.0/25', '81.2.69.0'],
        ['198.51.100.7/32', '2001:db8::'],
      ]),
    },
  );
  const live = newLive();
  it.each([
    ['the subnet', bySubnet(client), resolver, {}, [lon], 0],
    ['without one, the clients of the resolver', byResolver, resolver, {}, [lon], 1],
    ['where they are not known, the resolver', byResolver, parseAddress('203.0.113.200')!, {}, [sin], 2],
    ['the resolver’s clients, of another family', byResolver, parseAddress('198.51.100.7')!, {}, [fra], 1],
    [
      'a service may ignore the subnet',
      bySubnet(parseAddress('81.2.70.1')!),
      resolver,
      { ignoreSubnet: true },
      [lon],
      1,
    ],
  ])('%s', (_, asked, peer, over, pops, evidence) => {
    const answer = ask(service(over as Partial<DesiredService>), live, map, asked, peer);
    expect(answer.pops).toEqual(pops);
    expect(answer.decision.evidence).toBe(evidence);
    expect(answer.decision.scoped).toBe(!('ignoreSubnet' in over));
  });
});

describe('room and what is left', () => {
  const map = mapOf([group(key, [['0.0.0.0', [lon!, iad!, fra!, sin!]]])]);
  it('a full PoP keeps its share of units, and the rest goes to the next one', () => {
    const live = newLive();
    setRoom(live, lon!, Math.round(0.3 * 65_536), 0);
    const counts = new Map<number, number>();
    const ready = prepared(service(), map);
    const decision = createDecision();
    for (let unit = 0; unit < 65_536; unit++) {
      decide(ready, live, bySubnet({ family: 4, hi: (unit << 16) >>> 0, lo: 0 }), resolver, decision);
      const pop = chosen(decision, ready)[0]!;
      counts.set(pop, (counts.get(pop) ?? 0) + 1);
      expect(decision.scope).toBe(16);
    }
    expect(counts.get(lon!)! / 65_536).toBeCloseTo(0.7, 2);
    expect(counts.get(iad!)! / 65_536).toBeCloseTo(0.3, 2);
  });
  it('all full: the first that is up; none up: the first that drains; before the all-down rule', () => {
    const live = newLive();
    for (const pop of [fra, iad, lon, sin]) setCondition(live, pop!, 'full');
    setCondition(live, lon!, 'down');
    const one = service({ allDown: { rule: 'nodata' } });
    expect(ask(one, live, map)).toMatchObject({ pops: [iad], decision: { why: Why.noRoom } });
    for (const pop of [fra, iad, sin]) setCondition(live, pop!, pop === sin ? 'draining' : 'down');
    expect(ask(one, live, map)).toMatchObject({ pops: [sin], decision: { why: Why.draining } });
    setCondition(live, sin!, 'down');
    expect(ask(one, live, map)).toMatchObject({
      pops: [],
      decision: { why: Why.nodata, scoped: false, ttlSeconds: 5 },
    });
  });
  it('an empty answer is for all or for none: a region whose PoPs are down is answered as if they were up', () => {
    const live = newLive();
    setCondition(live, fra!, 'down');
    const one = service({ allDown: { rule: 'nodata' }, regions: [{ prefixes: ['81.2.0.0/16'], only: [fra!] }] });
    expect(ask(one, live, map)).toMatchObject({ pops: [fra], decision: { why: Why.servePreferred, scope: 16 } });
  });
  it('TTLs do not outlast a force, nor the next feedback for units at the edge', () => {
    const live = newLive();
    setTimes(live, 1, 12_000);
    setRoom(live, lon!, 0, 65_536);
    expect(ask(service(), live, map).decision.ttlSeconds).toBe(12);
    setForce(live, 3, { pop: sin!, state: LiveState.unknown, pin: false, endsMs: 9_500 });
    setRowForces(live, 0, 4, 0);
    expect(ask(service(), live, map)).toMatchObject({
      pops: [sin],
      decision: { ttlSeconds: 9, scoped: false, force: 3 },
    });
  });
  it('a forced state goes before checks', () => {
    const live = newLive();
    setForce(live, 1, { pop: lon!, state: LiveState.down, pin: false, endsMs: 0 });
    setForce(live, 2, { pop: iad!, state: LiveState.up, pin: false, endsMs: 0 });
    setCondition(live, iad!, 'down');
    setRowForces(live, 0, 0, 0b110);
    expect(ask(service(), live, map).pops).toEqual([iad]);
  });
});

describe('shares', () => {
  const map = mapOf([group(key, [['0.0.0.0', [lon!, iad!, fra!, sin!]]], [['::', [lon!, iad!, fra!, sin!]]])]);
  const rng = seededRng('shares');
  const random = (): Address => {
    const hi = Math.floor(rng.next() * 2 ** 32);
    return rng.next() < 0.5
      ? { family: 4, hi: (hi & 0xffffff00) >>> 0, lo: 0 }
      : { family: 6, hi: (0x20000000 | (hi & 0x1fffffff)) >>> 0, lo: (Math.floor(rng.next() * 2 ** 16) << 16) >>> 0 };
  };
  const clients = Array.from({ length: 100_000 }, random);
  const canary = (percent: number) => service({ shares: [{ pop: sin!, share: percent / 100 }] });
  const taken = (one: DesiredService, live = newLive()): boolean[] => {
    // As another node or a restart would: from the JSON of the desired state.
    const ready = prepared(JSON.parse(JSON.stringify(one)) as DesiredService, map);
    const decision = createDecision();
    return clients.map((address) => {
      decide(ready, live, bySubnet(address), resolver, decision);
      return chosen(decision, ready)[0] === sin;
    });
  };
  const share = (list: readonly boolean[]) => list.filter(Boolean).length / list.length;

  it('5% of 100 k random prefixes are 5 ± 0.3%, 6% moves 1 ± 0.2%, alike on every node', () => {
    const five = taken(canary(5));
    const six = taken(canary(6));
    expect(share(five)).toBeGreaterThan(0.047);
    expect(share(five)).toBeLessThan(0.053);
    const moved = share(five.map((one, i) => one !== six[i]));
    expect(moved).toBeGreaterThan(0.008);
    expect(moved).toBeLessThan(0.012);
    expect(five.every((one, i) => !one || six[i])).toBe(true);
    expect(taken(canary(5))).toEqual(five);
  });
  it('of a prefix list take from it alone', () => {
    const one = service({ shares: [{ pop: sin!, share: 1, prefixes: ['81.2.0.0/16'] }] });
    expect(ask(one, newLive(), map).pops).toEqual([sin]);
    expect(ask(one, newLive(), map, bySubnet(parseAddress('81.3.0.1')!)).pops).toEqual([lon]);
  });
  it('the control arm is 1% by distance alone, and another one next week', () => {
    const twin = mapOf([...map.groups, group(geo, [['0.0.0.0', [sin!, lon!, iad!, fra!]]])]);
    const ready = prepared(service({ controlShare: 0.01 }), twin);
    const decision = createDecision();
    const arm = (week: number): Set<number> => {
      const live = newLive();
      setTimes(live, week, 30_000);
      const units = new Set<number>();
      for (let unit = 0; unit < 65_536; unit++) {
        decide(ready, live, bySubnet({ family: 4, hi: (unit << 16) >>> 0, lo: 0 }), resolver, decision);
        if (decision.why === Why.control) units.add(unit);
        expect(chosen(decision, ready)[0]).toBe(decision.why === Why.control ? sin : lon);
      }
      return units;
    };
    const [this1, next] = [arm(2_900), arm(2_901)];
    expect(Math.abs(this1.size / 65_536 - 0.01)).toBeLessThan(0.0015);
    const both = [...this1].filter((unit) => next.has(unit)).length;
    expect(both / this1.size).toBeLessThan(0.05);
  });
});

describe('laws', () => {
  /** By search: whether `only`, the service's and the region's, allows a PoP for a client. */
  function allows({ only, regions = [] }: DesiredService, address: Address, pop: number): boolean {
    const matching = regions.flatMap(({ prefixes, only: pops }, i) =>
      prefixes.map((text) => ({ prefix: parsePrefix(text)!, pops, i })),
    );
    const holds = matching.filter(({ prefix }) => {
      const own = prefixOf(address, prefix.length);
      return own.family === prefix.family && own.hi === prefix.hi && own.lo === prefix.lo;
    });
    // The longest; of equal ones the last rule.
    const region = holds.toSorted((a, b) => a.prefix.length - b.prefix.length || a.i - b.i).at(-1);
    return (only === undefined || only.includes(pop)) && (region === undefined || region.pops.includes(pop));
  }

  it('nothing breaks `only`: no rule, force, pin, spill, all-down', () => {
    let answered = 0;
    fc.assert(
      fc.property(anyWorld, anyAddress, ({ service: one, prepared: ready, live }, address) => {
        const decision = createDecision();
        decide(ready, live, bySubnet(address), resolver, decision);
        for (const pop of chosen(decision, ready)) {
          answered++;
          expect(allows(one, decision.client, pop)).toBe(true);
        }
      }),
      { numRuns: 5_000 },
    );
    expect(answered).toBeGreaterThan(2_000);
  });

  it('scopes partition the space: whoever is inside one gets the same answer, scope and TTL', () => {
    let scoped = 0;
    const outcome = (decision: Decision) => ({
      why: decision.why,
      by: [...decision.by.subarray(0, decision.count)],
      candidates: [...decision.candidates.subarray(0, decision.count)],
      scope: decision.scoped ? decision.scope : 0,
      ttlSeconds: decision.ttlSeconds,
    });
    fc.assert(
      fc.property(anyWorld, anyAddress, fc.nat(0xffffffff), fc.nat(0xffffffff), (world, address, hi, lo) => {
        const [first, second] = [createDecision(), createDecision()];
        decide(world.prepared, world.live, bySubnet(address), resolver, first);
        const { scope } = outcome(first);
        if (scope > 0) scoped++;
        const own = prefixOf(address, scope);
        const noise = prefixOf({ family: address.family, hi, lo: address.family === 4 ? 0 : lo }, scope);
        const mixed: Address = {
          family: address.family,
          hi: (own.hi | (hi ^ noise.hi)) >>> 0,
          lo: address.family === 4 ? 0 : (own.lo | (lo ^ noise.lo)) >>> 0,
        };
        decide(world.prepared, world.live, bySubnet(mixed), resolver, second);
        expect(outcome(second)).toEqual(outcome(first));
      }),
      { numRuns: 5_000 },
    );
    expect(scoped).toBeGreaterThan(2_000);
  });

  it('depends on nothing but its input, and tracing changes nothing', () => {
    fc.assert(
      fc.property(anyWorld, anyAddress, anyAddress, ({ service: one, map, prepared: ready, live }, address, before) => {
        const again = prepareService(structuredClone(one), key, popIds, map && structuredClone(map), 0);
        const [first, second] = [createDecision(), createDecision(true)];
        decide(ready, live, bySubnet(address), resolver, first);
        decide(again, live, byResolver, before, second);
        decide(again, live, bySubnet(address), resolver, second);
        const { tracing: _, passed: __, ...left } = first;
        expect(second).toMatchObject({ ...left, candidates: second.candidates, by: second.by });
        expect(second.candidates.subarray(0, second.count)).toEqual(first.candidates.subarray(0, first.count));
      }),
      { numRuns: 2_000 },
    );
  });

  it('an up PoP with room is always found when there is one that is allowed', () => {
    fc.assert(
      fc.property(anyWorld, anyAddress, ({ service: one, prepared: ready, live }, address) => {
        const decision = createDecision();
        decide(ready, live, bySubnet(address), resolver, decision);
        if (decision.count > 0) return;
        // Nothing answered: only when the rule says so.
        // A service whose every PoP is forbidden for this client has nothing to answer, whatever the rule.
        const none = one.candidates.every(({ pop }) => !allows(one, address, pop));
        expect(none || decision.why === Why.nodata || decision.why === Why.fallback).toBe(true);
        if (none) return;
        expect(one.allDown.rule).not.toBe('serve-preferred');
      }),
      { numRuns: 2_000 },
    );
  });
});

it('force and override past a client’s region fall through, pinned or not', () => {
  const live = newLive();
  setForce(live, 0, { pop: sin!, state: LiveState.unknown, pin: true, endsMs: 0 });
  setRowForces(live, 0, 1, 0);
  setLive(live, sin!, { state: LiveState.up, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
  const one = service({ regions: [{ prefixes: ['81.2.69.0/24'], only: [iad!, fra!] }] });
  expect(ask(one, live).pops).toEqual([fra]);
  expect(ask(one, live, undefined, bySubnet(parseAddress('81.2.70.1')!)).pops).toEqual([sin]);
});
