/** `ufes dig NAME`: a look-up with the client subnet and its scope shown. */
import { parseArgs } from 'node:util';
import { OperatingError } from '@ufes/core/errors.ts';
import { parsePrefix } from '@ufes/core/ip.ts';
import { parseEndpoint } from '@ufes/io/address.ts';
import { systemRng } from '@ufes/io/rng.ts';
import type { Resource } from 'dns2';
import { bold, type Command, dim, jsonOption } from '../command.ts';
import { type LookupResult, lookup, lookupTypes } from '../lookup.ts';

export const dig: Command = {
  usage: 'dig NAME [TYPE] [--subnet PREFIX]',
  summary: 'look a name up at ufes dns, with client subnet and scope shown',
  details: '\n--server ADDRESS:PORT (default 127.0.0.1:5300), --tcp, --timeout MS (default 2000)\n',
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...jsonOption,
        server: { type: 'string', default: '127.0.0.1:5300' },
        subnet: { type: 'string' },
        tcp: { type: 'boolean', default: false },
        timeout: { type: 'string', default: '2000' },
      },
      allowPositionals: true,
    });
    const [name, type = 'A'] = positionals;
    if (name === undefined) {
      process.stderr.write(`usage: ufes ${dig.usage}\ntypes: ${Object.keys(lookupTypes()).join(' ')}\n`);
      return 2;
    }
    const subnet = values.subnet === undefined ? undefined : parsePrefix(values.subnet);
    if (values.subnet !== undefined && subnet === undefined) {
      throw new OperatingError(
        'CONFIG_INVALID',
        `"${values.subnet}" is no prefix: write 192.0.2.0/24 or 2001:db8::/48`,
      );
    }
    const server = parseEndpoint(values.server);
    const result = await lookup({
      server,
      name,
      type,
      subnet,
      tcp: values.tcp,
      timeoutMs: Number(values.timeout),
      rng: systemRng,
    });
    process.stdout.write(
      values.json ? `${JSON.stringify(toJson(result), null, 2)}\n` : toText(name, type, values.server, result),
    );
    return result.rcode === 'NOERROR' ? 0 : 1;
  },
};

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
