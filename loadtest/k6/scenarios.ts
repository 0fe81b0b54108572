/**
 * Visitors at constant rates, whatever the answers take (open model): some only take a plan and leave, the others send a
 * beacon. Runs in k6; run.ts starts it.
 */
import { check } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import type { Options } from 'k6/options';
import { addressOf, askPlan, beaconOf, type PlanAnswer, sendBeacon } from './visitor.ts';

const collector = __ENV['COLLECTOR'] ?? '';
const seconds = Number(__ENV['SECONDS'] ?? '20');
const plansPerSecond = Number(__ENV['PLANS'] ?? '200');
const beaconsPerSecond = Number(__ENV['BEACONS'] ?? '1000');
const rate = (perSecond: number, exec: string) => ({
  executor: 'constant-arrival-rate' as const,
  exec,
  rate: perSecond,
  timeUnit: '1s',
  duration: `${seconds}s`,
  preAllocatedVUs: 250,
  maxVUs: 1_000,
});

export const options: Options = {
  discardResponseBodies: false,
  scenarios: { plan: rate(plansPerSecond, 'plan'), beacon: rate(beaconsPerSecond, 'beacon') },
  summaryTrendStats: ['min', 'med', 'avg', 'p(90)', 'p(95)', 'p(99)', 'max'],
  thresholds: {
    checks: ['rate>0.999'],
    // k6's own: it had no visitor free in time.
    dropped_iterations: [`count<${Math.ceil(0.005 * seconds * (plansPerSecond + beaconsPerSecond))}`],
    'http_req_failed{name:beacon}': ['rate<0.001'],
    'http_req_failed{name:plan}': ['rate<0.001'],
    'http_req_duration{name:beacon}': ['p(95)<50', 'p(99)<150'],
    'http_req_duration{name:plan}': ['p(95)<50', 'p(99)<150'],
    acknowledged: ['count>0'],
  },
};

const acknowledged = new Counter('acknowledged');
/** Apart from those of the other scenario. */
const visitorOf = (half: number): number => 2 * exec.scenario.iterationInTest + half;

export function plan(): void {
  const answer = askPlan(collector, addressOf(visitorOf(0)));
  check(answer, { 'a plan with a token': ({ status, body }) => status === 200 && body.includes('"token"') });
}

export function beacon(): void {
  const address = addressOf(visitorOf(1));
  const asked = askPlan(collector, address);
  if (!check(asked, { 'a plan to measure by': ({ status }) => status === 200 })) return;
  const sent = sendBeacon(collector, address, beaconOf(JSON.parse(asked.body) as PlanAnswer));
  if (check(sent, { 'acknowledged, durable': ({ status }) => status === 204 })) acknowledged.add(1);
}
