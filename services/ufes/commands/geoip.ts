/** `ufes geoip build | lookup IP`. */
import { parseArgs } from 'node:util';
import { parseAddress } from '@ufes/core/ip.ts';
import { formatLookup, type Geoip, openGeoip } from '@ufes/geoip/geoip.ts';
import type { GeoipChoice } from '@ufes/geoip/sources.ts';
import { createLog } from '@ufes/io/log.ts';
import { type Command, jsonOption, stateFolder, stateOption, UsageError } from '../command.ts';

export const geoip: Command = {
  usage: 'geoip build | lookup IP…',
  summary: 'compile the GeoIP data, or look addresses up in it',
  details: `
  --city FILE, --asn FILE  an mmdb of your own in place of the builtin data
  --state DIR              whose compiled copy is used or made
  --json
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        ...jsonOption,
        city: { type: 'string', default: 'builtin' },
        asn: { type: 'string', default: 'builtin' },
      },
      allowPositionals: true,
    });
    const [action, ...addresses] = positionals;
    if ((action !== 'build' && action !== 'lookup') || (action === 'lookup' && addresses.length === 0)) {
      throw new UsageError('build, or lookup and addresses?');
    }
    const wanted = addresses.map((text) => {
      const address = parseAddress(text);
      if (address === undefined) throw new UsageError(`"${text}" is no IP address, e.g. 81.2.69.160`);
      return [text, address] as const;
    });
    const data = await openWithProgress(stateFolder(values.state), values);
    if (action === 'build')
      process.stdout.write(
        `${data.label}: ${data.v4.starts.length} IPv4 and ${data.v6.hi.length} IPv6 ranges\n${data.attribution}\n`,
      );
    for (const [text, address] of wanted) {
      const found = data.lookup(address);
      if (values.json) process.stdout.write(`${JSON.stringify({ address: text, ...found })}\n`);
      else process.stdout.write(`${text}\n${found === undefined ? '  not in the data\n' : formatLookup(found)}`);
    }
    return 0;
  },
};

/** Opens the data; a compile draws a bar on a terminal. */
export async function openWithProgress(state: string, { city, asn, update }: GeoipChoice): Promise<Geoip> {
  const tty = process.stderr.isTTY === true;
  let told = -1;
  const geo = await openGeoip({
    state,
    city,
    asn,
    ...(update && { update }),
    log: createLog({ node: 'geoip' }, 'warn'),
    onProgress: (fraction, what) => {
      const tenth = Math.floor(fraction * 10);
      if (!tty && tenth > told) process.stderr.write(`ufes: GeoIP data: ${what}, ${tenth * 10}%\n`);
      told = Math.max(told, tenth);
      const filled = Math.round(fraction * 30);
      if (tty) process.stderr.write(`\r${'█'.repeat(filled)}${'░'.repeat(30 - filled)} ${what}\u001b[K`);
    },
  });
  if (tty) process.stderr.write('\r\u001b[K');
  return geo;
}
