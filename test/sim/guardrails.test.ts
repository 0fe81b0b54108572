/** A fault in the evidence of half of the world, by the simulator: held, with an evacuation going on at the same time. */
import { LiveState, setLive } from '@ufes/core/live.ts';
import type { EvidenceRow } from '@ufes/core/ports.ts';
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

test('half of all sketches inverted: held, while a PoP that dies is left at once', () => {
  const world = syntheticWorld({ seed: 'guardrails', pops: 6, prefixes: 60, cities: 10, drift: false, origins: [] });
  const judge = judging();
  const steering = new Steering({ world, publish: judge.publish, raw: judge.raw });
  const measured = world.users.map((_, user) => user);
  const clock = new Clock(
    { steering, measured, beaconsPerDay: 400, beacons: usualBeacons, seed: 'guardrails' },
    startMs,
  );
  const setState = (pop: number, state: LiveState) =>
    setLive(steering.live, pop, { state, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
  for (let pop = 0; pop < world.pops; pop++) setState(pop, LiveState.up);
  clock.advance(3 * 60 * minuteMs, () => {}, 20 * minuteMs);
  const choices = () => measured.map((user) => steering.choose(user));
  const before = choices();
  const heldBefore = judge.held['too-much'] ?? 0;

  // Where it was near it is far: more samples than honest ones come while this lasts.
  const prefixes = [...steering.table.prefixTexts()].filter((_, i) => i % 2 === 0);
  const rows = prefixes.flatMap((prefix) =>
    world.popIds.flatMap((id): EvidenceRow[] => {
      const key = `${prefix}|pop:${id}|browser|rum`;
      const bytes = steering.table.get(key);
      if (bytes === undefined) return [];
      const ms = Math.max(1, fasterMs - Sketch.decode(bytes).quantile(0.25));
      const sketch = new Sketch();
      for (let i = 0; i < 300; i++) sketch.add(ms, clock.nowMs - i * 1_000);
      return [{ key, bytes: sketch.encode() }];
    }),
  );
  steering.table.apply(rows);
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
