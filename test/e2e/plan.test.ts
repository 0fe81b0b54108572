/** `ufes plan`, by real processes: compiled by the controller, predicted by the mapper, told by the command. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endTree, measure, startTree, type Tree, until } from './tree.ts';

let tree: Tree;
beforeAll(async () => {
  tree = await startTree({ bare: true });
  const plans = () => tree.plan('81.2.69.7').then(Boolean, () => false);
  await until('the probe plans', plans, 30_000, tree.output);
  await measure(tree, '81.2.69.7', { 'pop:lon': 12 }, 25);
  const measured = async () => JSON.parse((await tree.ufes('plan', '--drain', 'sin', '--json')).stdout).prefixes > 0;
  await until('the mapper has evidence', measured, 30_000, tree.output);
});
afterAll(() => endTree(tree));

test('a file with another list of PoPs: what it says otherwise, who moves where and who is harmed', async () => {
  const text = await readFile(tree.config, 'utf8');
  const next = join(tree.folder, 'next.yaml');
  await writeFile(next, text.replace(/pops: \[lon, ?/, 'pops: ['));
  const { stdout, code } = await tree.ufes('plan', next);
  expect([code, stdout]).toEqual([0, expect.stringMatching(/name www\.shop\.example: PoPs: lon, .* → /)]);
  expect(stdout).toMatch(/moved +100%/);
  expect(stdout).toMatch(/81\.2\.69\.0\/24 +GB +www\.shop\.example +lon → (iad|sin)/);
  expect((await tree.ufes('history')).stdout).toContain('next.yaml: not in service');
});

test('a file with problems is told as check tells it; one that changes nothing says so', async () => {
  const broken = join(tree.folder, 'broken.yaml');
  await writeFile(broken, (await readFile(tree.config, 'utf8')).replace('origin: eu', 'orgin: eu'));
  const planned = await tree.ufes('plan', broken);
  const checked = await tree.ufes('check', broken);
  expect(planned.code).toBe(1);
  expect(planned.stderr).toBe(checked.stderr);
  const same = await tree.ufes('plan', tree.config);
  expect(same.stdout).toContain('nothing changes');
  expect(same.stdout).toMatch(/moved +0%/);
  expect((await tree.ufes('plan')).code).toBe(2);
});
