/** `ufes dns --config FILE` and its siblings: one service in this process, joined to the others by the store alone. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { localBus } from '@ufes/io/bus.ts';
import { formatProblems, readConfig } from '@ufes/io/config-file.ts';
import { startNode } from '../child.ts';
import { type Command, logLevel as checkedLevel, givenState, stateOption, UsageError } from '../command.ts';

export function serviceCommand(service: string, does: string): Command {
  return {
    usage: `${service} --config FILE${service === 'edge' ? ' --pop POP' : ''}`,
    summary: `run services/${service} alone: ${does}`,
    details: '\n  --config FILE (ufes.yaml), --state DIR instead of what it says, --log LEVEL (info)\n',
    async run(args) {
      const { values } = parseArgs({
        args: [...args],
        options: {
          config: { type: 'string', default: 'ufes.yaml' },
          pop: { type: 'string' },
          ...stateOption,
          log: { type: 'string', default: 'info' },
        },
      });
      const state = givenState(values.state);
      const logLevel = checkedLevel(values.log);
      const result = await readConfig(values.config, state === undefined ? {} : { overlay: { state } });
      if (!result.ok) {
        process.stderr.write(`${formatProblems(result.problems)}\n`);
        return 1;
      }
      const { config, folder } = result;
      if (service === 'edge' && (values.pop === undefined || !Object.hasOwn(config.pops, values.pop))) {
        throw new UsageError(`--pop must name one of: ${Object.keys(config.pops).join(', ')}`);
      }
      const node = service === 'edge' ? `edge-${values.pop}` : service;
      const stop = await startNode(
        {
          config,
          configFolder: folder,
          configPath: resolve(values.config),
          state: resolve(folder, config.state),
          node,
          logLevel,
          bus: localBus(),
        },
        () => {},
      );
      await new Promise<void>((done) => {
        process.once('SIGINT', () => done());
        process.once('SIGTERM', () => done());
      });
      await stop();
      return 0;
    },
  };
}
