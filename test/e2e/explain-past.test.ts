/** What was answered a while ago is explained as it was: after a force, a drain and a map that was published again. */
import type { Explanation } from '@ufes/core/steering/explanation.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endTree, measure, pause, startTree, type Tree, until } from './tree.ts';

const name = 'www.shop.example';
const client = '81.2.69.160';
let tree: Tree;
beforeAll(async () => {
  tree = await startTree();
});
afterAll(() => endTree(tree));

/** The time, and what is explained now: to be compared with what is said of that time later. */
async function moment(): Promise<Explanation> {
  // Own checks go on: their changes are not what this is about.
  await pause(50);
  return tree.explain(name, client);
}

async function past(at: string): Promise<Explanation> {
  const { code, stdout, stderr } = await tree.ufes('explain', name, client, '--json', '--at', at);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return JSON.parse(stdout) as Explanation;
}

const mapVersion = async (): Promise<string | undefined> =>
  (await adminGet<{ map?: { version: string } }>(tree.state, 'dns', '/state', {})).map?.version;

test('the past stays what it was: before, in a force, in a drain, by another map', async () => {
  await until('there is a map', async () => (await mapVersion()) !== undefined, 30_000);
  await until('answers are stable', async () => (await moment()).ttl.why.startsWith('nothing'), 30_000);
  const before = await moment();

  expect((await tree.ufes('force', 'www.*', 'iad', '--for', '1m', '--why', 'a rehearsal')).code).toBe(0);
  const forced = await moment();
  const [id] = [forced.force!.id!];
  expect((await tree.ufes('force', id, '--undo')).code).toBe(0);

  expect((await tree.ufes('drain', 'lon', '--for', '1m', '--why', 'works')).code).toBe(0);
  const drained = await moment();
  expect((await tree.ufes('undrain', 'lon')).code).toBe(0);

  const first = await mapVersion();
  await measure(tree, '203.0.113.7', { 'pop:sin': 20 });
  await until('another map is in service', async () => (await mapVersion()) !== first, 60_000, tree.output);
  const after = await moment();

  for (const then of [before, forced, drained, after]) {
    const said = await past(new Date(then.atMs).toISOString());
    const { atMs, node, why, answers, scope, map, desired, force } = then;
    expect(said).toMatchObject({ atMs, node, why, answers, scope, past: {} });
    expect(said.map?.version).toBe(map?.version);
    expect(said.desired.version).toBe(desired.version);
    expect(said.force?.reason).toBe(force?.reason);
    expect(said.pops.map(({ pop, passed }) => [pop, passed])).toEqual(
      then.pops.map(({ pop, passed }) => [pop, passed]),
    );
    if (said.ttlSeconds === then.ttlSeconds) expect(said.message).toEqual(then.message);
  }
  expect(before.force).toBeUndefined();
  expect(forced.answers).toEqual([tree.address('20.1')]);
  expect((await past(new Date(drained.atMs).toISOString())).pops.find(({ pop }) => pop === 'lon')?.drain?.reason).toBe(
    'works',
  );

  const read = await tree.ufes('explain', name, client, '--at', `-${Math.ceil((Date.now() - forced.atMs) / 1000)}s`);
  expect(read.code).toBe(0);
  const early = await tree.ufes('explain', name, client, '--at', '-2h');
  expect(early.code).toBe(1);
  expect(early.stderr).toMatch(/nothing is kept for .*: the past of dns is kept from 20\d\d-/);
  expect((await tree.ufes('explain', name, client, '--at', 'yesterday')).code).toBe(2);
});
