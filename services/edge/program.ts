/** From a desired state to what the data plane of one PoP is told. Pure. */
import type { DesiredState } from '@ufes/core/desired.ts';
import { compileRouteTable, probeSecret } from '@ufes/core/routing/route-table.ts';
import type { Wanted } from './certificates.ts';
import type { ListenAddress, PlaneState } from './data-plane.ts';

export interface Program extends Omit<PlaneState, 'keyPairs'> {
  readonly certificates: Wanted;
}

/** Undefined when the PoP is not in the desired state: then it serves nothing. */
export function programOf(desired: DesiredState, pop: string): Program | undefined {
  const number = desired.pops.findIndex((one) => one.id === pop);
  const own = desired.pops[number];
  if (own === undefined) return undefined;
  const table = compileRouteTable(desired);
  const addresses = new Set(
    [own.vips.v4, own.vips.v6, ...desired.vips.filter((vip) => vip.pop === number).map((vip) => vip.address)].filter(
      (address) => address !== undefined,
    ),
  );
  const listen = [...addresses].flatMap((address): ListenAddress[] => [
    { address, port: own.httpsPort, secure: true },
    { address, port: own.httpPort, secure: false },
  ]);
  const certificates = new Map<string, string>();
  for (const { host, secret } of desired.hosts) if (secret !== undefined) certificates.set(secret, host);
  if (table.probeZone !== undefined) certificates.set(probeSecret(table.probeZone), `*.${table.probeZone}`);
  return { table, listen, httpsPort: own.httpsPort, certificates };
}
