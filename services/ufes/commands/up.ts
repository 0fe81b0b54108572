/** `ufes up`: everything in one process tree. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, unwatchFile, watchFile, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Config } from '@ufes/core/config/schema.ts';
import type { DnsState } from '@ufes/core/dashboard.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { listenAdmin } from '@ufes/io/admin.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { localBus } from '@ufes/io/bus.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { formatProblems, readConfig } from '@ufes/io/config-file.ts';
import { closeContext, createContext } from '@ufes/io/context.ts';
import { createLog } from '@ufes/io/log.ts';
import { bold, type Command, dim, red, stateFolder, stateOption, table } from '../command.ts';
import { Supervisor } from '../supervisor.ts';
import { openWithProgress } from './geoip.ts';

export const up: Command = {
  usage: 'up [--config FILE | --demo]',
  summary: 'run everything in one process tree',
  details:
    '\n--config FILE (default ufes.yaml), --demo: three PoPs on loopback with synthetic users, in .ufes; --log LEVEL (default warn)\n',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        config: { type: 'string' },
        demo: { type: 'boolean', default: false },
        log: { type: 'string', default: 'warn' },
      },
    });
    const path = resolve(values.config ?? (values.demo ? installDemo(stateFolder(values.state)) : 'ufes.yaml'));
    const result = await readConfig(path);
    if (!result.ok) {
      process.stderr.write(`${formatProblems(result.problems)}\n${path}: not started\n`);
      return 1;
    }
    return runTree(path, result.config, result.folder, values.demo, values.log);
  },
};

/** The demo's configuration in the state folder, kept as the user changed it, else brought up to date. */
function installDemo(state: string): string {
  const shipped = readFileSync(fileURLToPath(new URL('../demo/ufes.yaml', import.meta.url)), 'utf8');
  const path = join(state, 'ufes.yaml');
  const marker = join(state, 'ufes.yaml.shipped');
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  mkdirSync(join(state, 'objects'), { recursive: true });
  const changed =
    existsSync(path) && existsSync(marker) && readFileSync(marker, 'utf8') !== hash(readFileSync(path, 'utf8'));
  if (changed) process.stderr.write(`ufes: running your changed ${path}; delete it to get the shipped one back\n`);
  else {
    writeFileSync(path, shipped);
    writeFileSync(marker, hash(shipped));
  }
  return path;
}

function nodesOf(config: Config, demo: boolean): string[] {
  const edges = Object.keys(config.pops).map((pop) => `edge-${pop}`);
  const extra = demo ? [...Object.keys(config.origins).map((origin) => `demo-origin-${origin}`), 'demo-users'] : [];
  const dashboard = config.listeners.dashboard === undefined ? [] : ['dashboard'];
  return ['controller', 'dns', 'probe', 'mapper', ...edges, ...dashboard, ...extra];
}

async function runTree(path: string, config: Config, folder: string, demo: boolean, logLevel: string): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  const state = resolve(folder, config.state);
  // Compiled once here, with progress, instead of by each process that needs it.
  await openWithProgress(state, config.geoip.city, config.geoip.asn);
  const log = createLog({ node: 'ufes' }, logLevel);
  const context = createContext({
    config,
    configFolder: folder,
    configPath: path,
    state,
    node: 'ufes',
    logLevel,
    bus: localBus(),
  });
  const supervisor = new Supervisor({
    nodes: nodesOf(config, demo),
    config,
    configFolder: folder,
    configPath: path,
    state,
    logLevel,
    clock: systemClock,
    log,
    onFatal: (node, code, message) =>
      process.stderr.write(`${red(`ufes ${node}`)}: ${message} (${code}); will try again\n`),
  });
  addRoutes(context.admin, supervisor);
  await listenAdmin(context);
  const stopped = new Promise<void>((done) => {
    process.on('SIGINT', () => done());
    process.on('SIGTERM', () => done());
  });
  await supervisor.start();
  context.ready(true);
  const reload = async () => {
    const next = await readConfig(path);
    if (next.ok) supervisor.update(next.config, nodesOf(next.config, demo));
    else process.stderr.write(`${formatProblems(next.problems)}\n${path}: kept the configuration in service\n`);
  };
  watchFile(path, { interval: 1000 }, () => void reload());
  const settled = await whenReady(supervisor, stopped);
  if (settled) await whenChecked(state);
  if (settled) process.stdout.write(welcome(config, state, demo, systemClock.monotonicMs() - startedMs));
  await stopped;
  unwatchFile(path);
  process.stderr.write('\nufes: draining …\n');
  await supervisor.stop();
  await closeContext(context);
  return 0;
}

/** True once every process said it serves, or after a while with those that did not named; false when stopped first. */
async function whenReady(supervisor: Supervisor, stopped: Promise<void>): Promise<boolean> {
  let over = false;
  void stopped.then(() => {
    over = true;
  });
  for (let tries = 0; tries < 300 && !over; tries++) {
    if (supervisor.status().every((one) => one.state === 'ready')) return true;
    await new Promise<void>((done) => systemClock.after(100, done));
  }
  if (over) return false;
  for (const one of supervisor.status())
    if (one.state !== 'ready') process.stderr.write(`ufes ${one.node}: ${one.state} ${one.why}\n`);
  return true;
}

/** Edges that were checked before they listened are back in answers after hysteresis: a moment, and worth the wait. */
async function whenChecked(state: string): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const dns = await adminGet<DnsState>(state, 'dns', '/state').catch(() => undefined);
    if (dns?.pops.every((pop) => pop.state === 'up')) return;
    await new Promise<void>((done) => systemClock.after(100, done));
  }
}

function addRoutes(admin: ReturnType<typeof createContext>['admin'], supervisor: Supervisor): void {
  admin.get('/status', async () => supervisor.status());
  let cancel = () => {};
  admin.post<{ Body: { pop: string; undo?: boolean; forMs?: number } }>('/fail', async (request) => {
    const { pop, undo = false, forMs } = request.body;
    cancel();
    if (!supervisor.hold(`edge-${pop}`, !undo)) throw new OperatingError('NOT_FOUND', `no PoP "${pop}" runs here`);
    if (forMs !== undefined && !undo) cancel = systemClock.after(forMs, () => supervisor.hold(`edge-${pop}`, false));
    return { pop, down: !undo };
  });
}

function welcome(config: Config, state: string, demo: boolean, ms: number): string {
  const lines = [`\n${bold('ufes')} is up ${dim(`after ${(ms / 1000).toFixed(1)} s`)}\n\n`];
  const rows: string[][] = [['dns', config.listeners.dns.join(' '), 'UDP and TCP']];
  for (const [id, pop] of Object.entries(config.pops)) {
    const vips = [pop.vips.v4, pop.vips.v6].filter((vip) => vip !== undefined);
    rows.push([`edge ${id}`, vips.map((vip) => `https://${vip}:${pop.ports.https}`).join(' '), pop.title ?? id]);
  }
  for (const listener of config.listeners.probe) {
    rows.push([
      'probe',
      `${listener.tls ? 'https' : 'http'}://${listener.address}`,
      listener.proxy ? `PROXY ${listener.proxy}, source ${listener.source}` : `source ${listener.source}`,
    ]);
  }
  if (config.listeners.dashboard !== undefined)
    rows.push(['dashboard', `http://${config.listeners.dashboard}`, 'open this in a browser']);
  rows.push(['state', state, 'CA certificate: tls/ca.crt']);
  lines.push(table(rows.map(([what = '', where = '', note = '']) => [`  ${what}`, bold(where), dim(note)])));
  if (demo) lines.push(tryThis(config, state));
  return lines.join('');
}

function tryThis(config: Config, state: string): string {
  const name = Object.values(config.services)[0]!.name;
  const [pop] = Object.values(config.pops);
  const vip = `${pop!.vips.v4}:${pop!.ports.https}`;
  const option = stateFolder('.ufes') === state ? '' : ` --state ${state}`;
  const commands = [
    `npx ufes dig ${name} --subnet 81.2.69.0/24`,
    `npx ufes explain${option} ${name} 81.2.69.160`,
    `npx ufes status${option}`,
    `npx ufes fail${option} lon --for 20s`,
    `npx ufes geoip${option} lookup 81.2.69.160`,
    `curl --cacert ${join(state, 'tls', 'ca.crt')} --connect-to ${name}:443:${vip} https://${name}/api/orders`,
  ];
  return `\nTry, in another terminal:\n${commands.map((command) => `  ${command}\n`).join('')}\nCtrl-C drains and ends it. GeoIP: IP Geolocation by DB-IP (https://db-ip.com)\n`;
}
