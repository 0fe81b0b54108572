/** A visitor of a page with the beacon, as k6 plays it: an address of its own, a plan, made-up round trips, a beacon. Runs in k6. */
import encoding from 'k6/encoding';
import http, { type RefinedResponse } from 'k6/http';

export interface PlanAnswer {
  readonly token: string;
  readonly targets: readonly { readonly id: string }[];
}

type Answer = RefinedResponse<'text'>;

/** Of its own /48 each, for four billion visitors. */
export function addressOf(visitor: number): string {
  return `2400:${((visitor >>> 16) & 0xffff).toString(16)}:${(visitor & 0xffff).toString(16)}::1`;
}

const params = (address: string, name: string) => ({
  headers: { 'X-Forwarded-For': address, 'Content-Type': 'text/plain' },
  tags: { name },
  timeout: '3s',
  responseType: 'text' as const,
});

export function askPlan(collector: string, address: string): Answer {
  return http.get(`${collector}/rum/plan`, params(address, 'plan'));
}

/** What the plan asks for, with a median of three for each target, all slower than any distance allows. */
export function beaconOf(plan: PlanAnswer, most = 5): string {
  const rtt = (): number => 300 + Math.round(1000 * Math.random()) / 10;
  const results = plan.targets.slice(0, most).map(({ id }) => ({ target: id, ok: true, rttMs: [rtt(), rtt(), rtt()] }));
  return JSON.stringify({ token: plan.token, results });
}

export function sendBeacon(collector: string, address: string, body: string): Answer {
  return http.post(`${collector}/rum/beacon`, body, params(address, 'beacon'));
}

/** The id by which a token is known once it is folded. */
export function tokenId(token: string): string {
  const claims = encoding.b64decode(token.split('.')[0] ?? '', 'rawurl', 's');
  return String((JSON.parse(claims) as readonly unknown[])[0]);
}
