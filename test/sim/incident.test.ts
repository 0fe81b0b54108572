/** Small worlds of the simulator, in which a PoP is lost, becomes slow, or is asked for too much. */
import { describe, expect, test } from 'vitest';
import { type EventName, Incident } from './incident.ts';
import { secondsOver } from './modes/events.ts';
import { readOptions } from './options.ts';

const options = readOptions(['events', '--pops', '8', '--beacons', '60', '--measured', '0.5']);
const played = (name: EventName) => new Incident(options, 'small', 600, name).play();

describe('a PoP', () => {
  test('that dies is left within a TTL by all who keep to it, and before any build the others have room', () => {
    const { ticks, secondChoices } = played('death');
    const after = (seconds: number) => ticks.find((tick) => tick.seconds === seconds)!;
    expect(after(-1).left).toBe(1);
    expect(after(60).leftOnTime).toBe(0);
    expect(after(60).left).toBeLessThan(0.2);
    expect(after(300).left).toBe(0);
    for (const { unfit } of secondChoices) expect(unfit).toBe(0);
    for (const { seconds, loads } of ticks) if (seconds >= 75) expect(Math.max(...loads)).toBeLessThanOrEqual(0.95);
  });

  test('that becomes slow is left by those who are better off elsewhere', () => {
    const { leftDue, ticks, allowedSeconds } = played('step');
    expect(leftDue).toBeLessThanOrEqual(0.05);
    const later = ticks.filter(({ seconds }) => seconds >= allowedSeconds);
    for (const { loads } of later) expect(Math.max(...loads)).toBeLessThanOrEqual(0.95);
  });

  test('that is asked for too much gives on what it cannot take, within a build and a TTL', () => {
    const { ticks } = played('overload');
    expect(ticks.some(({ loads }) => Math.max(...loads) > 1.4)).toBe(true);
    expect(secondsOver(ticks)).toBeLessThanOrEqual(75);
  });
});
