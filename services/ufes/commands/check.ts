/** `ufes check FILE`: every error of a configuration at once. */
import { parseArgs } from 'node:util';
import { formatProblems, readConfig } from '@ufes/io/config-file.ts';
import { type Command, jsonOption, UsageError } from '../command.ts';

export const check: Command = {
  usage: 'check FILE',
  summary: 'validate a configuration (a YAML file or a folder of them)',
  details:
    '\nExit 0: it is right. Exit 1: each problem is printed as FILE:LINE:COLUMN: KEY: what is wrong and what would be right.\n',
  async run(args) {
    const { values, positionals } = parseArgs({ args: [...args], options: { ...jsonOption }, allowPositionals: true });
    if (positionals.length > 1) throw new UsageError('one file or folder at a time');
    const path = positionals[0] ?? 'ufes.yaml';
    const result = await readConfig(path, { withGeoip: true });
    if (values.json)
      process.stdout.write(
        `${JSON.stringify(result.ok ? { ok: true } : { ok: false, problems: result.problems }, null, 2)}\n`,
      );
    else if (result.ok) {
      const { pops, services, zones } = result.config;
      const count = (map: object, one: string) => {
        const { length } = Object.keys(map);
        return `${length} ${one}${length === 1 ? '' : 's'}`;
      };
      process.stdout.write(
        `${path}: right (${count(pops, 'PoP')}, ${count(services, 'service')}, ${count(zones, 'zone')})\n`,
      );
    } else
      process.stderr.write(
        `${formatProblems(result.problems)}\n${path}: ${result.problems.length} problem${result.problems.length === 1 ? '' : 's'}\n`,
      );
    return result.ok ? 0 : 1;
  },
};
