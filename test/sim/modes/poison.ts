import type { ModeResult } from '../mode.ts';
import type { Options } from '../options.ts';
export function poison(_options: Options): ModeResult {
  throw new Error('soon');
}
