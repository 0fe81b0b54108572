/**
 * Visitors of two collectors, each with a token of its own, who try the other one once when the first fails. Says on the
 * console what became of each: `SENT id address targets` and `ACKNOWLEDGED id`. Runs in k6; run.ts starts it.
 */
import exec from 'k6/execution';
import type { Options } from 'k6/options';
import { addressOf, askPlan, beaconOf, type PlanAnswer, sendBeacon, tokenId } from '../k6/visitor.ts';

const collectors = (__ENV['COLLECTORS'] ?? '').split(' ');

export const options: Options = {
  scenarios: {
    visitors: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV['RATE'] ?? '100'),
      timeUnit: '1s',
      duration: `${__ENV['SECONDS'] ?? '60'}s`,
      preAllocatedVUs: 100,
      maxVUs: 1_000,
    },
  },
};

export default function visit(): void {
  const visitor = exec.scenario.iterationInTest;
  const address = addressOf(visitor);
  const [first, second] = visitor % 2 === 0 ? collectors : [...collectors].reverse();
  const asked = askPlan(first!, address);
  const plan = asked.status === 200 ? asked : askPlan(second!, address);
  if (plan.status !== 200) return;
  const answer = JSON.parse(plan.body) as PlanAnswer;
  const targets = answer.targets.slice(0, 2);
  if (targets.length === 0) return;
  const body = beaconOf({ ...answer, targets });
  const id = tokenId(answer.token);
  console.log(`SENT ${id} ${address} ${targets.map((target) => target.id).join(',')}`);
  // Some are sent to both, as a browser does whose answer got lost.
  const isTwice = visitor % 10 === 0;
  const sent = sendBeacon(first!, address, body).status === 204;
  const again = (isTwice || !sent) && sendBeacon(second!, address, body).status === 204;
  if (sent || again) console.log(`ACKNOWLEDGED ${id}`);
}
