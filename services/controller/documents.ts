/** Kubernetes documents from the text of one file: YAML (one document or several) or JSON (one), or a List of them. */
import { isPlainObject } from '@ufes/core/config/defaults.ts';
import { type ObjectKind, type ObjectOfKind, objectKey, objectKinds } from '@ufes/core/config/objects.ts';
import type { ConfigProblem } from '@ufes/core/config/schema.ts';
import { closest } from '@ufes/core/config/suggest.ts';
import { schemaProblems } from '@ufes/core/config/validate.ts';
import { limits } from '@ufes/core/limits.ts';
import { readYaml } from '@ufes/io/yaml.ts';
import { LineCounter } from 'yaml';
import type { ObjectProblem } from './objects.ts';

export type Found = {
  [K in ObjectKind]: { readonly kind: K; readonly key: string; readonly object: ObjectOfKind[K] };
}[ObjectKind];

export interface Documents {
  readonly found: readonly Found[];
  readonly problems: readonly ObjectProblem[];
  /** Some of the text is not YAML: there may be objects that were not found. */
  readonly isBroken: boolean;
}

const aliasesMax = 200;

/** Never throws. `source` names the file in problems; by `.json` it is JSON. Kinds that ufes does not read are passed over. */
export function parseDocuments(text: string, source: string): Documents {
  return source.endsWith('.json') ? parseJson(text, source) : parseYaml(text, source);
}

function parseYaml(text: string, source: string): Documents {
  const found: Found[] = [];
  const problems: ObjectProblem[] = [];
  const lines = new LineCounter();
  let isBroken = false;
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line);
  const { documents, refused } = readYaml(text, { lines, piecesMax: limits.controller.objectPieces });
  if (refused !== undefined) {
    const problem = { source, line: lineAt(refused.offset), message: `not YAML: ${refused.message}` };
    return { found, problems: [problem], isBroken: true };
  }
  for (const document of documents) {
    const line = lineAt(document.contents?.range?.[0] ?? document.range[0]);
    try {
      const [error] = document.errors;
      if (error !== undefined) {
        isBroken = true;
        problems.push({ source, line: lineAt(error.pos[0]), message: `not YAML: ${error.message}` });
        continue;
      }
      readValue(document.toJS({ maxAliasCount: aliasesMax }), source, line, found, problems);
    } catch (thrown) {
      isBroken = true;
      problems.push({ source, line, message: thrown instanceof Error ? thrown.message : String(thrown) });
    }
  }
  return { found, problems, isBroken };
}

function parseJson(text: string, source: string): Documents {
  const found: Found[] = [];
  const problems: ObjectProblem[] = [];
  try {
    if (text.trim() !== '') readValue(JSON.parse(text), source, 1, found, problems);
    return { found, problems, isBroken: false };
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    const line = Number(/\(line (\d+) column/.exec(message)?.[1] ?? 1);
    return { found, problems: [...problems, { source, line, message: `not JSON: ${message}` }], isBroken: true };
  }
}

/** Throws when the value is nested too deep to be walked. */
function readValue(value: unknown, source: string, line: number, found: Found[], problems: ObjectProblem[]): void {
  for (const one of flattened(withoutNulls(value))) readObject(one, source, line, found, problems);
}

/** A document, or the items of a List. */
function flattened(value: unknown): unknown[] {
  if (value === undefined) return [];
  const items = isPlainObject(value) && value['kind'] === 'List' ? value['items'] : undefined;
  return Array.isArray(items) ? items : [value];
}

/** In Kubernetes null is absent. */
function withoutNulls(value: unknown): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]) => (one === null ? [] : [[key, withoutNulls(one)]])),
  );
}

function readObject(value: unknown, source: string, line: number, found: Found[], problems: ObjectProblem[]): void {
  const kind = isPlainObject(value) ? value['kind'] : undefined;
  if (typeof kind !== 'string') {
    problems.push({ source, line, message: 'a document has apiVersion, kind and metadata; this one has no kind' });
    return;
  }
  if (!isKind(kind)) {
    const near = closest(kind, Object.keys(objectKinds));
    // A kind that is nearly ours is a slip; others are simply not for us.
    if (near !== undefined)
      problems.push({ source, line, message: `kind ${kind} is not read; did you mean "${near}"?` });
    return;
  }
  const [apiVersion, schema, isNamespaced] = objectKinds[kind];
  const object = value as Record<string, unknown>;
  const key = keyOf(object, isNamespaced);
  const at = { source, line, kind, ...(key === undefined ? {} : { key }) };
  if (object['apiVersion'] !== apiVersion) {
    const written = String(object['apiVersion'] ?? 'no apiVersion');
    problems.push({ ...at, message: `apiVersion: ${kind} is read as ${apiVersion}, found ${written}` });
    return;
  }
  const wrong = schemaProblems(schema, object);
  if (wrong.length > 0) {
    problems.push({ ...at, message: wrong.map(fieldProblem).join('; ') });
    return;
  }
  // The schema of this kind has just been checked.
  const checked = object as ObjectOfKind[typeof kind];
  found.push({ kind, key: objectKey(kind, checked.metadata), object: checked } as Found);
}

function isKind(kind: string): kind is ObjectKind {
  return Object.hasOwn(objectKinds, kind);
}

/** What can be told of a document that may be wrong in any way; names that are none are not repeated. */
function keyOf(object: Record<string, unknown>, isNamespaced: boolean): string | undefined {
  const { metadata } = object;
  if (!isPlainObject(metadata)) return undefined;
  const { name, namespace = 'default' } = metadata;
  const pattern = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
  if (typeof name !== 'string' || typeof namespace !== 'string') return undefined;
  if (!pattern.test(name) || !pattern.test(namespace)) return undefined;
  return isNamespaced ? `${namespace}/${name}` : name;
}

function fieldProblem({ path, message }: ConfigProblem): string {
  const field = path.reduce<string>(
    (text, step) => (typeof step === 'number' ? `${text}[${step}]` : text === '' ? step : `${text}.${step}`),
    '',
  );
  return field === '' ? message : `${field}: ${message}`;
}
