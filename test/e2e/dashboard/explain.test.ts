/** Why an answer, and what changed: Explain and Changes in a browser. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { explanation, history, planAtMs } from './answers.ts';
import { inBrowser, overflow, phone, picture, pictures, service, soon, there } from './browser.ts';

describe.runIf(there)('Explain and Changes', () => {
  const { runAll, open, complaints } = inBrowser();

  test('Explain shows the decision, with intervals, and why others were passed over', async () => {
    const running = await runAll();
    running.fakes.explanation = explanation();
    const page = await open('/explain');
    await page.waitForSelector('.ask');
    await soon(() => page.getByLabel('Name').inputValue()).toBe(service);
    await page.getByLabel('Client').fill('198.51.100.7');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.waitForSelector('tr.chosen');
    expect(await page.locator('tr.chosen').textContent()).toContain('iad');
    const text = (await page.locator('main').textContent())!;
    expect(text).toContain('passed over: down');
    expect(text).toContain('not reached');
    expect(text).toContain('30 s: quiet');
    expect(await page.locator('tr.chosen .interval-bar').getAttribute('aria-label')).toBe(
      '81 ms, 95% between 77 and 88 ms',
    );
    await picture(page, 'explain-light');
    // By keyboard: what lies behind is opened with Enter.
    await page.getByText('How health is known').focus();
    await page.keyboard.press('Enter');
    expect(await page.locator('details[open]').textContent()).toContain('probe down');
    await page.getByText('The answer, byte for byte').click();
    await page.screenshot({ path: join(pictures, 'explain-open.png'), fullPage: true });
    const small = await open(new URL(page.url()).pathname + new URL(page.url()).search, {
      viewport: phone,
      deviceScaleFactor: 2,
    });
    await small.waitForSelector('tr.chosen');
    expect(await overflow(small)).toBe(0);
    await small.screenshot({ path: join(pictures, 'phone-explain-answer.png'), fullPage: true });
    const dark = await open(new URL(page.url()).pathname + new URL(page.url()).search, { colorScheme: 'dark' });
    await dark.waitForSelector('tr.chosen');
    await picture(dark, 'dark-explain-answer');
    expect(complaints).toEqual([]);
  });

  test('Explain of the past has its link, and what cannot be explained is said', async () => {
    const running = await runAll();
    const atMs = Date.now() - 86_400_000;
    running.fakes.explanation = explanation({ atMs, past: { sinceMs: atMs - 600_000 } });
    const page = await open(`/explain?name=${service}&resolver=198.51.100.53&at=${atMs}`);
    await page.waitForSelector('.then');
    expect(running.fakes.asked.at(-1)).toEqual({
      name: service,
      resolver: '198.51.100.53',
      type: 'A',
      at: String(atMs),
    });
    expect(await page.locator('.then').textContent()).toContain('by dns, from what was kept');
    expect(await page.getByLabel('Time').inputValue()).not.toBe('');
    await picture(page, 'explain-then');
    // Asked again as it stands, it is the same question.
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.waitForSelector('.then');
    const at = Number(new URL(page.url()).searchParams.get('at'));
    expect(Math.abs(at - atMs)).toBeLessThan(1_000);
    await page.goto(`${running.url}/explain?name=${service}&client=nobody`);
    await soon(() => page.locator('.error').textContent()).toContain('address or prefix is wanted');
    await running.fakes.stop('dns');
    await page.goto(`${running.url}/explain?name=${service}&client=192.0.2.7`);
    await soon(() => page.locator('.error').textContent()).toContain('no ufes dns runs');
    await picture(page, 'explain-error');
    expect(complaints.filter((one) => !/40\d|50\d/.test(one))).toEqual([]);
  });

  test('Changes lists what was published, held and planned, and shows a hold first', async () => {
    const running = await runAll();
    const page = await open('/changes');
    await soon(() => page.locator('.empty').textContent()).toContain('Nothing moved yet');
    running.fakes.history = history(Date.now());
    await page.waitForSelector('.held', { timeout: 9_000 });
    expect(await page.locator('.held').textContent()).toContain('31% of demand');
    expect(await page.locator('.change').count()).toBe(6);
    expect(await page.locator('.change .kind').first().textContent()).toBe('held');
    await page.locator('.change[data-kind=plan] summary').focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('.change[data-kind=plan][open]');
    expect(await page.locator('.change[data-kind=plan]').textContent()).toContain(
      '+0.4 points of moved demand, −2.1% of the mean',
    );
    await page.screenshot({ path: join(pictures, 'changes-light.png'), fullPage: true });
    // The link holds what is open and what is shown.
    await page.getByRole('button', { name: 'Plans' }).click();
    await soon(() => page.locator('.change').count()).toBe(1);
    await page.reload();
    await page.waitForSelector('.change[data-kind=plan][open]');
    expect(await page.locator('.change').count()).toBe(1);
    for (const [name, options] of [
      ['phone-changes-open', { viewport: phone, deviceScaleFactor: 2 }],
      ['dark-changes-open', { colorScheme: 'dark' }],
    ] as const) {
      const other = await open(
        new URL(page.url()).search === '' ? '/changes' : `/changes?at=${planAtMs(Date.now())}`,
        options,
      );
      await other.waitForSelector('.held');
      await other.locator('.change[data-kind=hold] summary').first().click();
      expect(await overflow(other)).toBe(0);
      await other.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
    }
    await running.fakes.stop('mapper');
    await page.goto(`${running.url}/changes`);
    await page.waitForSelector('.banner');
    expect(await page.locator('.empty').textContent()).toContain('does not answer');
    await picture(page, 'changes-nothing');
    expect(complaints).toEqual([]);
  });
});
