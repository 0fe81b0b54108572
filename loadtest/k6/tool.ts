/**
 * The real k6: the one on PATH, or built once by Go into a cache outside the checkout. (npm's package of that name is
 * empty; it gives the scripts' imports a home.)
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const version = 'v1.8.1';

/** Path of the program. Rejects with what to install. */
export async function findK6(): Promise<string> {
  if (runs('k6', 'version')) return 'k6';
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'ufes', 'k6', version);
  const built = join(folder, 'k6');
  if (existsSync(built) && runs(built, 'version')) return built;
  if (!runs('go', 'version')) {
    throw new Error(
      'k6 is not there: install it (https://grafana.com/docs/k6/latest/set-up/install-k6/), or Go 1.24 to have it built',
    );
  }
  process.stderr.write(`k6 ${version} is built once, into ${folder}: some minutes\n`);
  mkdirSync(folder, { recursive: true });
  const child = spawn('go', ['install', `go.k6.io/k6@${version}`], {
    env: { ...process.env, GOBIN: folder },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`go install go.k6.io/k6@${version} ended with ${code}`);
  return built;
}

/** `given`: what the script finds in `__ENV`, and no more than that of the environment. */
export function startK6(
  program: string,
  script: string,
  given: Readonly<Record<string, string | number>>,
  args: readonly string[] = [],
): ChildProcess {
  const named = Object.entries(given).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  const all = [
    'run',
    '--quiet',
    '--no-usage-report',
    '--log-output=none',
    '--include-system-env-vars=false',
    ...named,
    ...args,
    script,
  ];
  return spawn(program, all, { stdio: ['ignore', 'inherit', 'inherit'] });
}

export function k6Version(program: string): string {
  return spawnSync(program, ['version'], { encoding: 'utf8' }).stdout.trim().split('\n')[0] ?? '';
}

function runs(command: string, argument: string): boolean {
  return spawnSync(command, [argument], { stdio: 'ignore' }).status === 0;
}
