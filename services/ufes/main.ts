/** The command: `ufes COMMAND …`. One line a command here; what each does is in commands/. */

import { closest } from '@ufes/core/config/suggest.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { type Command, exitCodes, UsageError } from './command.ts';
import { check } from './commands/check.ts';
import { dig } from './commands/dig.ts';
import { dns } from './commands/dns.ts';
import { drain, undrain } from './commands/drain.ts';
import { explain } from './commands/explain.ts';
import { fail } from './commands/fail.ts';
import { force } from './commands/force.ts';
import { geoip } from './commands/geoip.ts';
import { history } from './commands/history.ts';
import { jobs } from './commands/jobs.ts';
import { plan } from './commands/plan.ts';
import { probe } from './commands/probe.ts';
import { quarantine } from './commands/quarantine.ts';
import { rollback } from './commands/rollback.ts';
import { serviceCommand } from './commands/service.ts';
import { status } from './commands/status.ts';
import { up } from './commands/up.ts';
import { verdict } from './commands/verdict.ts';

const commands: Record<string, Command> = {
  up,
  check,
  explain,
  plan,
  status,
  dig,
  fail,
  force,
  drain,
  undrain,
  verdict,
  history,
  rollback,
  quarantine,
  jobs,
  geoip,
  dns,
  probe,
  mapper: serviceCommand('mapper', 'decides'),
  edge: serviceCommand('edge', 'forwards, for one PoP (--pop)'),
  controller: serviceCommand('controller', 'programs'),
  dashboard: serviceCommand('dashboard', 'shows'),
};

export async function run(args: readonly string[]): Promise<number> {
  // `ufes status | head`: who read enough has gone. Nothing that cannot be said is a reason to crash.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const [first = 'help', ...rest] = args;
  const isHelp = ['help', '--help', '-h'].includes(first);
  const name = isHelp ? rest[0] : first;
  if (name === undefined) {
    process.stdout.write(help());
    return exitCodes.ok;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const near = closest(name, Object.keys(commands));
    process.stderr.write(`ufes: no command "${name}"${near ? `; did you mean "${near}"?` : ''}\n\n${help()}`);
    return exitCodes.usage;
  }
  if (isHelp || rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(`ufes ${command.usage}\n\n${command.summary}\n${command.details ?? ''}`);
    return exitCodes.ok;
  }
  try {
    return await command.run(rest);
  } catch (thrown) {
    process.stderr.write(`ufes ${name}: ${describeError(thrown)}\n`);
    return failure(thrown, command);
  }
}

function failure(thrown: unknown, command: Command): number {
  const isParsing = thrown instanceof TypeError && 'code' in thrown && String(thrown.code).startsWith('ERR_PARSE_ARGS');
  if (isParsing || thrown instanceof UsageError) {
    process.stderr.write(`usage: ufes ${command.usage}\n`);
    return exitCodes.usage;
  }
  if (thrown instanceof OperatingError) return thrown.code === 'NOT_RUNNING' ? exitCodes.notRunning : exitCodes.failed;
  if (thrown instanceof Error) process.stderr.write(`${thrown.stack ?? ''}\n`);
  return exitCodes.failed;
}

function help(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ufes ${name.padEnd(width)}  ${summary}\n`);
  return `usage:\n${lines.join('')}\nufes help COMMAND tells more. Everywhere: --state DIR (default .ufes), --json where there is output.\n`;
}
