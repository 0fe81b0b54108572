/** What the edge answers by itself: health, probe names, redirects to https, and refusals with their reason. */
import { limits } from '@ufes/core/limits.ts';
import type { Fields } from '@ufes/core/routing/headers.ts';
import { type Reason, reasons } from '@ufes/core/routing/reasons.ts';

export interface LocalAnswer {
  readonly status: number;
  readonly fields: Fields;
  readonly body: string;
  readonly reason?: Reason;
}

const plain = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' };

export function refusal(reason: Reason): LocalAnswer {
  const [status, text] = reasons[reason];
  const fields: Fields = { ...plain, 'ufes-reason': reason };
  if (status === 503) fields['retry-after'] = String(limits.edge.retryAfterSeconds);
  return { status, fields, body: `${text} (${reason})\n`, reason };
}

export function readiness(refused: Reason | undefined): LocalAnswer {
  return refused === undefined ? { status: 200, fields: { ...plain }, body: 'ready\n' } : refusal(refused);
}

/** Few bytes that a page of any origin may time (Resource Timing, CORS). */
export function probeAnswer(): LocalAnswer {
  const open = { 'access-control-allow-origin': '*', 'timing-allow-origin': '*' };
  return { status: 200, fields: { ...plain, ...open }, body: 'ok\n' };
}

/** 308 keeps method and body (RFC 9110 §15.4.9). */
export function redirect(host: string, httpsPort: number, pathAndQuery: string): LocalAnswer {
  const location = `https://${host}${httpsPort === 443 ? '' : `:${httpsPort}`}${pathAndQuery}`;
  return { status: 308, fields: { ...plain, location }, body: `${location}\n` };
}

/** ID of a probe name ID-POP.ZONE of this PoP; undefined when the host is none. */
export function probeId(host: string, zone: string | undefined, pop: string): string | undefined {
  if (zone === undefined || !host.endsWith(`-${pop}.${zone}`)) return undefined;
  const id = host.slice(0, -(pop.length + zone.length + 2));
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(id) ? id : undefined;
}
