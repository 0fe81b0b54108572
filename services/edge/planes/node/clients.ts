/**
 * Whom a connection and a request are from, behind proxies that the PoP trusts.
 *
 *     proxy: v2                the connection begins with a header: all of it, its TLS too, is that client's
 *     proxy: x-forwarded-for   the proxy ends TLS and shares connections: each request says whose it is, and how far the
 *                              client is nobody times here
 */
import type { TrustedProxies } from '@ufes/core/proxies.ts';
import { clientAddress, type Exchange } from './exchange.ts';

export interface ProxyTrust {
  readonly by: 'v2' | 'x-forwarded-for' | undefined;
  readonly proxies: TrustedProxies;
}

export function clientOf({ connection, rawHeaders }: Exchange, { by, proxies }: ProxyTrust): string {
  if (by !== 'x-forwarded-for' || !proxies.has(connection.address)) return connection.address;
  const lines: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === 'x-forwarded-for') lines.push(rawHeaders[i + 1]!);
  }
  return clientAddress(proxies.clientBehind(connection.address, lines.length === 0 ? undefined : lines.join(',')));
}
