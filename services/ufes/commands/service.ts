/** `ufes dns --config FILE` and its siblings: one service in this process, joined to the others by the store alone. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeError } from '@ufes/core/errors.ts';
import { localBus } from '@ufes/io/bus.ts';
import { formatProblems, readConfig } from '@ufes/io/config-file.ts';
import { checkStore } from '@ufes/io/context.ts';
import { startNode } from '../child.ts';
import {
  type Command,
  logLevel as checkedLevel,
  givenState,
  givenStore,
  stateOption,
  storeOption,
  UsageError,
} from '../command.ts';

export function serviceCommand(service: string, does: string): Command {
  return {
    usage: `${service} --config FILE${service === 'edge' ? ' --pop POP' : ''}`,
    summary: `run services/${service} alone: ${does}`,
    details: '\n  --config FILE (ufes.yaml), --state DIR and --store URL instead of what it says, --log LEVEL (info)\n',
    run: (args) => runService(service, args),
  };
}

export const serviceOptions = {
  config: { type: 'string', default: 'ufes.yaml' },
  pop: { type: 'string' },
  log: { type: 'string', default: 'info' },
} as const;

/** Until SIGINT or SIGTERM, or until another process has taken its place. `replaces`: this one takes another's. */
export async function runService(service: string, args: readonly string[], replaces = false): Promise<number> {
  const { values } = parseArgs({ args: [...args], options: { ...serviceOptions, ...stateOption, ...storeOption } });
  const state = givenState(values.state);
  const store = givenStore(values.store);
  const logLevel = checkedLevel(values.log);
  const overlay = { ...(state !== undefined && { state }), ...(store !== undefined && { store }) };
  const result = await readConfig(values.config, { overlay });
  if (!result.ok) {
    process.stderr.write(`${formatProblems(result.problems)}\n`);
    return 1;
  }
  const { config, folder } = result;
  if (service === 'edge' && (values.pop === undefined || !Object.hasOwn(config.pops, values.pop))) {
    throw new UsageError(`--pop must name one of: ${Object.keys(config.pops).join(', ')}`);
  }
  const stateHere = resolve(folder, config.state);
  // One that is restarted serves what it kept, whatever became of the store: said, and no reason to stay away.
  const told = checkStore({ store: config.store, configFolder: folder, state: stateHere });
  for (const line of await told.catch((thrown) => [describeError(thrown)])) process.stderr.write(`ufes: ${line}\n`);
  let leave = () => {};
  const ended = new Promise<'stopped' | 'replaced'>((resolve) => {
    leave = () => resolve('replaced');
    process.once('SIGINT', () => resolve('stopped'));
    process.once('SIGTERM', () => resolve('stopped'));
  });
  const stop = await startNode(
    {
      config,
      configFolder: folder,
      configPath: resolve(values.config),
      state: stateHere,
      node: service === 'edge' ? `edge-${values.pop}` : service,
      logLevel,
      bus: localBus(),
      replaces,
      leave: () => leave(),
    },
    () => {},
  );
  const isReplaced = (await ended) === 'replaced';
  await stop(isReplaced);
  // Its admin server is not closed, so that the path stays the other's: it would keep this process alive.
  if (isReplaced) process.exit(0);
  return 0;
}
