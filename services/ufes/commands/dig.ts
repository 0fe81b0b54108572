/** `ufes dig NAME`: a look-up with the client subnet and its scope shown. */
import { parseArgs } from 'node:util';
import type { DnsState } from '@ufes/core/dashboard.ts';
import { describeError } from '@ufes/core/errors.ts';
import { parsePrefix } from '@ufes/core/ip.ts';
import { type Endpoint, parseEndpoint } from '@ufes/io/address.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { systemRng } from '@ufes/io/rng.ts';
import type { Resource } from 'dns2';
import { bold, type Command, dim, jsonOption, stateFolder, stateOption, UsageError } from '../command.ts';
import { type LookupResult, lookup, lookupTypes } from '../lookup.ts';

export const dig: Command = {
  usage: 'dig NAME [TYPE] [--subnet PREFIX]',
  summary: 'look a name up at ufes dns, with client subnet and scope shown',
  details: `
  --subnet PREFIX        EDNS client subnet, e.g. 192.0.2.0/24 or 2001:db8::/48
  --server ADDRESS:PORT  default: where the dns of --state listens, else 127.0.0.1:5300
  --tcp, --timeout MS (2000), --state DIR, --json
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...jsonOption,
        ...stateOption,
        server: { type: 'string' },
        subnet: { type: 'string' },
        tcp: { type: 'boolean', default: false },
        timeout: { type: 'string', default: '2000' },
      },
      allowPositionals: true,
    });
    const [name, type = 'A'] = positionals;
    if (name === undefined) throw new UsageError('which name?');
    if (!Object.hasOwn(lookupTypes(), type.toUpperCase())) {
      throw new UsageError(`"${type}" is no type that can be asked for: ${Object.keys(lookupTypes()).join(' ')}`);
    }
    const subnet = values.subnet === undefined ? undefined : parsePrefix(values.subnet);
    if (values.subnet !== undefined && subnet === undefined) {
      throw new UsageError(`"${values.subnet}" is no prefix: write 192.0.2.0/24 or 2001:db8::/48`);
    }
    if (subnet?.family === 6 && !/\/([1-5]?\d|6[0-4])$/.test(values.subnet!)) {
      throw new UsageError(`${values.subnet}: a v6 subnet has at most 64 bits, e.g. 2001:db8::/48`);
    }
    const timeoutMs = Number(values.timeout);
    if (!(timeoutMs > 0)) throw new UsageError(`--timeout ${values.timeout}: milliseconds are wanted, e.g. 2000`);
    const where = values.server ?? (await ownListener(stateFolder(values.state)));
    const server = endpointOf(where);
    const result = await lookup({ server, name, type, subnet, tcp: values.tcp, timeoutMs, rng: systemRng });
    process.stdout.write(
      values.json ? `${JSON.stringify(toJson(result), null, 2)}\n` : toText(name, type, where, result),
    );
    return result.rcode === 'NOERROR' ? 0 : 1;
  },
};

const usualListener = '127.0.0.1:5300';

/** Where the dns of this state folder listens, when one runs. */
async function ownListener(state: string): Promise<string> {
  const dns = await adminGet<DnsState>(state, 'dns', '/state').catch(() => undefined);
  return dns?.listeners?.[0] ?? usualListener;
}

function endpointOf(text: string): Endpoint {
  try {
    return parseEndpoint(text);
  } catch (thrown) {
    throw new UsageError(`--server: ${describeError(thrown)}`);
  }
}

function data(record: Resource): string {
  if (record.address !== undefined) return record.address;
  if (record.primary !== undefined) {
    const { primary, admin, serial, refresh, retry, expiration, minimum } = record;
    return [primary, admin, serial, refresh, retry, expiration, minimum].join(' ');
  }
  if (record.exchange !== undefined) return `${record.priority} ${record.exchange}`;
  if (record.target !== undefined) return `${record.priority} ${record.weight} ${record.port} ${record.target}`;
  if (Array.isArray(record.data)) return record.data.map((text) => JSON.stringify(text)).join(' ');
  return record.domain ?? record.ns ?? (record.data === undefined ? '' : JSON.stringify(String(record.data)));
}

function toJson({ rcode, answers, packet, ecs, bytes, ms, transport }: LookupResult): object {
  const plain = (record: Resource) => ({
    name: record.name,
    type: typeName(record.type),
    ttlSeconds: record.ttl,
    data: data(record),
  });
  return { rcode, answers: answers.map(plain), authorities: packet.authorities.map(plain), ecs, bytes, ms, transport };
}

function typeName(type: number): string {
  return Object.entries(lookupTypes()).find(([, number]) => number === type)?.[0] ?? `TYPE${type}`;
}

function toText(
  name: string,
  type: string,
  server: string,
  { rcode, answers, packet, ecs, bytes, ms, transport }: LookupResult,
): string {
  const line = (record: Resource) =>
    `  ${record.name}  ${record.ttl} s  ${typeName(record.type)}  ${bold(data(record))}\n`;
  const subnet = ecs === undefined ? 'none' : `${ecs.address}/${ecs.source}, scope /${ecs.scope}`;
  return [
    `${name} ${type}: ${bold(rcode)}\n`,
    ...answers.map(line),
    ...packet.authorities.map(line),
    dim(`  client subnet: ${subnet}; ${bytes} bytes from ${server} over ${transport} in ${ms.toFixed(1)} ms\n`),
  ].join('');
}
