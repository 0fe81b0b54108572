/** `ufes up`: everything in one process tree. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { formatProblems, readConfig } from '@ufes/io/config-file.ts';
import {
  type Command,
  givenState,
  givenStore,
  logLevel,
  logOption,
  stateFolder,
  stateOption,
  storeOption,
} from '../command.ts';
import { installDemo } from '../demo/install.ts';
import { runTree } from '../tree.ts';

export const up: Command = {
  usage: 'up [--config FILE] [--demo] [--store URL]',
  summary: 'run everything in one process tree',
  details: `
  --config FILE  default ufes.yaml
  --demo         also run origins and synthetic users; without --config: three PoPs on loopback, from STATE/ufes.yaml
  --state DIR    instead of what the configuration says
  --store URL    likewise: embedded, or a Redis (docs/redis.md); UFES_STORE where the URL has a password
  --log LEVEL    debug, info, warn (default) or error
`,
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        ...storeOption,
        ...logOption,
        config: { type: 'string' },
        demo: { type: 'boolean', default: false },
      },
    });
    const ownDemo = values.demo && values.config === undefined;
    const state = givenState(values.state);
    const path = resolve(values.config ?? (ownDemo ? installDemo(stateFolder(values.state)) : 'ufes.yaml'));
    const store = givenStore(values.store);
    const overlay = { ...(state !== undefined && !ownDemo && { state }), ...(store !== undefined && { store }) };
    const result = await readConfig(path, { overlay });
    if (!result.ok) {
      process.stderr.write(`${formatProblems(result.problems)}\n${path}: not started\n`);
      return 1;
    }
    return runTree({
      path,
      config: result.config,
      folder: result.folder,
      demo: values.demo,
      logLevel: logLevel(values.log),
      overlay,
    });
  },
};
