/** A real browser that visits the demo's site; names resolve as our dns would, every probe name to its PoP. */
import { existsSync } from 'node:fs';
import { chromium, type Page } from 'playwright-core';
import { type Tree, until } from './tree.ts';

export const executablePath = '/usr/bin/chromium';
export const chromiumIsThere = existsSync(executablePath);

export const site = 'https://www.shop.example/';

export function browserArguments(tree: Tree): string[] {
  // Chromium takes no name server of its own.
  const rules = [
    `MAP www.shop.example:443 ${tree.address('10.1')}:8443`,
    `MAP rum.probe.example ${tree.address('0.1')}`,
    `MAP direct-eu.probe.example ${tree.address('40.1')}`,
    `MAP direct-us.probe.example ${tree.address('50.1')}`,
    `MAP *-lon.probe.example ${tree.address('10.1')}`,
    `MAP *-iad.probe.example ${tree.address('20.1')}`,
    `MAP *-sin.probe.example ${tree.address('30.1')}`,
  ];
  return [
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
    // A page whose answer a test makes up comes from nowhere, and may not ask loopback, where the test's PoPs are.
    '--disable-features=LocalNetworkAccessChecks',
  ];
}

export const launchVisitor = (tree: Tree) => chromium.launch({ executablePath, args: browserArguments(tree) });

/** Goes to `url`, and waits until the beacon's worker has ended, which it does when its upload has been answered. */
export async function visitUntilSent(page: Page, url: string, more: () => string): Promise<void> {
  let uploads = 0;
  let ended = 0;
  page.context().on('request', (request) => {
    if (request.url().endsWith('/rum/beacon')) uploads++;
  });
  page.on('worker', (worker) => worker.on('close', () => ended++));
  await page.goto(url);
  await until('a beacon was sent', async () => uploads > 0 && ended > 0, 40_000, more);
}
