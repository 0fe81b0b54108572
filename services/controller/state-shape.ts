/**
 * The shape of state.json. The file is ours, but a disk, a restored backup or a hand may have made it another one; a
 * controller that trusts it would fail at every start, because the file stays.
 */
import { isPlainObject } from '@ufes/core/config/defaults.ts';

/** Where a value is not as it should be, such as `phases.a.example.state`; undefined: nowhere. */
type Shape = (value: unknown, at: string) => string | undefined;

const is =
  (type: 'string' | 'number' | 'boolean'): Shape =>
  (value, at) =>
    typeof value === type ? undefined : at;
const text = is('string');
const number = is('number');

const oneOf =
  (...values: readonly string[]): Shape =>
  (value, at) =>
    typeof value === 'string' && values.includes(value) ? undefined : at;

const optional =
  (shape: Shape): Shape =>
  (value, at) =>
    value === undefined ? undefined : shape(value, at);

const list =
  (shape: Shape): Shape =>
  (value, at) =>
    Array.isArray(value) ? first(value.map((one, i) => shape(one, `${at}[${i}]`))) : at;

const record =
  (shape: Shape): Shape =>
  (value, at) =>
    isPlainObject(value) ? first(Object.entries(value).map(([key, one]) => shape(one, `${at}.${key}`))) : at;

/** Other fields may be there too. */
const object =
  (fields: Readonly<Record<string, Shape>>): Shape =>
  (value, at) =>
    isPlainObject(value)
      ? first(Object.entries(fields).map(([key, shape]) => shape(value[key], at === '' ? key : `${at}.${key}`)))
      : at;

function first(found: readonly (string | undefined)[]): string | undefined {
  return found.find((one) => one !== undefined);
}

const programme = object({
  host: text,
  owner: text,
  className: text,
  candidates: list(object({ pop: text, address: text })),
  paths: list(object({ path: text, match: oneOf('prefix', 'exact'), origin: optional(text), timeoutMs: number })),
  origins: list(object({ id: text, endpoints: list(object({ address: text, port: number })) })),
  ttlSecondsMin: number,
  ttlSecondsMax: number,
});

const phase = object({
  programme,
  state: oneOf('programming', 'answering', 'live', 'withdrawing', 'draining'),
  sinceMs: number,
  version: optional(text),
  publishedAtMs: optional(number),
  pops: record(object({ address: text, version: optional(text), isApplied: is('boolean') })),
});

export const stateShape: Shape = object({
  allocations: object({
    held: record(object({ pop: text, address: text, sinceMs: number })),
    quarantine: list(object({ pop: text, address: text, untilMs: number })),
  }),
  phases: record(phase),
  owners: record(object({ firstSeenMs: number, source: text })),
  unwanted: record(number),
  certificates: list(text),
  published: optional(object({ hash: text, version: text, serial: number })),
  statusFolder: optional(text),
});
