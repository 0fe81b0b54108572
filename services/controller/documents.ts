/** Kubernetes documents from the text of one file: YAML or JSON, one document or several, or a List of them. */
import { isPlainObject } from '@ufes/core/config/defaults.ts';
import { type ObjectKind, type ObjectOfKind, objectKey, objectKinds } from '@ufes/core/config/objects.ts';
import type { ConfigProblem } from '@ufes/core/config/schema.ts';
import { closest } from '@ufes/core/config/suggest.ts';
import { schemaProblems } from '@ufes/core/config/validate.ts';
import { LineCounter, parseAllDocuments } from 'yaml';
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

/** Never throws. `source` names the file in problems. Kinds that ufes does not read are passed over. */
export function parseDocuments(text: string, source: string): Documents {
  const found: Found[] = [];
  const problems: ObjectProblem[] = [];
  const lines = new LineCounter();
  let isBroken = false;
  for (const document of parseAllDocuments(text, { lineCounter: lines, prettyErrors: false })) {
    if (!('contents' in document)) continue;
    const line = Math.max(1, lines.linePos(document.contents?.range?.[0] ?? document.range[0]).line);
    try {
      const [error] = document.errors;
      if (error !== undefined) {
        isBroken = true;
        problems.push({ source, line: lines.linePos(error.pos[0]).line, message: `not YAML: ${error.message}` });
        continue;
      }
      for (const value of flattened(withoutNulls(document.toJS({ maxAliasCount: aliasesMax })))) {
        readObject(value, source, line, found, problems);
      }
    } catch (thrown) {
      isBroken = true;
      problems.push({ source, line, message: thrown instanceof Error ? thrown.message : String(thrown) });
    }
  }
  return { found, problems, isBroken };
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
