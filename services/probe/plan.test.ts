/** Which targets plans have, and that the stated probabilities are the real ones. */
import type { DesiredPop } from '@ufes/core/desired.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { believe } from './beliefs.ts';
import { chooseTargets, type ProbeState } from './plan.ts';

function world(pops: number, origins: number, zone: string | undefined = 'probe.example.'): ProbeState {
  return {
    pops: Array.from(
      { length: pops },
      (_, i): DesiredPop => ({
        id: `p${i}`,
        title: '',
        latitude: 0,
        longitude: i,
        vips: { v4: '192.0.2.1' },
        httpsPort: i === 0 ? 443 : 8443,
        httpPort: 80,
        requestsPerSecond: 1,
        backboneRttMs: {},
      }),
    ),
    origins: [
      { id: 'silent', endpoints: [] },
      ...Array.from({ length: origins }, (_, i) => ({
        id: `o${i}`,
        endpoints: [],
        probeUrl: `https://o${i}.example/p`,
      })),
    ],
    probe: { sources: [], ...(zone === undefined ? {} : { zone }) },
  };
}

/** Nothing but distances is known, if those. */
const by = ({ pops }: ProbeState, km?: readonly number[]) =>
  believe(undefined, undefined, { family: 4, hi: 0x5102ff00, lo: 0 }, pops, km);

it('asks for all PoPs when they fit, with equal weight', () => {
  const plan = chooseTargets(world(3, 0), by(world(3, 0)), seededRng(1));
  expect(plan.map(({ id, url, p }) => [id, url, p]).sort()).toEqual([
    ['pop:p0', 'https://*-p0.probe.example/p', 1],
    ['pop:p1', 'https://*-p1.probe.example:8443/p', 1],
    ['pop:p2', 'https://*-p2.probe.example:8443/p', 1],
  ]);
});

it('asks for nothing without a probe zone, but for origins that can be timed', () => {
  const desired = world(3, 0);
  expect(chooseTargets({ ...desired, probe: { sources: [] } }, by(desired), seededRng(1))).toEqual([]);
  const direct = chooseTargets({ ...world(3, 2), probe: { sources: [] } }, by(desired), seededRng(1));
  expect(direct.map(({ id, p }) => [id, p]).sort()).toEqual([
    ['origin:o0', 1],
    ['origin:o1', 1],
  ]);
});

it('states the probability with which each target is really chosen', () => {
  const rng = seededRng('plans');
  const runs = 4_000;
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 12 }),
      fc.integer({ min: 0, max: 4 }),
      fc.boolean(),
      (pops, origins, located) => {
        const desired = world(pops, origins);
        const beliefs = by(desired, located ? desired.pops.map((_, pop) => Math.abs(1_000 * pop - 1_500)) : undefined);
        const count = new Map<string, number>();
        const stated = new Map<string, number>();
        for (let run = 0; run < runs; run++) {
          const plan = chooseTargets(desired, beliefs, rng);
          expect(plan.length).toBeLessThanOrEqual(5);
          expect(new Set(plan.map((one) => one.id)).size).toBe(plan.length);
          for (const { id, p } of plan) {
            count.set(id, (count.get(id) ?? 0) + 1);
            expect(stated.get(id) ?? p).toBeCloseTo(p, 12);
            stated.set(id, p);
          }
        }
        expect(count.size).toBe(pops + origins);
        for (const [id, p] of stated) {
          const error = Math.sqrt((p * (1 - p)) / runs);
          expect(Math.abs(count.get(id)! / runs - p)).toBeLessThanOrEqual(5 * error + 1e-9);
        }
      },
    ),
    { numRuns: 20 },
  );
});

it('always has the incumbent, those that may turn out best, and the nearest when there is room', () => {
  const rng = seededRng(3);
  const desired = world(30, 1);
  const km = desired.pops.map((_, pop) => 500 + Math.abs(1_000 * pop - 17_000));
  const ranking = [4, ...desired.pops.map((_, pop) => pop).filter((pop) => pop !== 4)];
  const beliefs = {
    ...by(desired, km),
    ranking,
    lowMs: desired.pops.map((_, pop) => (pop === 9 || pop === 12 ? 1 : 50)),
  };
  for (let run = 0; run < 200; run++) {
    const plan = chooseTargets(desired, beliefs, rng);
    expect(plan.slice(0, 3).map(({ id, p }) => [id, p])).toEqual(['pop:p4', 'pop:p9', 'pop:p12'].map((id) => [id, 1]));
    if (plan.every(({ id }) => id !== 'origin:o0')) expect(plan[3]!.id).toBe('pop:p17');
  }
});
