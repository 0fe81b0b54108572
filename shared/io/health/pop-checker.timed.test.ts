/** How soon a vantage sees a process that is stopped, and that it goes on. */
import { afterEach, expect, it, vi } from 'vitest';
import { createPopVantage } from './pop-checker.ts';
import { cleanUp, cleanups, pop, readyServer, rig, writeCa } from './vantage.fixture.ts';
import { readVotes } from './votes.ts';

afterEach(cleanUp);

it('sees a stopped process down within 2 s with the defaults, and up again after five successes', async () => {
  const { child, port } = await readyServer();
  const { state, context, entries } = rig();
  writeCa(state);
  const flips: [string, number][] = [];
  const vantage = createPopVantage(context, {
    onState: () => {
      const state = vantage.votes()[0]?.state;
      if (state !== undefined && state !== flips.at(-1)?.[0]) flips.push([state, performance.now()]);
    },
  });
  cleanups.push(() => vantage.stop());
  vantage.follow({ pops: [pop('lon', port)], services: [] });
  await vantage.start();
  await vi.waitFor(() => expect(flips).toHaveLength(1), { timeout: 5_000, interval: 5 });
  const stoppedAt = performance.now();
  child.kill('SIGSTOP');
  await vi.waitFor(() => expect(flips).toHaveLength(2), { timeout: 5_000, interval: 5 });
  expect(flips[1]![0]).toBe('down');
  // 500 ms until the next check, three checks of which the last ends 490 ms after its start; the rest is for a loaded machine.
  expect(flips[1]![1] - stoppedAt).toBeLessThan(2_500);
  await vi.waitFor(() =>
    expect(readVotes([...entries.values()])).toMatchObject([{ vantage: 'probe', target: 'lon', state: 'down' }]),
  );
  child.kill('SIGCONT');
  await vi.waitFor(() => expect(flips).toHaveLength(3), { timeout: 8_000, interval: 5 });
  expect(flips[2]![1] - flips[1]![1]).toBeGreaterThan(2_000);
});
