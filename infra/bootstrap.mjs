// Makes a fresh checkout runnable: plain JavaScript that Node 20 runs, before anything of ufes can.
//
//   node infra/bootstrap.mjs            npm packages, among them the pinned Node, when the lockfile changed since last time
//   node infra/bootstrap.mjs --tests    also the Debian packages that tests drive (skipped, by name, where it may not)
//
// On a warm checkout it reads two small files and returns.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stampFile = join(root, 'node_modules', '.ufes-installed');
const nodeMajorLeast = 24;

/** Commands that tests drive, the Debian package of each, and what is skipped without it. */
const testTools = [
  { command: 'dig', debian: 'bind9-dnsutils', without: 'look-ups by dig' },
  { command: 'curl', debian: 'curl', without: 'requests by curl' },
  { command: 'chromium', debian: 'chromium', without: 'tests in a browser' },
  { command: 'openssl', debian: 'openssl', without: 'certificate checks by openssl' },
  {
    command: 'redis-server',
    debian: 'redis-server',
    without: 'the store and queue on Redis, and all tests that use these',
  },
  { command: 'unbound', debian: 'unbound', without: 'tests behind a real resolver' },
];

const say = (text) => process.stderr.write(`ufes: ${text}\n`);

function onPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function stamp() {
  const lock = readFileSync(join(root, 'package-lock.json'));
  return `${createHash('sha256').update(lock).digest('hex')} ${process.platform}-${process.arch}\n`;
}

function installed() {
  if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp()) return false;
  return existsSync(join(root, 'node_modules', '.bin', 'ufes'));
}

/** Runs a command, with a line every few seconds so that nobody wonders; resolves to its exit code and what it said. */
function run(command, args, what) {
  return new Promise((resolve) => {
    const started = Date.now();
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    const keep = (chunk) => {
      said = (said + chunk).slice(-8_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const tty = process.stderr.isTTY;
    const tick = setInterval(
      () => {
        const seconds = Math.round((Date.now() - started) / 1000);
        if (tty) process.stderr.write(`\rufes: ${what} … ${seconds} s `);
        else say(`${what} … ${seconds} s`);
      },
      tty ? 1000 : 10_000,
    );
    const done = (code) => {
      clearInterval(tick);
      if (tty) process.stderr.write('\r');
      resolve({ code, said });
    };
    child.on('error', (error) => {
      said += error.message;
      done(127);
    });
    child.on('close', done);
  });
}

async function installPackages() {
  say('installing npm packages (once per lockfile, about 700 MB with the GeoIP data)');
  const npm = process.env.npm_execpath;
  const [command, before] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  // Engine warnings are about the system's Node; ufes runs on the one that is being installed.
  // `install --no-save` keeps to the lockfile as `ci` does, but forgives optional packages of other platforms that a
  // registry mirror does not carry.
  const args = [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--include=dev',
    '--include=optional',
  ];
  const { code, said } = await run(command, [...before, ...args], 'npm install');
  if (code !== 0) {
    process.stderr.write(said);
    say(
      `npm install failed (exit ${code}). It needs the npm registry, or its cache; run it again when that is reachable.`,
    );
    process.exit(1);
  }
  const node = spawnSync(join(root, 'node_modules', '.bin', 'node'), ['--version'], { encoding: 'utf8' });
  const major = Number((node.status === 0 ? node.stdout : process.version).replace('v', '').split('.')[0]);
  if (major < nodeMajorLeast) {
    say(
      `no pinned Node for ${process.platform}-${process.arch}: put Node ${nodeMajorLeast} or newer on PATH (found ${process.version}).`,
    );
    process.exit(1);
  }
  writeFileSync(stampFile, stamp());
  say('npm packages are there');
}

async function installTestTools() {
  const missing = testTools.filter((tool) => !onPath(tool.command));
  if (missing.length === 0) return;
  const packages = missing.map((tool) => tool.debian);
  if (process.getuid?.() === 0 && onPath('apt-get')) {
    say(`installing Debian packages for tests: ${packages.join(' ')}`);
    await run('apt-get', ['update', '-q'], 'apt-get update');
    await run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], 'apt-get install');
  }
  for (const tool of missing) {
    if (!onPath(tool.command)) say(`no ${tool.command}: ${tool.without} are skipped (Debian package ${tool.debian})`);
  }
}

if (!installed()) await installPackages();
if (process.argv.includes('--tests')) await installTestTools();
