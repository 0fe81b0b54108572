/** A dashboard whose other processes are fakes that answer the contracts, and a real browser that opens its pages. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { withDefaults } from '@ufes/core/config/defaults.ts';
import { type Config, configSchema } from '@ufes/core/config/schema.ts';
import type { Component, Log } from '@ufes/core/ports.ts';
import { main } from '@ufes/dashboard/main.ts';
import { silentLog } from '@ufes/io/log.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { root } from '../tree.ts';
import { createFakes, type Fakes } from './fakes.ts';

const executablePath = '/usr/bin/chromium';
export const there = existsSync(executablePath);
if (!there)
  process.stderr.write('skipped: the dashboard in a browser (no /usr/bin/chromium; Debian package chromium)\n');

/** Pictures of the last run, to be looked at. */
export const pictures = join(root, 'node_modules/.cache/ufes-dashboard-pictures');
export const service = 'www.shop.example';
const wide = { width: 1440, height: 900 };
export const phone = { width: 375, height: 812 };

export function configuration(title = 'Virginia', listener = '127.0.0.1:0'): Config {
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

export interface Running {
  readonly url: string;
  readonly fakes: Fakes;
  readonly context: TestContext;
  stop(): Promise<void>;
}

async function start(config = configuration()): Promise<Running> {
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
    context,
    async stop() {
      await dashboard.stop();
      await fakes.stopAll();
      await context.dispose();
    },
  };
}

export const soon = <T>(look: () => T) => expect.poll(look, { timeout: 9_000, interval: 50 });

interface OpenOptions {
  readonly viewport?: typeof wide;
  readonly colorScheme?: 'light' | 'dark';
  readonly deviceScaleFactor?: number;
}

export interface InBrowser {
  /** A dashboard with none of the other processes. It ends with the test. */
  run(config?: Config): Promise<Running>;
  /** One with all of them, and what they know of. */
  runAll(): Promise<Running>;
  /** A page of the dashboard that was started last. */
  open(path: string, options?: OpenOptions): Promise<Page>;
  /** What pages of this test wrote as a warning or an error. */
  readonly complaints: string[];
}

/** For the tests of a describe: one browser, and a dashboard of its own for each. */
export function inBrowser(): InBrowser {
  let browser: Browser;
  let running: Running;
  const complaints: string[] = [];
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
    complaints.length = 0;
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((page) => page.close()));
    await running.stop();
  });

  const run = async (config?: Config) => {
    running = await start(config);
    return running;
  };
  return {
    run,
    async runAll() {
      const { fakes } = await run();
      await Promise.all((['dns', 'mapper', 'probe', 'ufes'] as const).map((node) => fakes.start(node)));
      fakes.load = { lon: 312, iad: 548, sin: 87 };
      for (let i = 0; i < 900; i++) fakes.answer(fakes.users[(i * 37) % fakes.users.length]!);
      return running;
    },
    async open(path, options = {}) {
      const page = await browser.newPage({ viewport: wide, colorScheme: 'light', ...options });
      opened.push(page);
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
      await page.goto(running.url + path);
      return page;
    },
    complaints,
  };
}

export const picture = (page: Page, name: string) => page.screenshot({ path: join(pictures, `${name}.png`) });
export const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');

/** The colours of users on the map. */
export function fills(page: Page): Promise<string[]> {
  return page.evaluate(
    "[...new Set([...document.querySelectorAll('.dots circle')].map((dot) => dot.getAttribute('fill')))].sort()",
  );
}

/** Lightness of the page's background, 0–1. */
export const lightness = `(() => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number);
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
})()`;

/** Pixels of the plot that are not clear. */
export const ink = `(() => {
  const canvas = document.querySelector('.cdf canvas');
  if (!canvas) return 0;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let ink = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i] > 60) ink++;
  return ink;
})()`;
