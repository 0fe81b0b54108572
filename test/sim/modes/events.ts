import type { ModeResult } from '../mode.ts';
import type { Options } from '../options.ts';
export function events(_options: Options): ModeResult {
  throw new Error('soon');
}
