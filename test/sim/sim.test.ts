/** The simulator as a whole, small: that it runs the product, repeats itself, and judges by what is true. */

import { seededRng } from '@ufes/core/seeded.ts';
import { stabilisation } from '@ufes/core/steering/rank.ts';
import { describe, expect, test } from 'vitest';
import { beaconTimes, usualBeacons } from './beacons.ts';
import { dayMs, judge, playDraw, startMs } from './draws.ts';
import { run } from './main.ts';
import { readOptions } from './options.ts';
import { readSettings, withSettings } from './parameters.ts';
import { syntheticWorld } from './synthetic.ts';

const world = (seed = 'w') =>
  syntheticWorld({ seed, pops: 8, prefixes: 200, cities: 12, drift: false, origins: ['London'] });
const draw = (over: Partial<Parameters<typeof playDraw>[0]> = {}) =>
  playDraw({
    world: world(),
    seed: 'd',
    measuredShare: 0.4,
    heldOut: 0.25,
    beaconsPerDay: 40,
    beacons: usualBeacons,
    builds: 6,
    ...over,
  });

describe('a draw', () => {
  test('judges the oracle at zero, and nobody below it, at every way of counting cost', () => {
    const played = draw();
    for (const aim of played.steering.aims.keys()) {
      const judged = judge(played, aim, 'browser', 'd');
      for (const [policy, byGroup] of Object.entries(judged)) {
        for (const { regretMs } of Object.values(byGroup).flat()) {
          if (policy === 'oracle') expect(regretMs).toBe(0);
          else if (policy !== 'direct') expect(regretMs).toBeGreaterThanOrEqual(0);
        }
      }
    }
  });

  test('plays the same for a seed', () => {
    expect(judge(draw(), 0, 'browser', 'd')).toEqual(judge(draw(), 0, 'browser', 'd'));
  });

  test('answers by distance when nothing is measured, and better when it is', () => {
    const blind = judge(draw({ beaconsPerDay: 0 }), 0, 'browser', 'd');
    expect(blind['steering']).toEqual(blind['geo']);
    const seeing = judge(draw({ beaconsPerDay: 200, measuredShare: 1, heldOut: 0 }), 0, 'browser', 'd');
    const sum = (policy: string) => seeing[policy]!.measured.reduce((total, { regretMs }) => total + regretMs, 0);
    expect(sum('steering')).toBeLessThan(sum('geo'));
  });

  test('holds whole cities out of the evidence', () => {
    const { steering, measured, heldOut } = draw();
    expect(heldOut.size).toBeGreaterThan(0);
    for (const user of measured) expect(heldOut.has(steering.world.cityOf(user))).toBe(false);
    expect(steering.table.prefixes).toBe(measured.size);
  });
});

test('what is true reaches steering through samples alone: when it changes and nobody measures, nothing moves', () => {
  const { steering, endMs } = draw();
  const { latency, users } = steering.world.init;
  const choices = () => users.map((_, user) => [steering.choose(user), steering.chooseGeo(user)]);
  const before = choices();
  expect(before.some(([steered, geo]) => steered !== geo)).toBe(true);
  latency.restMs.reverse();
  steering.build(endMs + 1, true);
  expect(choices()).toEqual(before);
});

test('beacons come as often as they should', () => {
  const times = beaconTimes([0, 1, 2], 30, startMs, startMs + dayMs / 2, seededRng(1));
  expect(times).toHaveLength(45);
  expect(times.every(({ atMs }, i) => i === 0 || atMs >= times[i - 1]!.atMs)).toBe(true);
});

test('constants are set for a run and put back, also after a failure', () => {
  const before = stabilisation.gainMs;
  const settings = readSettings(['stabilisation.gainMs=7']);
  expect(withSettings(settings, () => stabilisation.gainMs as number)).toBe(7);
  expect(() =>
    withSettings(settings, () => {
      throw new Error('x');
    }),
  ).toThrow('x');
  expect(stabilisation.gainMs).toBe(before);
  expect(() => readSettings(['stabilisation.nothing=1'])).toThrow('no such constant');
});

test.each(['gain', 'ablation', 'geoip', 'poison', 'day', 'events', 'plan'])('%s runs and tells figures', (mode) => {
  const options = readOptions([
    mode,
    '--draws',
    '1',
    '--prefixes',
    '60',
    '--pops',
    '5',
    '--beacons',
    '10',
    '--n',
    '20',
  ]);
  const [result] = run(options);
  expect(result!.text.length).toBeGreaterThan(100);
  expect(JSON.stringify(result!.figures)).not.toContain('null');
});

test('a plan says what then happens', () => {
  const [result] = run(readOptions(['plan', '--draws', '1', '--prefixes', '300', '--pops', '10', '--seed', '2']));
  const { withRoom } = result!.figures as {
    readonly withRoom: Record<'moved' | 'mean', { readonly mean: number }> & { readonly changes: number };
  };
  expect(withRoom.changes).toBe(5);
  expect(withRoom.moved.mean).toBeLessThan(0.02);
  expect(withRoom.mean.mean).toBeLessThan(0.05);
}, 60_000);

test('what cannot be done is said', () => {
  expect(() => readOptions(['fly'])).toThrow('"fly" is no mode');
  expect(() => readOptions(['gain', '--matrix', 'm.csv'])).toThrow('belong together');
  expect(() => readOptions(['gain', '--draws', 'many'])).toThrow('--draws many');
  expect(() => readOptions(['gain', '--pops', 'a,b'])).toThrow('ids need a --matrix');
});
