/** Maps that go out, are held and are rolled back, by real processes; what operators see of it. */

import { localBus } from '@ufes/io/bus.ts';
import { readConfig } from '@ufes/io/config-file.ts';
import { createContext } from '@ufes/io/context.ts';
import { openHistory } from '@ufes/io/history.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endTree, measure, startTree, stopped, type Tree, until } from './tree.ts';

const name = 'www.shop.example';
let tree: Tree;
beforeAll(async () => {
  tree = await startTree({ bare: true });
});
afterAll(() => endTree(tree));

/** In London by GeoIP. */
const clients = Array.from({ length: 6 }, (_, i) => `81.2.${66 + 2 * i}.7`);
const subnetOf = (client: string) => client.replace(/\.\d+$/, '.0/24');
const answers = async (client: string, pop: string) =>
  (await tree.answer(name, subnetOf(client))) === tree.address(pop);
const sin = '30.1';

/** At once, so that no map is built from a part of it. */
const measureAll = () =>
  stopped(tree, ['mapper'], async () => {
    for (const client of clients) await measure(tree, client, { 'pop:sin': 20 });
  });

test('evidence that is lost: held, with the reason in history and log; answers stay, until it is measured again', async () => {
  await measureAll();
  const stays = async () => (await Promise.all(clients.map((one) => answers(one, sin)))).every(Boolean);
  await until('all are sent to Singapore', stays, 30_000, tree.output);

  const pid = await tree.pid('mapper');
  process.kill(pid, 'SIGSTOP');
  await tree.store.loseEvidence();
  process.kill(pid, 'SIGKILL');

  await until('it is held', async () => (await tree.ufes('history')).stdout.includes('held for'), 30_000, tree.output);
  const { stdout } = await tree.ufes('history');
  expect(stdout).toMatch(/of demand \(\d+ cells\) away from estimates in service/);
  expect(stdout).toContain('ufes rollback --release');
  expect(tree.output()).toContain('map held');
  expect(await stays()).toBe(true);
  await measureAll();
  await until(
    'it is held no more',
    async () => !(await tree.ufes('history')).stdout.includes('held for'),
    30_000,
    tree.output,
  );
  expect(await stays()).toBe(true);
});

test('a move is in the history; rolled back it is gone, until that is released', async () => {
  const client = '203.0.113.7';
  await measure(tree, client, { 'pop:sin': 20 });
  await until('the client is sent to Singapore', () => answers(client, sin), 10_000, tree.output);
  const listed = await tree.ufes('history');
  expect(listed).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/publish +\S+ +\d+\.\d% .*1 cell: \d+\.\d% first estimates/),
  });

  expect((await tree.ufes('rollback')).code).toBe(2);
  expect(await tree.ufes('rollback', '5-a', '--why', 'x')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('ufes history --all'),
  });
  const back = await tree.ufes('rollback', '--why', 'users complain', '--for', '10m');
  expect(back).toMatchObject({ code: 0, stdout: expect.stringContaining('is back as') });
  await until('the client is back', async () => !(await answers(client, sin)), 5_000, tree.output);
  await measure(tree, client, { 'pop:sin': 20 }, 5);
  const said = await tree.ufes('history');
  expect(said.stdout).toContain('users complain');
  expect(said.stdout).toMatch(/rollback +\S+/);
  expect(await answers(client, sin)).toBe(false);

  expect((await tree.ufes('rollback', '--release', '--why', 'mended')).code).toBe(0);
  await until('the client is sent to Singapore again', () => answers(client, sin), 10_000, tree.output);
  const { stdout } = await tree.ufes('history', '--json');
  const kinds = (JSON.parse(stdout) as { publications: { kind: string }[] }).publications.map(({ kind }) => kind);
  expect(kinds.slice(0, 4)).toEqual(['publish', 'release', 'rollback', 'publish']);
});

test('the past is there: map, names and live state by which dns answered', async () => {
  const result = await readConfig(tree.config, { overlay: { store: tree.store.store } });
  if (!result.ok) throw new Error('the configuration is good');
  const context = createContext({
    config: result.config,
    configFolder: tree.folder,
    state: tree.state,
    node: 'reader',
    logLevel: 'silent',
    bus: localBus(),
  });
  try {
    const history = openHistory(context);
    const live = (await history.liveAt('dns', Date.now()))!;
    expect(live.facts.get('pop/lon')?.[0]).toBe(1);
    expect([...live.facts.keys()]).toEqual(expect.arrayContaining(['own/lon', 'votes/sin', 'time']));
    const { map, desired } = live.applied;
    const parse = (text: string | undefined) => ({ ms: Number(text!.split('-')[0]), writer: text!.split('-')[1]! });
    expect((await history.mapOf(parse(map)))!.map.pops).toEqual(['iad', 'lon', 'sin']);
    expect((await history.desiredOf(parse(desired)))!.desired.services[0]!.name).toBe(`${name}.`);
  } finally {
    await context.store.close();
    await context.queue.close();
  }
});
