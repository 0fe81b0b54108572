/** Where users are and where they go, and how long that takes: World and Compare in a browser. */
import { describe, expect, test } from 'vitest';
import { fills, inBrowser, ink, picture, soon, there } from './browser.ts';

describe.runIf(there)('World and Compare', () => {
  const { run, runAll, open, complaints } = inBrowser();

  test('World draws land, PoPs and users, and colours users either way', async () => {
    await runAll();
    const page = await open('/');
    await page.waitForSelector('.dots circle');
    await page.waitForSelector('.countries-table .stack');
    await page.waitForSelector('.recent-table tbody tr');
    expect(await page.locator('.spot').count()).toBe(3);
    expect(await page.locator('.shape[data-state=up]').count()).toBeGreaterThanOrEqual(3);
    expect((await page.locator('.land').getAttribute('d'))!.length).toBeGreaterThan(20_000);
    expect(await page.locator('.dots circle').count()).toBeGreaterThan(30);
    const byPop = await fills(page);
    expect(byPop.length).toBe(3);
    await picture(page, 'world-light');
    await page.getByRole('button', { name: 'By latency' }).click();
    expect(new URL(page.url()).search).toBe('?colour=latency');
    const byLatency = await fills(page);
    expect(byLatency).not.toEqual(byPop);
    await picture(page, 'world-latency-light');
    // By keyboard: the PoP that has the focus tells of itself.
    await page.locator('.spot[data-pop=iad]').focus();
    await soon(() => page.locator('.tip').textContent()).toContain('55% of 10,000');
    expect(await page.locator('footer').textContent()).toContain('Natural Earth');
    expect(complaints).toEqual([]);
  });

  test('a PoP that goes down shows at once, and its users go elsewhere', async () => {
    const running = await runAll();
    const page = await open('/world');
    await page.waitForSelector('.dots circle');
    await page.waitForSelector('.spot[data-pop=sin][data-state=up]');
    running.fakes.state.set('sin', 'down');
    running.fakes.sinceSeconds = Math.floor(Date.now() / 1000);
    await page.waitForSelector('.spot[data-pop=sin][data-state=down]', { timeout: 4_000 });
    await soon(async () => (await fills(page)).length).toBe(2);
    expect(await page.locator('.pops-card .note').textContent()).toBe('2 up, 1 down');
    await picture(page, 'world-down-light');
    expect(complaints).toEqual([]);
  });

  test('Compare draws the distributions and says what they are', async () => {
    await runAll();
    const page = await open('/compare');
    await page.waitForSelector('.cdf canvas');
    await soon(() => page.evaluate(ink)).toBeGreaterThan(2_000);
    expect(await page.locator('.figures tbody tr').count()).toBe(3);
    const text = (await page.locator('main').textContent())!;
    expect(text).toContain('3 × client round trip + backbone round trip');
    await picture(page, 'compare-light');
    await page.locator('.select select').selectOption('BR');
    await soon(() => page.locator('.headline').textContent()).toContain('in Brazil');
    expect(new URL(page.url()).search).toBe('?country=BR');
    await page.reload();
    await soon(() => page.locator('.headline').textContent()).toContain('in Brazil');
    expect(complaints).toEqual([]);
  });

  test('what is missing is named, with what to do; what was never there is said in words', async () => {
    const running = await run();
    const page = await open('/world');
    await page.waitForSelector('.banner');
    const text = (await page.locator('main').textContent())!;
    expect(text).toContain('Health and load of PoPs, Recent answers: not current since');
    expect(text).toContain('ufes up');
    expect(await page.locator('.spot[data-state=unknown]').count()).toBe(3);
    await picture(page, 'world-nothing');
    await page.getByRole('link', { name: 'Compare' }).click();
    await page.waitForSelector('.empty');
    await running.fakes.start('dns');
    running.fakes.measured = false;
    await running.fakes.start('mapper');
    await soon(() => page.locator('.empty').textContent()).toContain('No measurements yet');
    await picture(page, 'compare-empty');
    await page.getByRole('link', { name: 'World' }).click();
    await page.waitForSelector('.spot[data-state=up]');
    expect(await page.locator('.banner').count()).toBe(0);
    expect(await page.locator('.legend').textContent()).toContain('No measurements yet');
    // And away again: the page stays, the states are not known.
    await running.fakes.stop('dns');
    await page.waitForSelector('.banner');
    await page.waitForSelector('.spot[data-state=unknown]', { timeout: 9_000 });
    expect(complaints).toEqual([]);
  });
});
