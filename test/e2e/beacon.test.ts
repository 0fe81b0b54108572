/** The real beacon script in a real browser against real edges with real TLS. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endTree, startTree, type Tree, until } from './tree.ts';
import { chromiumIsThere, launchVisitor, site, visitUntilSent } from './visitor.ts';

if (!chromiumIsThere)
  process.stderr.write('skipped: the beacon in a browser (no /usr/bin/chromium; Debian package chromium)\n');

describe.runIf(chromiumIsThere)('the beacon', () => {
  let tree: Tree;
  beforeAll(async () => {
    tree = await startTree();
  });
  afterAll(() => endTree(tree));

  test('measures the three edges, and its prefix’s evidence shows in explain', async () => {
    const browser = await launchVisitor(tree);
    try {
      await visitUntilSent(await browser.newPage(), site, tree.output);
    } finally {
      await browser.close();
    }
    await until(
      'its evidence shows',
      async () => {
        const { cell, pops } = await tree.explain('www.shop.example', '127.0.0.1');
        return cell === '127.0.0.0/24' && pops.every((pop) => (pop.estimate?.n ?? 0) >= 1);
      },
      30_000,
      () => tree.output(),
    );
    const { stdout } = await tree.ufes('explain', 'www.shop.example', '127.0.0.1');
    expect(stdout).toContain('127.0.0.0/24');
  });
});
