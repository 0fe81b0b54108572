/** Lies that `poison` plays, what is counted of each, and the report. */
import type { BeaconInit } from '../beacons.ts';
import type { ModeResult } from '../mode.ts';
import { atMost, type Cell, percent, table, type Verdict, verdictTable } from '../report.ts';

export interface Lie {
  readonly name: string;
  /** What is told: others are nearer, the best is farther, the best fails. */
  readonly way: 'deflated' | 'inflated' | 'failed';
  /** Of samples, each by itself; in a burst, of the newest. */
  readonly share: number;
  readonly burst: boolean;
  /** Of trials that may move. */
  readonly bound: number | undefined;
}

export interface Case {
  readonly lie: Lie;
  /** Samples a day. */
  readonly n: number;
  trials: number;
  moved: number;
  /** Those that move without the lie. */
  movedAnyway: number;
  /** Other prefixes, by one liar alone. */
  others: number;
  /** Other prefixes where all liars of a draw lie at once. */
  together: number;
}

const lie = (way: Lie['way'], share: number, burst = false, bound?: number): Lie => ({
  name: `${burst ? 'newest ' : ''}${Math.round(100 * share)}% ${way}`,
  ...{ way, share, burst, bound },
});
const shares = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

export const lies: readonly Lie[] = [
  ...shares.map((share) => lie('deflated', share, false, share <= 0.2 ? 0.05 : undefined)),
  ...shares.map((share) => lie('inflated', share, false, share <= 0.5 ? 0.05 : undefined)),
  lie('failed', 0.5, false, 0.05),
  lie('deflated', 0.1, true, 0.05),
  lie('deflated', 0.2, true),
  lie('inflated', 0.5, true),
  lie('failed', 0.5, true),
];

export function reportOf(cases: readonly Case[], { kind, falseFailures }: BeaconInit): ModeResult {
  const verdicts = cases.flatMap(({ lie: { name, bound }, n, trials, moved, others }): Verdict[] => [
    ...(bound === undefined ? [] : [atMost(`${name}, n = ${n}: own moves`, moved / trials, bound)]),
    ...(others === 0 ? [] : [atMost(`${name}, n = ${n}: moves of others`, others, 0)]),
  ]);
  const counts = [...new Set(cases.map(({ n }) => n))];
  const rows = [...new Set(cases.map((one) => one.lie))].map((of): Cell[] => {
    const own = counts.map((n) => cases.find((one) => one.lie === of && one.n === n)!);
    const sum = (value: (one: Case) => number) => own.reduce((total, one) => total + value(one), 0);
    return [
      of.name,
      ...own.map(({ moved, trials }) => percent(moved / trials)),
      sum(({ others }) => others),
      sum(({ together }) => together),
    ];
  });
  const without = counts.map((n) => {
    const { movedAnyway, trials } = cases.find((one) => one.n === n)!;
    return percent(movedAnyway / trials);
  });
  const trials = counts.map((n) => cases.find((one) => one.n === n)!.trials);
  const head = ['lie', ...counts.map((n) => `n = ${n}`), 'others', 'all at once'];
  const said = `${kind}-timed; ${percent(falseFailures)} of warm-ups fail for nothing; jitter: noise.ts, scale 1.2 ms; trials: ${trials.join(', ')}`;
  const text = [
    said,
    table(head, [['no lie', ...without, '', ''], ...rows]),
    'n: samples a day and PoP; share of trials whose first choice moved. others: moves of other prefixes by one liar alone; all at once: by all of a draw',
    verdictTable(verdicts),
  ].join('\n\n');
  const figures = cases.map(({ lie: { name }, ...rest }) => ({ lie: name, ...rest }));
  return { mode: 'poison', text, verdicts, figures, plots: {} };
}
