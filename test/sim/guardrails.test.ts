/** A fault in the evidence of half of the world, by the simulator: held, with an evacuation going on at the same time. */
import { LiveState, setLive } from '@ufes/core/live.ts';
import type { EvidenceRow } from '@ufes/core/ports.ts';
import type { SampleKind } from '@ufes/core/samples.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { expect, test } from 'vitest';
import { usualBeacons } from './beacons.ts';
import { Clock } from './clock.ts';
import { startMs } from './draws.ts';
import { judging } from './publish.ts';
import { Steering } from './steering.ts';
import { syntheticWorld } from './synthetic.ts';

const minuteMs = 60_000;
const fasterMs = 400;

/** A small world, measured for three hours, with all PoPs up. */
function begin(kind: SampleKind) {
  const world = syntheticWorld({ seed: 'guardrails', pops: 6, prefixes: 60, cities: 10, drift: false, origins: [] });
  const judge = judging();
  const steering = new Steering({ world, publish: judge.publish, raw: judge.raw });
  const measured = world.users.map((_, user) => user);
  const beacons = { ...usualBeacons, kind };
  const clock = new Clock({ steering, measured, beaconsPerDay: 400, beacons, seed: 'guardrails' }, startMs);
  const setState = (pop: number, state: LiveState) =>
    setLive(steering.live, pop, { state, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
  for (let pop = 0; pop < world.pops; pop++) setState(pop, LiveState.up);
  clock.advance(3 * 60 * minuteMs, () => {}, 20 * minuteMs);
  const choices = () => measured.map((user) => steering.choose(user));
  return { world, judge, steering, measured, clock, setState, choices };
}

/** Of every second prefix, where it was near it is far: more samples than honest ones come while this lasts. */
function invert({ world, steering, clock }: ReturnType<typeof begin>, kind: SampleKind): ReadonlySet<string> {
  const prefixes = [...steering.table.prefixTexts()].filter((_, i) => i % 2 === 0);
  const rows = prefixes.flatMap((prefix) =>
    world.popIds.flatMap((id): EvidenceRow[] => {
      const key = `${prefix}|pop:${id}|${kind}|rum`;
      const bytes = steering.table.get(key);
      if (bytes === undefined) return [];
      const ms = Math.max(1, fasterMs - Sketch.decode(bytes).quantile(0.25));
      const sketch = new Sketch();
      for (let i = 0; i < 300; i++) sketch.add(ms, clock.nowMs - i * 1_000);
      return [{ key, bytes: sketch.encode() }];
    }),
  );
  steering.table.apply(rows);
  return new Set(prefixes);
}

test('half of all sketches inverted: held, while a PoP that dies is left at once', () => {
  const scene = begin('browser');
  const { judge, steering, measured, clock, setState, choices } = scene;
  const before = choices();
  const heldBefore = judge.held['too-much'] ?? 0;
  invert(scene, 'browser');
  const dead = before[0]!;
  setState(dead, LiveState.down);
  clock.advance(14 * minuteMs, () => {
    expect(choices()).not.toContain(dead);
  });
  expect(judge.held['too-much'] ?? 0).toBeGreaterThan(heldBefore);
  const stayed = measured.filter((user) => before[user] !== dead);
  const moved = stayed.filter((user) => steering.choose(user) !== before[user]);
  // Two windows of a twentieth at most, in what was staged before.
  expect(moved.length / stayed.length).toBeLessThanOrEqual(0.1);
});

test('half of all sketches inverted: held, while a PoP that became slow for everybody is left', () => {
  const scene = begin('edge');
  const { world, judge, steering, measured, clock, choices } = scene;
  const before = choices();
  const heldBefore = judge.held['too-much'] ?? 0;
  const inverted = invert(scene, 'edge');
  const counts = world.popIds.map((_, pop) => before.filter((chosen) => chosen === pop).length);
  const slow = counts.indexOf(Math.max(...counts));
  world.steps.push({ pop: slow, fromMs: clock.nowMs, toMs: Number.POSITIVE_INFINITY, addMs: 300 });
  clock.advance(11 * minuteMs);
  expect(steering.degradations.now.has(world.popIds[slow]!)).toBe(true);
  expect(judge.held['too-much'] ?? 0).toBeGreaterThan(heldBefore);
  const now = choices();
  const there = measured.filter((user) => before[user] === slow);
  expect(there.length).toBeGreaterThan(10);
  // Of those that rightly know where they are near nobody stays.
  const honest = there.filter((user) => !inverted.has(world.users[user]!.text));
  expect(honest.length).toBeGreaterThan(5);
  expect(honest.filter((user) => now[user] === slow).length).toBe(0);
});
