/** Whom a request is from: the peer, or the client that a trusted proxy names in the way the listener expects it. */
import type { IncomingMessage } from 'node:http';
import { OperatingError } from '@ufes/core/errors.ts';
import { type Address, parseAddress } from '@ufes/core/ip.ts';
import type { TrustedProxies } from '@ufes/core/proxies.ts';
import { clientAddress } from '@ufes/io/proxy-protocol.ts';
import type { ProbeListener } from './listen.ts';

/** Throws NOT_RUNNING when the client has gone. */
export function clientOf(request: IncomingMessage, { proxy }: Pick<ProbeListener, 'proxy'>, trusted: TrustedProxies) {
  const peer = clientAddress(request.socket) ?? '';
  const { 'x-forwarded-for': header } = request.headers;
  // Node joins the lines of this header by commas.
  const text = proxy === 'x-forwarded-for' && typeof header === 'string' ? trusted.clientBehind(peer, header) : peer;
  const address: Address | undefined = parseAddress(text);
  if (address === undefined) throw new OperatingError('NOT_RUNNING', 'the client has gone');
  return address;
}
