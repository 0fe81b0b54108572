/** The page Quarantine in a browser: a quiet day, a bad night, and either process away. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { apartOfABadNight, refusedOfABadNight } from './apart.ts';
import { inBrowser, overflow, phone, picture, pictures, there } from './browser.ts';

describe.runIf(there)('quarantine', () => {
  const { runAll, open, complaints } = inBrowser();

  test('a quiet day says so', async () => {
    await runAll();
    const page = await open('/quarantine');
    await page.waitForSelector('.apart .empty');
    const titles = await page.locator('.empty-title').allTextContents();
    expect(titles).toEqual([
      'Nothing is in quarantine',
      'No place is disputed',
      'Nothing was refused',
      'Nothing was set aside',
    ]);
    await picture(page, 'quarantine-quiet');
    expect(complaints).toEqual([]);
  });

  test('a bad night: how much, where from, why, and what is possible from there', async () => {
    const { fakes } = await runAll();
    fakes.refused = refusedOfABadNight;
    fakes.apart = apartOfABadNight;
    const page = await open('/quarantine');
    await page.waitForSelector('.tile-value');
    expect(await page.locator('.tile-value').allTextContents()).toEqual(['63,479', '1,204', '1', '320']);
    const text = (await page.locator('.apart').textContent()) ?? '';
    for (const part of [
      'sin in 20 ms · 109 ms at least from there',
      'the newest 3 of 1,204 prefixes',
      '1 prefix, steered by what edges time',
      'disputed by now',
      'too many from one address',
      'probes.caps.addressPerHour',
      'agent in another place',
      'not for 288 of these',
      'token used before',
    ]) {
      expect(text).toContain(part);
    }
    await page.screenshot({ path: join(pictures, 'quarantine.png'), fullPage: true });
    const dark = await open('/quarantine', { colorScheme: 'dark' });
    await dark.waitForSelector('.below-bar');
    await picture(dark, 'quarantine-dark');
    const small = await open('/quarantine', { viewport: phone, deviceScaleFactor: 2 });
    await small.waitForSelector('.below-bar');
    expect(await overflow(small)).toBe(0);
    await small.screenshot({ path: join(pictures, 'quarantine-phone.png'), fullPage: true });
    await page.getByRole('link', { name: '192.0.2.0/24' }).click();
    await page.waitForURL('**/explain?client=192.0.2.0%2F24');
    expect(complaints).toEqual([]);
  });

  test('without the collector the rest is there, and it says what is missing', async () => {
    const { fakes } = await runAll();
    fakes.apart = apartOfABadNight;
    await fakes.stop('probe');
    const page = await open('/quarantine');
    await page.waitForSelector('.banner');
    expect(await page.locator('.banner').textContent()).toContain('What was refused: not current');
    expect(await page.locator('.tile-value').first().textContent()).toBe('–');
    expect(await page.locator('.below-bar').count()).toBeGreaterThan(0);
  });
});
