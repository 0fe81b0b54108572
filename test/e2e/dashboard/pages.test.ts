/** What holds for every page, in a browser: small screens, the dark, a dashboard that went away, hostile text. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  configuration,
  inBrowser,
  ink,
  lightness,
  overflow,
  phone,
  picture,
  pictures,
  soon,
  there,
} from './browser.ts';

const hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
const hostileName = `"><script>window.hacked=1</script>.example`;

describe.runIf(there)('every page', () => {
  const { run, runAll, open, complaints } = inBrowser();

  test('no page is wider than a phone, and dark is dark', async () => {
    await runAll();
    for (const path of ['/world', '/compare', '/explain', '/changes', '/services', '/jobs']) {
      const small = await open(path, { viewport: phone, deviceScaleFactor: 2 });
      await small.waitForSelector('.card');
      if (path === '/world') await small.waitForSelector('.countries-table .stack');
      if (path === '/compare') await small.waitForSelector('.country-rows');
      expect([path, await overflow(small)]).toEqual([path, 0]);
      await small.screenshot({ path: join(pictures, `phone${path.replace('/', '-')}.png`), fullPage: true });
      const dark = await open(path, { colorScheme: 'dark' });
      await dark.waitForSelector('.card');
      if (path === '/world') await dark.waitForSelector('.recent-table tbody tr');
      if (path === '/compare') await soon(() => dark.evaluate(ink)).toBeGreaterThan(2_000);
      expect(await small.evaluate(lightness)).toBeGreaterThan(0.85);
      expect(await dark.evaluate(lightness)).toBeLessThan(0.2);
      await picture(dark, `dark${path.replace('/', '-')}`);
    }
    expect(complaints).toEqual([]);
  });

  test('the theme goes from Auto to Light to Dark, and what was chosen outlives a reload', async () => {
    await runAll();
    const page = await open('/services', { colorScheme: 'dark' });
    await page.waitForSelector('.card');
    await page.getByRole('button', { name: /^Theme/ }).click();
    expect(await page.evaluate(lightness)).toBeGreaterThan(0.85);
    await page.reload();
    await page.waitForSelector('.card');
    expect(await page.evaluate(lightness)).toBeGreaterThan(0.85);
    expect(complaints).toEqual([]);
  });

  test('a dashboard that ended leaves a stale page that says so, and comes back by itself', async () => {
    const first = await runAll();
    const page = await open('/world');
    await page.waitForSelector('.pulse[data-state=live]');
    await first.stop();
    await page.waitForSelector('.pulse[data-state=stale]', { timeout: 9_000 });
    expect(await page.locator('.spot').count()).toBe(3);
    await run(configuration('Virginia', first.url.replace('http://', '')));
    await page.waitForSelector('.pulse[data-state=live]', { timeout: 9_000 });
  });

  test('text from outside stays text', async () => {
    const running = await run(configuration(hostile));
    await Promise.all([running.fakes.start('dns'), running.fakes.start('mapper')]);
    const user = running.fakes.users[0]!;
    running.fakes.answer(user, hostileName);
    const page = await open('/world');
    await page.waitForSelector('.dots circle');
    running.fakes.answer({ ...user, prefix: hostile }, hostileName);
    await soon(() => page.locator('.recent-table').textContent()).toContain(hostile);
    await page.locator('.spot[data-pop=iad]').focus();
    await soon(() => page.locator('.tip').textContent()).toContain(hostile);
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    await page.goto(
      `${running.url}/explain?name=${encodeURIComponent(hostileName)}&client=${encodeURIComponent(hostile)}`,
    );
    await page.waitForSelector('.error');
    await page.goto(`${running.url}/compare?country=${encodeURIComponent(hostile)}`);
    await page.waitForSelector('.figures');
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    // A refused question is the one thing that may be complained of.
    expect(complaints.filter((one) => !one.includes('400'))).toEqual([]);
  });
});
