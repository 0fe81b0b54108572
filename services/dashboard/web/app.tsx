/** The frame of all pages: header, page, footer. */
import type { ComponentType } from 'preact';
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { durationText } from './format.ts';
import { connect, type Live, useLive, useTick } from './live.ts';
import type { PageProps } from './page.ts';
import { useRoute } from './route.ts';
import { chooseTheme, chosenTheme, type Theme } from './theme.ts';
import { Empty, Link } from './ui.tsx';

/** Each page is loaded when it is first opened: the map and the plot are most of the bytes. */
const pages: Readonly<Record<string, { title: string; load: () => Promise<{ Page: ComponentType<PageProps> }> }>> = {
  '/world': { title: 'World', load: () => import('./pages/world.tsx') },
  '/compare': { title: 'Compare', load: () => import('./pages/compare.tsx') },
  '/explain': { title: 'Explain', load: () => import('./pages/explain.tsx') },
  '/changes': { title: 'Changes', load: () => import('./pages/changes.tsx') },
  '/quarantine': { title: 'Quarantine', load: () => import('./pages/quarantine.tsx') },
  '/services': { title: 'Services', load: () => import('./pages/services.tsx') },
  '/jobs': { title: 'Jobs', load: () => import('./pages/jobs.tsx') },
};

/** Older than this is not live any more: three events missed. */
const staleMs = 3_500;

function App() {
  const live = useLive();
  const route = useRoute();
  const title = pages[route.path]?.title ?? 'Not found';
  useEffect(() => {
    document.title = `${title} · ufes`;
  }, [title]);
  return (
    <>
      <a class="skip" href="#content">
        Skip to content
      </a>
      <header class="top">
        <Link href="/world">
          <span class="brand">ufes</span>
        </Link>
        <nav aria-label="Pages">
          {Object.entries(pages).map(([path, page]) => (
            <Link key={path} href={path} current={path === route.path}>
              {page.title}
            </Link>
          ))}
        </nav>
        <div class="right">
          <Versions live={live} />
          <Pulse live={live} />
          <ThemeButton />
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        <Page live={live} route={route} />
      </main>
      <Footer live={live} />
    </>
  );
}

function Page({ live, route }: PageProps) {
  const [loaded, setLoaded] = useState<{ path: string; Page?: ComponentType<PageProps>; error?: string }>();
  const page = pages[route.path];
  useEffect(() => {
    let current = true;
    page?.load().then(
      ({ Page }) => current && setLoaded({ path: route.path, Page }),
      () => current && setLoaded({ path: route.path, error: 'The dashboard was restarted or cannot be reached.' }),
    );
    return () => {
      current = false;
    };
  }, [route.path, page]);
  if (page === undefined) {
    return (
      <Empty title="There is no such page">
        Go to <Link href="/world">World</Link> or <Link href="/compare">Compare</Link>.
      </Empty>
    );
  }
  if (loaded?.path !== route.path) return <div class="loading" aria-busy="true" />;
  if (loaded.Page === undefined) {
    return <Empty title="This page could not be loaded">{loaded.error} Reload to try again.</Empty>;
  }
  return <loaded.Page live={live} route={route} />;
}

/** Live, stale or not connected: by a word and a shape, not by colour alone. */
function Pulse({ live }: { live: Live }) {
  useTick(1_000);
  const ageMs = live.heardAtMs === undefined ? undefined : performance.now() - live.heardAtMs;
  const state = ageMs === undefined ? 'waiting' : live.connected && ageMs < staleMs ? 'live' : 'stale';
  const text = { waiting: 'Connecting', live: 'Live', stale: `Stale ${durationText((ageMs ?? 0) / 1000)}` }[state];
  const title = {
    waiting: 'Waiting for the first data',
    live: 'Data arrives every second',
    stale: 'No data arrives. What you see is old. Is the dashboard process running?',
  }[state];
  return (
    <span class="pulse" data-state={state} title={title} role="status">
      <i aria-hidden="true" />
      {text}
    </span>
  );
}

const nextTheme: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' };
const themeText: Readonly<Record<Theme, string>> = { system: 'Auto', light: 'Light', dark: 'Dark' };

function ThemeButton() {
  const [theme, setTheme] = useState(chosenTheme);
  const choose = () => {
    const next = nextTheme[theme];
    chooseTheme(next);
    setTheme(next);
  };
  return (
    <button
      class="theme"
      type="button"
      onClick={choose}
      aria-label={`Theme: ${themeText[theme]}. Change to ${themeText[nextTheme[theme]]}`}
      title="Theme: follows the system, light, dark"
    >
      <svg width="15" height="15" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6" />
        <path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor" />
      </svg>
      <span>{themeText[theme]}</span>
    </button>
  );
}

/** How old what dns answers by is. */
function Versions({ live }: { live: Live }) {
  const versions = live.world?.versions;
  if (versions === undefined) return null;
  return (
    <span class="versions">
      {versions.map && (
        <span title={`Steering map ${versions.map.version}`}>map {durationText(versions.map.ageSeconds)} old</span>
      )}
      {versions.desired && (
        <span title={`Names and routes ${versions.desired.version}`}>
          names {durationText(versions.desired.ageSeconds)} old
        </span>
      )}
    </span>
  );
}

function Footer({ live }: { live: Live }) {
  const versions = live.world?.versions;
  return (
    <footer class="bottom">
      <span>
        {versions?.map && <span>Map {versions.map.version}</span>}
        {versions?.desired && <span>names and routes {versions.desired.version}</span>}
        {versions?.geoip && <span>GeoIP {versions.geoip}</span>}
      </span>
      <span class="attribution">
        {live.world?.attribution.map(({ text, href }) =>
          href === undefined ? (
            <span key={text}>{text}</span>
          ) : (
            <a key={text} href={safeHref(href)} rel="noreferrer noopener" target="_blank">
              {text}
            </a>
          ),
        )}
        <span>Borders: Natural Earth</span>
      </span>
    </footer>
  );
}

/** Data may hold any text; a link is a web address or none. */
function safeHref(href: string): string | undefined {
  return /^https?:\/\//.test(href) ? href : undefined;
}

connect();
render(<App />, document.getElementById('app')!);
