/**
 * docs/ufes.example.yaml is the reference: it has every key with a meaning, states the defaults that the schema has, and
 * checks clean. docs/ufes.schema.json is the schema. `UPDATE=1 npx vitest run test/docs` writes the latter anew.
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPlainObject, type SchemaNode } from '@ufes/core/config/defaults.ts';
import { configSchema } from '@ufes/core/config/schema.ts';
import { formatProblems, readConfig } from '@ufes/io/config-file.ts';
import { ensureInternalCa } from '@ufes/io/internal-ca.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isMap, isScalar, isSeq, LineCounter, parse, parseDocument } from 'yaml';

const docs = join(import.meta.dirname, '../../docs');
let text: string;
let folder: string;

/** The example with its alternatives taken in. */
const whole = () => text.replaceAll(/^( *)#\| /gm, '$1');

beforeAll(async () => {
  text = await readFile(join(docs, 'ufes.example.yaml'), 'utf8');
  folder = await mkdtemp(join(tmpdir(), 'ufes-docs-'));
  await cp(docs, folder, { recursive: true });
  await writeFile(join(folder, 'ufes.example.yaml'), whole());
  const pair = await (await ensureInternalCa(join(folder, '.ufes'))).issue(['account.shop.example']);
  await mkdir(join(folder, 'tls'));
  await writeFile(join(folder, 'tls/account.crt'), pair.certificate);
  await writeFile(join(folder, 'tls/account.key'), pair.key);
});
afterAll(() => rm(folder, { recursive: true }));

/** Key paths with `*` for ids and `[]` for list entries, and what stands above or beside each in comments. */
function commentsByPath(yaml: string): Map<string, string[]> {
  const lines = yaml.split('\n');
  const counter = new LineCounter();
  const found = new Map<string, string[]>();
  const walk = (node: unknown, path: string[], schema: SchemaNode | undefined): void => {
    if (isSeq(node)) for (const item of node.items) walk(item, [...path, '[]'], schema?.items as SchemaNode);
    if (!isMap(node)) return;
    const branch = schema?.anyOf?.find((one) => one.type === 'object') ?? schema;
    for (const { key, value } of node.items) {
      if (!isScalar(key)) continue;
      const isId = branch?.patternProperties !== undefined;
      const here = [...path, isId ? '*' : String(key.value)];
      const line = counter.linePos(key.range![0]).line - 1;
      found.set(here.join('.'), [...(found.get(here.join('.')) ?? []), commentAbove(lines, line)]);
      const inner = isId ? Object.values(branch.patternProperties!)[0] : branch?.properties?.[String(key.value)];
      walk(value, here, inner);
    }
  };
  walk(parseDocument(yaml, { lineCounter: counter }).contents, [], configSchema as SchemaNode);
  return found;
}

function commentAbove(lines: readonly string[], line: number): string {
  const comment: string[] = [];
  for (let at = line - 1; at >= 0 && /^\s*#/.test(lines[at]!); at--) comment.unshift(lines[at]!.replace(/^\s*# ?/, ''));
  return comment.join(' ').trim();
}

/** Every key of the schema in the same form. */
function schemaKeys(schema: SchemaNode, path: string[] = []): [string, SchemaNode][] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap((one) => schemaKeys(one, path));
  const items = isPlainObject(schema.items) ? schemaKeys(schema.items as SchemaNode, [...path, '[]']) : [];
  const ids = Object.values(schema.patternProperties ?? {}).flatMap((one) => schemaKeys(one, [...path, '*']));
  const keys = Object.entries(schema.properties ?? {}).flatMap(([key, one]): [string, SchemaNode][] => [
    [[...path, key].join('.'), one],
    ...schemaKeys(one, [...path, key]),
  ]);
  return [...items, ...ids, ...keys];
}

describe('docs/ufes.example.yaml', () => {
  it('checks clean as it is, and with its alternatives', async () => {
    for (const path of [join(docs, 'ufes.example.yaml'), join(folder, 'ufes.example.yaml')]) {
      const result = await readConfig(path);
      expect(result.ok ? '' : formatProblems(result.problems)).toBe('');
    }
  });

  it('has every key of the schema, each with a meaning', () => {
    const comments = commentsByPath(whole());
    const bare = schemaKeys(configSchema as SchemaNode)
      .map(([key]) => key)
      .filter((key) => !comments.get(key)?.some((comment) => comment.length > 3));
    expect(bare).toEqual([]);
  });

  it('states the default of every key that has one, and of no other', () => {
    const comments = commentsByPath(whole());
    for (const [key, schema] of schemaKeys(configSchema as SchemaNode)) {
      const stated = comments
        .get(key)!
        .flatMap((comment) => /Default: (.+?)\.?$/.exec(comment)?.[1] ?? [])
        .map((value): unknown => parse(value));
      const isSection = isPlainObject(schema.default) || ['zones', 'prefixLists', 'listeners.probe'].includes(key);
      const expected = schema.default === undefined || isSection ? [] : [schema.default];
      expect(stated, key).toEqual(expected);
    }
  });

  it('marks as optional what may be left out without a default', () => {
    const comments = commentsByPath(whole());
    const visit = (schema: SchemaNode, path: string[]): void => {
      for (const one of schema.anyOf ?? []) visit(one, path);
      if (isPlainObject(schema.items)) visit(schema.items as SchemaNode, [...path, '[]']);
      for (const one of Object.values(schema.patternProperties ?? {})) visit(one, [...path, '*']);
      for (const [key, one] of Object.entries(schema.properties ?? {})) {
        const name = [...path, key].join('.');
        const isOptional = !(schema.required ?? []).includes(key);
        const isMarked = comments.get(name)!.some((comment) => comment.startsWith('Optional.'));
        const exempt = ['zones.*.soa', 'zones.*.ns'].includes(name);
        if (!exempt) expect(isMarked, name).toBe(isOptional);
        visit(one, [...path, key]);
      }
    };
    visit(configSchema as SchemaNode, []);
  });
});

describe('docs/ufes.schema.json', () => {
  it('is the schema', async () => {
    const schema = { $schema: 'http://json-schema.org/draft-07/schema#', ...configSchema };
    const published = `${JSON.stringify(relaxed(schema), null, 2)}\n`;
    const path = join(docs, 'ufes.schema.json');
    if (process.env['UPDATE'] === '1') await writeFile(path, published);
    expect(await readFile(path, 'utf8')).toBe(published);
  });
});

/** What people write: keys with a default may be left out. Validation comes after defaults, so there they are required. */
function relaxed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(relaxed);
  if (!isPlainObject(schema)) return schema;
  const properties = isPlainObject(schema['properties']) ? schema['properties'] : {};
  return Object.fromEntries(
    Object.entries(schema).flatMap(([key, value]): [string, unknown][] => {
      if (key !== 'required' || !Array.isArray(value)) return [[key, relaxed(value)]];
      const needed = value.filter((name: string) => !('default' in (properties[name] as object)));
      return needed.length === 0 ? [] : [[key, needed]];
    }),
  );
}
