/**
 * Resolvers and their clients: browsers in three houses, two of which share a resolver, measure by the real script over
 * real TLS; their names are looked up by real resolvers. What the store then says of the resolvers is who uses them.
 */
import { type PopulationOf, populationKey } from '@ufes/core/populations.ts';
import { shardOf } from '@ufes/core/samples.ts';
import { Sketch } from '@ufes/core/sketch/sketch.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type House, openHouse } from './house.ts';
import { endTree, startTree, type Tree, until } from './tree.ts';
import { startUnbound, type Unbound, unbound } from './unbound.ts';
import { chromiumIsThere, executablePath, visitUntilSent } from './visitor.ts';

const missing = [
  ...(chromiumIsThere ? [] : ['no /usr/bin/chromium; Debian package chromium']),
  ...(unbound === undefined ? ['no unbound; Debian package unbound'] : []),
];
if (missing.length > 0) process.stderr.write(`skipped: resolvers and their clients (${missing.join(', ')})\n`);

const resolverPort = 5333;
/** Of the houses, to anywhere. */
const roundTripsMs = [0, 30, 80];

describe.runIf(missing.length === 0)('the join of resolvers and clients', () => {
  let tree: Tree;
  let reader: TestContext;
  let browser: Browser;
  const resolvers: Unbound[] = [];
  const houses: House[] = [];
  /** House address → resolver address. */
  const uses: [house: string, resolver: string][] = [];

  beforeAll(async () => {
    tree = await startTree();
    reader = await testContext({ state: tree.state, config: { store: tree.store.store } });
    const [first, second] = [tree.address('53.1'), tree.address('53.2')];
    uses.push([tree.address('201.7'), first], [tree.address('202.7'), first], [tree.address('203.7'), second]);
    const dns = { address: tree.address('0.1'), port: 5300 };
    for (const address of [first, second]) resolvers.push(startUnbound(address, resolverPort, dns));
    for (const [i, [house, address]] of uses.entries()) {
      houses.push(await openHouse(house, { address, port: resolverPort }, roundTripsMs[i]! / 2));
    }
    browser = await chromium.launch({
      executablePath,
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--ignore-certificate-errors'],
    });
  });
  afterAll(async () => {
    await browser?.close();
    for (const house of houses) house.stop();
    for (const resolver of resolvers) await resolver.stop();
    await reader?.dispose();
    await endTree(tree);
  });

  /** Resolver → client prefixes, of all that the store has. */
  async function populations(): Promise<Map<string, PopulationOf>> {
    const buckets = await reader.store.live.list(populationKey);
    return new Map(buckets.flatMap(({ value }) => Object.entries(value as Record<string, PopulationOf>)));
  }

  test('each resolver’s population is who uses it', async () => {
    for (const { proxy } of houses) {
      const context = await browser.newContext({ proxy: { server: proxy }, ignoreHTTPSErrors: true });
      const said = () => resolvers.map((one) => one.said()).join('\n');
      await visitUntilSent(await context.newPage(), 'https://www.shop.example:8443/', said);
      await context.close();
    }
    const prefixOf = (address: string) => `${address.slice(0, address.lastIndexOf('.'))}.0/24`;
    const wanted = Map.groupBy(uses, ([, resolver]) => resolver);
    await until(
      'the store has them',
      async () =>
        [...(await populations()).values()].reduce((sum, { clients }) => sum + clients.length, 0) >= uses.length,
      60_000,
      tree.output,
    );
    const found = await populations();
    expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
    for (const [resolver, houses] of wanted) {
      const { n, subnetN, clients } = found.get(resolver)!;
      expect(clients.map(([prefix]) => prefix).sort()).toEqual(houses.map(([house]) => prefixOf(house)).sort());
      expect([n, subnetN]).toEqual([houses.length, 0]);
    }
    // No address of a house is anywhere among it.
    for (const kind of ['seen/', populationKey]) {
      const text = JSON.stringify(await reader.store.live.list(kind));
      for (const [house] of uses) expect(text).not.toContain(`"${house}"`);
    }
  });

  test('browser and edges each say of a house how far it is', async () => {
    for (const [i, [house]] of uses.entries()) {
      const prefix = `${house.slice(0, house.lastIndexOf('.'))}.0/24`;
      const rows = new Map((await reader.store.evidence.rows(shardOf(prefix))).map(({ key, bytes }) => [key, bytes]));
      for (const pop of ['lon', 'iad', 'sin']) {
        for (const kind of ['edge|edge', 'browser|rum']) {
          const key = `${prefix}|pop:${pop}|${kind}`;
          expect([...rows.keys()]).toContain(key);
          const { ms } = Sketch.decode(rows.get(key)!).ranked();
          // 1% of the sketch, and timers of a millisecond; a machine that is busy adds its part.
          expect(ms, key).toBeGreaterThan(0.98 * roundTripsMs[i]! - 2);
          expect(ms, key).toBeLessThan(roundTripsMs[i]! + 60);
        }
      }
    }
  });
});
