/**
 * A look-up at one name server, over UDP and then TCP when truncated, with an EDNS client subnet when asked for.
 * The messages are dns2's: another implementation than the one that answers, so that every look-up checks our wire format.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { OperatingError } from '@ufes/core/errors.ts';
import { formatAddress, type Prefix, prefixOf } from '@ufes/core/ip.ts';
import type { Rng } from '@ufes/core/ports.ts';
import { type EcsOption, Packet, type Resource } from 'dns2';

export interface LookupOptions {
  readonly server: { readonly address: string; readonly port: number };
  readonly name: string;
  /** `A`, `AAAA`, … as dns2 names them. */
  readonly type: string;
  readonly subnet?: Prefix;
  readonly tcp?: boolean;
  readonly timeoutMs: number;
  readonly rng: Rng;
}

export interface LookupResult {
  readonly packet: Packet;
  readonly rcode: string;
  readonly answers: readonly Resource[];
  /** The client subnet as echoed, with the scope. */
  readonly ecs?: { readonly address: string; readonly source: number; readonly scope: number };
  readonly bytes: number;
  readonly ms: number;
  readonly transport: 'udp' | 'tcp';
}

const rcodes = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

/** Record types by name. */
export function lookupTypes(): Readonly<Record<string, number>> {
  return Packet.TYPE;
}

export async function lookup(options: LookupOptions): Promise<LookupResult> {
  const query = encodeQuery(options);
  const started = performance.now();
  let transport: LookupResult['transport'] = options.tcp === true ? 'tcp' : 'udp';
  let bytes = transport === 'tcp' ? await overTcp(query, options) : await overUdp(query, options);
  let packet = Packet.parse(bytes);
  if (packet.header.tc === 1 && transport === 'udp') {
    transport = 'tcp';
    bytes = await overTcp(query, options);
    packet = Packet.parse(bytes);
  }
  const ms = performance.now() - started;
  const { rcode } = packet.header;
  return {
    packet,
    rcode: rcodes[rcode] ?? `RCODE${rcode}`,
    answers: packet.answers,
    ecs: ecsOf(packet),
    bytes: bytes.length,
    ms,
    transport,
  };
}

/** dns2's option with the address masked to its length, as RFC 7871 §6 asks and its own helper does not. */
function encodeQuery({ name, type, subnet, rng }: LookupOptions): Buffer {
  const packet = new Packet();
  packet.header.id = Math.floor(rng.next() * 65_536);
  const number = lookupTypes()[type.toUpperCase()];
  if (number === undefined)
    throw new OperatingError('CONFIG_INVALID', `"${type}" is no record type that can be asked for here`);
  packet.questions.push({ name, type: number, class: Packet.CLASS.IN } as Packet['questions'][number]);
  const options: EcsOption[] = [];
  if (subnet !== undefined) {
    const { family, length } = subnet;
    const ip = formatAddress(prefixOf(subnet, length));
    options.push({
      ednsCode: Packet.EDNS_OPTION_CODE.ECS,
      family: family === 4 ? 1 : 2,
      sourcePrefixLength: length,
      scopePrefixLength: 0,
      ip,
    });
  }
  packet.additionals.push(Packet.Resource.EDNS(options));
  return packet.toBuffer();
}

function ecsOf(packet: Packet): LookupResult['ecs'] {
  for (const resource of packet.additionals) {
    if (resource.type !== Packet.TYPE.EDNS) continue;
    const ecs = resource.rdata?.find((option) => option.ednsCode === Packet.EDNS_OPTION_CODE.ECS) as
      | EcsOption
      | undefined;
    if (ecs !== undefined)
      return { address: ecs.ip ?? '', source: ecs.sourcePrefixLength, scope: ecs.scopePrefixLength };
  }
  return undefined;
}

function overUdp(query: Buffer, { server, timeoutMs }: LookupOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(server.address.includes(':') ? 'udp6' : 'udp4');
    const timer = setTimeout(() => done(noAnswer(server, 'UDP', timeoutMs)), timeoutMs);
    const done = (result: Buffer | Error) => {
      clearTimeout(timer);
      socket.close();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    socket.on('message', (message) => {
      if (message.length >= 12 && message.readUInt16BE(0) === query.readUInt16BE(0)) done(message);
    });
    socket.on('error', (cause) => done(failed(server, 'UDP', cause)));
    socket.send(query, server.port, server.address, (error) => {
      if (error) done(failed(server, 'UDP', error));
    });
  });
}

function overTcp(query: Buffer, { server, timeoutMs }: LookupOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, server.address);
    const timer = setTimeout(() => socket.destroy(noAnswer(server, 'TCP', timeoutMs)), timeoutMs);
    let received = Buffer.alloc(0);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.on('connect', () => socket.write(Buffer.concat([length, query])));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      resolve(received.subarray(2, 2 + received.readUInt16BE(0)));
      socket.destroy();
    });
    socket.on('error', (cause) => reject(failed(server, 'TCP', cause)));
    socket.on('close', () => {
      clearTimeout(timer);
      reject(
        new OperatingError('NOT_RUNNING', `${server.address}:${server.port} closed the connection without an answer`),
      );
    });
  });
}

function failed(server: LookupOptions['server'], transport: string, cause: Error): OperatingError {
  if (cause instanceof OperatingError) return cause;
  return new OperatingError('NOT_RUNNING', `${transport} to ${server.address}:${server.port}`, { cause });
}

function noAnswer(server: LookupOptions['server'], transport: string, ms: number): OperatingError {
  return new OperatingError(
    'NOT_RUNNING',
    `no answer from ${server.address}:${server.port} over ${transport} within ${ms} ms`,
  );
}
