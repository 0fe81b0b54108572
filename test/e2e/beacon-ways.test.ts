/** What browsers send under policies of the page, when a PoP cannot be reached, and of the direct path to origins. */
import type { Beacon } from '@ufes/core/samples.ts';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endTree, startTree, stopped, type Tree, until } from './tree.ts';
import { chromiumIsThere, launchVisitor, site } from './visitor.ts';

if (!chromiumIsThere)
  process.stderr.write('skipped: ways of the beacon (no /usr/bin/chromium; Debian package chromium)\n');

const collector = 'https://rum.probe.example:8443';

describe.runIf(chromiumIsThere)('the beacon', () => {
  const trees: Tree[] = [];
  const browsers: Browser[] = [];
  async function start(edit?: (yaml: string) => string): Promise<{ tree: Tree; browser: Browser }> {
    const tree = await startTree(edit === undefined ? {} : { edit });
    trees.push(tree);
    const browser = await launchVisitor(tree);
    browsers.push(browser);
    return { tree, browser };
  }
  let usual: { tree: Tree; browser: Browser };
  beforeAll(async () => {
    usual = await start();
  });
  afterAll(async () => {
    for (const browser of browsers) await browser.close();
    for (const tree of trees) await endTree(tree);
  });

  /** One visit to a page with this policy; what was sent, and whether a worker did it. */
  async function visit(browser: Browser, policy?: string, withinMs = 20_000) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    const sent: { body: Beacon; byWorker: boolean }[] = [];
    let workers = 0;
    let plans = 0;
    page.on('worker', () => workers++);
    context.on('request', (request) => {
      if (request.url() === `${collector}/rum/plan`) plans++;
      if (request.url() === `${collector}/rum/beacon`) {
        sent.push({ body: request.postDataJSON() as Beacon, byWorker: workers > 0 });
      }
    });
    if (policy !== undefined) {
      const body = `<!doctype html><script async src="${collector}/rum.js" data-ufes-share="1"></script>`;
      const headers = { 'content-type': 'text/html', 'content-security-policy': policy };
      await page.route(site, (route) => route.fulfill({ body, headers }));
    }
    await page.goto(site);
    await until('a beacon', async () => sent.length > 0, withinMs).catch(() => {});
    await context.close();
    return { sent, plans };
  }

  const script = `default-src 'none'; script-src ${collector}`;
  const everything = `${collector} https://*.probe.example:8443 https://*.probe.example:9443`;

  test('measures in a worker under the policy that docs/beacon.md asks for', async () => {
    const { sent } = await visit(usual.browser, `${script}; connect-src ${everything}; worker-src blob:`);
    expect(sent).toMatchObject([{ byWorker: true }]);
    for (const { ok, rttMs } of sent[0]!.body.results) expect([ok, rttMs.length]).toEqual([true, 3]);
  });

  test('measures on the page’s thread where no worker is allowed', async () => {
    const { sent } = await visit(usual.browser, `${script}; connect-src ${everything}`);
    expect(sent).toMatchObject([{ byWorker: false }]);
    for (const { ok, rttMs } of sent[0]!.body.results) expect([ok, rttMs.length]).toEqual([true, 3]);
  });

  test('sends nothing where the policy keeps it from every PoP', async () => {
    expect(await visit(usual.browser, `${script}; connect-src ${collector}; worker-src blob:`, 6_000)).toEqual({
      sent: [],
      plans: 1,
    });
  });

  test('says which PoP cannot be reached', async () => {
    await stopped(usual.tree, ['edge-sin'], async () => {
      const { sent } = await visit(usual.browser, undefined, 40_000);
      const reached = sent[0]!.body.results.filter(({ target }) => target.startsWith('pop:'));
      expect(Object.fromEntries(reached.map(({ target, ok }) => [target, ok]))).toEqual({
        'pop:lon': true,
        'pop:iad': true,
        'pop:sin': false,
      });
    });
  });

  test('times the direct path to origins', async () => {
    const { browser } = await start((yaml) => yaml.replace(/^ {2}zone: probe.example\n/m, ''));
    const { sent } = await visit(browser);
    expect(sent[0]!.body.results.map(({ target }) => target).sort()).toEqual(['origin:eu', 'origin:us']);
    for (const { ok, rttMs } of sent[0]!.body.results) expect([ok, rttMs.length]).toEqual([true, 3]);
  });
});
