/** The beacon script: its size, how it is served, and what it does in a browser made of stand-ins. */

import { createContext, Script } from 'node:vm';
import { gzipSync } from 'node:zlib';
import type { Beacon, Plan } from '@ufes/core/samples.ts';
import { beforeAll, expect, it } from 'vitest';
import { call, startProbe } from './probe.fixture.ts';
import { type BeaconScript, buildBeacon } from './script.ts';

let script: BeaconScript;
beforeAll(async () => {
  script = await buildBeacon(0.01);
});

it('is at most 1.5 kB minified and gzipped', () => {
  expect(gzipSync(script.body).length).toBeLessThanOrEqual(1_500);
});

it('is served by content hash, with the configured share in it', async () => {
  const probe = await startProbe();
  const at = probe.addresses[0]!;
  const first = await call(at, '/rum.js');
  expect(first.text).toBe(script.body.toString());
  expect(first.headers).toMatchObject({ etag: script.etag, 'content-type': 'text/javascript; charset=utf-8' });
  const again = await call(at, '/rum.js', { headers: { 'if-none-match': script.etag } });
  expect([again.status, again.text]).toEqual([304, '']);
  expect((await buildBeacon(0.5)).etag).not.toBe(script.etag);
  await probe.stop();
});

interface Timing {
  requestStart: number;
  responseStart: number;
  connectStart: number;
  connectEnd: number;
  serverTiming: { name: string; duration: number }[];
}
const plan: Plan = {
  token: 'token',
  expiresAtMs: 1,
  fetches: 3,
  targets: [
    { id: 'pop:lon', url: 'https://x-lon.probe.example/p' },
    { id: 'pop:iad', url: 'https://x-iad.probe.example/p' },
  ],
  sinks: ['https://a.example/rum/beacon', 'https://b.example/rum/beacon'],
};

interface World {
  readonly share?: string;
  readonly random?: number;
  readonly navigator?: object;
  readonly hidden?: boolean;
  /** Status of a fetch, or undefined when it fails. */
  readonly fetch?: (url: string) => number | undefined;
  readonly timing?: (url: string) => Partial<Timing>;
  /** The page is hidden when this is fetched. */
  readonly hideAt?: string;
  /** Of the plan, if others. */
  readonly targets?: Plan['targets'];
}

/** Runs the script in a page; resolves with what was fetched and sent when nothing is left to do. */
async function run(world: World) {
  const fetched: string[] = [];
  const sent: { to: string; by: string; body: Beacon }[] = [];
  const listeners: (() => void)[] = [];
  let report: (name: string) => void = () => {};
  let pending = 0;
  let idle = (): void => {};
  const finished = new Promise<void>((resolve) => {
    idle = resolve;
  });
  // Timers run at once, in order; when none is left and no fetch is under way, the page has done all it will.
  const setTimeout = (fn: () => void): void => {
    pending++;
    setImmediate(() => {
      fn();
      pending--;
      setImmediate(() => setImmediate(() => (pending === 0 ? idle() : undefined)));
    });
  };
  const page = {
    document: {
      currentScript: { src: 'https://a.example/rum.js', dataset: { ...(world.share && { ufesShare: world.share }) } },
      hidden: world.hidden ?? false,
      readyState: 'complete',
      addEventListener: (_: string, fn: () => void) => listeners.push(fn),
    },
    navigator: {
      sendBeacon: (to: string, body: string) => sent.push({ to, by: 'sendBeacon', body: JSON.parse(body) as Beacon }),
      ...world.navigator,
    },
    Math: Object.assign(Object.create(Math), { random: () => world.random ?? 0 }),
    PerformanceObserver: class {
      constructor(fn: (list: object) => void) {
        report = (name) => {
          const timing = {
            requestStart: 5,
            responseStart: 25,
            connectStart: 1,
            connectEnd: 1,
            serverTiming: [],
            ...world.timing?.(name),
          };
          fn({ getEntries: () => [{ name, ...timing }] });
        };
      }
      observe(): void {}
      disconnect(): void {}
    },
    async fetch(to: URL | string, init: { method?: string; body?: string; keepalive?: boolean }) {
      const url = String(to);
      fetched.push(url);
      if (url === world.hideAt) for (const fn of listeners) fn();
      const status = world.fetch === undefined ? 200 : world.fetch(url);
      if (status === undefined) throw new TypeError('failed');
      if (init.body !== undefined)
        sent.push({ to: url, by: init.keepalive ? 'keepalive' : 'fetch', body: JSON.parse(init.body) as Beacon });
      report(url);
      return {
        ok: status < 400,
        status,
        text: async () => '',
        json: async () => ({ ...plan, targets: world.targets ?? plan.targets }),
      };
    },
    setTimeout,
    URL,
    AbortSignal: { timeout: () => undefined },
  };
  const context = createContext({ ...page, window: { requestIdleCallback: setTimeout } });
  setTimeout(() => new Script(script.body.toString()).runInContext(context));
  await finished;
  return { fetched, sent };
}

it('fetches the plan, warms each target up once, times it three times, and uploads one result a target', async () => {
  const { fetched, sent } = await run({});
  const of = (host: string) => ['', '?1', '?2', '?3'].map((nth) => `https://${host}.probe.example/p${nth}`);
  expect(fetched).toEqual(['https://a.example/rum/plan', ...of('x-lon'), ...of('x-iad'), plan.sinks[0]]);
  const results = ['pop:lon', 'pop:iad'].map((target) => ({ target, ok: true, rttMs: [20, 20, 20] }));
  expect(sent).toEqual([{ to: plan.sinks[0], by: 'keepalive', body: { token: 'token', results } }]);
});

it('counts a fetch only on a connection that was there, with numbers not withheld, less the time of the application', async () => {
  const { sent } = await run({
    timing: (url) => {
      if (url.endsWith('lon.probe.example/p?1')) return { connectStart: 1, connectEnd: 4 };
      if (url.endsWith('lon.probe.example/p?2')) return { requestStart: 0, responseStart: 0 };
      if (url.endsWith('lon.probe.example/p?3')) return { serverTiming: [{ name: 'app', duration: 4 }] };
      return { responseStart: 5 };
    },
  });
  expect(sent[0]!.body.results.map(({ rttMs }) => rttMs)).toEqual([[16], []]);
});

it('says which target could not be reached, and goes on with the others', async () => {
  const { sent } = await run({ fetch: (url) => (url.includes('x-lon') ? undefined : 200) });
  expect(sent[0]!.body.results).toEqual([
    { target: 'pop:lon', ok: false, rttMs: [] },
    { target: 'pop:iad', ok: true, rttMs: [20, 20, 20] },
  ]);
});

it.each<[string, World, Plan['targets']]>([
  [
    'nothing can be reached, as under a policy that forbids it',
    { fetch: (url) => (/-(lon|iad)/.test(url) ? undefined : 200) },
    plan.targets,
  ],
  ['there is nothing to measure', {}, []],
])('sends nothing when %s', async (_, world, targets) => {
  const { fetched, sent } = await run({ ...world, targets });
  expect(fetched).toHaveLength(1 + targets.length);
  expect(sent).toEqual([]);
});

it.each<[string, number | undefined, string[]]>([
  ['fails', undefined, [plan.sinks[1]!]],
  ['answers 503', 503, [plan.sinks[0]!, plan.sinks[1]!]],
  ['refuses with 403', 403, [plan.sinks[0]!]],
])('tries the second sink once when the first one %s', async (_, status, expected) => {
  const { sent } = await run({ fetch: (url) => (url === plan.sinks[0] ? status : 200) });
  expect(sent.map(({ to }) => to)).toEqual(expected);
});

it('sends what is whole by sendBeacon when the page is hidden, and stops', async () => {
  const { fetched, sent } = await run({ hideAt: 'https://x-iad.probe.example/p?2' });
  expect(sent).toEqual([
    {
      to: plan.sinks[0],
      by: 'sendBeacon',
      body: { token: 'token', results: [{ target: 'pop:lon', ok: true, rttMs: [20, 20, 20] }] },
    },
  ]);
  // The target under way is measured to its end at most.
  expect(fetched.at(-1)).toBe('https://x-iad.probe.example/p?3');
});

it.each<[string, World]>([
  ['the draw is over the configured share', { random: 0.02 }],
  ['the draw is over the share of the script tag', { share: '0.5', random: 0.5 }],
  ['the page is hidden', { hidden: true }],
  ['the visitor asks not to be tracked', { navigator: { doNotTrack: '1' } }],
  ['the visitor sends global privacy control', { navigator: { globalPrivacyControl: true } }],
  ['data is to be saved', { navigator: { connection: { saveData: true } } }],
  ['the network is slow', { navigator: { connection: { effectiveType: 'slow-2g' } } }],
])('does nothing when %s', async (_, world) => {
  expect((await run(world)).fetched).toEqual([]);
});

it('measures within the share of the script tag', async () => {
  expect(
    (await run({ share: '1', random: 0.99, navigator: { connection: { effectiveType: '4g' } } })).sent,
  ).toHaveLength(1);
});
