/**
 * YAML text with positions: one file, or a folder of *.yaml read as one configuration. Sections keyed by id (pops,
 * origins, zones, services) may be spread over files; every other key stands in one file only.
 */

import { limits } from '@ufes/core/limits.ts';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type YAMLError,
  YAMLParseError,
} from 'yaml';
import { readYaml } from './yaml.ts';

/** A problem with its place. Lines and columns from 1; `path` is the key in dots, empty for the file as a whole. */
export interface LocatedProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
}

export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

type Path = readonly (string | number)[];

/** Sections that a folder's files may share. */
const byId: readonly string[] = ['pops', 'origins', 'zones', 'services'];
/** Far above what one writes by hand; stops documents that grow by aliases of aliases. */
const aliasesMax = 200;

export class YamlSource {
  readonly file: string;
  readonly problems: LocatedProblem[] = [];
  /** Whether the text could not be understood, so that its value means nothing. */
  readonly isBroken: boolean;
  readonly value: unknown;
  /** Undefined when the text was refused as a whole. */
  readonly #doc: Document.Parsed | undefined;
  readonly #lines = new LineCounter();

  constructor(file: string, text: string) {
    this.file = file;
    const options = { lines: this.#lines, piecesMax: limits.config.yamlPieces, stringKeys: true };
    const { documents, refused } = readYaml(text, options);
    const [doc, second] = documents;
    this.#doc = doc;
    if (doc === undefined) {
      this.isBroken = true;
      this.problems.push({ ...this.#at(refused?.offset ?? 0), path: '', message: `YAML: ${refused?.message}` });
      return;
    }
    const errors: YAMLError[] = [...doc.errors, ...doc.warnings];
    if (second !== undefined) {
      const [from, to] = second.range;
      errors.push(new YAMLParseError([from, to], 'MULTIPLE_DOCS', 'Source contains multiple documents'));
    }
    for (const error of errors) this.problems.push({ ...this.#at(error.pos[0]), path: '', message: inWords(error) });
    let isBroken = errors.some((error) => error.code !== 'DUPLICATE_KEY');
    if (!isBroken) {
      try {
        this.value = doc.toJS({ maxAliasCount: aliasesMax });
      } catch (thrown) {
        isBroken = true;
        const message = thrown instanceof Error ? thrown.message : String(thrown);
        this.problems.push({ file, line: 1, column: 1, path: '', message });
      }
    }
    this.isBroken = isBroken;
  }

  #at(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.file, line: Math.max(1, line), column: Math.max(1, col) };
  }

  /** Where the key or value at `path` stands, or the nearest thing above it that is written here. */
  locate(path: Path, atKey: boolean): Position {
    const doc = this.#doc;
    if (doc === undefined) return this.#at(0);
    let node: Node | null = doc.contents;
    let offset = 0;
    for (const [depth, step] of path.entries()) {
      if (isAlias(node)) node = node.resolve(doc) ?? null;
      const isLast = depth === path.length - 1;
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
        if (pair === undefined) break;
        const value = pair.value as Node | null;
        const key = (pair.key as Node).range![0];
        offset = (isLast && atKey) || !hasText(value) ? key : value.range![0];
        if (!isLast) offset = key;
        node = value;
      } else if (isSeq(node) && typeof step === 'number') {
        const item = node.items[step] as Node | undefined;
        if (item === undefined) break;
        offset = item.range![0];
        node = item;
      } else break;
    }
    return this.#at(offset);
  }
}

/** A value that is absent (`key:`) has a range of no length. */
function hasText(node: Node | null): node is Node {
  return node?.range != null && node.range[1] > node.range[0];
}

function inWords(error: YAMLError): string {
  switch (error.code) {
    case 'DUPLICATE_KEY':
      return 'this key stands here twice; each key of a map is written once';
    case 'TAB_AS_INDENT':
      return 'indentation by a tab; YAML takes spaces only';
    case 'MULTIPLE_DOCS':
      return 'a second document begins here; a configuration file has one (use a folder for several)';
    default:
      return `YAML: ${error.message.replace(/ at line \d+.*$/s, '').replace(/\s*\n[\s\S]*$/, '')}`;
  }
}

export interface MergedSources {
  readonly value: Record<string, unknown>;
  readonly problems: LocatedProblem[];
  locate(path: Path, atKey: boolean): Position;
}

/** The files as one value. The same key in two files is a problem that names both places. */
export function mergeSources(sources: readonly YamlSource[]): MergedSources {
  const value: Record<string, unknown> = {};
  const problems: LocatedProblem[] = [];
  /** Which source holds a section, or an id of a section (`services/shop`). */
  const holders = new Map<string, YamlSource>();
  const claim = (source: YamlSource, path: string[]): boolean => {
    const key = path.join('/');
    const holder = holders.get(key);
    if (holder === undefined) {
      holders.set(key, source);
      return true;
    }
    const other = holder.locate(path, true);
    const message = `already stands at ${other.file}:${other.line}:${other.column}`;
    problems.push({ ...source.locate(path, true), path: path.join('.'), message });
    return false;
  };
  for (const source of sources) {
    for (const [section, content] of Object.entries(asMap(source.value))) {
      if (!byId.includes(section) || !isMapValue(content)) {
        if (claim(source, [section])) define(value, section, content);
        continue;
      }
      if (!holders.has(section)) holders.set(section, source);
      if (!isMapValue(value[section])) define(value, section, {});
      for (const [id, one] of Object.entries(content)) {
        if (claim(source, [section, id])) define(value[section] as Record<string, unknown>, id, one);
      }
    }
  }
  const locate = (path: Path, atKey: boolean): Position => {
    const holder = holders.get(path.slice(0, 2).join('/')) ?? holders.get(String(path[0])) ?? sources[0]!;
    return holder.locate(path, atKey);
  };
  return { value, problems, locate };
}

function asMap(value: unknown): Record<string, unknown> {
  return isMapValue(value) ? value : {};
}

function isMapValue(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Assignment that a key named __proto__ cannot turn into something else. */
function define(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}
