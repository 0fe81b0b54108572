/** An agent on a host of the operator's: a key, a round over real TLS, its evidence, and the end of its key. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { adminGet } from '@ufes/io/admin-client.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { endTree, startTree, type Tree, until } from './tree.ts';

let tree: Tree;
beforeAll(async () => {
  tree = await startTree();
});
afterAll(() => endTree(tree));

test('an agent has a key of its own, measures every PoP, and is refused once the key is revoked', async () => {
  const keyFile = join(tree.folder, 'office.key');
  const made = await tree.ufes('probe', 'agent-key', 'office', '--out', keyFile, '--by', 'ada');
  expect([made.code, made.stderr]).toEqual([0, '']);
  expect(statSync(keyFile).mode & 0o777).toBe(0o600);
  expect(readFileSync(keyFile, 'utf8')).toMatch(/^office [A-Za-z0-9+/=]{40,}\n$/);
  expect((await tree.ufes('probe', 'agents')).stdout).toMatch(/office +none yet/);

  const once = () =>
    tree.ufes(
      ...['probe', 'agent', '--once', '--collector', `http://${tree.address('0.1')}:8091`, '--key', keyFile],
      ...['--ca', join(tree.state, 'tls/ca.crt'), '--dns', `${tree.address('0.1')}:5300`],
    );
  const { code, stdout, stderr } = await once();
  expect([code, stderr]).toEqual([0, '']);
  for (const pop of ['lon', 'iad', 'sin'])
    expect(stdout).toMatch(new RegExp(`pop:${pop} +[\\d.]+ [\\d.]+ [\\d.]+ ms +[\\d.]+ ms`));
  await until(
    'its evidence shows',
    async () => (await tree.explain('www.shop.example', '127.0.0.1')).pops.every((pop) => (pop.estimate?.n ?? 0) >= 1),
    15_000,
    () => tree.output(),
  );
  expect((await tree.ufes('probe', 'agents')).stdout).toMatch(/office +\d+ s ago +127\.0\.0\.0\/24 +1 +anywhere/);

  expect((await tree.ufes('probe', 'agent-revoke', 'office')).code).toBe(0);
  expect(await once()).toMatchObject({ code: 1, stderr: expect.stringContaining('its key is revoked') });
  const { reasons } = await adminGet<{ reasons: { reason: string; total: number }[] }>(tree.state, 'probe', '/refused');
  expect(reasons).toContainEqual({ reason: 'agent-unknown', total: 1, day: 1 });
  expect(existsSync(keyFile)).toBe(true);
});

test('what is missing or wrong is told', async () => {
  const missing = await tree.ufes('probe', 'agent', '--collector', 'http://127.0.0.1:1');
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('--collector and --key')]);
  const quick = await tree.ufes('probe', 'agent', '--collector', 'http://127.0.0.1:1', '--key', 'x', '--every', '1s');
  expect([quick.code, quick.stderr]).toEqual([2, expect.stringContaining('10s at least')]);
  const unknown = await tree.ufes('probe', 'agnet');
  expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('agent-key or agent-revoke')]);
});
