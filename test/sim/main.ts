/** `npm run sim`: plays steering and other policies over seeded worlds. See options.ts. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from './csv.ts';
import type { ModeResult } from './mode.ts';
import { ablation } from './modes/ablation.ts';
import { botnet } from './modes/botnet.ts';
import { day } from './modes/day.ts';
import { events } from './modes/events.ts';
import { gain } from './modes/gain.ts';
import { geoip } from './modes/geoip.ts';
import { plan } from './modes/plan.ts';
import { poison } from './modes/poison.ts';
import { type Options, readOptions, usage } from './options.ts';
import { withSettings } from './parameters.ts';

const modes: Readonly<Record<string, (options: Options) => ModeResult>> = {
  gain,
  ablation,
  day,
  events,
  geoip,
  poison,
  botnet,
  plan,
};

export function run(options: Options): ModeResult[] {
  const names = options.mode === 'all' ? Object.keys(modes) : [options.mode];
  return names.map((name) => withSettings(options.settings, () => modes[name]!(options)));
}

/** Writes what a mode found: FOLDER/MODE-WORLD.json and its plots. */
function keep(folder: string, { mode, verdicts, figures, plots }: ModeResult, command: string, options: Options): void {
  mkdirSync(folder, { recursive: true });
  const name = `${mode}-${options.matrix === undefined ? 'synthetic' : 'matrix'}`;
  const json = { command, seed: options.seed, settings: options.settings, verdicts, figures };
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(json, rounded, 1)}\n`);
  for (const [of, svg] of Object.entries(plots)) writeFileSync(join(folder, `${name}-${of}.svg`), svg);
}

/** Where a file lay on one machine is no news to another. */
function fileName(arg: string): string {
  return arg.slice(arg.lastIndexOf('/') + 1);
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
}

function main(args: readonly string[]): void {
  if (args.includes('--help')) {
    console.log(usage);
    return;
  }
  const started = performance.now();
  try {
    const options = readOptions(args);
    for (const result of run(options)) {
      console.log(`\n== ${result.mode}\n\n${result.text}`);
      if (options.out !== undefined)
        keep(options.out, result, `npm run sim -- ${args.map(fileName).join(' ')}`, options);
    }
    console.log(`\n${((performance.now() - started) / 1000).toFixed(1)} s`);
  } catch (thrown) {
    if (!(thrown instanceof InputError)) throw thrown;
    console.error(`${thrown.message}\n\nnpm run sim -- --help tells what can be said`);
    process.exitCode = 2;
  }
}

if (import.meta.main) main(process.argv.slice(2));
