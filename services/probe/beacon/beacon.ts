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

/** What there is to send after each target, and where; no more once it was sent. */
type Told = { readonly sinks: readonly string[]; readonly body: string } | undefined;

interface Visitor extends Navigator {
  readonly globalPrivacyControl?: boolean;
  readonly connection?: { readonly saveData?: boolean; readonly effectiveType?: string };
}

/**
 * Takes a plan, measures its targets and uploads, in a worker, so that the page's own thread is left alone; on that thread
 * where the page's policy allows no worker. A worker gets its text: it may use nothing from outside. False of `tell`: enough.
 */
async function measureAll(planUrl: string, tell: (told: Told) => unknown): Promise<void> {
  /** By URL. An observer sees entries that a full timing buffer drops. */
  const timings: Record<string, PerformanceResourceTiming> = {};
  const quiet: RequestInit = { cache: 'no-store', credentials: 'omit' };
  const load = async (url: string): Promise<void> => {
    const response = await fetch(url, { ...quiet, signal: AbortSignal.timeout(1e4) });
    if (!response.ok) throw 0;
    await response.text();
  };
  const plan: Plan = await (await fetch(planUrl, quiet)).json();
  const results: Result[] = [];
  let body = '';
  let reached = false;
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) timings[entry.name] = entry as PerformanceResourceTiming;
  });
  observer.observe({ type: 'resource' });
  for (const { id, url } of plan.targets) {
    const result: Result = { target: id, ok: false, rttMs: [] };
    try {
      await load(url);
      result.ok = true;
      for (let n = 1; n <= plan.fetches; n++) {
        const { href } = new URL(`${url}?${n}`);
        await load(href);
        // The browser reports a little after the response has ended.
        for (let tries = 0; tries < 20 && !timings[href]; tries++) await new Promise((next) => setTimeout(next, 50));
        const timing = timings[href];
        // On a connection that was there before no time passed connecting; zero is not fast, it is withheld.
        if (!timing?.requestStart || timing.connectEnd > timing.connectStart) continue;
        const app = timing.serverTiming.find((one) => one.name === 'app')?.duration ?? 0;
        const rttMs = timing.responseStart - timing.requestStart - app;
        if (rttMs > 0) result.rttMs.push(rttMs);
      }
    } catch {}
    results.push(result);
    body = JSON.stringify({ token: plan.token, results });
    reached ||= result.ok;
    // Where nothing was reached it is a policy of the page, a blocker, no network: that says nothing of the PoPs.
    if (reached && tell({ sinks: plan.sinks, body }) === false) return;
  }
  observer.disconnect();
  for (const sink of reached ? plan.sinks.slice(0, 2) : []) {
    try {
      // A string is text/plain, which needs no preflight.
      if ((await fetch(sink, { method: 'POST', body, keepalive: true, credentials: 'omit' })).status < 500) break;
    } catch {}
  }
  tell(undefined);
}

const script = document.currentScript as HTMLScriptElement;
const visitor: Visitor = navigator;
const { connection } = visitor;
/** The page was out of sight at some time: timers are throttled then, and measure the browser. */
let hidden = document.hidden;
let worker: Worker | undefined;
let last: Told;

function run(): void {
  if (hidden) return;
  const url = String(new URL('/rum/plan', script.src));
  const tell = (told: Told): boolean => {
    last = told;
    if (!told) worker?.terminate();
    return !hidden;
  };
  const here = (): void => void measureAll(url, tell).catch(() => {});
  try {
    const text = `(${measureAll})(${JSON.stringify(url)},postMessage)`;
    worker = new Worker(URL.createObjectURL(new Blob([text])));
    worker.onmessage = ({ data }) => tell(data);
    // The page's policy has no `worker-src blob:`.
    worker.onerror = here;
  } catch {
    here();
  }
}

document.addEventListener('visibilitychange', () => {
  hidden = true;
  worker?.terminate();
  // The page may be going for good: whole results leave now, by the one way that outlives it. Sent twice they count once.
  if (last) navigator.sendBeacon(last.sinks[0]!, last.body);
  last = undefined;
});

const begin = (): void => {
  // Two seconds, from the end of whatever else the page does on load.
  setTimeout(() => (window.requestIdleCallback ?? setTimeout)(run), 2.1e3);
};

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
