/**
 * Fills in the defaults of a schema, everywhere beneath it: in objects, maps by id, lists and the fitting branch of a
 * union. TypeBox's own Value.Default stops at maps that are closed against other keys, which all of ours are.
 */

/** A schema as plain JSON Schema; TypeBox schemas are that. */
export interface SchemaNode {
  readonly type?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: unknown;
  readonly items?: SchemaNode | readonly SchemaNode[];
  readonly anyOf?: readonly SchemaNode[];
  readonly pattern?: string;
  /** Annotation of ours: what a number counts. */
  readonly unit?: string;
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether `value` is of the branch's kind, so that messages and defaults come from that branch. */
export function fitsKind(schema: SchemaNode, value: unknown): boolean {
  if ('const' in schema) return schema.const === value;
  if (schema.type === 'object') return isPlainObject(value);
  if (schema.type === 'array') return Array.isArray(value);
  return schema.type === typeof value;
}

/** A new value with defaults; `value` is left alone. What does not fit the schema is passed through for the validator to name. */
export function withDefaults(schema: SchemaNode, value: unknown): unknown {
  const given = value === undefined ? structuredClone(schema.default) : value;
  if (schema.anyOf !== undefined) {
    const branch = schema.anyOf.find((one) => fitsKind(one, given));
    return branch === undefined ? given : withDefaults(branch, given);
  }
  if (Array.isArray(given)) {
    return given.map((item, i) => {
      const items = isList(schema.items) ? schema.items[i] : schema.items;
      return items === undefined ? item : withDefaults(items, item);
    });
  }
  if (!isPlainObject(given)) return given;
  if (schema.patternProperties !== undefined) {
    const [item] = Object.values(schema.patternProperties);
    return Object.fromEntries(Object.entries(given).map(([key, one]) => [key, withDefaults(item!, one)]));
  }
  const filled = Object.entries(schema.properties ?? {})
    .filter(([key]) => !Object.hasOwn(given, key))
    .map(([key, property]) => [key, withDefaults(property, undefined)] as const)
    .filter(([, one]) => one !== undefined);
  const kept = Object.entries(given).map(([key, one]) => {
    const property = schema.properties !== undefined && Object.hasOwn(schema.properties, key) && schema.properties[key];
    return [key, property ? withDefaults(property, one) : one] as const;
  });
  return Object.fromEntries([...kept, ...filled]);
}

function isList(items: SchemaNode['items']): items is readonly SchemaNode[] {
  return Array.isArray(items);
}
