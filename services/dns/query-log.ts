/**
 * The sampled query log: one query in so many, with its answer, as a line of JSON in a file. Threads copy the packets
 * of a sampled query aside; reading and writing them is the main thread's work, so that the log costs nothing when off
 * and next to nothing when on. What the disk cannot take in time is left out and counted.
 *
 *     {"at":"2026-11-24T07:00:00.000Z","transport":"udp","resolver":"192.0.2.53","name":"www.shop.example.","type":"A",
 *      "subnet":"198.51.100.0/24","rcode":"NOERROR","scope":24,"addresses":["192.0.2.1"],"ttlSeconds":60,"bytes":63,
 *      "query":"EjQBAAAB…","answer":"EjSFAAAB…"}
 *
 * `query` and `answer` are the packets in base64, an answer of more than half a kilobyte cut: what is needed to make an
 * answer of the past again (past.ts).
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { EcsFamily } from '@ufes/core/dns/ecs.ts';
import { createQuery, Decoded, decodeQuery, headerBytes } from '@ufes/core/dns/message.ts';
import { nameToText, skipName } from '@ufes/core/dns/name.ts';
import { formatRdata } from '@ufes/core/dns/rdata.ts';
import { Option, type Rcode, rcodeNames, Type, typeName } from '@ufes/core/dns/types.ts';
import { addressOf, formatAddress, formatPrefix, type Peer, prefixOf } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';

export interface Exchange {
  readonly atMs: number;
  readonly peer: Peer;
  readonly overTcp: boolean;
  readonly query: Uint8Array;
  /** Perhaps cut; empty when there was none. */
  readonly answer: Uint8Array;
  /** Of the whole answer. */
  readonly answerBytes: number;
}

export class QueryLog {
  readonly #path: string;
  readonly #log: Log;
  readonly #query = createQuery();
  #file: WriteStream | undefined;
  /** Lines that the disk had no time for. */
  left = 0;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  write(exchange: Exchange): void {
    this.#file ??= this.#open();
    if (this.#file.writableLength > limits.dns.queryLogBytes) this.left++;
    else this.#file.write(`${JSON.stringify(this.#line(exchange))}\n`);
  }

  close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    return file === undefined || file.destroyed
      ? Promise.resolve()
      : new Promise((resolve) => file.end(() => resolve()));
  }

  #open(): WriteStream {
    const file = createWriteStream(this.#path, { flags: 'a', mode: 0o640 });
    file.on('error', (error) => {
      this.#log.error({ file: this.#path, error: error.message }, 'dns: query log cannot be written');
    });
    return file;
  }

  #line({ atMs, peer, overTcp, query, answer, answerBytes }: Exchange): object {
    const decoded = decodeQuery(query, this.#query);
    const { name, type, edns, hasQuestion } = this.#query;
    const { subnet } = edns;
    const isRead = hasQuestion && decoded !== Decoded.drop;
    return {
      at: new Date(atMs).toISOString(),
      transport: overTcp ? 'tcp' : 'udp',
      resolver: peerText(peer),
      ...(isRead ? { name: nameToText(name.bytes.subarray(0, name.length)), type: typeName(type) } : {}),
      ...(isRead && subnet.present ? { subnet: subnetText(subnet) } : {}),
      ...readAnswer(answer),
      bytes: answerBytes,
      query: Buffer.from(query).toString('base64'),
      answer: Buffer.from(answer).toString('base64'),
    };
  }
}

/** All of its bits: some IPv6 addresses have an IPv4 one at their end, by which they are placed. */
function peerText(peer: Peer): string {
  if (peer.family === 4) return formatAddress(peer);
  const words = [peer.hi, peer.lo, peer.tailHi, peer.tailLo];
  const groups = words.flatMap((word) => [(word >>> 16).toString(16), (word & 0xffff).toString(16)]);
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function subnetText({ family, source, address }: { family: number; source: number; address: Uint8Array }): string {
  const whole = family === EcsFamily.v4 ? address.subarray(0, 4) : address;
  const at = addressOf(whole);
  return formatPrefix(prefixOf(at, Math.min(source, at.family === 4 ? 32 : 64)));
}

/** Our own answers: nothing here guards against loops, but nothing reads past the end either. */
function readAnswer(answer: Uint8Array): object {
  if (answer.length < headerBytes) return { rcode: 'none' };
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  const end = answer.length;
  const addresses: string[] = [];
  let ttlSeconds: number | undefined;
  let scope: number | undefined;
  let upper = 0;
  let at = headerBytes;
  if (view.getUint16(4) === 1) {
    const afterName = skipName(answer, at, end);
    at = afterName < 0 ? end : afterName + 4;
  }
  for (let left = view.getUint16(6) + view.getUint16(8) + view.getUint16(10); left > 0; left--) {
    at = skipName(answer, at, end);
    if (at < 0 || at + 10 > end) break;
    const type = view.getUint16(at);
    const next = at + 10 + view.getUint16(at + 8);
    if (next > end) break;
    if (type === Type.A || type === Type.AAAA) {
      addresses.push(formatRdata(type, answer.subarray(at + 10, next)) ?? '');
      ttlSeconds ??= view.getUint32(at + 4);
    }
    if (type === Type.OPT) {
      upper = answer[at + 4]!;
      scope = scopeIn(answer.subarray(at + 10, next));
    }
    at = next;
  }
  const rcode = ((upper << 4) | (answer[3]! & 15)) as Rcode;
  return {
    rcode: rcodeNames[rcode] ?? String(rcode),
    ...((answer[2]! & 2) === 0 ? {} : { truncated: true }),
    ...(scope === undefined ? {} : { scope }),
    ...(addresses.length === 0 ? {} : { addresses, ttlSeconds }),
  };
}

function scopeIn(options: Uint8Array): number | undefined {
  for (let at = 0; at + 4 <= options.length; ) {
    if (((options[at]! << 8) | options[at + 1]!) === Option.clientSubnet) return options[at + 7];
    at += 4 + ((options[at + 2]! << 8) | options[at + 3]!);
  }
  return undefined;
}
