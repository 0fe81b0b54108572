/** The pages in a real browser: a dashboard whose other processes are fakes that answer the contracts. */
import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withDefaults } from '@ufes/core/config/defaults.ts';
import { type Config, configSchema } from '@ufes/core/config/schema.ts';
import type { Component, Log } from '@ufes/core/ports.ts';
import { main } from '@ufes/dashboard/main.ts';
import { silentLog } from '@ufes/io/log.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createFakes, type Fakes } from './dashboard-fakes.ts';

const executablePath = '/usr/bin/chromium';
const there = existsSync(executablePath);
if (!there)
  process.stderr.write('skipped: the dashboard in a browser (no /usr/bin/chromium; Debian package chromium)\n');

/** Pictures of each run, to be looked at. */
const pictures = join(tmpdir(), 'ufes-dashboard-pictures');
const hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
const hostileName = `"><script>window.hacked=1</script>.example`;
const service = 'www.shop.example';
const wide = { width: 1440, height: 900 };
const phone = { width: 375, height: 812 };

function configuration(title = 'Virginia', listener = '127.0.0.1:0'): Config {
  return withDefaults(configSchema, {
    listeners: { dashboard: listener },
    geoip: { city: 'places.mmdb', asn: 'none' },
    pops: {
      lon: { title: 'London', location: [51.51, -0.13], vips: { v4: '192.0.2.1', v6: '2001:db8::1' } },
      iad: { title, location: [38.95, -77.45], vips: { v4: '198.51.100.1' } },
      sin: { title: 'Singapore', location: [1.36, 103.99], vips: { v4: '203.0.113.1' } },
    },
    origins: {
      eu: { location: [50.11, 8.68], endpoints: ['http://192.0.2.80:9000'] },
      us: { location: [39.96, -83], endpoints: ['http://192.0.2.81:9000'] },
    },
    services: { shop: { name: service, pops: ['lon', 'iad', 'sin'], origin: 'eu' } },
  }) as Config;
}

interface Running {
  readonly url: string;
  readonly fakes: Fakes;
  stop(): Promise<void>;
}

async function run(config = configuration()): Promise<Running> {
  let url = '';
  const log: Log = {
    ...silentLog,
    info: (fields) => {
      url = 'url' in fields && typeof fields.url === 'string' ? fields.url : url;
    },
    error: (_fields, message) => process.stderr.write(`${message}\n`),
  };
  const context: TestContext = await testContext({ node: 'dashboard', config, log });
  const fakes = createFakes(config, context.state, service);
  const dashboard: Component = main(context);
  await dashboard.start();
  return {
    url: url.replace(/\/$/, ''),
    fakes,
    async stop() {
      await dashboard.stop();
      await fakes.stopAll();
      await context.dispose();
    },
  };
}

const soon = <T>(look: () => T) => expect.poll(look, { timeout: 9_000, interval: 50 });

describe.runIf(there)('the dashboard in a browser', () => {
  let browser: Browser;
  let running: Running;
  let complaints: string[];
  const opened: Page[] = [];

  beforeAll(async () => {
    mkdirSync(pictures, { recursive: true });
    browser = await chromium.launch({
      executablePath,
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
    });
  });
  afterAll(() => browser?.close());
  beforeEach(() => {
    complaints = [];
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((page) => page.close()));
    await running.stop();
  });

  async function open(
    path: string,
    options: { viewport?: typeof wide; colorScheme?: 'light' | 'dark'; deviceScaleFactor?: number } = {},
  ): Promise<Page> {
    const page = await browser.newPage({ viewport: wide, colorScheme: 'light', ...options });
    opened.push(page);
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(running.url + path);
    return page;
  }
  async function all(): Promise<void> {
    await Promise.all([running.fakes.start('dns'), running.fakes.start('mapper'), running.fakes.start('ufes')]);
    running.fakes.load = { lon: 312, iad: 548, sin: 87 };
    for (let i = 0; i < 900; i++) running.fakes.answer(running.fakes.users[(i * 37) % running.fakes.users.length]!);
  }
  const picture = (page: Page, name: string) => page.screenshot({ path: join(pictures, `${name}.png`) });
  const overflow = (page: Page) =>
    page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');

  test('World draws land, PoPs and users, and colours users either way', async () => {
    running = await run();
    await all();
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
    running = await run();
    await all();
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
    running = await run();
    await all();
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

  test('no page is wider than a phone, and dark is dark', async () => {
    running = await run();
    await all();
    for (const path of ['/world', '/compare', '/explain', '/changes', '/services']) {
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
    const page = opened.at(-1)!;
    // Auto → Light → Dark; the choice outlives a reload.
    await page.getByRole('button', { name: /^Theme/ }).click();
    expect(await page.evaluate(lightness)).toBeGreaterThan(0.85);
    await page.reload();
    await page.waitForSelector('.card');
    expect(await page.evaluate(lightness)).toBeGreaterThan(0.85);
    expect(complaints).toEqual([]);
  });

  test('what is missing is named, with what to do; what was never there is said in words', async () => {
    running = await run();
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

  test('a dashboard that ended leaves a stale page that says so, and comes back by itself', async () => {
    running = await run();
    await all();
    const page = await open('/world');
    await page.waitForSelector('.pulse[data-state=live]');
    await running.stop();
    await page.waitForSelector('.pulse[data-state=stale]', { timeout: 9_000 });
    expect(await page.locator('.spot').count()).toBe(3);
    running = await run(configuration('Virginia', running.url.replace('http://', '')));
    await page.waitForSelector('.pulse[data-state=live]', { timeout: 9_000 });
  });

  test('text from outside stays text', async () => {
    running = await run(configuration(hostile));
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

  test('Explain shows the decision, with intervals, and why others were passed over', async () => {
    running = await run();
    await all();
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
    running = await run();
    await all();
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
    running = await run();
    await all();
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

/** The colours of users on the map. */
function fills(page: Page): Promise<string[]> {
  return page.evaluate(
    "[...new Set([...document.querySelectorAll('.dots circle')].map((dot) => dot.getAttribute('fill')))].sort()",
  );
}

/** Lightness of the page's background, 0–1. */
const lightness = `(() => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number);
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
})()`;

/** Pixels of the plot that are not clear. */
const ink = `(() => {
  const canvas = document.querySelector('.cdf canvas');
  if (!canvas) return 0;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let ink = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i] > 60) ink++;
  return ink;
})()`;

const explanation = (over: object = {}) => ({
  atMs: Date.now(),
  node: 'dns',
  name: `${service}.`,
  asked: `${service}.`,
  zone: 'shop.example.',
  resolver: '198.51.100.53',
  evidence: 'client subnet',
  placed: '198.51.100.0/24',
  control: false,
  client: '198.51.100.7',
  type: 'A',
  service: 'shop',
  owner: 'config',
  why: 'map',
  map: { version: '1764000000000-a1b2c3', ageSeconds: 12, sources: ['demo', 'rum'], geoip: 'made by a test' },
  desired: { version: '1764000000000-d4e5f6', ageSeconds: 4_000 },
  prefix: '198.51.100.0/24',
  scope: 24,
  cell: '198.51.100.0/24',
  place: 'London, GB',
  ttlSeconds: 30,
  ttl: { minSeconds: 5, maxSeconds: 60, why: 'quiet' },
  message: {
    query: 'AAABAAABAAAAAAAA',
    answer: 'AACFAAABAAEAAAAAA3d3dwRzaG9wB2V4YW1wbGUAAAEAAcAMAAEAAQAAAB4ABMYzZAE=',
    rcode: 'NOERROR',
  },
  answers: ['198.51.100.1'],
  pops: [
    {
      pop: 'lon',
      rank: 1,
      chosen: false,
      by: '',
      loadPerMille: 0,
      keeps: 1,
      health: {
        state: 'down',
        sinceMs: 1_764_000_000_000,
        counted: 2,
        votes: [
          { vantage: 'dns', state: 'down' },
          { vantage: 'probe', state: 'down' },
        ],
      },
      passed: 'down',
      state: 'down',
      sinceSeconds: 1_764_000_000,
      vips: ['192.0.2.1'],
      estimate: { clientMs: 12.4, lowMs: 11, highMs: 14, n: 61, tier: 'prefix', backboneMs: 9, costMs: 46.2 },
    },
    {
      pop: 'iad',
      rank: 2,
      chosen: true,
      by: 'map',
      loadPerMille: 548,
      keeps: 0.9,
      passed: '',
      state: 'up',
      sinceSeconds: 1_764_000_000,
      vips: ['198.51.100.1'],
      estimate: { clientMs: 81, lowMs: 77, highMs: 88, n: 23, tier: 'prefix', backboneMs: 88, costMs: 331 },
    },
    {
      ...{
        pop: 'sin',
        rank: 3,
        chosen: false,
        by: '',
        passed: '',
        state: 'up',
        sinceSeconds: 0,
        vips: ['203.0.113.1'],
      },
      ...{ loadPerMille: 87, keeps: 1 },
      estimate: { clientMs: 172, lowMs: 120, highMs: 10_000, n: 3, tier: 'spatial', backboneMs: 160, costMs: 676 },
    },
  ],
  ...over,
});

const planAtMs = (nowMs: number) => Math.floor(nowMs / 86_400_000) * 86_400_000 - 7_200_000;

/** One of each kind, newest first; a hold is on. */
function history(nowMs: number) {
  const reasons = [
    {
      guard: 'too-much',
      text: 'it would move 31% of demand (184 cells) away from estimates in service; 25% is the most that goes unasked. `ufes rollback --release` lets it pass, in stages',
    },
  ];
  const moved = { wanted: 0.31, moved: 0, exempt: 0, first: 0, discretionary: 0, staged: 0.31, cells: 0 };
  const predicted = { meanBeforeMs: 42.3, meanAfterMs: 55.1, p95BeforeMs: 120, p95AfterMs: 190, known: 0.92 };
  const loads = [
    { pop: 'lon', before: 0.42, after: 0.37 },
    { pop: 'iad', before: 0.51, after: 0.55 },
  ];
  const version = (ms: number) => `${ms}-a1b2c3`;
  return {
    held: { sinceMs: nowMs - 420_000, reasons, wanted: 0.31 },
    publications: [
      { atMs: nowMs - 420_000, kind: 'hold', reasons, moved, predicted },
      {
        ...{ atMs: nowMs - 2_400_000, kind: 'publish', version: version(nowMs - 2_400_000), reasons: [], loads },
        moved: { ...moved, wanted: 0.052, moved: 0.034, first: 0.012, discretionary: 0.022, staged: 0.018, cells: 41 },
        predicted: { ...predicted, meanAfterMs: 40.9, p95AfterMs: 117 },
        measured: { atMs: nowMs - 1_500_000, gainMs: 11.4, predictedGainMs: 12.6, known: 0.71 },
      },
      { atMs: nowMs - 9_000_000, kind: 'release', reasons: [], by: 'alice', why: 'the estimates were right after all' },
      {
        ...{ atMs: nowMs - 9_600_000, kind: 'rollback', version: version(nowMs - 9_600_000), reasons: [] },
        ...{
          restores: version(nowMs - 90_000_000),
          untilMs: nowMs + 3_600_000,
          by: 'alice',
          why: 'Singapore looked wrong',
        },
      },
      {
        ...{ atMs: nowMs - 12_000_000, kind: 'publish', version: version(nowMs - 12_000_000), reasons: [], loads: [] },
        moved: { ...moved, wanted: 0.004, moved: 0.004, exempt: 0.004, staged: 0, cells: 1 },
        predicted: { ...predicted, meanAfterMs: 42.2 },
      },
      {
        ...{ atMs: planAtMs(nowMs), kind: 'plan', reasons: [], by: 'bob' },
        plan: {
          ...{ file: 'ufes.next.yaml', drained: ['sin'], moved: 0.124, harmed: 0.031 },
          changes: [
            'lon changed: capacity: 10000 requests/s → 6000 requests/s',
            'www.shop.example changed: TTL: 60 s → 30 s: clients follow a move within that time; about 2 times the queries',
          ],
          ...{ meanBeforeMs: 42.3, meanAfterMs: 44.1, p95BeforeMs: 120, p95AfterMs: 131 },
          loads: [...loads, { pop: 'sin', before: 0.12, after: 0 }],
          from: { hash: 'x', desired: version(1), closed: [] },
          appliedAtMs: planAtMs(nowMs) + 600_000,
          measured: {
            atMs: planAtMs(nowMs) + 1_600_000,
            moved: 0.12,
            meanAfterMs: 45.05,
            p95AfterMs: 133,
            loads: [{ pop: 'lon', told: 0.36 }],
          },
        },
      },
    ],
  };
}
