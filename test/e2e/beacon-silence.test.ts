/** Whom the beacon leaves alone, and when it begins, in a real browser; what its worker asks for is seen too. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endTree, pause, startTree, type Tree } from './tree.ts';
import { browserArguments, chromiumIsThere, executablePath, site } from './visitor.ts';

if (!chromiumIsThere)
  process.stderr.write('skipped: whom the beacon leaves alone (no /usr/bin/chromium; Debian package chromium)\n');

const quietMs = 2_000;
/** From load; the plan comes after `quietMs` and a little. */
const watchedMs = 6_000;

describe.runIf(chromiumIsThere)('the beacon', () => {
  let tree: Tree;
  const folders: string[] = [];
  const contexts: BrowserContext[] = [];
  beforeAll(async () => {
    tree = await startTree();
  });
  afterAll(async () => {
    for (const context of contexts) await context.close();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    await endTree(tree);
  });

  /** A browser with a profile of its own. */
  async function launch(preferences: object = {}, args: readonly string[] = []): Promise<BrowserContext> {
    const folder = mkdtempSync(join(tmpdir(), 'ufes-visitor-'));
    folders.push(folder);
    mkdirSync(join(folder, 'Default'));
    writeFileSync(join(folder, 'Default', 'Preferences'), JSON.stringify(preferences));
    const context = await chromium.launchPersistentContext(folder, {
      executablePath,
      args: [...browserArguments(tree), ...args],
      ignoreHTTPSErrors: true,
    });
    contexts.push(context);
    return context;
  }

  /** Milliseconds from load to each request for a plan, by page or worker; `state` of the page as the script saw it. */
  async function visit(context: BrowserContext, page: Page, state: string) {
    const atMs: number[] = [];
    context.on('request', (request) => {
      if (request.url().endsWith('/rum/plan')) atMs.push(Date.now());
    });
    await page.goto(site, { waitUntil: 'load' });
    const loadedAtMs: number = await page.evaluate(
      "performance.timeOrigin + performance.getEntriesByType('navigation')[0].loadEventEnd",
    );
    await pause(watchedMs);
    return { plansAfterMs: atMs.map((ms) => ms - loadedAtMs), state: await page.evaluate(state) };
  }

  test('asks for a plan two seconds after load', async () => {
    const context = await launch();
    const { plansAfterMs } = await visit(context, await context.newPage(), 'document.hidden');
    expect(plansAfterMs).toHaveLength(1);
    expect(plansAfterMs[0]).toBeGreaterThanOrEqual(quietMs);
  });

  test.each<[string, string, unknown, () => Promise<[BrowserContext, Page]>]>([
    [
      'Do Not Track',
      'navigator.doNotTrack',
      '1',
      async () => {
        const context = await launch({ enable_do_not_track: true });
        return [context, await context.newPage()];
      },
    ],
    [
      'Global Privacy Control',
      'navigator.globalPrivacyControl',
      true,
      async () => {
        const context = await launch();
        // As extensions do it: Chromium has no setting for it.
        await context.addInitScript(() => {
          Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true });
        });
        return [context, await context.newPage()];
      },
    ],
    [
      'data that is to be saved',
      'navigator.connection.saveData',
      true,
      async () => {
        const context = await launch();
        const page = await context.newPage();
        const session = await context.newCDPSession(page);
        await session.send('Emulation.setDataSaverOverride', { dataSaverEnabled: true });
        return [context, page];
      },
    ],
    [
      'a slow network',
      'navigator.connection.effectiveType',
      '2g',
      async () => {
        const context = await launch({}, ['--force-effective-connection-type=2G']);
        return [context, await context.newPage()];
      },
    ],
    [
      'a page that is not seen',
      'document.hidden',
      true,
      async () => {
        const context = await launch();
        // Without a screen every window counts as seen.
        await context.addInitScript("Object.defineProperty(Document.prototype, 'hidden', { get: () => true })");
        return [context, await context.newPage()];
      },
    ],
  ])('asks nothing with %s', async (_, state, value, open) => {
    const [context, page] = await open();
    expect(await visit(context, page, state)).toEqual({ plansAfterMs: [], state: value });
  });
});
