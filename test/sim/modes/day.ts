/** A day by the clock, after one that fills the evidence: switches, regret hour by hour, demand by PoP. */
import { seededRng } from '@ufes/core/seeded.ts';
import { drawMeasured } from '../beacons.ts';
import { Clock } from '../clock.ts';
import { dayMs, startMs } from '../draws.ts';
import type { ModeResult } from '../mode.ts';
import { type Options, worldOf } from '../options.ts';
import { plotSeries } from '../plot.ts';
import { Truth } from '../policies.ts';
import { judging } from '../publish.ts';
import { atMost, mean, table, verdictTable } from '../report.ts';
import { Steering } from '../steering.ts';

const sampleMs = 15 * 60_000;
const warmBuildMs = 30 * 60_000;
const hourMs = 3_600_000;

interface Sample {
  readonly hour: number;
  readonly demand: number[];
  readonly steeredMs: number;
  readonly geoMs: number;
}

export function day(options: Options): ModeResult {
  const { prefixes = 10_000, seed, beacons, beaconsPerDay } = options;
  const world = worldOf(options, `${seed}/day`, prefixes, true);
  const measured = drawMeasured(world, options.measured, new Set(), seededRng(`${seed}/measured`));
  const judge = judging();
  const steering = new Steering({ world, publish: judge.publish, raw: judge.raw });
  const clock = new Clock({ steering, measured, beaconsPerDay, beacons, seed }, startMs);
  clock.advance(dayMs, () => {}, warmBuildMs);

  const choices = Int16Array.from(world.users, (_, user) => steering.choose(user));
  const before = Int16Array.from(choices);
  const switches = new Uint32Array(world.users.length);
  const returns = new Uint32Array(world.users.length);
  const samples: Sample[] = [];
  let map = steering.inService;
  const published = steering.published;
  const measureAt = (nowMs: number) => samples.push(sampleOf(steering, choices, nowMs, beacons.kind));
  measureAt(clock.nowMs);
  clock.advance(dayMs, (nowMs) => {
    if (steering.inService !== map) {
      map = steering.inService;
      for (let user = 0; user < choices.length; user++) {
        const choice = steering.choose(user);
        if (choice === choices[user]) continue;
        switches[user]!++;
        if (choice === before[user]) returns[user]!++;
        before[user] = choices[user]!;
        choices[user] = choice;
      }
    }
    if ((nowMs - startMs) % sampleMs === 0) measureAt(nowMs);
  });
  return reportOf({
    steering,
    measured,
    switches,
    returns,
    samples,
    builds: steering.published - published,
    held: judge.held,
  });
}

function sampleOf(steering: Steering, choices: Int16Array, nowMs: number, kind: Options['beacons']['kind']): Sample {
  const { world } = steering;
  const truth = new Truth(world, steering.aims[0]!, nowMs, kind);
  const demand = world.popIds.map(() => 0);
  const [steered, geo]: [number[], number[]] = [[], []];
  for (const [user, choice] of choices.entries()) {
    demand[choice]! += world.demand(user, nowMs);
    const best = truth.costMs(user, truth.best(user));
    steered.push(truth.costMs(user, choice) - best);
    geo.push(truth.costMs(user, steering.chooseGeo(user)) - best);
  }
  return { hour: (nowMs - startMs - dayMs) / hourMs, demand, steeredMs: mean(steered), geoMs: mean(geo) };
}

interface Played {
  readonly steering: Steering;
  readonly measured: readonly number[];
  readonly switches: Uint32Array;
  readonly returns: Uint32Array;
  readonly samples: readonly Sample[];
  readonly builds: number;
  readonly held: Readonly<Record<string, number>>;
}

function reportOf({ steering, measured, switches, returns, samples, builds, held }: Played): ModeResult {
  const { world } = steering;
  const hourly = mean(switches) / 24;
  const own = mean(measured.map((user) => switches[user]!)) / 24;
  const figures = {
    prefixes: world.users.length,
    measured: measured.length,
    mapsPublished: builds,
    held,
    switchesAnHour: { all: hourly, measured: own, returning: mean(returns) / 24 },
    most: switches.reduce((a, b) => Math.max(a, b), 0),
    meanRegretMs: { steering: mean(samples.map((s) => s.steeredMs)), geo: mean(samples.map((s) => s.geoMs)) },
  };
  const verdicts = [
    atMost('switches an hour, all prefixes', hourly, 0.5),
    atMost('switches an hour, measured prefixes', own, 0.5),
  ];
  const rows = [
    ['prefixes (measured)', `${figures.prefixes} (${figures.measured})`],
    ['maps published that rank otherwise', builds],
    [
      'builds held',
      Object.entries(held)
        .map(([guard, n]) => `${guard} ${n}`)
        .join(', ') || 'none',
    ],
    ['switches an hour: all', hourly.toFixed(4)],
    ['switches an hour: measured', own.toFixed(4)],
    ['  of all, back to the PoP before', figures.switchesAnHour.returning.toFixed(4)],
    ['most switches of one prefix in the day', figures.most],
    ['mean regret over the day, ms: steering', figures.meanRegretMs.steering],
    ['mean regret over the day, ms: geo', figures.meanRegretMs.geo],
  ];
  const hours = samples.map(({ hour }) => hour);
  const titles = world.popIds.map((id, pop) => `${id} ${world.popPlace(pop).city}`);
  const byPop = Object.fromEntries(titles.map((title, pop) => [title, samples.map(({ demand }) => demand[pop]!)]));
  const regret = { steering: samples.map((s) => s.steeredMs), geo: samples.map((s) => s.geoMs) };
  const plots = {
    demand: plotSeries('Demand by PoP', hours, byPop, 'requests/s'),
    regret: plotSeries('Mean regret', hours, regret, 'ms'),
  };
  const text = `${world.init.name}, by the clock\n\n${table(['', ''], rows)}\n\n${verdictTable(verdicts)}`;
  return { mode: 'day', text, verdicts, figures, plots };
}
