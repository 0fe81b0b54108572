import type { ModeResult } from '../mode.ts';
import type { Options } from '../options.ts';
export function day(_options: Options): ModeResult {
  throw new Error('soon');
}
