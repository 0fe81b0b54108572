/** What `npm run sim` can be told. */
import { parseArgs } from 'node:util';
import type { SampleKind } from '@ufes/core/samples.ts';
import type { BeaconInit, Chooser } from './beacons.ts';
import { InputError } from './csv.ts';
import { type Matrix, matrixWorld, readMatrix } from './matrix.ts';
import { readSettings, type Settings } from './parameters.ts';
import { syntheticWorld } from './synthetic.ts';
import type { World } from './world.ts';

export const usage = `npm run sim -- MODE [options]

  gain       regret by policy over many draws, held-out cities, coverage of intervals
  ablation   the same with each tier taken away, paired
  day        a day by the clock: switches, publishes, demand by PoP
  events     loss of a PoP, a step of +100 ms, overload
  geoip      prefixes that GeoIP places more than 2,000 km wrong
  poison     clients that lie about their round trips
  botnet     10,000 addresses that lie together, through the collector's caps
  plan       what a plan says of random changes, against what then happens
  all        every one of them

  --seed S             default 1; draws are S/0, S/1, …
  --draws N            worlds pooled (gain, ablation: 100; others: a few)
  --pops N             PoPs a world, default 20; with --matrix also their ids: a,b,c
  --prefixes N         default 1,000 a draw, 10,000 by the clock
  --beacons N          a day and measured prefix, default 30
  --measured SHARE     of prefixes, default 0.3 (plan: 1, and beacons are a sample of demand)
  --held-out SHARE     of cities, default 0.25
  --kind K             browser or edge: who times; default browser (events: edge, since clients alone fire no guard)
  --plan P             what targets are chosen by: map, or distance alone
  --n A,B              poison: samples a day and PoP of a prefix that lies, default 20,30,100,300
  --origins A,B        cities, or places of the matrix: costs with a backbone leg, k = 1 and 3
  --matrix FILE        source,destination,avg,… in milliseconds; the smaller direction of a pair counts
  --places FILE        id,city,country,latitude,longitude
  --set NAME=NUMBER    a constant of the steering code, e.g. estimation.shrinkage=20; may be repeated
  --out FOLDER         JSON and SVG go there; without it only the table is shown
`;

export interface Options {
  readonly mode: string;
  readonly seed: string;
  readonly draws: number | undefined;
  readonly pops: number | readonly string[];
  readonly prefixes: number | undefined;
  readonly beaconsPerDay: number;
  readonly measured: number;
  readonly heldOut: number;
  readonly beacons: BeaconInit;
  readonly origins: readonly string[];
  readonly matrix: Matrix | undefined;
  /** Samples a day and PoP of a prefix that lies. */
  readonly liarSamples: readonly number[];
  readonly settings: Settings;
  readonly out: string | undefined;
}

const modes = ['gain', 'ablation', 'day', 'events', 'geoip', 'poison', 'botnet', 'plan', 'all'];

/** Throws InputError for what it cannot do. */
export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  const [mode = 'gain', ...more] = positionals;
  if (!modes.includes(mode) || more.length > 0) {
    throw new InputError(`"${positionals.join(' ')}" is no mode; one of ${modes.join(', ')} is expected`);
  }
  const number = (name: keyof typeof values, min: number, max: number): number | undefined => {
    const text = values[name] as string | undefined;
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!(value >= min && value <= max)) throw new InputError(`--${name} ${text}: ${min} to ${max} is expected`);
    return value;
  };
  if ((values.matrix === undefined) !== (values.places === undefined)) {
    throw new InputError('--matrix and --places belong together: round trips, and where their ends are');
  }
  const matrix = values.matrix === undefined ? undefined : readMatrix(values.matrix, values.places!);
  const ids = values.pops?.split(',') ?? [];
  const counted = ids.length < 2 && !Number.isNaN(Number(values.pops ?? '20'));
  if (!counted && matrix === undefined) throw new InputError('--pops: ids need a --matrix; a number is expected here');
  return {
    mode,
    seed: values.seed ?? '1',
    draws: number('draws', 1, 10_000),
    pops: counted ? (number('pops', 2, 250) ?? 20) : ids,
    prefixes: number('prefixes', 1, 1_000_000),
    beaconsPerDay: number('beacons', 0, 10_000) ?? 30,
    measured: number('measured', 0, 1) ?? (mode === 'plan' ? 1 : 0.3),
    heldOut: number('held-out', 0, 1) ?? 0.25,
    beacons: {
      kind: oneOf<SampleKind>('--kind', values.kind ?? (mode === 'events' ? 'edge' : 'browser'), ['browser', 'edge']),
      chooser: oneOf<Chooser>('--plan', values.plan ?? 'map', ['map', 'distance']),
      falseFailures: 0.01,
    },
    origins: values.origins?.split(',') ?? [],
    matrix,
    liarSamples: countsOf(values.n ?? '20,30,100,300'),
    settings: readSettings(values.set ?? []),
    out: values.out,
  };
}

/** The world of a draw. */
export function worldOf(options: Options, seed: string, prefixes: number, drift = false): World {
  const { pops, origins, matrix } = options;
  if (matrix !== undefined) return matrixWorld(matrix, { seed, pops, prefixes, origins, drift });
  const cities = Math.max(10, Math.min(250, Math.round(60 * Math.sqrt(prefixes / 1_000))));
  return syntheticWorld({ seed, pops: pops as number, prefixes, cities, drift, origins });
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const names = ['seed', 'draws', 'pops', 'prefixes', 'beacons', 'measured', 'held-out', 'kind', 'plan', 'n'] as const;
  const files = ['origins', 'matrix', 'places', 'out'] as const;
  type Name = (typeof names)[number] | (typeof files)[number];
  const each = Object.fromEntries([...names, ...files].map((name) => [name, text])) as Record<Name, typeof text>;
  try {
    return parseArgs({
      args: [...args],
      options: { ...each, set: { type: 'string', multiple: true } },
      allowPositionals: true,
    });
  } catch (thrown) {
    throw new InputError((thrown as Error).message);
  }
}

function countsOf(text: string): number[] {
  const counts = text.split(',').map(Number);
  if (!counts.every((count) => count >= 1 && count <= 10_000)) {
    throw new InputError(`--n ${text}: numbers from 1 to 10,000 with commas between are expected`);
  }
  return counts;
}

function oneOf<T extends string>(name: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new InputError(`${name} ${value}: one of ${known.join(', ')} is expected`);
  return found;
}
