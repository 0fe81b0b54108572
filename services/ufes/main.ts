/** The command: `ufes COMMAND …`. One line a command here; what each does is in commands/. */

import { closest } from '@ufes/core/config/suggest.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import type { Command } from './command.ts';
import { check } from './commands/check.ts';
import { dig } from './commands/dig.ts';
import { drain, undrain } from './commands/drain.ts';
import { explain } from './commands/explain.ts';
import { fail } from './commands/fail.ts';
import { force } from './commands/force.ts';
import { geoip } from './commands/geoip.ts';
import { serviceCommand } from './commands/service.ts';
import { status } from './commands/status.ts';
import { up } from './commands/up.ts';
import { verdict } from './commands/verdict.ts';

const commands: Record<string, Command> = {
  up,
  check,
  explain,
  status,
  dig,
  fail,
  force,
  drain,
  undrain,
  verdict,
  geoip,
  dns: serviceCommand('dns', 'answers'),
  probe: serviceCommand('probe', 'measures'),
  mapper: serviceCommand('mapper', 'decides'),
  edge: serviceCommand('edge', 'forwards, for one PoP (--pop)'),
  controller: serviceCommand('controller', 'programs'),
  dashboard: serviceCommand('dashboard', 'shows'),
};

/** Exit codes, the same for every command (docs/command.md). */
const exitCodes = { ok: 0, failed: 1, usage: 2, notRunning: 3 } as const;

export async function run(args: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = args;
  if (name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(help());
    return exitCodes.ok;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const near = closest(name, Object.keys(commands));
    process.stderr.write(`ufes: no command "${name}"${near ? `; did you mean "${near}"?` : ''}\n\n${help()}`);
    return exitCodes.usage;
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(`ufes ${command.usage}\n\n${command.summary}\n${command.details ?? ''}`);
    return exitCodes.ok;
  }
  try {
    return await command.run(rest);
  } catch (thrown) {
    process.stderr.write(`ufes ${name}: ${describeError(thrown)}\n`);
    if (thrown instanceof TypeError && 'code' in thrown && String(thrown.code).startsWith('ERR_PARSE_ARGS')) {
      process.stderr.write(`usage: ufes ${command.usage}\n`);
      return exitCodes.usage;
    }
    if (thrown instanceof OperatingError && thrown.code === 'NOT_RUNNING') return exitCodes.notRunning;
    if (!(thrown instanceof OperatingError) && thrown instanceof Error) process.stderr.write(`${thrown.stack ?? ''}\n`);
    return exitCodes.failed;
  }
}

function help(): string {
  const width = Math.max(...Object.values(commands).map((command) => command.usage.length));
  const lines = Object.values(commands).map((command) => `  ufes ${command.usage.padEnd(width)}  ${command.summary}\n`);
  return `usage:\n${lines.join('')}\nufes COMMAND --help tells more. Everywhere: --state DIR (default .ufes), --json where there is output.\n`;
}
