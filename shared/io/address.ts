/** Listener addresses in text: `127.0.0.1:5300`, `[::1]:53`. */
import { OperatingError } from '@ufes/core/errors.ts';
import { addressBytes } from '@ufes/core/ip.ts';

export interface Endpoint {
  /** Without brackets. */
  readonly address: string;
  readonly port: number;
}

/** Throws CONFIG_INVALID. Port 0 lets the system choose. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  const family = addressBytes(address)?.length === 4 ? 4 : 6;
  if (
    match === null ||
    addressBytes(address) === undefined ||
    port > 65_535 ||
    (match[1] !== undefined) !== (family === 6)
  ) {
    throw new OperatingError(
      'CONFIG_INVALID',
      `"${text}" is no listener address: ADDRESS:PORT or [v6]:PORT is wanted, e.g. 127.0.0.1:5300 or [::1]:5300`,
    );
  }
  return { address, port };
}

export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
