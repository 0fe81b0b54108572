import { ManualClock } from '@ufes/io/clock.ts';
import { expect, test } from 'vitest';
import { createRehearsal } from './rehearsal.ts';

function setUp() {
  const clock = new ManualClock();
  const down = new Set<string>();
  const hold = (pop: string, isDown: boolean) => void (isDown ? down.add(pop) : down.delete(pop));
  return { clock, down, rehearsal: createRehearsal({ clock, pops: () => ['lon', 'iad'], hold }) };
}

test('each PoP comes back at its own time', () => {
  const { clock, down, rehearsal } = setUp();
  rehearsal.fail('lon', 6_000);
  rehearsal.fail('iad', 4_000);
  clock.advance(4_000);
  expect([...down]).toEqual(['lon']);
  clock.advance(2_000);
  expect(down.size).toBe(0);
});

test('the last word counts: a longer time, no time, or undone', () => {
  const { clock, down, rehearsal } = setUp();
  rehearsal.fail('lon', 1_000);
  rehearsal.fail('lon', 5_000);
  clock.advance(4_000);
  expect(down.has('lon')).toBe(true);
  rehearsal.fail('lon', undefined);
  clock.advance(60_000);
  expect(down.has('lon')).toBe(true);
  rehearsal.undo('lon');
  expect(down.has('lon')).toBe(false);
});

test('a PoP that is not there, or a time that no timer holds, changes nothing', () => {
  const { clock, down, rehearsal } = setUp();
  rehearsal.fail('lon', 1_000);
  expect(() => rehearsal.fail('sin', 1_000)).toThrow(/no PoP "sin" runs here; there are lon, iad/);
  expect(() => rehearsal.fail('iad', 30 * 86_400_000)).toThrow(/at most 24 h/);
  expect([...down]).toEqual(['lon']);
  clock.advance(1_000);
  expect(down.size).toBe(0);
});
