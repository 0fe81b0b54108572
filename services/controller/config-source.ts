/** The configuration in service: read again when a file of it changed. A bad one is told in full and changes nothing. */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import type { Component, Log } from '@ufes/core/ports.ts';
import { formatProblems, type LoadedConfig, loadGiven, readConfig } from '@ufes/io/config-file.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { createWatch, fileSignature } from './watch.ts';

export interface ConfigSource extends Component {
  /** From `start` on. */
  current(): LoadedConfig;
  /** Whether the files as they are now are refused. */
  isFailed(): boolean;
}

type Parts = Pick<ServiceContext, 'config' | 'configFolder' | 'configPath' | 'clock' | 'log'>;

export function createConfigSource(context: Parts, onChange: () => void): ConfigSource {
  const { configPath, clock, log } = context;
  let loaded: LoadedConfig | undefined;
  let isFailed = false;
  let signature: string | undefined;
  let files: readonly string[] = [];

  const look = async () => {
    if (configPath === undefined) return;
    const now = await signatureOf(configPath, files);
    if (now === signature) return;
    const result = await readConfig(configPath);
    const before = files;
    files = result.ok ? result.files : [...new Set([...files, ...result.files])];
    // Of what was read, not of what is there by now, so that no change is missed.
    signature = files.join() === before.join() ? now : await signatureOf(configPath, files);
    isFailed = !result.ok;
    if (!result.ok) {
      tellRefused(log, configPath, formatProblems(result.problems).split('\n'));
      return;
    }
    if (loaded !== undefined) warnOfRestart(log, loaded, result);
    const isFirst = loaded === undefined;
    loaded = result;
    if (!isFirst) log.info({ config: configPath }, 'configuration read again');
    onChange();
  };

  const watch = createWatch({
    clock,
    pollMs: limits.controller.pollMs,
    debounceMs: limits.controller.debounceMs,
    folders: () => (configPath === undefined ? [] : [...new Set([...files, configPath].map((file) => dirname(file)))]),
    concerns: (path) => files.includes(path) || (configPath !== undefined && isConfigFile(configPath, path)),
    look,
  });
  return {
    async start() {
      await watch.start();
      // What we were started with was right then; its files are not now, or there are none.
      loaded ??= await loadGiven(context.config, context.configFolder);
    },
    stop: watch.stop,
    current: () => {
      if (loaded === undefined) throw new Error('the configuration source has not started');
      return loaded;
    },
    isFailed: () => isFailed,
  };
}

/** The file itself, or one of the folder. */
function isConfigFile(configPath: string, path: string): boolean {
  return path === configPath || (dirname(path) === configPath && /\.ya?ml$/.test(path));
}

/** One line a problem, so that each can be found. */
function tellRefused(log: Log, config: string, problems: readonly string[]): void {
  for (const problem of problems) log.error({ config, code: 'CONFIG_INVALID' }, problem);
  log.error({ config, problems: problems.length }, 'configuration refused; the one before stays in service');
}

/** What only a restart changes. */
function warnOfRestart(log: Log, before: LoadedConfig, after: LoadedConfig): void {
  for (const key of ['state', 'store', 'listeners', 'geoip'] as const) {
    if (JSON.stringify(before.config[key]) === JSON.stringify(after.config[key])) continue;
    log.warn({ key }, 'this part of the configuration is read at start; restart ufes to change it');
  }
}

async function signatureOf(path: string, files: readonly string[]): Promise<string> {
  const names = await folderNames(path);
  const all = new Set([path, ...names, ...files]);
  const signatures = await Promise.all([...all].sort().map(async (file) => `${file}|${await fileSignature(file)}`));
  return signatures.join('\n');
}

/** Files of a folder; none of a file. A folder's own times change with what is in it, such as our status files. */
async function folderNames(path: string): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [];
    return (await readdir(path)).filter((name) => /\.ya?ml$/.test(name)).map((name) => join(path, name));
  } catch {
    return [];
  }
}
