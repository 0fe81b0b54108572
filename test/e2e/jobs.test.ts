/** Jobs of a running tree, as operators see them. */
import type { JobsState, RollupHour } from '@ufes/core/dashboard.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endTree, startTree, type Tree, until } from './tree.ts';

let tree: Tree;
beforeAll(async () => {
  tree = await startTree();
});
afterAll(() => endTree(tree));

const state = async (): Promise<JobsState> => JSON.parse((await tree.ufes('jobs', '--json')).stdout) as JobsState;
const done = async (name: string) => (await state()).summary.find((one) => one.name === name)?.done;

test('builds, roll-ups and changes of keys are scheduled, and have run', async () => {
  for (const name of ['build', 'rollup', 'keys']) {
    await until(`${name} ran`, async () => (await done(name)) !== undefined, 60_000, tree.output);
  }
  const listed = await tree.ufes('jobs');
  expect(listed).toMatchObject({ code: 0, stderr: '' });
  expect(listed.stdout).toMatch(/build\s+5 min\s+in \d+ \S+\s+\d+ s ago\s+\d+ ms\s+0\s+0\s+0/);
});

test('one is run by hand, once, and what it kept is there', async () => {
  const before = await adminGet<{ hours: RollupHour[] }>(tree.state, 'mapper', '/rollup');
  const ran = await tree.ufes('jobs', 'run', 'rollup', '--by', 'ops');
  expect(ran).toMatchObject({ code: 0, stdout: expect.stringMatching(/^rollup: added as "by hand \d+"\n$/) });
  await until('it ran', async () => /^by hand/.test((await done('rollup'))?.id ?? ''), 60_000, tree.output);
  const after = await adminGet<{ hours: RollupHour[] }>(tree.state, 'mapper', '/rollup');
  expect(after.hours.length - before.hours.length).toBeLessThanOrEqual(1);
  const newest = after.hours.at(-1)!;
  expect(newest.pairs.map(({ pop }) => pop)).toEqual(expect.arrayContaining(['lon', 'iad', 'sin']));
  expect(newest.paths.map(({ path }) => path)).toEqual(expect.arrayContaining(['direct', 'geo', 'steered']));
});

test('a mapper that is killed in the middle of jobs leaves none behind', async () => {
  const before = await tree.pid('mapper');
  await tree.ufes('jobs', 'run', 'rollup');
  await tree.ufes('jobs', 'run', 'build');
  process.kill(before, 'SIGKILL');
  await until(
    'another runs',
    async () => (await tree.pid('mapper').catch(() => before)) !== before,
    60_000,
    tree.output,
  );
  await until(
    'all ran',
    async () => (await state()).summary.every(({ waiting, running, dead }) => waiting + running + dead === 0),
    90_000,
    tree.output,
  );
});

test('orders about jobs that are not there say so', async () => {
  expect(await tree.ufes('jobs', 'retry', 'build', 'unknown')).toMatchObject({
    code: 1,
    stderr: 'ufes jobs: there is no dead job build unknown\n',
  });
  expect((await tree.ufes('jobs', 'show', 'build', 'unknown')).stderr).toContain('it may have run');
  expect((await tree.ufes('jobs', 'run', 'unknown')).stderr).toContain('there are: build, keys, rollup');
  expect(await tree.ufes('jobs', 'dance')).toMatchObject({ code: 2, stderr: expect.stringContaining('list, show') });
});
