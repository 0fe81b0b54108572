/** Comma-separated tables with a head row. A bad one is told by file and line, with what would be right. */
import { readFileSync } from 'node:fs';

/** Bad input of the operator: the message is all there is to say. */
export class InputError extends Error {}

export interface Row {
  /** `latency.csv:17` */
  readonly at: string;
  text(column: string): string;
  /** Throws unless the field is a number within the bounds. */
  number(column: string, min: number, max: number): number;
}

/** Rows of a file that has at least `columns` in its head; empty lines are passed over. Quotes are not understood. */
export function readTable(path: string, columns: readonly string[]): Row[] {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (thrown) {
    throw new InputError(`${path}: cannot be read (${(thrown as NodeJS.ErrnoException).code ?? thrown})`);
  }
  return parseTable(content, path, columns);
}

export function parseTable(content: string, name: string, columns: readonly string[]): Row[] {
  const lines = content.replace(/^\uFEFF/, '').split(/\r?\n/);
  const head = (lines[0] ?? '').split(',').map((field) => field.trim());
  const missing = columns.filter((column) => !head.includes(column));
  if (missing.length > 0) {
    throw new InputError(`${name}:1: no column ${missing.join(', ')}; the first line must name ${columns.join(',')}`);
  }
  const rows: Row[] = [];
  for (const [i, line] of lines.entries()) {
    if (i === 0 || line.trim() === '') continue;
    rows.push(rowOf(`${name}:${i + 1}`, head, line));
  }
  return rows;
}

function rowOf(at: string, head: readonly string[], line: string): Row {
  const fields = line.split(',').map((field) => field.trim());
  if (fields.length !== head.length) {
    throw new InputError(`${at}: ${fields.length} fields, but the first line names ${head.length} (${head.join(',')})`);
  }
  const text = (column: string): string => {
    const value = fields[head.indexOf(column)]!;
    if (value === '') throw new InputError(`${at}: ${column} is empty`);
    return value;
  };
  return {
    at,
    text,
    number: (column, min, max) => {
      const value = Number(text(column));
      if (!(value >= min && value <= max)) {
        throw new InputError(`${at}: ${column} is "${text(column)}"; a number from ${min} to ${max} is expected`);
      }
      return value;
    },
  };
}
