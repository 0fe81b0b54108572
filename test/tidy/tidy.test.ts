/** Guards the walls: imports against the table in walls.ts, circles, dead files, purity, hygiene. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import { describe, expect, test } from 'vitest';
import {
  entries,
  mayBeWorldly,
  mayImport,
  type Package,
  packages,
  pureFolders,
  testParties,
  thirdParties,
  unsaid,
  worldly,
} from './walls.ts';

const root = normalize(join(import.meta.dirname, '../..'));
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)));
const sources = files.filter((file) => /\.(ts|tsx|js|mjs)$/.test(file));
const textOf = new Map(sources.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
const isTest = (file: string) =>
  /\.(test|bench|fixture)\.ts$/.test(file) || file.startsWith('test/') || /\/testing[.-]|\/testing\//.test(file);

function packageOf(file: string): Package | undefined {
  const folder = Object.keys(packages).find((name) => file.startsWith(`${name}/`)) as keyof typeof packages | undefined;
  return folder && packages[folder];
}

interface Import {
  readonly from: string;
  readonly specifier: string;
}

/** Every import and re-export, static or dynamic with a literal. */
const imports: Import[] = [...textOf].flatMap(([from, text]) => {
  const found: Import[] = [];
  const code = text.replaceAll(/^\s*(\*|\/\/).*$/gm, '');
  for (const match of code.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?\bfrom\s+'([^']+)'|(?:^|\n)\s*import\s+'([^']+)'|\bimport\('([^']+)'\)/g,
  )) {
    found.push({ from, specifier: (match[1] ?? match[2] ?? match[3])! });
  }
  return found;
});

/** `@ufes/core/ip.ts` → [`@ufes/core`, file]; a third party → its package name. */
function nameOf(specifier: string): string {
  return specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : specifier.split('/')[0]!;
}

function targetOf({ from, specifier }: Import): string | undefined {
  if (specifier.startsWith('.')) return normalize(join(dirname(from), specifier));
  const folder = Object.entries(packages).find(([, name]) => name === nameOf(specifier))?.[0];
  return folder && specifier.includes('/') ? join(folder, specifier.slice(nameOf(specifier).length + 1)) : undefined;
}

describe('imports', () => {
  test('stay within the table', () => {
    const breaches = imports.filter((one) => {
      const own = packageOf(one.from);
      const target = targetOf(one);
      const other = target === undefined ? undefined : packageOf(target);
      if (own === undefined || other === undefined || own === other || isTest(one.from)) return false;
      const allowed = mayImport[own];
      return allowed !== 'anything' && !allowed.includes(other);
    });
    expect(breaches).toEqual([]);
  });

  test('the command imports a service’s main and nothing else of it', () => {
    const breaches = imports.filter((one) => {
      if (packageOf(one.from) !== 'ufes' || isTest(one.from)) return false;
      const target = targetOf(one);
      return target !== undefined && /^services\/(?!ufes\/)/.test(target) && !target.endsWith('/main.ts');
    });
    expect(breaches).toEqual([]);
  });

  test('third parties stay in their homes', () => {
    const breaches = imports.filter((one) => {
      const own = packageOf(one.from);
      if (
        own === undefined ||
        one.specifier.startsWith('.') ||
        one.specifier.startsWith('node:') ||
        targetOf(one) !== undefined
      )
        return false;
      const name = nameOf(one.specifier);
      if (isTest(one.from) && testParties.includes(name)) return false;
      return !thirdParties[name]?.[0].includes(own) && mayImport[own] !== 'anything';
    });
    expect(breaches).toEqual([]);
  });

  test('lead to files that exist', () => {
    const broken = imports.filter((one) => {
      const target = targetOf(one);
      return target !== undefined && !existsSync(join(root, target));
    });
    expect(broken).toEqual([]);
  });

  test('form no circle', () => {
    const next = new Map<string, string[]>();
    for (const one of imports) {
      const target = targetOf(one);
      if (target !== undefined && textOf.has(target)) next.set(one.from, [...(next.get(one.from) ?? []), target]);
    }
    const done = new Set<string>();
    const circles: string[] = [];
    const walk = (file: string, path: string[]) => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      if (done.has(file) || path.includes(file)) return;
      for (const target of next.get(file) ?? []) walk(target, [...path, file]);
      done.add(file);
    };
    for (const file of textOf.keys()) walk(file, []);
    expect(circles).toEqual([]);
  });
});

describe('files', () => {
  test('are all used', () => {
    const used = new Set(imports.filter((one) => !isTest(one.from) || isTest(targetOf(one) ?? '')).map(targetOf));
    const urls = [...textOf.values()].flatMap((text) =>
      [...text.matchAll(/new URL\('(\.[^']+)'/g)].map((match) => match[1]!),
    );
    const dead = sources.filter(
      (file) =>
        packageOf(file) !== undefined &&
        !used.has(file) &&
        !entries.some((entry) => entry.test(file)) &&
        !isTest(file) &&
        !urls.some((url) => file.endsWith(url.replace(/^(\.\.?\/)+/, '/'))),
    );
    expect(dead).toEqual([]);
  });

  test('of the core are pure', () => {
    const impure = imports.filter(
      (one) =>
        pureFolders.some((folder) => one.from.startsWith(`${folder}/`)) &&
        !isTest(one.from) &&
        one.specifier.startsWith('node:'),
    );
    expect(impure).toEqual([]);
  });

  test('read clock, chance and environment only where the walls allow it', () => {
    const breaches = [...textOf].flatMap(([file, text]) =>
      mayBeWorldly.some((allowed) => allowed.test(file)) || packageOf(file) === undefined
        ? []
        : worldly.filter((word) => word.test(text)).map((word) => `${file}: ${word.source}`),
    );
    expect(breaches).toEqual([]);
  });

  test('open with what they are', () => {
    const silent = sources.filter(
      (file) =>
        /^(services|shared|geoip)\//.test(file) &&
        file.endsWith('.ts') &&
        !isTest(file) &&
        !/^(#!.*\n)?\s*\/[*/]/.test(textOf.get(file)!),
    );
    expect(silent).toEqual([]);
  });

  test('speak of the product alone', () => {
    const breaches = files
      .filter((file) => !/\.(png|woff2|mmdb|bin)$/.test(file) && file !== 'test/tidy/walls.ts')
      .flatMap((file) =>
        unsaid
          .filter((word) => word.test(readFileSync(join(root, file), 'utf8')))
          .map((word) => `${file}: ${word.source}`),
      );
    expect(breaches).toEqual([]);
  });

  test('every bound of limits.ts is used', () => {
    const others = [...textOf].filter(([file]) => file !== 'shared/core/limits.ts').map(([, text]) => text);
    const bounds = Object.entries(limits).flatMap(([section, all]) =>
      Object.keys(all).map((name) => [section, name] as const),
    );
    const isHandedOn = (section: string) =>
      others.some((text) => new RegExp(`limits\\.${section}\\b(?!\\.)`).test(text));
    const isUsed = ([section, name]: readonly [string, string]) =>
      others.some((text) => text.includes(`limits.${section}.${name}`)) ||
      (isHandedOn(section) && others.some((text) => text.includes('bounds') && new RegExp(`\\b${name}\\b`).test(text)));
    expect(bounds.length).toBeGreaterThan(20);
    expect(bounds.filter((bound) => !isUsed(bound))).toEqual([]);
  });

  test('name no page that is not there', () => {
    const pages = [...textOf].flatMap(([file, text]) =>
      [...text.matchAll(/\b([A-Za-z][\w/-]*\.md)\b/g)].map((match) => [file, match[1]!] as const),
    );
    const there = new Set(files);
    const missing = pages.filter(
      ([file, page]) =>
        !there.has(page) && !there.has(`docs/${page}`) && !there.has(normalize(join(dirname(file), page))),
    );
    expect(missing).toEqual([]);
  });
});
