/** `ufes dns`, and `ufes dns replace`: a new process in the place of the running one, without a query lost. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { adminPost } from '@ufes/io/admin-client.ts';
import { readConfig } from '@ufes/io/config-file.ts';
import { type Command, givenState, stateOption } from '../command.ts';
import type { ProcessStatus } from '../messages.ts';
import { runService, serviceCommand, serviceOptions } from './service.ts';

const plain = serviceCommand('dns', 'answers');

export const dns: Command = {
  usage: 'dns [replace] --config FILE',
  summary: `${plain.summary}; replace: take the place of the running one`,
  details: `${plain.details ?? ''}
replace: the new process takes over the sockets, answers, and then the old one leaves; no query goes without an answer.
  Under \`ufes up\` the new process is one of the tree; else this command is the new process and stays.
`,
  run: (args) => (args[0] === 'replace' ? replace(args.slice(1)) : plain.run(args)),
};

async function replace(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { ...serviceOptions, ...stateOption } });
  const status = await replaceInTree(await stateOf(values.config, givenState(values.state)));
  if (status === undefined) return runService('dns', args, true);
  process.stdout.write(`dns: replaced; process ${status.pid} answers now\n`);
  return 0;
}

async function stateOf(configPath: string, given: string | undefined): Promise<string | undefined> {
  if (given !== undefined) return resolve(given);
  const result = await readConfig(configPath);
  return result.ok ? resolve(result.folder, result.config.state) : undefined;
}

/** Undefined: no `ufes up` with a dns of its own runs there. */
async function replaceInTree(state: string | undefined): Promise<ProcessStatus | undefined> {
  if (state === undefined) return undefined;
  try {
    const timeoutMs = limits.supervisor.replaceMs;
    return await adminPost<ProcessStatus>(state, 'ufes', '/replace', { node: 'dns' }, { timeoutMs });
  } catch (error) {
    const isAlone = error instanceof OperatingError && error.code === 'NOT_FOUND';
    const isNoTree = error instanceof OperatingError && error.message.startsWith('no ufes up runs');
    if (isAlone || isNoTree) return undefined;
    throw error;
  }
}
