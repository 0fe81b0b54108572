/**
 * Constants of the steering code, set for one run: `--set estimation.shrinkage=20`. Sweeps and ablations go this way, so
 * that the product carries no switch for them: what is set is the very object that the code reads.
 */
import { reaching } from '@ufes/core/steering/availability.ts';
import { estimation } from '@ufes/core/steering/estimation.ts';
import { guarding } from '@ufes/core/steering/guards.ts';
import { holding } from '@ufes/core/steering/held.ts';
import { placing } from '@ufes/core/steering/places.ts';
import { stabilisation } from '@ufes/core/steering/rank.ts';
import { InputError } from './csv.ts';

/** Exported objects of constants by the name that `--set` knows them by. Add those of new modules here. */
const owners: Record<string, object> = { estimation, guarding, holding, placing, reaching, stabilisation };

export type Settings = Readonly<Record<string, number>>;

export function readSettings(texts: readonly string[]): Settings {
  return Object.fromEntries(
    texts.map((text) => {
      const [name = '', value = ''] = text.split('=');
      if (value === '' || Number.isNaN(Number(value))) {
        throw new InputError(`--set ${text}: NAME=NUMBER is expected, e.g. estimation.shrinkage=20`);
      }
      ownerOf(name);
      return [name, Number(value)];
    }),
  );
}

/** Runs with the settings, then puts back what was there. */
export function withSettings<T>(settings: Settings, run: () => T): T {
  const before = Object.entries(settings).map(([name, value]) => {
    const { owner, key } = ownerOf(name);
    const old = owner[key]!;
    owner[key] = value;
    return { owner, key, old };
  });
  try {
    return run();
  } finally {
    for (const { owner, key, old } of before.reverse()) owner[key] = old;
  }
}

export function hasParameter(name: string): boolean {
  const [owner = '', key = ''] = name.split('.');
  return key in (owners[owner] ?? {});
}

function ownerOf(name: string): { owner: Record<string, number>; key: string } {
  const [group = '', key = ''] = name.split('.');
  const owner = owners[group];
  if (owner === undefined || typeof (owner as Record<string, unknown>)[key] !== 'number') {
    const known = Object.entries(owners).flatMap(([of, values]) => Object.keys(values).map((one) => `${of}.${one}`));
    throw new InputError(`--set ${name}: no such constant; there are ${known.join(', ')}`);
  }
  return { owner: owner as Record<string, number>, key };
}
