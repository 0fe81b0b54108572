import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from './limits.ts';
import type { LiveView } from './live.ts';
import {
  createLive,
  type LiveState,
  liveBuffer,
  setForce,
  setLive,
  setLiveFor,
  setRoom,
  setRowForces,
  setTimes,
} from './live.ts';
import { changeBetween, type Fact, factsAt, factsOf, type LiveBatch, LiveJournal, viewOf } from './live-facts.ts';
import { seededRng } from './seeded.ts';
import { createDecision, decide } from './steering/decide.ts';
import { prepareService } from './steering/prepare.ts';
import { bySubnet, group, key, mapOf, popIds, resolver, service } from './steering/testing-decide.ts';

const desired = {
  pops: popIds.map((id) => ({ id })),
  services: [
    service({ controlShare: 0.3, answers: 2 }),
    service({ id: 'api', name: 'api.shop.example.', ttlSecondsMax: 30 }),
  ],
};
const map = mapOf([
  group(key, [
    ['0.0.0.0', [0, 1, 2, 3]],
    ['128.0.0.0', [3, 2, 1, 0]],
  ]),
  group(key.replace('latency', 'geo'), [['0.0.0.0', [1, 0, 2, 3]]]),
]);
const prepared = desired.services.map((one, row) => prepareService(one, key, popIds, map, row));

/** What a hundred clients are answered. */
function decisionsOf(live: LiveView, seed: number) {
  const rng = seededRng(`clients ${seed}`);
  const decision = createDecision();
  return Array.from({ length: 100 }, (_, i) => {
    const client = { family: 4 as const, hi: Math.floor(rng.next() * 2 ** 32), lo: 0 };
    decide(prepared[i % 2]!, live, bySubnet(client), resolver, decision);
    const { why, count, candidates, scope, ttlSeconds } = decision;
    return [why, scope, ttlSeconds, ...candidates.subarray(0, count)];
  });
}

const pops = desired.pops.length;
const services = desired.services.length;

const holdMs = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 90_000 }));
const state = fc.integer({ min: 0, max: 3 }) as fc.Arbitrary<LiveState>;
const view = fc
  .record({
    pops: fc.array(fc.tuple(state, holdMs, fc.nat(65_536), fc.nat(9_000)), { minLength: pops, maxLength: pops }),
    cells: fc.array(fc.tuple(fc.nat(services - 1), fc.nat(pops - 1), fc.integer({ min: 1, max: 3 }), holdMs), {
      maxLength: 3,
    }),
    force: fc.option(fc.tuple(fc.nat(31), fc.nat(pops - 1), state, fc.boolean(), holdMs)),
    feedbackMs: fc.integer({ min: 1, max: 30_000 }),
    week: fc.nat(3_000),
  })
  .map((drawn) => {
    const live = createLive(liveBuffer(services));
    for (const [pop, [at, hold, shed, band]] of drawn.pops.entries()) {
      setLive(live, pop, { state: at, holdMs: hold, loadPerMille: 0, sinceSeconds: 5 });
      setRoom(live, pop, shed, band);
    }
    for (const [row, pop, at, hold] of drawn.cells) setLiveFor(live, row, pop, at as LiveState, hold);
    if (drawn.force) {
      const [slot, pop, forced, pin, endsMs] = drawn.force;
      setForce(live, slot, { pop, state: forced, pin: pin && forced === 0, endsMs });
      setRowForces(live, 0, forced === 0 ? slot + 1 : 0, forced === 0 ? 0 : 1 << slot);
    }
    setTimes(live, drawn.week, drawn.feedbackMs);
    return { live, cells: drawn.cells.map(([row, pop]) => [row, pop] as const) };
  });

describe('live state as facts', () => {
  test('a view made of them answers everybody alike, TTLs included', () => {
    fc.assert(
      fc.property(view, fc.nat(1e9), ({ live, cells }, seed) => {
        const again = viewOf(factsOf(live, desired, cells), desired);
        expect(decisionsOf(again, seed)).toEqual(decisionsOf(live, seed));
      }),
      { numRuns: 300 },
    );
  });

  test('a promise that shrinks is news once a second, and none beyond the longest TTL', () => {
    const live = createLive(liveBuffer(services));
    const factsWith = (hold: number) => {
      setLive(live, 0, { state: 1, holdMs: hold, loadPerMille: 0, sinceSeconds: 0 });
      return factsOf(live, desired, []);
    };
    expect(changeBetween(factsWith(200_000), factsWith(100_000))).toBeUndefined();
    expect(changeBetween(factsWith(5_900), factsWith(5_100))).toBeUndefined();
    expect(changeBetween(factsWith(5_100), factsWith(4_900))).toEqual({ 'pop/fra': [1, 4_000, 0, 0, 0] });
    expect(changeBetween(factsWith(900), factsWith(0))).toEqual({ 'pop/fra': [1, 0, 0, 0, 0] });
  });
});

describe('the journal', () => {
  const fact = fc.tuple(fc.nat(3), fc.nat(3)) as fc.Arbitrary<Fact>;
  const facts = fc.dictionary(fc.constantFrom('pop/lon', 'pop/iad', 'time', 'row/shop'), fact);
  const step = fc.record({ facts, afterMs: fc.nat(5_000), take: fc.boolean(), lost: fc.boolean() });

  test('gives what was noted at any time, however it was taken away', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 200 }), (steps) => {
        const journal = new LiveJournal('one');
        const noted: { atMs: number; facts: Map<string, Fact> }[] = [];
        const kept: LiveBatch[] = [];
        const keep = (lost: boolean) => {
          const batch = journal.batch();
          if (batch === undefined || lost) return;
          journal.kept(batch);
          // As it comes back from the store.
          kept.push(JSON.parse(JSON.stringify(batch)) as LiveBatch);
        };
        let atMs = 1_000;
        for (const one of steps) {
          atMs += one.afterMs;
          const now = new Map(Object.entries(one.facts));
          journal.note(now, atMs);
          noted.push({ atMs, facts: now });
          if (one.take) keep(one.lost);
        }
        keep(false);
        for (const at of noted.flatMap((one) => [one.atMs, one.atMs + 1])) {
          const last = noted.findLast((one) => one.atMs <= at)!;
          expect(new Map(factsAt(kept, at))).toEqual(last.facts);
        }
        expect(factsAt(kept, 999)).toBeUndefined();
        const wholes = kept.flatMap(({ whole }, i) => (whole === undefined ? [] : [i]));
        expect(wholes[0]).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  test('is whole every so many batches, and noted again when nothing changes', () => {
    const journal = new LiveJournal('one');
    const batches: LiveBatch[] = [];
    for (let i = 0; i < 300; i++) {
      journal.note(new Map([['time', [i]]]), i * 1_000);
      const batch = journal.batch()!;
      journal.kept(batch);
      batches.push(batch);
    }
    const wholes = batches.flatMap(({ whole }, i) => (whole === undefined ? [] : [i]));
    expect(Math.max(...wholes.slice(1).map((at, i) => at - wholes[i]!))).toBeLessThan(limits.history.liveRows);
    expect(journal.note(new Map([['time', [299]]]), 300_000)).toBe(false);
    expect(journal.note(new Map([['time', [299]]]), 300_000 + limits.history.liveAgainMs)).toBe(true);
    expect(journal.batch()).toMatchObject({
      whole: { time: [299] },
      changes: [[300_000 + limits.history.liveAgainMs, {}]],
    });
  });

  test('is bounded while nobody takes it, and goes on with a whole one', () => {
    const journal = new LiveJournal('one');
    const count = limits.history.liveWaiting + 10;
    for (let i = 0; i < count; i++) journal.note(new Map([['time', [i]]]), i + 1);
    const batch = journal.batch()!;
    expect(batch.changes.length).toBeLessThanOrEqual(limits.history.liveWaiting);
    expect(batch.whole).toBeDefined();
    expect(factsAt([batch], count)).toEqual(new Map([['time', [count - 1]]]));
  });
});
