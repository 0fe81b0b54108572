/** The Jobs page, in a browser: what failed for good and why, and an operator who lets it run again. */
import { describe, expect, test } from 'vitest';
import { inBrowser, phone, picture, soon, there } from './browser.ts';

const reason = 'GeoIP data cannot be fetched from https://downloads.example.net/city.mmdb.gz: the answer was 502';

describe.runIf(there)('jobs', () => {
  const { run, open, complaints } = inBrowser();

  test('what failed for good is shown with its reason, retried and dropped', async () => {
    const { context } = await run();
    const { jobs } = context.queue;
    const page = await open('/jobs');
    await page.getByText('No jobs yet').waitFor();
    await page.getByText('No job failed for good').waitFor();

    let isMended = false;
    const runs: string[] = [];
    const stop = jobs.work('geoip', async ({ id }) => {
      runs.push(id);
      if (!isMended) throw new Error(reason);
    });
    await jobs.schedule('rollup', 'hour', 600_000, null);
    await jobs.schedule('geoip', 'all', 86_400_000, null);
    await jobs.add('geoip', 'by hand', { asked: 'ops' });
    // All attempts with their pauses: 15 s.
    await page.getByRole('cell', { name: reason }).nth(1).waitFor({ timeout: 25_000 });
    await page.getByText('2 failed for good').waitFor();
    await picture(page, 'jobs');
    const small = await open('/jobs', { viewport: phone });
    await small.getByRole('cell', { name: reason }).first().waitFor();
    await picture(small, 'jobs-phone');

    isMended = true;
    await page.getByRole('button', { name: 'retry geoip by hand' }).click();
    await soon(async () => (await jobs.find('geoip', 'by hand')) === undefined).toBe(true);
    expect(runs.at(-1)).toBe('by hand');
    await page.getByRole('button', { name: /^drop geoip all@\d+$/ }).click();
    await page.getByText('No job failed for good').waitFor();
    await page.getByText('nothing failed for good').waitFor();

    await page.getByRole('button', { name: 'run geoip' }).click();
    await soon(() => runs.at(-1)).toMatch(/^by hand \d+$/);
    await page.getByRole('button', { name: 'All', exact: true }).click();
    await page.getByRole('row', { name: /waiting.*rollup/ }).waitFor({ state: 'hidden' });
    expect((await context.store.audit.list(9)).map(({ action }) => action)).toEqual([
      'jobs run',
      'jobs drop',
      'jobs retry',
    ]);
    await stop();
    expect(complaints).toEqual([]);
  });

  test('an order that comes too late is told', async () => {
    const { context } = await run();
    const { jobs } = context.queue;
    await jobs.schedule('rollup', 'hour', 600_000, null);
    const page = await open('/jobs');
    const button = page.getByRole('button', { name: 'run rollup' });
    await button.waitFor();
    await page.route('**/api/jobs/run', (route) =>
      route.fulfill({ status: 503, json: { code: 'STORE_UNAVAILABLE', message: 'the store cannot be used' } }),
    );
    await button.click();
    await page.getByRole('alert').getByText('the store cannot be used').waitFor();
  });
});
