/** The built-in data for tests and benchmarks, compiled once a checkout. */
import { fileURLToPath } from 'node:url';
import { silentLog } from '@ufes/io/log.ts';
import { type Geoip, openGeoip } from './geoip.ts';

export const builtinState = fileURLToPath(new URL('../node_modules/.cache/ufes-geoip', import.meta.url));

export function openBuiltin(): Promise<Geoip> {
  return openGeoip({ state: builtinState, city: 'builtin', asn: 'builtin', log: silentLog });
}
