/** Operators take answers in hand: force, drain, explain, and all of it with the store gone. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endTree, restartDns, startTree, type Tree, until } from './tree.ts';

const name = 'www.shop.example';
const subnet = '81.2.69.0/24';
let tree: Tree;
beforeAll(async () => {
  tree = await startTree();
});
afterAll(() => endTree(tree));

const answers = (pop: string, withinMs = 5_000) =>
  until(`${pop} answers`, async () => (await tree.answer(name, subnet)) === tree.address(pop), withinMs, tree.output);
const [lon, iad, sin] = ['10.1', '20.1', '30.1'];

test('a force holds at once, is listed and explained, and is taken back', async () => {
  await answers(lon!, 20_000);
  const given = await tree.ufes('force', 'www.*', 'iad', '--for', '1m', '--why', 'rehearsal');
  expect(given).toMatchObject({ code: 0, stdout: expect.stringContaining('www.* → iad for 1m: www.shop.example.') });
  await answers(iad!, 1_000);
  expect((await tree.ufes('force')).stdout).toMatch(/www\.\*\s+iad\s+\d+ s\s+\S+\s+rehearsal/);
  const said = await tree.ufes('explain', name, '81.2.69.160');
  expect(said.stdout).toContain('forced');
  expect(said.stdout).toContain('rehearsal');
  const text = await tree.ufes('dig', `_ufes-explain.${name}`, 'TXT');
  expect(text.stdout).toContain('why=');
  const { force } = await tree.explain(name, '81.2.69.160');
  expect((await tree.ufes('force', force!.id!, '--undo')).code).toBe(0);
  await answers(lon!, 1_000);
});

test('a force holds with the store gone and over a restart, and ends when it is to', async () => {
  const forMs = 12_000;
  expect((await tree.ufes('force', 'www.*', 'iad', '--for', '12s', '--why', 'rehearsal')).code).toBe(0);
  const givenMs = performance.now();
  await answers(iad!, 1_000);
  const putBack = await tree.store.remove();
  try {
    await restartDns(tree, name);
    expect(await tree.answer(name, subnet)).toBe(tree.address(iad!));
    await answers(lon!, 30_000);
    expect(performance.now() - givenMs).toBeGreaterThan(forMs - 2_000);
  } finally {
    await putBack();
  }
});

test('a drain sends new clients elsewhere, and is undone; a pinned name keeps to its PoP', async () => {
  await answers(lon!, 20_000);
  expect((await tree.ufes('drain', 'lon', '--for', '1m', '--why', 'works')).code).toBe(0);
  await until('London leaves', async () => (await tree.answer(name, subnet)) !== tree.address(lon!), 2_000);
  expect((await tree.ufes('drain')).stdout).toContain('works');
  expect(await tree.answer(`sin.${name}`, subnet)).toBe(tree.address(sin!));
  expect((await tree.ufes('undrain', 'lon')).code).toBe(0);
  await answers(lon!, 2_000);
  expect((await tree.ufes('force', 'nothing.*', 'lon', '--for', '1m', '--why', 'x')).code).toBe(1);
});
