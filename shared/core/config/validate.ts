/**
 * Schema errors in words for people: what was expected, what was found, what is near. TypeBox finds the errors; of a
 * union's branches only the one that was meant (by kind) speaks.
 */
import type { TSchema } from 'typebox';
import { Settings } from 'typebox/system';
import { Value } from 'typebox/value';
import { fitsKind, isPlainObject, type SchemaNode } from './defaults.ts';
import type { ConfigProblem } from './schema.ts';
import { closest, suggestion } from './suggest.ts';

/** More than anyone reads at once; bounds the work on hostile input. */
const errorsMax = 1_000;

type SchemaError = ReturnType<typeof Value.Errors>[number];

/** Every way in which `value` (defaults filled in) breaks the schema, in the order of the schema. */
export function schemaProblems(schema: TSchema, value: unknown): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const seen = new Set<string>();
  for (const error of schemaErrors(schema, value)) {
    for (const problem of inWords(schema as SchemaNode, value, error)) {
      const key = JSON.stringify([problem.path, problem.message]);
      if (!seen.has(key)) problems.push(problem);
      seen.add(key);
    }
  }
  return problems.filter((problem) => !isExplainedByTypo(problem, problems));
}

function schemaErrors(schema: TSchema, value: unknown): SchemaError[] {
  const before = Settings.Get().maxErrors;
  Settings.Set({ maxErrors: errorsMax });
  try {
    return Value.Errors(schema, value);
  } finally {
    Settings.Set({ maxErrors: before });
  }
}

interface Place {
  readonly path: (string | number)[];
  readonly node: SchemaNode;
  readonly value: unknown;
  /** The union passed last on the way, and the branch of it that fits the value's kind (-1: none). */
  readonly branch?: number;
}

/** Follows TypeBox's instance path (a JSON pointer, RFC 6901) through value and schema together. */
function locate(schema: SchemaNode, root: unknown, instancePath: string): Place {
  let place: Place = enter([], schema, root);
  for (const fragment of instancePath.split('/').slice(1)) {
    const key = fragment.replaceAll('~1', '/').replaceAll('~0', '~');
    const { value, node } = place;
    if (!isPlainObject(value) && !Array.isArray(value)) break;
    const step = Array.isArray(value) ? Number(key) : key;
    place = enter([...place.path, step], childNode(node, key), (value as Record<string, unknown>)[key], place.branch);
  }
  return place;
}

function enter(path: (string | number)[], node: SchemaNode, value: unknown, branch?: number): Place {
  if (node.anyOf === undefined) return { path, node, value, ...(branch === undefined ? {} : { branch }) };
  const chosen = node.anyOf.findIndex((one) => fitsKind(one, value));
  return { path, node: node.anyOf[chosen] ?? node, value, branch: chosen };
}

function childNode(node: SchemaNode, key: string): SchemaNode {
  if (node.properties !== undefined && Object.hasOwn(node.properties, key)) return node.properties[key]!;
  if (node.patternProperties !== undefined) return Object.values(node.patternProperties)[0]!;
  if (Array.isArray(node.items)) return (node.items as readonly SchemaNode[])[Number(key)] ?? {};
  return (node.items as SchemaNode | undefined) ?? {};
}

function inWords(schema: SchemaNode, root: unknown, error: SchemaError): ConfigProblem[] {
  const place = locate(schema, root, error.instancePath);
  const branch = /\/anyOf\/(\d+)(?!.*\/anyOf\/)/.exec(error.schemaPath)?.[1];
  if (branch !== undefined && Number(branch) !== place.branch) return [];
  const { path, node, value } = place;
  const at = (message: string): ConfigProblem[] => [{ path, message }];
  switch (error.keyword) {
    case 'additionalProperties':
      return error.params.additionalProperties.map((key) => ({
        path: [...path, key],
        atKey: true,
        message: unknownKey(node, value, key),
      }));
    case 'required':
      return error.params.requiredProperties.map((key) => ({ path, atKey: true, message: missing(node, key) }));
    case 'boolean':
      return Array.isArray(root) || typeof path.at(-1) !== 'number' ? [] : tupleLength(schema, root, path.slice(0, -1));
    case 'anyOf':
      return node.anyOf === undefined ? [] : at(expected(node, value, path));
    case 'type':
    case 'const':
    case 'pattern':
      return at(expected(node, value, path));
    case 'minimum':
      return at(`must be at least ${error.params.limit}, found ${shown(value)}`);
    case 'maximum':
      return at(`must be at most ${error.params.limit}, found ${shown(value)}`);
    case 'minLength':
      return at(error.params.limit === 1 ? 'must not be empty' : `must have at least ${error.params.limit} characters`);
    case 'maxLength':
      return at(`must have at most ${error.params.limit} characters`);
    case 'minItems':
      return Array.isArray(node.items)
        ? tupleLength(schema, root, path)
        : at(`needs at least ${error.params.limit} ${error.params.limit === 1 ? 'entry' : 'entries'}`);
    case 'maxItems':
      return at(`has room for ${error.params.limit} entries, found ${Array.isArray(value) ? value.length : 0}`);
    default:
      return at(error.message);
  }
}

function tupleLength(schema: SchemaNode, root: unknown, path: (string | number)[]): ConfigProblem[] {
  const pointer = path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  const { node, value } = locate(schema, root, pointer);
  if (!Array.isArray(node.items) || !Array.isArray(value)) return [];
  const what = node.description === undefined ? '' : ` (${node.description})`;
  return [{ path, message: `expected ${node.items.length} values${what}, found ${value.length}` }];
}

function unknownKey(node: SchemaNode, value: unknown, key: string): string {
  if (node.patternProperties !== undefined) {
    return 'not a valid id: lower-case letters, digits and "-", first a letter, at most 31 characters';
  }
  const given = isPlainObject(value) ? Object.keys(value) : [];
  const free = Object.keys(node.properties ?? {}).filter((one) => !given.includes(one));
  const near = closest(key, free) ?? closest(key, Object.keys(node.properties ?? {}));
  return `unknown key${near === undefined ? suggestion(key, free) : `; did you mean "${near}"?`}`;
}

function missing(node: SchemaNode, key: string): string {
  const description = node.properties?.[key]?.description;
  return `"${key}" is missing${description === undefined ? '' : ` (${description})`}`;
}

/** A missing key whose misspelling stands beside it is reported once, as the misspelling. */
function isExplainedByTypo(problem: ConfigProblem, all: readonly ConfigProblem[]): boolean {
  const key = /^"(.+?)" is missing/.exec(problem.message)?.[1];
  return (
    key !== undefined &&
    all.some(
      (other) =>
        other.message === `unknown key; did you mean "${key}"?` &&
        other.path.length === problem.path.length + 1 &&
        problem.path.every((step, i) => other.path[i] === step),
    )
  );
}

function expected(node: SchemaNode, value: unknown, path: readonly (string | number)[]): string {
  return `expected ${kind(node, path)}, found ${shown(value)}${hint(node, value, path)}`;
}

function kind(node: SchemaNode, path: readonly (string | number)[]): string {
  if (node.anyOf !== undefined) {
    const kinds = node.anyOf.map((one) => kind(one, path));
    return kinds.length < 2 ? kinds.join() : `${kinds.slice(0, -1).join(', ')} or ${kinds.at(-1)}`;
  }
  if ('const' in node) return JSON.stringify(node.const);
  const unit = unitOf(node, path);
  switch (node.type) {
    case 'integer':
      return `a whole number${unit === undefined ? '' : ` of ${unit}`}`;
    case 'number':
      return `a number${unit === undefined ? '' : ` of ${unit}`}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return node.pattern !== undefined ? (node.description ?? `text that matches ${node.pattern}`) : 'text';
    case 'array':
      return Array.isArray(node.items) && node.description !== undefined ? `a list: ${node.description}` : 'a list';
    default:
      return node.properties === undefined ? 'keys and values' : `keys ${Object.keys(node.properties).join(', ')}`;
  }
}

function unitOf(node: SchemaNode, path: readonly (string | number)[]): string | undefined {
  if (node.unit !== undefined) return node.unit;
  const key = String(path.findLast((step) => typeof step === 'string') ?? '');
  return /Ms$/.test(key) ? 'milliseconds' : undefined;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** What would be right: the nearest word, or a duration in the unit of the key. */
function hint(node: SchemaNode, value: unknown, path: readonly (string | number)[]): string {
  if (typeof value !== 'string') return '';
  const words = [node, ...(node.anyOf ?? [])].flatMap((one) => (typeof one.const === 'string' ? [one.const] : []));
  const near = closest(value, words);
  if (near !== undefined) return `; did you mean "${near}"?`;
  const unit = unitOf(node, path);
  const duration = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(value);
  if (duration === null || (unit !== 'milliseconds' && unit !== 'seconds')) {
    const isQuoted = (node.type === 'integer' || node.type === 'number') && /^-?\d+(\.\d+)?$/.test(value);
    return isQuoted ? '; write it without quotes' : '';
  }
  const ms = Number(duration[1]) * unitMs[duration[2]!]!;
  return `; write ${unit === 'seconds' ? ms / 1_000 : ms}`;
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'keys and values';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…"` : text;
}
