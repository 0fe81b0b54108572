/**
 * The pages as files in memory: bundled and minified by esbuild when the service starts, named by a hash of their
 * content (so they are cached for ever), kept plain and gzipped.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { build, stop } from 'esbuild';

export interface Asset {
  readonly type: string;
  readonly plain: Buffer;
  readonly gzipped: Buffer;
}

export interface Site {
  /** The one document; it serves every page's address. */
  readonly document: Asset;
  /** By path, e.g. `/assets/app-ABCDEFGH.js`. */
  readonly assets: ReadonlyMap<string, Asset>;
}

const types: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const compress = promisify(gzip);

export async function buildSite(): Promise<Site> {
  try {
    return await bundled();
  } finally {
    // esbuild works in a process of its own, which is needed only once.
    await stop();
  }
}

async function bundled(): Promise<Site> {
  const web = join(import.meta.dirname, 'web');
  const pages = await build({
    entryPoints: [
      { in: join(web, 'app.tsx'), out: 'app' },
      { in: join(web, 'style.css'), out: 'app' },
    ],
    outdir: '/assets',
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    write: false,
    logLevel: 'silent',
    tsconfigRaw: {},
  });
  // By itself and not a module: it sets the theme before anything is painted.
  const theme = await build({
    entryPoints: [join(web, 'first.ts')],
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
    tsconfigRaw: {},
  });

  const assets = new Map<string, Asset>();
  for (const file of pages.outputFiles) {
    const name = file.path.replaceAll('\\', '/').replace(/^.*\/assets\//, '/assets/');
    assets.set(name, await asset(name.slice(name.lastIndexOf('.')), file.contents));
  }
  const themePath = `/assets/first-${hash(theme.outputFiles[0]!.contents)}.js`;
  assets.set(themePath, await asset('.js', theme.outputFiles[0]!.contents));
  assets.set('/favicon.svg', await asset('.svg', Buffer.from(favicon)));

  const [script] = [...assets.keys()].filter((name) => /\/app-[^/]+\.js$/.test(name));
  const [style] = [...assets.keys()].filter((name) => /\/app-[^/]+\.css$/.test(name));
  if (script === undefined || style === undefined) throw new Error('the bundle has no app script or style');
  return { document: await asset('.html', Buffer.from(documentText(script, style, themePath))), assets };
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64url').replaceAll(/[-_]/g, '').slice(0, 8).toUpperCase();
}

async function asset(extension: string, bytes: Uint8Array): Promise<Asset> {
  const plain = Buffer.from(bytes);
  return { type: types[extension] ?? 'application/octet-stream', plain, gzipped: await compress(plain, { level: 9 }) };
}

const favicon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b5d8f"/><g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round"><path d="M8 22 16 9l8 13"/></g><g fill="#fff"><circle cx="16" cy="9" r="3.6"/><circle cx="8" cy="22.5" r="3"/><circle cx="24" cy="22.5" r="3"/></g></svg>`;

function documentText(script: string, style: string, theme: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ufes</title>
<link rel="icon" href="/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${style}">
<script src="${theme}"></script>
<script type="module" src="${script}"></script>
</head>
<body>
<div id="app"></div>
<noscript><p class="noscript">These pages need JavaScript. The same data is at <a href="/api/world">/api/world</a>, <a href="/api/compare">/api/compare</a> and <a href="/api/status">/api/status</a>.</p></noscript>
</body>
</html>
`;
}
