/**
 * A tree whose Redis is slow, full, read-only, comes and goes, is away, comes back older: names are answered and requests
 * forwarded all the while, what was acknowledged is counted, and nobody lends a hand.
 */
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { startProxy, type TestProxy } from '@ufes/io/redis/testing-proxy.ts';
import { freePort, hasRedis, type RedisServer, startRedis } from '@ufes/io/redis/testing-server.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endTree, measure, pause, QueryLoad, restartDns, startTree, type Tree, until } from './tree.ts';

const name = 'www.shop.example';
let server: RedisServer;
let proxy: TestProxy;
let tree: Tree;

/** Status of a request through London's edge on a connection of its own; 0: none. */
function askEdge(): Promise<number> {
  const ca = readFileSync(join(tree.state, 'tls/ca.crt'));
  const [host, port, timeout] = [tree.address('10.1'), 8443, 2_000];
  const options = { host, port, ca, servername: name, headers: { host: name }, path: '/api/x', timeout, agent: false };
  return new Promise((resolve) => {
    const asked = request(options, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(0));
    asked.end();
  });
}

/** While `during` runs, every query is answered and every request forwarded. */
async function servedDuring(during: () => Promise<void>): Promise<void> {
  const queries = new QueryLoad(tree, name, '81.2.69.0/24', 20);
  const statuses: number[] = [];
  let isOver = false;
  const requests = (async () => {
    for (; !isOver; await pause(100)) statuses.push(await askEdge());
  })();
  try {
    await during();
  } finally {
    isOver = true;
    await requests;
    await queries.stop();
  }
  expect(queries.unanswered).toBe(0);
  expect(queries.rcodes()).toEqual(['NOERROR']);
  expect([...new Set(statuses)]).toEqual([200]);
}

/** Clients in London by GeoIP, each in a /24 of its own. */
let clients = 0;
const nextClient = (): string => `81.2.${80 + clients++}.7`;
const isInVirginia = async (client: string): Promise<boolean> =>
  (await tree.answer(name, client.replace(/\.\d+$/, '.0/24'))) === tree.address('20.1');
/** All of it acknowledged. */
const measured = async (): Promise<string> => {
  const client = nextClient();
  await measure(tree, client, { 'pop:iad': 90 });
  return client;
};
const moves = (client: string, withinMs = 20_000): Promise<number> =>
  until(`${client} is sent to Virginia`, () => isInVirginia(client), withinMs, tree.output);

/** What is measured while `during` is so reaches the answers once it is over. */
async function catchesUp(begin: () => Promise<unknown>, end: () => Promise<unknown>, lastsMs: number): Promise<void> {
  await servedDuring(async () => {
    await begin();
    const client = await measured();
    await pause(lastsMs);
    expect(await isInVirginia(client)).toBe(false);
    await end();
    await moves(client);
  });
  await moves(await measured());
}

describe.skipIf(!hasRedis)('a tree on redis-server (Debian package redis-server)', () => {
  beforeAll(async () => {
    server = await startRedis(['--appendonly', 'yes', '--appendfsync', 'always']);
    proxy = await startProxy(server.port);
    const store = { ...noStore, store: `redis://127.0.0.1:${proxy.port}` };
    tree = await startTree({ store });
    await until('the edge forwards', async () => (await askEdge()) === 200, 20_000, tree.output);
  });
  afterAll(async () => {
    await endTree(tree);
    await proxy.close();
    await server.dispose();
  });

  test('that is slow by 50 ms each way: what is measured still moves clients', async () => {
    await servedDuring(async () => {
      proxy.delayMs = 50;
      await moves(await measured());
      proxy.delayMs = 0;
    });
  });

  test('that is full', () =>
    catchesUp(
      () => server.cli('config', 'set', 'maxmemory', '1mb'),
      () => server.cli('config', 'set', 'maxmemory', '0'),
      5_000,
    ));

  test('that is read-only, as a replica', async () => {
    const nobody = String(await freePort());
    await catchesUp(
      () => server.cli('replicaof', '127.0.0.1', nobody),
      () => server.cli('replicaof', 'no', 'one'),
      5_000,
    );
  });

  test('that does not answer (SIGSTOP)', () =>
    catchesUp(
      async () => server.process.kill('SIGSTOP'),
      async () => server.process.kill('SIGCONT'),
      6_000,
    ));

  test('that comes and goes', () =>
    servedDuring(async () => {
      const client = nextClient();
      for (let round = 0; round < 12; round++) {
        proxy.cut();
        if (round === 3) await measure(tree, client, { 'pop:iad': 90 });
        await pause(150);
        proxy.mend();
        await pause(350);
      }
      await moves(client);
    }));

  test('that is gone: dns restarts from what it kept, and what was acknowledged meanwhile is counted', async () => {
    const residents = async () => (await tree.status()).map(({ node, rssBytes }) => [node, rssBytes] as const);
    await server.kill();
    await pause(2_000);
    const before = new Map(await residents());
    const clientsMeanwhile: string[] = [];
    await servedDuring(async () => {
      for (let i = 0; i < 5; i++) {
        clientsMeanwhile.push(await measured());
        await pause(3_000);
      }
      for (const [node, bytes] of await residents()) {
        expect(bytes, node).toBeLessThan((before.get(node) ?? 0) + (64 << 20));
      }
    });
    await restartDns(tree, name);
    await servedDuring(async () => {
      await server.start();
      for (const client of clientsMeanwhile) await moves(client);
    });
    for (const { node, restarts } of await tree.status()) expect([node, restarts <= 1]).toEqual([node, true]);
  });

  test('that comes back older than it was: what it lost is folded again', async () => {
    const data = join(server.folder, 'appendonlydir');
    cpSync(data, `${data}.copy`, { recursive: true });
    const client = await measured();
    await moves(client);
    await servedDuring(async () => {
      await server.kill();
      rmSync(data, { recursive: true });
      cpSync(`${data}.copy`, data, { recursive: true });
      await server.start();
      const isBack = async () => (await evidenceOf(client)) > 0;
      await until('its samples are in the store again', isBack, 30_000, tree.output);
      await moves(client);
    });
    await moves(await measured());
  });
});

/** Rows of evidence that the store holds of a client. */
async function evidenceOf(client: string): Promise<number> {
  const prefix = client.replace(/\.\d+$/, '.0/24');
  const keys = (await server.cli('--scan', '--pattern', 'ufes:{shard/*}:rows')).split('\n');
  let count = 0;
  for (const key of keys)
    count += (await server.cli('hkeys', key)).split('\n').filter((one) => one.startsWith(prefix)).length;
  return count;
}

const noStore = {
  remove: async () => async () => {},
  lose: async () => async () => {},
  loseEvidence: async () => {},
  end: async () => {},
};
