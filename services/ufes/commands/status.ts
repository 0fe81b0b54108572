/** `ufes status`: processes, PoPs, versions. */
import { parseArgs } from 'node:util';
import type { DnsState } from '@ufes/core/dashboard.ts';
import { describeError } from '@ufes/core/errors.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import {
  ago,
  bold,
  type Command,
  dim,
  green,
  jsonOption,
  red,
  stateFolder,
  stateOption,
  table,
  yellow,
} from '../command.ts';
import type { ProcessStatus } from '../messages.ts';

export const status: Command = {
  usage: 'status',
  summary: 'processes, PoPs and versions in service',
  async run(args) {
    const { values } = parseArgs({ args: [...args], options: { ...stateOption, ...jsonOption } });
    const state = stateFolder(values.state);
    const processes = await adminGet<ProcessStatus[]>(state, 'ufes', '/status');
    const dns = await adminGet<DnsState>(state, 'dns', '/state').catch((thrown) => describeError(thrown));
    if (values.json) {
      process.stdout.write(`${JSON.stringify({ processes, dns }, null, 2)}\n`);
      return 0;
    }
    const shade = (text: ProcessStatus['state']) =>
      text === 'ready' ? green(text) : text === 'starting' ? yellow(text) : red(text);
    process.stdout.write(
      table([
        ['PROCESS', 'STATE', 'UP', 'RSS', 'RESTARTS', 'WHY'].map(bold),
        ...processes.map((one) => [
          one.node,
          shade(one.state),
          ago(one.upMs),
          `${Math.round(one.rssBytes / 1e6)} MB`,
          String(one.restarts),
          dim(one.why),
        ]),
      ]),
    );
    if (typeof dns === 'string') {
      process.stdout.write(`\ndns does not say: ${dns}\n`);
      return 0;
    }
    process.stdout.write(`\n${popTable(dns)}\n${versionLine('map', dns.map)}${versionLine('names', dns.desired)}`);
    return 0;
  },
};

function versionLine(what: string, artefact: DnsState['map']): string {
  return `${what}: ${artefact ? `${artefact.version}, ${ago(artefact.ageSeconds * 1000)} old` : 'none yet'}\n`;
}

function popTable(dns: DnsState): string {
  const shade = (text: string) => (text === 'up' ? green(text) : text === 'down' ? red(text) : yellow(text));
  return table([
    ['POP', 'STATE', 'LOAD'].map(bold),
    ...dns.pops.map((pop) => [pop.id, shade(pop.state), `${(pop.loadPerMille / 10).toFixed(1)}%`]),
  ]);
}
