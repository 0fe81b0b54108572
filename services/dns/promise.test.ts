/**
 * The TTL as a promise, over random sequences of check results, votes and expiries: in quiet times it is the longest; and
 * whatever has happened, no continuation of the checks makes the state flip before a shorter one is over.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { othersSure, Sim } from './live-feed.fixture.ts';

const intervalMs = 10_000;
const stepMs = 1_000;
const [ttlMin, ttlMax] = [1, 120];
const vantages = ['probe', 'edge-x', 'edge-y'];
const everyone = ['dns', ...vantages];
/** Two of five PoPs at most, so that no vantage doubts itself: that is a surprise no promise covers. */
const targets = ['lon', 'iad'];

type Step =
  | { readonly kind: 'wait'; readonly steps: number }
  | { readonly kind: 'see'; readonly vantage: string; readonly target: string; readonly ok: boolean }
  | { readonly kind: 'all see'; readonly target: string; readonly ok: boolean }
  | { readonly kind: 'dies' | 'lives'; readonly vantage: string }
  | { readonly kind: 'store'; readonly gone: boolean };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('wait' as const), steps: fc.integer({ min: 1, max: 30 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('see' as const),
      vantage: fc.constantFrom(...everyone),
      target: fc.constantFrom(...targets),
      ok: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('all see' as const),
      target: fc.constantFrom(...targets),
      ok: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('dies' as const, 'lives' as const),
      vantage: fc.constantFrom(...vantages),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('store' as const), gone: fc.boolean() }) },
);
/** How everything goes on: what each vantage sees of each target from then on, at each of its checks. */
const anyFuture = fc.array(fc.constantFrom('good', 'bad', 'opposite'), { minLength: 8, maxLength: 8 });

class World {
  readonly views = new Map<string, boolean>();
  readonly sim = new Sim({
    intervalMs,
    vantages,
    service: { ttlSecondsMin: ttlMin, ttlSecondsMax: ttlMax },
    sees: (vantage, target) => this.views.get(`${vantage} ${target}`) ?? true,
  });

  async apply(step: Step, each: () => void): Promise<void> {
    if (step.kind === 'wait') await this.sim.advance(step.steps * stepMs, stepMs, each);
    if (step.kind === 'see') this.views.set(`${step.vantage} ${step.target}`, step.ok);
    if (step.kind === 'all see') for (const one of everyone) this.views.set(`${one} ${step.target}`, step.ok);
    if (step.kind === 'dies') this.sim.dead.add(step.vantage);
    if (step.kind === 'lives') this.sim.dead.delete(step.vantage);
    if (step.kind === 'store') this.sim.storeGone = step.gone;
    // Who comes back is a surprise too; it is over once all have voted.
    if (step.kind === 'lives' || step.kind === 'store') await this.sim.advance(intervalMs + stepMs, stepMs);
  }

  async start(): Promise<void> {
    await this.sim.start();
    await this.sim.advance(intervalMs + stepMs, stepMs);
  }

  states(pops: readonly string[]): string {
    return pops.map((pop) => this.sim.feed.verdicts().get(pop)!.state).join();
  }
}

it('is the longest in quiet times, and short while a check consulted is not sure', async () => {
  let quiet = 0;
  let unsure = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 15 }), async (steps) => {
      const world = new World();
      const { sim } = world;
      await world.start();
      try {
        for (const step of steps) {
          await world.apply(step, () => {
            const { ttlSeconds, consulted } = sim.answer();
            expect(ttlSeconds).toBeGreaterThanOrEqual(ttlMin);
            if (sim.storeGone || othersSure(sim, consulted)) return;
            unsure++;
            expect(ttlSeconds).toBeLessThan(ttlMax);
          });
        }
        await sim.advance(8 * intervalMs, stepMs);
        await sim.advance(2 * intervalMs, stepMs, () => {
          quiet++;
          expect(sim.answer().ttlSeconds).toBe(ttlMax);
        });
      } finally {
        await sim.stop();
      }
    }),
    { numRuns: 40 },
  );
  expect(quiet).toBeGreaterThan(200);
  expect(unsure).toBeGreaterThan(200);
});

it('is never over before the state can flip, however the checks go on', async () => {
  let promised = 0;
  let flipped = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 3, maxLength: 15 }), anyFuture, async (steps, future) => {
      const world = new World();
      const { sim } = world;
      await world.start();
      try {
        for (const step of steps) await world.apply(step, () => {});
        const { ttlSeconds, consulted } = sim.answer();
        if (ttlSeconds === ttlMax || ttlSeconds === ttlMin) return;
        promised++;
        // No flip is in sight of those that are sure; what is promised is the state of the others.
        const unsure = consulted.filter((pop) => sim.feed.verdicts().get(pop)!.holdMs > 0);
        const before = world.states(unsure);
        let at = 0;
        for (const vantage of everyone) {
          for (const target of targets) {
            const way = future[at++]!;
            const state = sim.feed.verdicts().get(target)!.state;
            world.views.set(`${vantage} ${target}`, way === 'opposite' ? state === 'down' : way === 'good');
          }
        }
        const endMs = sim.clock.nowMs() + ttlSeconds * 1000;
        await sim.advance(ttlSeconds * 1000 - 1, stepMs, () => {
          if (sim.clock.nowMs() < endMs) expect(world.states(unsure)).toBe(before);
        });
        await sim.advance(6 * intervalMs, stepMs);
        if (world.states(unsure) !== before) flipped++;
      } finally {
        await sim.stop();
      }
    }),
    { numRuns: 150 },
  );
  expect(promised).toBeGreaterThan(20);
  expect(flipped).toBeGreaterThan(3);
});
