/** GET /rum.js: the beacon, bundled and minified by esbuild when the collector starts, named by a hash of its content. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { build } from 'esbuild';

export interface BeaconScript {
  readonly body: Buffer;
  /** Strong, with its quotes. */
  readonly etag: string;
}

/** `share` of page views measures unless the page's script tag says otherwise. */
export async function buildBeacon(share: number): Promise<BeaconScript> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, 'beacon', 'beacon.ts')],
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2022',
    legalComments: 'none',
    define: { ufesShare: String(share) },
    write: false,
    logLevel: 'silent',
    tsconfigRaw: {},
  });
  const body = Buffer.from(outputFiles[0]!.contents);
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 16)}"` };
}
