/**
 * Reads `ufes.yaml` (or a folder of *.yaml): text → value with positions → overlay → defaults → schema → cross-field
 * checks → frozen. Every problem is reported at once, with its place and what would be right.
 */
import { access, constants, readdir, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { checkConfig } from '@ufes/core/config/check.ts';
import { isPlainObject, withDefaults } from '@ufes/core/config/defaults.ts';
import { mend } from '@ufes/core/config/mend.ts';
import { type Config, type ConfigProblem, configSchema } from '@ufes/core/config/schema.ts';
import { schemaProblems } from '@ufes/core/config/validate.ts';
import { compileZones } from '@ufes/core/config/zones.ts';
import type { DesiredZone } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { readBoundedFile } from './bounded-file.ts';
import { type CertificatePair, certificateProblem } from './certificate.ts';
import { type LocatedProblem, mergeSources, type Position, YamlSource } from './config-yaml.ts';

export type { LocatedProblem } from './config-yaml.ts';

export interface LoadedConfig {
  /** Complete with defaults, checked, frozen. */
  readonly config: Config;
  /** Absolute; relative paths in the configuration start here. */
  readonly folder: string;
  /** Every file that took part, absolute: configuration, master files, certificates, keys. */
  readonly files: readonly string[];
  /** Compiled from keys or master files. SOA serials are the controller's to set. */
  readonly zones: readonly DesiredZone[];
  /** Certificates from files, by service id. */
  readonly certificates: Readonly<Record<string, CertificatePair>>;
}

export type ReadResult =
  | ({ readonly ok: true } & LoadedConfig)
  | { readonly ok: false; readonly problems: readonly LocatedProblem[]; readonly files: readonly string[] };

/** As readConfig, but rejects with CONFIG_INVALID and every problem in its message. */
export async function loadConfig(path: string, options: { readonly overlay?: object } = {}): Promise<LoadedConfig> {
  const result = await readConfig(path, options);
  if (result.ok) return result;
  throw new OperatingError('CONFIG_INVALID', `${path} is not right:\n${formatProblems(result.problems)}`);
}

export interface ReadOptions {
  /** Laid over what the files say (maps are merged, all else replaced). */
  readonly overlay?: object;
  /** Whether GeoIP files that are named must be there. */
  readonly withGeoip?: boolean;
}

/** Never rejects for what the files hold. */
export async function readConfig(path: string, options: ReadOptions = {}): Promise<ReadResult> {
  const found = await readSources(path);
  if (!Array.isArray(found)) return { ok: false, problems: [found], files: [resolve(path)] };
  const sources = found.map(({ file, text }) => new YamlSource(file, text));
  const files = found.map(({ file }) => resolve(file));
  const textProblems = sources.flatMap((source) => source.problems);
  const broken = (problems: LocatedProblem[]): ReadResult => ({ ok: false, problems: inOrder(problems), files });
  if (sources.some((source) => source.isBroken)) return broken(textProblems);
  const merged = mergeSources(sources);
  const locate = (problem: ConfigProblem) => located(problem, merged.locate);
  const notMap = sources.filter(({ value }) => value !== null && value !== undefined && !isPlainObject(value));
  const before = [
    ...textProblems,
    ...merged.problems,
    ...notMap.map(({ file }) => atTop(file, 'expected keys and values')),
  ];
  const value = withDefaults(configSchema, overlaid(merged.value, options.overlay ?? {}));
  const wrong = schemaProblems(configSchema, value);
  const mended = wrong.length === 0 ? { value, isGenuine: () => true } : mend(configSchema, value);
  if (mended === undefined) return broken([...before, ...wrong.map(locate)]);
  // The schema has just been checked; TypeBox's types follow from it.
  const config = mended.value as Config;
  const folder = (await isFolder(path)) ? resolve(path) : dirname(resolve(path));
  const beside = await readBeside(config, folder, displayFolder(path, folder));
  files.push(...beside.files);
  const geoip = options.withGeoip ? await geoipProblems(config, folder) : [];
  const between = [...beside.problems, ...geoip, ...checkConfig(config, beside.zoneTexts)].filter(mended.isGenuine);
  const problems = [
    ...before,
    ...wrong.map(locate),
    ...between.map((problem) => located(problem, merged.locate, beside.zonePaths)),
  ];
  if (problems.length > 0) return broken(problems);
  const zones = compileZones(config, beside.zoneTexts).map(({ zone }) => zone);
  return {
    ok: true,
    config: deepFreeze(withAbsolutePaths(config, folder)),
    folder,
    files,
    zones,
    certificates: beside.certificates,
  };
}

/** Several processes open the GeoIP data, and must mean the same file by it. */
function withAbsolutePaths(config: Config, folder: string): Config {
  const absolute = (path: string) => (path === 'builtin' || path === 'none' ? path : resolve(folder, path));
  return { ...config, geoip: { ...config.geoip, city: absolute(config.geoip.city), asn: absolute(config.geoip.asn) } };
}

/**
 * What a configuration that was checked elsewhere needs besides: its zones and certificates, read now. Rejects with
 * CONFIG_INVALID when these are not right (any more).
 */
export async function loadGiven(config: Config, folder: string): Promise<LoadedConfig> {
  const { zoneTexts, certificates, files, problems } = await readBeside(config, folder, folder);
  const zones = compileZones(config, zoneTexts);
  const wrong = [...problems, ...zones.flatMap((zone) => zone.problems)];
  if (wrong.length > 0) {
    const text = wrong.map(({ path, message }) => `${dotted(path)}: ${message}`).join('\n');
    throw new OperatingError('CONFIG_INVALID', `the configuration is not right any more:\n${text}`);
  }
  return { config, folder, files, zones: zones.map(({ zone }) => zone), certificates };
}

/** `FILE:LINE:COLUMN: services.shop.orgin: unknown key; did you mean "origin"?`, a line each. */
export function formatProblems(problems: readonly LocatedProblem[]): string {
  return problems
    .map(
      ({ file, line, column, path, message }) =>
        `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`,
    )
    .join('\n');
}

function atTop(file: string, message: string): LocatedProblem {
  return { file, line: 1, column: 1, path: '', message };
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path)).isDirectory();
}

/** Zone files and the like are named as the user would from where the configuration was named. */
function displayFolder(path: string, folder: string): string {
  return isAbsolute(path) ? folder : resolve(path) === folder ? path : dirname(path);
}

/** The text of the file, or of each *.yaml in the folder by name; or what stands against reading it. */
async function readSources(path: string): Promise<{ file: string; text: string }[] | LocatedProblem> {
  try {
    if (!(await isFolder(path))) return [{ file: path, text: await readBounded(path) }];
    const names = (await readdir(path)).filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.')).sort();
    if (names.length === 0) return atTop(path, 'no *.yaml file in this folder');
    return await Promise.all(
      names.map(async (name) => ({ file: join(path, name), text: await readBounded(join(path, name)) })),
    );
  } catch (thrown) {
    return atTop(path, unreadable(thrown));
  }
}

async function readBounded(path: string): Promise<string> {
  const bytes = await readBoundedFile(path, limits.config.fileBytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error('it is not UTF-8 text');
  }
}

/**
 * GeoIP data that is not there. Only on demand: a process that runs goes on with the edition it has, and must not lose a
 * reload because one is being replaced.
 */
async function geoipProblems({ geoip }: Config, folder: string): Promise<ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  for (const part of ['city', 'asn'] as const) {
    const path = geoip[part];
    if (path === 'builtin' || path === 'none') continue;
    try {
      await assertReadable(resolve(folder, path));
    } catch (thrown) {
      problems.push({ path: ['geoip', part], message: `${path} ${unreadable(thrown)}` });
    }
  }
  return problems;
}

/** Of a file that is opened later, and far larger than what is read here. */
async function assertReadable(path: string): Promise<void> {
  await access(path, constants.R_OK);
  const found = await stat(path);
  if (!found.isFile()) throw new Error(found.isDirectory() ? 'it is a folder' : 'it is no regular file');
}

function unreadable(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
  const why: Record<string, string> = { ENOENT: 'no such file', EACCES: 'permission denied', EISDIR: 'it is a folder' };
  return `cannot be read: ${why[String(code)] ?? (thrown instanceof Error ? thrown.message : String(thrown))}`;
}

interface Beside {
  readonly zoneTexts: ReadonlyMap<string, string>;
  readonly zonePaths: ReadonlyMap<string, string>;
  readonly certificates: Record<string, CertificatePair>;
  readonly files: readonly string[];
  readonly problems: readonly ConfigProblem[];
}

/** Files that the configuration names: master files, certificates and their keys. */
async function readBeside(config: Config, folder: string, shownFolder: string): Promise<Beside> {
  const problems: ConfigProblem[] = [];
  const files: string[] = [];
  const read = async (name: string, path: (string | number)[]): Promise<string | undefined> => {
    files.push(resolve(folder, name));
    try {
      return await readBounded(resolve(folder, name));
    } catch (thrown) {
      problems.push({ path, message: `${name} ${unreadable(thrown)}` });
      return undefined;
    }
  };
  const zoneTexts = new Map<string, string>();
  const zonePaths = new Map<string, string>();
  for (const [key, { file }] of Object.entries(config.zones)) {
    if (file === undefined) continue;
    zonePaths.set(key, isAbsolute(file) ? file : join(shownFolder, file));
    const text = await read(file, ['zones', key, 'file']);
    if (text !== undefined) zoneTexts.set(key, text);
  }
  const certificates: Record<string, CertificatePair> = {};
  for (const [id, { tls, name }] of Object.entries(config.services)) {
    if (typeof tls === 'string') continue;
    const path = ['services', id, 'tls'];
    const certificate = await read(tls.certificate, [...path, 'certificate']);
    const key = await read(tls.key, [...path, 'key']);
    if (certificate === undefined || key === undefined) continue;
    const wrong = certificateProblem({ certificate, key }, name.replace(/\.$/, '').toLowerCase());
    if (wrong === undefined) certificates[id] = { certificate, key };
    else problems.push({ path: [...path, wrong.part], message: `${tls[wrong.part]}: ${wrong.message}` });
  }
  return { zoneTexts, zonePaths, certificates, files, problems };
}

function located(
  problem: ConfigProblem,
  locate: (path: ConfigProblem['path'], atKey: boolean) => Position,
  zonePaths?: ReadonlyMap<string, string>,
): LocatedProblem {
  const path = dotted(problem.path);
  if (problem.zoneFile !== undefined) {
    const { zone, line } = problem.zoneFile;
    return { file: zonePaths?.get(zone) ?? zone, line, column: 1, path, message: problem.message };
  }
  const at = locate(problem.path, problem.atKey ?? false);
  // Of a whole thing its id is shown, of a value the value.
  const other = problem.other && locate(problem.other, problem.other.length <= 2);
  const message =
    other === undefined ? problem.message : `${problem.message} (${other.file}:${other.line}:${other.column})`;
  return { ...at, path, message };
}

/** `services.shop.routes[0].path` */
function dotted(path: ConfigProblem['path']): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');
}

function inOrder(problems: readonly LocatedProblem[]): LocatedProblem[] {
  return [...problems].sort(
    (a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column,
  );
}

/** Maps are merged, everything else replaced. */
function overlaid(under: unknown, over: unknown): unknown {
  if (!isPlainObject(under) || !isPlainObject(over)) return over;
  const keys = new Set([...Object.keys(under), ...Object.keys(over)]);
  return Object.fromEntries(
    [...keys].map((key) => [key, Object.hasOwn(over, key) ? overlaid(under[key], over[key]) : under[key]]),
  );
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
