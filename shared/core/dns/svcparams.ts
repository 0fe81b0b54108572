/** Parameters of SVCB and HTTPS records (RFC 9460 §2.1, §2.2): `alpn=h2,h3 ipv4hint=192.0.2.1` ⇄ wire. */
import { addressBytes } from '../ip.ts';
import { formatIp6, quoteBytes, type Token, unescapeBytes } from './text.ts';

const keys = ['mandatory', 'alpn', 'no-default-alpn', 'port', 'ipv4hint', 'ech', 'ipv6hint'] as const;

function keyNumber(text: string): number | undefined {
  const known = (keys as readonly string[]).indexOf(text);
  if (known >= 0) return known;
  const match = /^key(\d{1,5})$/.exec(text);
  return match && Number(match[1]) < 65_535 ? Number(match[1]) : undefined;
}

const keyName = (key: number): string => keys[key] ?? `key${key}`;

export function parseParams(tokens: readonly Token[]): number[] | string {
  const params = new Map<number, number[]>();
  for (const { text } of tokens) {
    const equals = text.indexOf('=');
    const name = (equals < 0 ? text : text.slice(0, equals)).toLowerCase();
    const key = keyNumber(name);
    if (key === undefined)
      return `unknown parameter ${JSON.stringify(name)}; known are ${keys.join(', ')} and keyNNNNN`;
    if (params.has(key)) return `parameter ${name} stands twice`;
    const value = parseValue(key, equals < 0 ? '' : text.slice(equals + 1));
    if (typeof value === 'string') return `parameter ${name}: ${value}`;
    params.set(key, value);
  }
  const out: number[] = [];
  for (const [key, value] of [...params].sort(([a], [b]) => a - b)) {
    out.push(key >> 8, key & 255, value.length >> 8, value.length & 255, ...value);
  }
  return out;
}

function parseValue(key: number, text: string): number[] | string {
  const items = text.split(',');
  switch (keys[key]) {
    case 'mandatory': {
      const numbers = items.map(keyNumber);
      if (numbers.some((one) => one === undefined)) return 'a list of parameter names';
      return numbers.sort((a, b) => a! - b!).flatMap((one) => [one! >> 8, one! & 255]);
    }
    case 'alpn': {
      const ids = items.map(unescapeBytes);
      if (ids.some((id) => id === undefined || id.length === 0 || id.length > 255)) return 'a list such as h2,h3';
      return ids.flatMap((id) => [id!.length, ...id!]);
    }
    case 'no-default-alpn':
      return text === '' ? [] : 'takes no value';
    case 'port': {
      const port = /^\d{1,5}$/.test(text) ? Number(text) : 65_536;
      return port <= 65_535 ? [port >> 8, port & 255] : 'a number up to 65535';
    }
    case 'ipv4hint':
    case 'ipv6hint': {
      const size = keys[key] === 'ipv4hint' ? 4 : 16;
      const addresses = items.map(addressBytes);
      if (addresses.some((one) => one?.length !== size)) return `a list of IPv${size === 4 ? 4 : 6} addresses`;
      return addresses.flatMap((one) => [...one!]);
    }
    case 'ech':
      try {
        return Array.from(atob(text), (char) => char.charCodeAt(0));
      } catch {
        return 'base64';
      }
    default:
      return unescapeBytes(text) ?? 'a wrong \\ escape';
  }
}

/** Undefined when the bytes are no parameters in rising order. */
export function formatParams(wire: Uint8Array): string | undefined {
  const parts: string[] = [];
  let last = -1;
  let at = 0;
  while (at < wire.length) {
    if (at + 4 > wire.length) return undefined;
    const key = (wire[at]! << 8) | wire[at + 1]!;
    const next = at + 4 + ((wire[at + 2]! << 8) | wire[at + 3]!);
    if (key <= last || next > wire.length) return undefined;
    const value = formatValue(key, wire.subarray(at + 4, next));
    if (value === undefined) return undefined;
    parts.push(value === '' ? keyName(key) : `${keyName(key)}=${value}`);
    last = key;
    at = next;
  }
  return parts.join(' ');
}

function formatValue(key: number, value: Uint8Array): string | undefined {
  switch (keys[key]) {
    case 'mandatory': {
      if (value.length === 0 || value.length % 2 !== 0) return undefined;
      return pieces(value, 2, (two) => keyName((two[0]! << 8) | two[1]!));
    }
    case 'alpn': {
      const ids: string[] = [];
      for (let at = 0; at < value.length; at += value[at]! + 1) {
        const id = value.subarray(at + 1, at + 1 + value[at]!);
        // Commas and the like inside an id have no text form here.
        if (id.length !== value[at] || id.length === 0 || !/^[\w./+-]+$/.test(String.fromCharCode(...id)))
          return undefined;
        ids.push(String.fromCharCode(...id));
      }
      return ids.length > 0 ? ids.join(',') : undefined;
    }
    case 'no-default-alpn':
      return value.length === 0 ? '' : undefined;
    case 'port':
      return value.length === 2 ? String((value[0]! << 8) | value[1]!) : undefined;
    case 'ipv4hint':
      return value.length > 0 && value.length % 4 === 0 ? pieces(value, 4, (four) => four.join('.')) : undefined;
    case 'ipv6hint':
      return value.length > 0 && value.length % 16 === 0 ? pieces(value, 16, formatIp6) : undefined;
    case 'ech':
      return btoa(String.fromCharCode(...value));
    default:
      return value.length === 0 ? '' : quoteBytes(value);
  }
}

function pieces(value: Uint8Array, size: number, format: (piece: Uint8Array) => string): string {
  return Array.from({ length: value.length / size }, (_, i) => format(value.subarray(i * size, (i + 1) * size))).join(
    ',',
  );
}
