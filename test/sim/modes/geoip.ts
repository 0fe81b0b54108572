import type { ModeResult } from '../mode.ts';
import type { Options } from '../options.ts';
export function geoip(_options: Options): ModeResult {
  throw new Error('soon');
}
