/** Regret by policy, pooled over draws of PoPs; held-out cities; coverage of intervals. */
import { type Coverage, countCoverage } from '../coverage.ts';
import { type Group, groups, type Judged, judge, playDraw, pool } from '../draws.ts';
import type { ModeResult } from '../mode.ts';
import { type Options, worldOf } from '../options.ts';
import { plotCdf } from '../plot.ts';
import { atMost, percent, type Summary, summarise, table, type Verdict, verdictTable } from '../report.ts';
import { aimsOf } from '../steering.ts';

const builds = 12;

export function gain(options: Options): ModeResult {
  const { draws = 100, prefixes = 1_000, seed, beacons } = options;
  const judged = new Map<string, Judged[]>();
  const coverage: Coverage = {};
  let name = '';
  for (let i = 0; i < draws; i++) {
    const drawSeed = `${seed}/${i}`;
    const world = worldOf(options, drawSeed, prefixes);
    name = world.init.name;
    const draw = playDraw({ world, seed: drawSeed, ...drawInit(options) });
    countCoverage(draw, beacons.kind, coverage);
    for (const [aim, { name: aimName }] of aimsOf(world).entries()) {
      const list = judged.get(aimName) ?? [];
      judged.set(aimName, [...list, judge(draw, aim, beacons.kind, drawSeed)]);
    }
  }
  return reportOf(name, draws, options, judged, coverage);
}

/** The part of a draw that options say. */
export function drawInit({ measured, heldOut, beaconsPerDay, beacons }: Options) {
  return { measuredShare: measured, heldOut, beaconsPerDay, beacons, builds };
}

function reportOf(
  name: string,
  draws: number,
  options: Options,
  judged: ReadonlyMap<string, Judged[]>,
  coverage: Coverage,
): ModeResult {
  const parts: string[] = [];
  const verdicts: Verdict[] = [];
  const figures: Record<string, Record<string, Record<Group, Summary>>> = {};
  const plots: Record<string, string> = {};
  for (const [aim, list] of judged) {
    const pooled = pool(list);
    figures[aim] = summaries(pooled);
    parts.push(`cost: ${aim}\n${policyTable(figures[aim])}`);
    if (aim !== 'client') continue;
    verdicts.push(...verdictsOf(figures[aim], options.matrix === undefined));
    for (const group of ['measured', 'held-out'] as const) {
      const lines = Object.entries(pooled).filter(([, byGroup]) => byGroup[group].length > 0);
      const values = lines.map(([policy, byGroup]) => [policy, byGroup[group].map(({ regretMs }) => regretMs)]);
      const title = `Regret, ${group} prefixes, ${draws} draws`;
      plots[`${group}-cdf`] = plotCdf(title, Object.fromEntries(values), 'ms above the best PoP');
    }
  }
  const shares = coverageTable(coverage);
  const text = [`${name}: ${draws} draws`, ...parts, shares.text, verdictTable(verdicts)].join('\n\n');
  return { mode: 'gain', text, verdicts, figures: { regret: figures, coverage: shares.figures }, plots };
}

export function summaries(pooled: Judged): Record<string, Record<Group, Summary>> {
  const entries = Object.entries(pooled).map(([policy, byGroup]) => {
    const each = groups.map((group) => [group, summarise(byGroup[group])]);
    return [policy, Object.fromEntries(each) as Record<Group, Summary>] as const;
  });
  return Object.fromEntries(entries);
}

function policyTable(figures: Record<string, Record<Group, Summary>>): string {
  const rows = groups.flatMap((group) =>
    Object.entries(figures).map(([policy, byGroup]) => {
      const s = byGroup[group];
      const shares = [s.over10, s.over25, s.over100, s.harmed].map(percent);
      return [group, policy, s.users, s.meanMs, s.p95Ms, s.p99Ms, ...shares];
    }),
  );
  return table(['users', 'policy', 'n', 'mean', 'p95', 'p99', '>10 ms', '>25 ms', '>100 ms', 'harmed'], rows);
}

function verdictsOf(figures: Record<string, Record<Group, Summary>>, synthetic: boolean): Verdict[] {
  const [steered, geo] = [figures['steering']!, figures['geo']!];
  const measured = [
    atMost('measured: mean regret, ms', steered.measured.meanMs, Math.max(0.15 * geo.measured.meanMs, 0.5)),
    atMost('measured: p95 regret, ms', steered.measured.p95Ms, Math.max(0.2 * geo.measured.p95Ms, 5)),
    atMost('measured: share harmed > 5 ms', steered.measured.harmed, 0.005),
  ];
  if (geo['held-out'].users === 0) return measured;
  const heldOut = atMost('held-out: mean regret, ms', steered['held-out'].meanMs, 0.5 * geo['held-out'].meanMs);
  const harmed = atMost('held-out: share harmed > 5 ms', steered['held-out'].harmed, 0.015);
  return [...measured, heldOut, ...(synthetic ? [] : [harmed])];
}

function coverageTable(coverage: Coverage) {
  const figures = Object.fromEntries(
    Object.entries(coverage)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([tier, { held, above, below, count }]) => [
        tier,
        { count, held: held / count, above: above / count, below: below / count },
      ]),
  );
  const rows = Object.entries(figures).map(([tier, { count, held, above, below }]) => [
    tier,
    count,
    percent(held),
    percent(above),
    percent(below),
  ]);
  return { figures, text: table(['95% interval of tier', 'n', 'holds p25', 'truth above', 'truth below'], rows) };
}
