/** Who may reach the dashboard while it has no sign-in: this machine alone. */
import { OperatingError } from '@ufes/core/errors.ts';
import { isLoopback, parseAddress } from '@ufes/core/ip.ts';
import { type Endpoint, parseEndpoint } from '@ufes/io/address.ts';

/** `listeners.dashboard`. Throws CONFIG_INVALID for an address that others could reach: nothing here asks who is there. */
export function dashboardEndpoint(text: string): Endpoint {
  const endpoint = parseEndpoint(text);
  if (isLoopbackHost(endpoint.address)) return endpoint;
  const { port } = endpoint;
  throw new OperatingError(
    'CONFIG_INVALID',
    `listeners.dashboard: ${text} can be reached by others, and the dashboard has no sign-in; use a loopback address ` +
      `(127.0.0.1:${port}) and reach it from elsewhere through a tunnel: ssh -L ${port}:127.0.0.1:${port} HOST`,
  );
}

/**
 * Does a Host header name this machine? A page of somebody else's whose name is pointed at 127.0.0.1 (DNS rebinding)
 * sends its own name, and is refused.
 */
export function isLoopbackHost(host: string): boolean {
  const name = host
    .replace(/:\d{1,5}$/, (port) => (/^[^:]*:\d+$|\]:\d+$/.test(host) ? '' : port))
    .replace(/^\[|\]$/g, '')
    .toLowerCase();
  if (name === 'localhost') return true;
  const address = parseAddress(name);
  if (address === undefined) return false;
  // isLoopback knows the first 64 bits alone, and ::/64 is more than ::1.
  return address.family === 4 ? isLoopback(address) : /^(0{0,4}:){2,7}0{0,3}1$/.test(name);
}
