/** The real beacon script in a real browser against real edges with real TLS. */
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endTree, startTree, type Tree, until } from './tree.ts';

const executablePath = '/usr/bin/chromium';
const there = existsSync(executablePath);
if (!there) process.stderr.write('skipped: the beacon in a browser (no /usr/bin/chromium; Debian package chromium)\n');

describe.runIf(there)('the beacon', () => {
  let tree: Tree;
  beforeAll(async () => {
    tree = await startTree();
  });
  afterAll(() => endTree(tree));

  test('measures the three edges, and its prefix’s evidence shows in explain', async () => {
    // Names resolve as our dns would: every probe name to its PoP. Chromium takes no name server of its own.
    const rules = [
      `MAP www.shop.example:443 ${tree.address('10.1')}:8443`,
      `MAP rum.probe.example ${tree.address('0.1')}`,
      `MAP direct-eu.probe.example ${tree.address('40.1')}`,
      `MAP direct-us.probe.example ${tree.address('50.1')}`,
      `MAP *-lon.probe.example ${tree.address('10.1')}`,
      `MAP *-iad.probe.example ${tree.address('20.1')}`,
      `MAP *-sin.probe.example ${tree.address('30.1')}`,
    ];
    const browser = await chromium.launch({
      executablePath,
      args: [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        `--host-resolver-rules=${rules.join(',')}`,
        // The internal CA is in no browser's store; that its certificates are right is for curl and openssl to check.
        '--ignore-certificate-errors',
      ],
    });
    try {
      const page = await browser.newPage();
      const sent: number[] = [];
      page.on('response', (response) => {
        if (response.url().endsWith('/rum/beacon')) sent.push(response.status());
      });
      await page.goto('https://www.shop.example/');
      await until(
        'the beacon was acknowledged',
        async () => sent.includes(204),
        20_000,
        () => JSON.stringify(sent),
      );
    } finally {
      await browser.close();
    }
    await until(
      'its evidence shows',
      async () => {
        const { cell, pops } = await tree.explain('www.shop.example', '127.0.0.1');
        return cell === '127.0.0.0/24' && pops.every((pop) => (pop.estimate?.n ?? 0) >= 1);
      },
      15_000,
      () => tree.output(),
    );
    const { stdout } = await tree.ufes('explain', 'www.shop.example', '127.0.0.1');
    expect(stdout).toContain('127.0.0.0/24');
  });
});
