/** What happens when a PoP dies, becomes slow, or is asked for too much (incident.ts). */
import { defaultRoom } from '@ufes/core/steering/room.ts';
import { type EventName, eventNames, filled, Incident, type Played, type Tick } from '../incident.ts';
import type { ModeResult } from '../mode.ts';
import type { Options } from '../options.ts';
import { plotSeries } from '../plot.ts';
import { atLeast, atMost, percent, table, type Verdict, verdictTable } from '../report.ts';

export function events(options: Options): ModeResult {
  const { draws = 3, prefixes = 2_000, seed } = options;
  const played: Played[] = [];
  for (let i = 0; i < draws; i++) {
    let isStepAtBusiest = false;
    for (const name of eventNames) {
      if (name === 'remote' && isStepAtBusiest) continue;
      const one = new Incident(options, `${seed}/events/${i}`, prefixes, name).play();
      if (name === 'step') isStepAtBusiest = one.isBusiest;
      played.push(one);
    }
  }
  return reportOf(played, draws);
}

/** First second from which on no more than this share is left; Infinity when it never comes to that. */
export function secondsUntil(ticks: readonly Tick[], share: number): number {
  const last = ticks.findLast(({ seconds, left }) => seconds >= 0 && left > share);
  if (last === undefined) return 0;
  const next = ticks.find(({ seconds }) => seconds > last.seconds);
  return next?.seconds ?? Number.POSITIVE_INFINITY;
}

/** Most seconds on end that a PoP is over its hard limit, from the event on. */
export function secondsOver(ticks: readonly Tick[]): number {
  const since = new Map<number, number>();
  let most = 0;
  for (const { seconds, loads } of ticks) {
    if (seconds < 0) continue;
    for (const [pop, load] of loads.entries()) {
      if (load <= defaultRoom.hard) {
        since.delete(pop);
        continue;
      }
      const from = since.get(pop) ?? seconds;
      since.set(pop, from);
      most = Math.max(most, seconds - from + 1);
    }
  }
  return most;
}

function figuresOf({ name, pop, ticks, allowedSeconds, leftDue, secondChoices }: Played) {
  const then = ticks.findLast(({ seconds }) => seconds <= allowedSeconds)!;
  const later = ticks.filter(({ seconds }) => seconds >= allowedSeconds);
  const peak = later.reduce((most, { loads }) => Math.max(most, ...loads), 0);
  const until = secondsUntil(ticks, 0.05);
  const { left, leftOnTime } = then;
  return {
    ...{ name, pop, left, leftOnTime, leftDue, peak },
    secondsUntil5Percent: Number.isFinite(until) ? until : 'never',
    secondsOver: secondsOver(ticks),
    secondChoices: {
      worst: Math.max(...secondChoices.map(({ worst }) => worst)),
      unfit: Math.max(...secondChoices.map(({ unfit }) => unfit)),
    },
  };
}

function reportOf(played: readonly Played[], draws: number): ModeResult {
  const figures = played.map(figuresOf);
  const worst = (name: EventName | undefined, of: (one: (typeof figures)[number]) => number) =>
    Math.max(0, ...figures.filter((one) => name === undefined || one.name === name).map(of));
  const { hard } = defaultRoom;
  const peaks = eventNames.map((name) =>
    atMost(
      `${name}: highest load of a PoP from then on`,
      worst(name, ({ peak }) => peak),
      hard,
    ),
  );
  const seconds = 60 + 15;
  const verdicts: Verdict[] = [
    atMost(
      'death: left after a build and a TTL, without who holds on',
      worst('death', (one) => one.leftOnTime),
      0,
    ),
    atLeast('step: gone after 10 min and a TTL', 1 - worst('step', ({ left }) => left), 0.95),
    atLeast('remote: all but who is best off there even so', 1 - worst('remote', ({ leftDue }) => leftDue), 0.95),
    atMost(
      'overload: seconds over the hard limit',
      worst('overload', (one) => one.secondsOver),
      seconds,
    ),
    atMost(
      'growth: seconds over the hard limit on end',
      worst('growth', (one) => one.secondsOver),
      seconds,
    ),
    ...peaks,
    atMost(
      'second choices: PoPs whose loss does not fit',
      worst(undefined, (one) => one.secondChoices.unfit),
      0,
    ),
  ];
  const rows = figures.map(({ name, pop, left, leftOnTime, leftDue, peak, ...more }) => [
    ...[name, pop, percent(left), percent(leftOnTime), percent(leftDue), percent(peak)],
    String(more.secondsOver),
    String(more.secondsUntil5Percent),
    `${more.secondChoices.unfit}, ${percent(more.secondChoices.worst)}`,
  ]);
  const head = [
    ...['event', 'at', 'left', '… on time', '… and due', 'peak load', 's over hard', 's until 5% left'],
    'second choices that do not fit, highest load',
  ];
  const text = [
    `${draws} draws; load is of capacity; total demand is ${percent(filled)} of it without the busiest PoP`,
    'left: after a build and a TTL (step, remote: 10 min and a TTL; growth: when it is over). On time: without 5% of resolvers, which hold answers for five TTLs; due: better off elsewhere',
    table(head, rows),
    verdictTable(verdicts),
  ].join('\n\n');
  return { mode: 'events', text, verdicts, figures: { draws, played: figures }, plots: plotsOf(played) };
}

function plotsOf(played: readonly Played[]): Record<string, string> {
  const shownOf = (name: EventName) => played.find((one) => one.name === name)!;
  return Object.fromEntries(
    eventNames.filter(shownOf).map((name) => {
      const { ticks } = shownOf(name);
      const shown = ticks.filter((_, i) => i % 5 === 0);
      const byPop = ticks[0]!.loads.map((_, pop) => [`PoP ${pop}`, shown.map(({ loads }) => loads[pop]!)]);
      const hours = shown.map((tick) => tick.seconds / 3600);
      return [name, plotSeries(`Load of each PoP, ${name}`, hours, Object.fromEntries(byPop), 'of capacity')];
    }),
  );
}
