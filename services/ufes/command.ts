/** What a command is, and the options all of them share. */
import { resolve } from 'node:path';
import { parseStoreUrl } from '@ufes/core/config/store-url.ts';

export interface Command {
  readonly usage: string;
  readonly summary: string;
  readonly details?: string;
  /** Resolves to the exit code. */
  run(args: readonly string[]): Promise<number>;
}

/** Exit codes, the same for every command (docs/command.md). */
export const exitCodes = { ok: 0, failed: 1, usage: 2, notRunning: 3 } as const;

/** The command line is wrong: exit 2, with the usage. */
export class UsageError extends Error {}

export const stateOption = { state: { type: 'string' } } as const;
export const storeOption = { store: { type: 'string' } } as const;
export const jsonOption = { json: { type: 'boolean', default: false } } as const;
/** How long, why, and who says so (default: the user): kept in the audit log. */
export const orderOptions = { for: { type: 'string' }, why: { type: 'string' }, by: { type: 'string' } } as const;
export const logOption = { log: { type: 'string', default: 'warn' } } as const;

/** --state, else UFES_STATE, else undefined. */
export function givenState(value: string | undefined): string | undefined {
  const given = value ?? process.env['UFES_STATE'];
  return given === undefined ? undefined : resolve(given);
}

/** --store, else UFES_STORE (a command line is seen by everybody on the machine, and may hold a password), else undefined. */
export function givenStore(value: string | undefined): string | undefined {
  const given = value ?? process.env['UFES_STORE'];
  const problem = given === undefined || given === 'embedded' ? undefined : parseStoreUrl(given);
  if (typeof problem === 'string') throw new UsageError(`--store: ${problem}`);
  return given;
}

export function stateFolder(value: string | undefined): string {
  return givenState(value) ?? resolve('.ufes');
}

const logLevels = ['debug', 'info', 'warn', 'error', 'silent'];

export function logLevel(value: string): string {
  if (!logLevels.includes(value)) throw new UsageError(`--log ${value}: one of ${logLevels.join(', ')} is wanted`);
  return value;
}

/** `30s`, `5m`, `1h`, `500ms` → milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (match === null) throw new UsageError(`"${text}" is no duration: write 500ms, 30s, 5m or 1h`);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as 'ms' | 's' | 'm' | 'h' | 'd'];
  return Number(match[1]) * unit;
}

const colour = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;
const paint = (code: number) => (text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
export const bold = paint(1);
export const dim = paint(2);
export const green = paint(32);
export const red = paint(31);
export const yellow = paint(33);

/** Width of the terminal; COLUMNS where the output is none. */
export function columns(): number {
  const said = Number(process.env['COLUMNS']);
  return process.stdout.columns ?? (said >= 40 ? said : 120);
}

/** Columns padded to their widest cell, two spaces apart; colours do not count as width. */
export function table(rows: readonly (readonly string[])[]): string {
  // biome's control-character rule is about mistakes in patterns; here the escape byte is what is looked for.
  const width = (text: string) => text.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g'), '').length;
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, width(cell));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat(widths[i]! - width(cell)))).join('  ');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}

export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
