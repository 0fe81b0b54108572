/** Prefixes that GeoIP has more than 2,000 km away from where they are: how many find their best PoP within a day. */
import { seededRng } from '@ufes/core/seeded.ts';
import { drawMeasured } from '../beacons.ts';
import { Clock } from '../clock.ts';
import { dayMs, startMs } from '../draws.ts';
import type { ModeResult } from '../mode.ts';
import { type Options, worldOf } from '../options.ts';
import { makeWrong, Truth } from '../policies.ts';
import { judging } from '../publish.ts';
import { atLeast, percent, table, verdictTable } from '../report.ts';
import { Steering } from '../steering.ts';

const wrongShare = 0.05;
const buildMs = 30 * 60_000;

interface Counted {
  users: number;
  good: number;
  /** At the start of the day, before any evidence. */
  goodAtFirst: number;
}

export function geoip(options: Options): ModeResult {
  const { draws = 20, prefixes = 1_000, seed } = options;
  const cases = [30, 60].map((perDay) => {
    const counted = { wrong: nothing(), right: nothing() };
    for (let i = 0; i < draws; i++) playDay(options, `${seed}/${i}`, prefixes, perDay, counted);
    return { perDay, ...counted };
  });
  const share = ({ good, users }: Counted) => good / users;
  const verdicts = cases.map(({ perDay, wrong }) =>
    atLeast(`wrongly placed, ${perDay} beacons: share at their best`, share(wrong), perDay === 30 ? 0.8 : 0.98),
  );
  const rows = cases.flatMap(({ perDay, wrong, right }) =>
    Object.entries({ wrong, right }).map(([placed, one]) => [
      perDay,
      placed,
      one.users,
      percent(one.goodAtFirst / one.users),
      percent(share(one)),
    ]),
  );
  const head = ['beacons', 'placed', 'prefixes', 'at their best before', 'after 24 h'];
  const text = `within max(5 ms, 10%) of the best PoP, edge-timed\n\n${table(head, rows)}\n\n${verdictTable(verdicts)}`;
  return { mode: 'geoip', text, verdicts, figures: { draws, cases }, plots: {} };
}

function nothing(): Counted {
  return { users: 0, good: 0, goodAtFirst: 0 };
}

function playDay(
  options: Options,
  seed: string,
  prefixes: number,
  beaconsPerDay: number,
  counted: { wrong: Counted; right: Counted },
): void {
  const world = worldOf(options, seed, prefixes);
  const wrong = makeWrong(world, wrongShare, seed);
  const measured = new Set(drawMeasured(world, options.measured, new Set(), seededRng(`${seed}/measured`)));
  for (const user of wrong) measured.add(user);
  const { publish, raw } = judging();
  const steering = new Steering({ world, publish, raw });
  const beacons = { ...options.beacons, kind: 'edge' } as const;
  const clock = new Clock({ steering, measured: [...measured], beaconsPerDay, beacons, seed }, startMs);
  const truth = new Truth(world, steering.aims[0]!, startMs + dayMs, 'edge');
  const isGood = (user: number): boolean => {
    const best = truth.costMs(user, truth.best(user));
    return truth.costMs(user, steering.choose(user)) <= best + Math.max(5, 0.1 * best);
  };
  const before = new Set([...measured].filter(isGood));
  clock.advance(dayMs, () => {}, buildMs);
  for (const user of measured) {
    const into = wrong.has(user) ? counted.wrong : counted.right;
    into.users++;
    if (before.has(user)) into.goodAtFirst++;
    if (isGood(user)) into.good++;
  }
}
