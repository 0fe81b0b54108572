/**
 * IP addresses and prefixes as numbers.
 *
 * An IPv4 address is one unsigned 32-bit number in `hi` (lo is 0). Of an IPv6 address only the first 64 bits matter for
 * steering (cells are never finer than /48, networks never finer than /64 here): `hi` holds bits 0–31, `lo` bits 32–63.
 */

export type Family = 4 | 6;

export interface Address {
  family: Family;
  hi: number;
  lo: number;
}

export interface Prefix extends Address {
  length: number;
}

/** Whom we talk to, by the whole address: DNS cookies are bound to all of it. */
export interface Peer extends Address {
  /** Bits 64–95 and 96–127 of an IPv6 address; 0 for IPv4. */
  tailHi: number;
  tailLo: number;
}

const v4Pattern = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** The 16 bytes (v6) or 4 bytes (v4) of an address in text, or undefined when it is none. A zone (`%eth0`) is refused. */
export function addressBytes(text: string): Uint8Array | undefined {
  if (v4Pattern.test(text)) return Uint8Array.from(text.split('.'), Number);
  let source = text;
  const dotted = text.lastIndexOf(':') + 1;
  if (dotted > 0 && text.includes('.', dotted)) {
    const v4 = addressBytes(text.slice(dotted));
    if (v4?.length !== 4) return undefined;
    source = `${text.slice(0, dotted)}${((v4[0]! << 8) | v4[1]!).toString(16)}:${((v4[2]! << 8) | v4[3]!).toString(16)}`;
  }
  const halves = source.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const given = groups[0]!.length + (groups[1]?.length ?? 0);
  if (halves.length === 2 ? given > 7 : given !== 8) return undefined;
  if (!groups.flat().every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  const all = [...groups[0]!, ...Array<string>(8 - given).fill('0'), ...(groups[1] ?? [])];
  return Uint8Array.from({ length: 16 }, (_, i) => (Number.parseInt(all[i >> 1]!, 16) >>> (i & 1 ? 0 : 8)) & 255);
}

/** Address in text → numbers; v4-mapped IPv6 (::ffff:0:0/96) folds to IPv4. Undefined when it is no address. */
export function parseAddress(text: string): Address | undefined {
  const bytes = addressBytes(text);
  return bytes && addressOf(bytes);
}

/** 4 or 16 bytes → numbers; v4-mapped folds to IPv4. */
export function addressOf(bytes: Uint8Array): Address {
  if (bytes.length === 4) return { family: 4, hi: be32(bytes, 0), lo: 0 };
  if (be32(bytes, 0) === 0 && be32(bytes, 4) === 0 && be32(bytes, 8) === 0xffff) {
    return { family: 4, hi: be32(bytes, 12), lo: 0 };
  }
  return { family: 6, hi: be32(bytes, 0), lo: be32(bytes, 4) };
}

export function be32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** As `parseAddress`, whole. */
export function parsePeer(text: string): Peer | undefined {
  const bytes = addressBytes(text);
  if (bytes === undefined) return undefined;
  const address = addressOf(bytes);
  const whole = address.family === 6;
  return { ...address, tailHi: whole ? be32(bytes, 8) : 0, tailLo: whole ? be32(bytes, 12) : 0 };
}

/** `192.0.2.0/24`, `2001:db8::/48`, or an address (full length: /32, and /64 for v6). Bits beyond the length are cleared. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address) return undefined;
  const most = address.family === 4 ? 32 : 128;
  const length = slash < 0 ? most : Number(text.slice(slash + 1));
  if (
    !Number.isInteger(length) ||
    length < 0 ||
    length > most ||
    (slash >= 0 && !/^\d{1,3}$/.test(text.slice(slash + 1)))
  ) {
    return undefined;
  }
  return prefixOf(address, Math.min(length, address.family === 4 ? 32 : 64));
}

/** The prefix of `length` bits (at most 32 / 64) that holds the address. */
export function prefixOf(address: Address, length: number): Prefix {
  const hi = (address.hi & mask32(Math.min(length, 32))) >>> 0;
  const lo = length > 32 ? (address.lo & mask32(length - 32)) >>> 0 : 0;
  return { family: address.family, hi, lo, length };
}

/** The unit that evidence is kept by: /24 for v4, /48 for v6. */
export function cellOf(address: Address): Prefix {
  return prefixOf(address, address.family === 4 ? 24 : 48);
}

export function mask32(length: number): number {
  return length <= 0 ? 0 : length >= 32 ? 0xffffffff : (0xffffffff << (32 - length)) >>> 0;
}

/** RFC 5952 text of the first 64 bits (v6) or the whole (v4). */
export function formatAddress(address: Address): string {
  const { family, hi, lo } = address;
  if (family === 4) return `${hi >>> 24}.${(hi >>> 16) & 255}.${(hi >>> 8) & 255}.${hi & 255}`;
  const groups = [hi >>> 16, hi & 0xffff, lo >>> 16, lo & 0xffff];
  while (groups.length > 0 && groups.at(-1) === 0) groups.pop();
  return `${groups.map((group) => group.toString(16)).join(':')}::`;
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}

/** 127.0.0.0/8 and ::1: such peers are measured like any other but enter no aggregate. */
export function isLoopback(address: Address): boolean {
  return address.family === 4 ? address.hi >>> 24 === 127 : address.hi === 0 && address.lo === 0;
}
