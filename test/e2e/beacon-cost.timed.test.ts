/**
 * What the beacon costs a visitor, in a real browser, from load on. Main-thread time is the renderer's own
 * count of what its tasks took (CPU time): of a page with the script less the same page without, over the same seconds.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchRaw, type RawBrowser, type RawPage } from './raw-cdp.ts';
import { endTree, pause, startTree, type Tree, until } from './tree.ts';
import { browserArguments, chromiumIsThere, executablePath, site } from './visitor.ts';

if (!chromiumIsThere)
  process.stderr.write('skipped: what the beacon costs (no /usr/bin/chromium; Debian package chromium)\n');

/** Median of five visits measured on two quiet cores of 2026: 5.6 ms, of that 1.4 in scripts; the rest is the browser's, for a worker. */
const most = { scriptMs: 5, taskMs: 10 };
/** From load until the beacon has gone. */
const watchedMs = 7_000;

interface Entry {
  readonly url: string;
  readonly startedMs: number;
}

describe.runIf(chromiumIsThere)('the beacon, to its visitors', () => {
  let tree: Tree;
  let browser: RawBrowser;
  /** Whose visitors get no script. */
  let spared: RawBrowser;
  beforeAll(async () => {
    tree = await startTree();
    const args = browserArguments(tree);
    browser = await launchRaw(executablePath, args);
    spared = await launchRaw(
      executablePath,
      args.map((arg) => arg.replace(/MAP rum.probe.example [^,]*/, 'MAP rum.probe.example ~NOTFOUND')),
    );
  });
  afterAll(async () => {
    await browser?.stop();
    await spared?.stop();
    await endTree(tree);
  });

  /** CPU time of the main thread since the page began, milliseconds: of all tasks, and of scripts. */
  async function mainThread(page: RawPage): Promise<{ task: number; script: number }> {
    type Metrics = { metrics: { name: string; value: number }[] };
    const { metrics } = await page.send<Metrics>('Performance.getMetrics');
    const of = (wanted: string) => 1_000 * metrics.find(({ name }) => name === wanted)!.value;
    return { task: of('TaskDuration'), script: of('ScriptDuration') };
  }

  async function load(page: RawPage, url: string): Promise<void> {
    await page.send('Page.navigate', { url });
    await until(
      'the page has loaded',
      () => page.evaluate(`document.readyState === 'complete' && location.href !== 'about:blank'`),
      15_000,
    );
  }

  /** All that the page asked for after itself and the script, with the time since load ended. */
  const requestsOf = (page: RawPage) =>
    page.evaluate<Entry[]>(`(() => {
      const loaded = performance.getEntriesByType('navigation')[0].loadEventEnd;
      return performance.getEntriesByType('resource')
        .map(({ name, startTime }) => ({ url: name, startedMs: startTime - loaded }))
        .filter(({ url }) => !/rum\\.js|favicon/.test(url));
    })()`);

  async function visit(withScript: boolean) {
    const page = await (withScript ? browser : spared).open();
    await page.send('Performance.enable', { timeDomain: 'threadTicks' });
    await load(page, site);
    const before = await mainThread(page);
    await pause(watchedMs);
    const after = await mainThread(page);
    const requests = await requestsOf(page);
    await page.close();
    return { taskMs: after.task - before.task, scriptMs: after.script - before.script, requests };
  }

  test(`takes less than ${most.taskMs} ms of the main thread, ${most.scriptMs} of them in scripts`, async () => {
    await visit(true);
    await visit(false);
    const costs: { taskMs: number; scriptMs: number }[] = [];
    for (let i = 0; i < 5; i++) {
      const without = await visit(false);
      const with_ = await visit(true);
      expect(without.requests).toEqual([]);
      // All are its worker's.
      expect(with_.requests).toEqual([]);
      costs.push({ taskMs: with_.taskMs - without.taskMs, scriptMs: with_.scriptMs - without.scriptMs });
    }
    process.stderr.write(`beacon: ${JSON.stringify(costs)}\n`);
    const median = (of: (cost: (typeof costs)[number]) => number) => costs.map(of).sort((a, b) => a - b)[2]!;
    expect(median(({ scriptMs }) => scriptMs)).toBeLessThan(most.scriptMs);
    expect(median(({ taskMs }) => taskMs)).toBeLessThan(most.taskMs);
  });
});
