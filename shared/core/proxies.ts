/**
 * Who a client is behind proxies: the peer of the connection, unless that is one of `trustedProxies`, whose word is taken
 * for whom it speaks for. Nobody else's is: a header that a stranger writes names nobody.
 */
import { addressBytes } from './ip.ts';

interface Trusted {
  /** 16 bytes; IPv4 as v4-mapped. */
  readonly bytes: Uint8Array;
  /** Of 128. */
  readonly length: number;
}

/** Prefixes and addresses of both families; a v4-mapped IPv6 address is the IPv4 one. */
export class TrustedProxies {
  readonly #list: readonly Trusted[];

  /** Texts that are no prefix trust nobody (check.ts tells of them). */
  constructor(texts: readonly string[] = []) {
    this.#list = texts.map(trustedOf).filter((one) => one !== undefined);
  }

  has(address: string): boolean {
    if (this.#list.length === 0) return false;
    const bytes = mapped(address);
    return bytes !== undefined && this.#list.some((one) => holds(one, bytes));
  }

  /**
   * The client that X-Forwarded-For names. Each proxy appends whom it was asked by, so the chain is read from its end for
   * as long as those who wrote it are trusted: the first other one is the client, and what stands before it is its own
   * word. Where something stands that is no address, its writer is as far as can be seen.
   */
  clientBehind(peer: string, forwardedFor: string | undefined): string {
    if (forwardedFor === undefined || !this.has(peer)) return peer;
    let client = peer;
    for (const text of forwardedFor.split(',').reverse()) {
      const address = hopAddress(text.trim());
      if (address === undefined) return client;
      client = address;
      if (!this.has(client)) return client;
    }
    return client;
  }
}

/** What is wrong with an entry of `trustedProxies`. */
export function trustProblem(text: string): string | undefined {
  const trusted = trustedOf(text);
  if (trusted === undefined) return `"${text}" is no address and no prefix, e.g. 192.0.2.10 or 192.0.2.0/24`;
  const everybody = text.includes(':') ? trusted.length === 0 : trusted.length === 96;
  return everybody ? `${text} is everybody: name the proxies` : undefined;
}

/** The address of an entry, written with a port by some: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function hopAddress(text: string): string | undefined {
  const [, v6, v4] = /^(?:\[([^\]]+)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+):\d{1,5})$/.exec(text) ?? [];
  const address = v6 ?? v4 ?? text;
  return addressBytes(address) === undefined ? undefined : address;
}

function trustedOf(text: string): Trusted | undefined {
  const [address = '', digits, ...more] = text.split('/');
  const bytes = mapped(address);
  if (bytes === undefined || more.length > 0) return undefined;
  const offset = address.includes(':') ? 0 : 96;
  if (digits !== undefined && !/^\d{1,3}$/.test(digits)) return undefined;
  const length = digits === undefined ? 128 : offset + Number(digits);
  return length <= 128 ? { bytes, length } : undefined;
}

function mapped(address: string): Uint8Array | undefined {
  const bytes = addressBytes(address);
  if (bytes?.length !== 4) return bytes;
  const whole = new Uint8Array(16);
  whole.fill(0xff, 10, 12);
  whole.set(bytes, 12);
  return whole;
}

function holds({ bytes, length }: Trusted, address: Uint8Array): boolean {
  for (let bit = 0, i = 0; bit < length; bit += 8, i++) {
    const mask = length - bit >= 8 ? 0xff : (0xff << (8 - (length - bit))) & 0xff;
    if (((bytes[i]! ^ address[i]!) & mask) !== 0) return false;
  }
  return true;
}
