/** Beacons as browsers send them, with tokens of plans that were never asked for: five targets, three fetches each. */
import { cellOf, formatPrefix, parseAddress } from '@ufes/core/ip.ts';
import type { Rng } from '@ufes/core/ports.ts';
import { newTokenId, signToken } from '@ufes/probe/token.ts';

export const targets = ['lon', 'iad', 'sin', 'fra', 'nrt'].map((pop) => `pop:${pop}`);

/** One client of each of `prefixes` /24s in turn, then the next one of each. */
export function clientOf(i: number, prefixes: number): string {
  const cell = i % prefixes;
  const host = 1 + (Math.floor(i / prefixes) % 254);
  return `${20 + (cell >> 16)}.${(cell >> 8) & 255}.${cell & 255}.${host}`;
}

/** Body of a beacon of this client: 0.8 kB. */
export function beaconBody(key: Uint8Array, rng: Rng, client: string, expiresAtMs: number): string {
  const prefix = formatPrefix(cellOf(parseAddress(client)!));
  const claims = { id: newTokenId(rng), expiresAtMs, prefix, targets: new Map(targets.map((id) => [id, 6.25])) };
  const rtt = (): number => Math.round(10 * (20 + 80 * rng.next())) / 10;
  const results = targets.map((target) => ({ target, ok: true, rttMs: [rtt(), rtt(), rtt()] }));
  return JSON.stringify({ token: signToken(key, claims), results });
}

export function requestBytes(body: string, client: string): Buffer {
  const head = [
    'POST /rum/beacon HTTP/1.1',
    'host: collector.example',
    'user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
    'accept: */*',
    'origin: https://www.shop.example',
    'referer: https://www.shop.example/',
    'content-type: text/plain;charset=UTF-8',
    `x-forwarded-for: ${client}`,
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}
