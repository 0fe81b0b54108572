/** `ufes probe`: the collector alone; agents, and the keys they have. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import type { AgentReport } from '@ufes/core/agents.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { parseEndpoint } from '@ufes/io/address.ts';
import { adminGet, adminPost } from '@ufes/io/admin-client.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { createLog } from '@ufes/io/log.ts';
import { systemRng } from '@ufes/io/rng.ts';
import { createAgent, formatAgentKey, type Measured, parseAgentKey } from '@ufes/probe/agent/main.ts';
import {
  ago,
  bold,
  type Command,
  dim,
  green,
  jsonOption,
  logLevel,
  logOption,
  parseDuration,
  red,
  stateFolder,
  stateOption,
  table,
  UsageError,
} from '../command.ts';
import { runService } from './service.ts';

const actions: Readonly<Record<string, (args: readonly string[]) => Promise<number>>> = {
  agent: runAgent,
  agents: listAgents,
  'agent-key': makeKey,
  'agent-revoke': revokeKey,
  leave: leaveForGood,
};

export const probe: Command = {
  usage: 'probe --config FILE | leave | agent --collector URL --key FILE | agents | agent-key NAME | agent-revoke NAME',
  summary: 'run services/probe alone: measures; or an agent, and the keys of agents',
  details: `
  --config FILE (ufes.yaml), --state DIR instead of what it says, --log LEVEL (info)

leave: the collector of --state takes no more beacons, and waits until all it took is counted; then it may be removed
  --for 60s         wait no longer

agent: measures from this host as a browser would, and reports; for a service unit (docs/agents.md)
  --collector URL   base URL of a collector, e.g. https://rum.shop.example
  --key FILE        what agent-key wrote
  --every 60s       between reports; 10 s at least
  --ca FILE         PEM of a CA to trust beside the system's, e.g. STATE/tls/ca.crt
  --dns ADDR:PORT   ask this name server for probe names; default: as the system is set up
  --once            one round, told on standard output, and an end
agent-key NAME      a key for a new agent, on standard output; --out FILE instead (0600), --from PREFIX binds it (may repeat)
agent-revoke NAME   its key is refused from now on, everywhere within ${limits.probe.agentsMs / 1000} s
agents              who has a key, from where, and reported last when; --json
`,
  run(args) {
    const [first = ''] = args;
    if (first.startsWith('-') || first === '') return runService('probe', args);
    const action = Object.hasOwn(actions, first) ? actions[first] : undefined;
    if (action === undefined) throw new UsageError(`"${first}"? leave, agent, agents, agent-key or agent-revoke`);
    return action(args.slice(1));
  },
};

async function leaveForGood(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { ...stateOption, for: { type: 'string', default: '60s' } },
  });
  const state = stateFolder(values.state);
  const endMs = systemClock.monotonicMs() + parseDuration(values.for);
  for (;;) {
    const { waiting } = await adminPost<{ waiting: number }>(state, 'probe', '/leave', {});
    if (waiting === 0) {
      process.stdout.write('all that it took is counted; it can be stopped, and its state removed\n');
      return 0;
    }
    if (systemClock.monotonicMs() >= endMs) {
      const how = `try again later, or put ${state}/probe/journal into STATE/probe/handed/ of another collector and start that one again`;
      process.stderr.write(`${waiting} records are not counted yet: ${how}\n`);
      return 1;
    }
    await new Promise((resolve) => systemClock.after(limits.store.pollMs, () => resolve(undefined)));
  }
}

async function runAgent(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...logOption,
      ...jsonOption,
      log: { type: 'string', default: 'info' },
      collector: { type: 'string' },
      key: { type: 'string' },
      every: { type: 'string', default: '60s' },
      ca: { type: 'string' },
      dns: { type: 'string' },
      once: { type: 'boolean', default: false },
    },
  });
  const { collector, key: keyFile, ca, dns } = values;
  if (collector === undefined || keyFile === undefined) throw new UsageError('--collector and --key are wanted');
  if (!URL.canParse(collector) || !/^https?:$/.test(new URL(collector).protocol)) {
    throw new UsageError(`--collector ${collector}: no http or https URL`);
  }
  const everyMs = parseDuration(values.every);
  if (everyMs < limits.probe.agentEveryMsMin) {
    throw new UsageError(
      `--every ${values.every}: ${limits.probe.agentEveryMsMin / 1000}s at least; more says nothing more`,
    );
  }
  if (dns !== undefined) parseEndpoint(dns);
  const key = parseAgentKey(readText(keyFile));
  const log = createLog({ node: `agent-${key.name}` }, logLevel(values.log));
  const agent = createAgent({
    collector,
    key,
    everyMs,
    clock: systemClock,
    rng: systemRng,
    log,
    ...(ca !== undefined && { ca: readText(ca) }),
    ...(dns !== undefined && { nameServer: dns }),
  });
  if (values.once) {
    const measured = await agent.round();
    process.stdout.write(values.json ? `${JSON.stringify(measured, null, 2)}\n` : measuredText(measured));
    return measured.some(({ ok }) => ok) ? 0 : 1;
  }
  log.info({ collector, everyMs }, 'agent measures');
  await agent.start();
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  await agent.stop();
  return 0;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperatingError('CONFIG_UNREADABLE', `${path} cannot be read`, { cause });
  }
}

function measuredText(measured: readonly Measured[]): string {
  if (measured.length === 0) return 'the plan has no targets: the collector knows of no probe zone\n';
  return table([
    ['TARGET', 'RTT', 'HANDSHAKE', ''].map(bold),
    ...measured.map(({ target, ok, rttMs, handshakeMs, problem }) => [
      target,
      ok ? `${rttMs.map((ms) => ms.toFixed(1)).join(' ')} ms` : red('not reached'),
      handshakeMs === undefined ? '' : `${handshakeMs.toFixed(1)} ms`,
      dim(problem ?? ''),
    ]),
  ]);
}

const keyOptions = { ...stateOption, by: { type: 'string' } } as const;

async function makeKey(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { ...keyOptions, from: { type: 'string', multiple: true, default: [] }, out: { type: 'string' } },
    allowPositionals: true,
  });
  const [name, ...more] = positionals;
  if (name === undefined || more.length > 0) throw new UsageError('agent-key NAME?');
  const { out, from: prefixes, by = userInfo().username } = values;
  if (out !== undefined && existsSync(out)) throw new UsageError(`--out ${out}: is there already`);
  const { key } = await adminPost<{ key: string }>(stateFolder(values.state), 'probe', '/agents', {
    name,
    prefixes,
    by,
  });
  const text = formatAgentKey(name, key);
  if (out === undefined) process.stdout.write(text);
  else {
    writeFileSync(out, text, { mode: 0o600, flag: 'wx' });
    process.stdout.write(`${out}: the key of agent ${name}; it is kept nowhere else\n`);
  }
  return 0;
}

async function revokeKey(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...args], options: keyOptions, allowPositionals: true });
  const [name, ...more] = positionals;
  if (name === undefined || more.length > 0) throw new UsageError('agent-revoke NAME?');
  const by = values.by ?? userInfo().username;
  await adminPost(stateFolder(values.state), 'probe', '/agents/revoke', { name, by });
  process.stdout.write(`agent ${name}: its key is refused from now on\n`);
  return 0;
}

async function listAgents(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { ...stateOption, ...jsonOption } });
  const { agents } = await adminGet<{ agents: AgentReport[] }>(stateFolder(values.state), 'probe', '/agents');
  if (values.json) process.stdout.write(`${JSON.stringify(agents, null, 2)}\n`);
  else if (agents.length === 0) process.stdout.write('no agent has a key; `ufes probe agent-key NAME` makes one\n');
  else process.stdout.write(agentTable(agents, systemClock.nowMs()));
  return 0;
}

function agentTable(agents: readonly AgentReport[], nowMs: number): string {
  return table([
    ['AGENT', 'LAST REPORT', 'FROM', 'REPORTS', 'MAY REPORT FROM', 'KEY SINCE', 'BY'].map(bold),
    ...agents.map(({ name, prefixes, createdAtMs, by, reports, lastSeenMs, lastPrefix }) => [
      name,
      lastSeenMs === undefined ? red('none yet') : green(`${ago(nowMs - lastSeenMs)} ago`),
      lastPrefix ?? '',
      String(reports),
      prefixes.length === 0 ? 'anywhere' : prefixes.join(' '),
      `${ago(nowMs - createdAtMs)} ago`,
      dim(by),
    ]),
  ]);
}
