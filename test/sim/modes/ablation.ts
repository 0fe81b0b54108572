/** Does each tier earn its place? The same draws with one tier taken away, paired, with intervals over cities. */
import { seededRng } from '@ufes/core/seeded.ts';
import { type Group, groups, judge, playDraw } from '../draws.ts';
import type { ModeResult } from '../mode.ts';
import { type Options, worldOf } from '../options.ts';
import { hasParameter, type Settings, withSettings } from '../parameters.ts';
import { type Interval, pairedBootstrap, table } from '../report.ts';
import { drawInit } from './gain.ts';

/**
 * What takes a tier away, by constants of the steering code; one that the code does not have is told as missing. Without
 * `metro` nothing is known of places but the prior: `spatial` and `asn-metro` rest on it.
 */
const without: readonly { readonly tier: string; readonly settings: Settings }[] = [
  { tier: 'prefix', settings: { 'estimation.ownN': 1e9 } },
  { tier: 'asn-metro', settings: { 'estimation.votes': 1e9 } },
  { tier: 'spatial', settings: { 'estimation.spatialPlaces': 0 } },
  { tier: 'metro and what rests on it', settings: { 'estimation.metroVotes': 1e9 } },
];

type Pairs = Record<Group, { cluster: string; a: number; b: number }[]>;

export function ablation(options: Options): ModeResult {
  const { draws = 100, prefixes = 1_000, seed, beacons } = options;
  const variants = without.filter(({ settings }) => Object.keys(settings).every(hasParameter));
  const pairs = variants.map((): Pairs => ({ measured: [], near: [], 'held-out': [] }));
  for (let i = 0; i < draws; i++) {
    const drawSeed = `${seed}/${i}`;
    const world = worldOf(options, drawSeed, prefixes);
    const play = () => {
      const draw = playDraw({ world, seed: drawSeed, ...drawInit(options) });
      return judge(draw, 0, beacons.kind, drawSeed)['steering']!;
    };
    const full = play();
    for (const [v, { settings }] of variants.entries()) {
      const less = withSettings(settings, play);
      for (const group of groups) {
        for (const [user, { cluster, regretMs }] of full[group].entries()) {
          pairs[v]![group].push({ cluster, a: regretMs, b: less[group][user]!.regretMs });
        }
      }
    }
  }
  return reportOf(variants, pairs, options, draws);
}

function reportOf(variants: typeof without, pairs: readonly Pairs[], { seed }: Options, draws: number): ModeResult {
  const found = variants.map(({ tier }, v) => {
    const rng = seededRng(`${seed}/bootstrap/${tier}`);
    const each = groups.map((group) => [group, pairedBootstrap(pairs[v]![group], rng)]);
    return [tier, Object.fromEntries(each) as Record<Group, Interval>] as const;
  });
  const rows = found.flatMap(([tier, byGroup]) =>
    groups.map((group) => {
      const { mean, low, high } = byGroup[group];
      const says = low > 0 ? 'helps' : high < 0 ? 'HARMS' : 'no difference seen';
      return [tier, group, mean, low, high, says];
    }),
  );
  const missing = without.filter((one) => !variants.includes(one)).map(({ tier }) => tier);
  const left = missing.length === 0 ? '' : `\nnot in the steering code: ${missing.join(', ')}`;
  const head = ['without tier', 'users', 'mean regret grows by, ms', 'low', 'high', ''];
  const text = `${draws} draws, 95% intervals over cities\n\n${table(head, rows)}${left}`;
  return {
    mode: 'ablation',
    text,
    verdicts: [],
    figures: { draws, tiers: Object.fromEntries(found), missing },
    plots: {},
  };
}
