/**
 * The beacon: a script on the pages of a site that measures, now and then, how far its visitor is from each PoP.
 *
 *     <script async src="https://COLLECTOR/rum.js"></script>
 *
 * `data-ufes-share="0.5"` measures on half of the page views instead of the configured share. Nobody is asked who does
 * not want to be, nothing runs before the page is done, and each byte here is paid for by every visitor: at most 1.5 kB.
 */
import type { Beacon, Plan } from '@ufes/core/samples.ts';

/** Configured share of page views; set when bundled. */
declare const ufesShare: number;

type Result = Beacon['results'][number];
interface Visitor extends Navigator {
  readonly globalPrivacyControl?: boolean;
  readonly connection?: { readonly saveData?: boolean; readonly effectiveType?: string };
}

const script = document.currentScript as HTMLScriptElement;
const visitor: Visitor = navigator;
const { connection } = visitor;
/** The page was out of sight at some time: timers are throttled then, and measure the browser. */
let hidden = document.hidden;

/** By URL. An observer sees entries that a full timing buffer drops. */
const timings: Record<string, PerformanceResourceTiming> = {};

const wait = (ms: number): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, ms));

async function load(url: string): Promise<void> {
  const response = await fetch(url, { cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(1e4) });
  if (!response.ok) throw 0;
  await response.text();
}

/** Fills `result`; rejects when the target cannot be reached. */
async function measure({ id, url }: Plan['targets'][number], fetches: number, result: Result): Promise<void> {
  result.target = id;
  await load(url);
  result.ok = true;
  for (let n = 1; n <= fetches && !hidden; n++) {
    const { href } = new URL(`${url}?${n}`);
    await load(href);
    // The browser reports a little after the response has ended.
    for (let tries = 0; tries < 20 && !timings[href]; tries++) await wait(50);
    const timing = timings[href];
    // On a connection that was there before no time passed connecting; zero is not fast, it is withheld.
    if (hidden || !timing?.requestStart || timing.connectEnd > timing.connectStart) continue;
    const app = timing.serverTiming.find((one) => one.name === 'app')?.duration ?? 0;
    const rttMs = timing.responseStart - timing.requestStart - app;
    if (rttMs > 0) result.rttMs.push(rttMs);
  }
}

async function upload(sinks: readonly string[], body: string): Promise<void> {
  for (const sink of sinks.slice(0, 2)) {
    try {
      // A string is text/plain, which needs no preflight.
      if ((await fetch(sink, { method: 'POST', body, keepalive: true, credentials: 'omit' })).status < 500) return;
    } catch {}
  }
}

async function run(): Promise<void> {
  if (hidden) return;
  const answer = await fetch(new URL('/rum/plan', script.src), { cache: 'no-store', credentials: 'omit' });
  const plan: Plan = await answer.json();
  const results: Result[] = [];
  let sent = false;
  const body = (): string => JSON.stringify({ token: plan.token, results });
  // Nothing was reached: a policy of the page, a blocker, no network. That says nothing of the PoPs.
  const isWorth = (): boolean => results.some(({ ok }) => ok);
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) timings[entry.name] = entry as PerformanceResourceTiming;
  });
  observer.observe({ type: 'resource' });
  document.addEventListener('visibilitychange', () => {
    // The page may be going for good: whole results leave now, by the one way that outlives it.
    if (!sent && isWorth()) navigator.sendBeacon(plan.sinks[0]!, body());
    sent = true;
  });
  for (const target of plan.targets) {
    const result: Result = { target: '', ok: false, rttMs: [] };
    await measure(target, plan.fetches, result).catch(() => {});
    if (sent) break;
    results.push(result);
  }
  observer.disconnect();
  if (sent || !isWorth()) return;
  sent = true;
  await upload(plan.sinks, body());
}

const begin = async (): Promise<void> => {
  await wait(2e3);
  (window.requestIdleCallback ?? setTimeout)(() => run().catch(() => {}));
};

document.addEventListener('visibilitychange', () => {
  hidden = true;
});

if (
  Math.random() < +(script.dataset.ufesShare ?? ufesShare) &&
  visitor.doNotTrack !== '1' &&
  !visitor.globalPrivacyControl &&
  !connection?.saveData &&
  !/2g/.test(connection?.effectiveType ?? '')
) {
  if (document.readyState === 'complete') begin();
  else addEventListener('load', begin);
}
