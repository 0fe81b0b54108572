/**
 * HTTPS and SVCB records of steered names (RFC 9460): written by the operator, but for the hints, which are the addresses
 * that A and AAAA of the same name have at the same moment for the same client.
 *
 *     priority target │ params below 4 │ ipv4hint │ ech │ ipv6hint │ params above 6
 *                head ┘                            └ middle        └ tail
 */
import type { DesiredBinding, DesiredService } from '@ufes/core/desired.ts';
import { skipName } from '@ufes/core/dns/name.ts';
import { parseRdata } from '@ufes/core/dns/rdata.ts';
import { typeNumber } from '@ufes/core/dns/types.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { addressBytes } from '@ufes/core/ip.ts';

const ipv4hint = 4;
const ipv6hint = 6;

export interface Binding {
  readonly type: number;
  /** Rdata with the hints of one candidate, by its index. */
  readonly single: readonly Uint8Array[];
  readonly fallback: Uint8Array;
  /** Rdata with the hints of several, best first. */
  join(candidates: Uint8Array, count: number): Uint8Array;
}

/** Throws ZONE_INVALID when one cannot be read; `ufes check` has read them by the same rules. */
export function compileBindings(service: DesiredService): Binding[] {
  return (service.bindings ?? []).map((binding) => compileBinding(service, binding));
}

function compileBinding({ id, candidates, allDown }: DesiredService, { type, data }: DesiredBinding): Binding {
  const number = typeNumber(type)!;
  const rdata = parseRdata(number, data);
  if (typeof rdata === 'string') throw new OperatingError('ZONE_INVALID', `service ${id}, ${type}: ${rdata}`);
  const parts = split(rdata);
  const hintsOf = (list: readonly { readonly v4?: string; readonly v6?: string }[]) => {
    const bytes = (texts: readonly (string | undefined)[]) =>
      texts.flatMap((text) => (text ? [...addressBytes(text)!] : []));
    return write(parts, bytes(list.map(({ v4 }) => v4)), bytes(list.map(({ v6 }) => v6)));
  };
  const addresses = allDown.rule === 'fallback' ? allDown.addresses : [];
  return {
    type: number,
    single: candidates.map((candidate) => hintsOf([candidate])),
    fallback: hintsOf(addresses.map(({ family, address }) => (family === 4 ? { v4: address } : { v6: address }))),
    join: (chosen, count) => hintsOf(Array.from(chosen.subarray(0, count), (candidate) => candidates[candidate]!)),
  };
}

interface Parts {
  readonly head: number[];
  readonly middle: number[];
  readonly tail: number[];
}

/** Params stand in the order of their keys (RFC 9460 §2.2); hints that were written are left out. */
function split(rdata: Uint8Array): Parts {
  let at = skipName(rdata, 2, rdata.length);
  const parts: Parts = { head: [...rdata.subarray(0, at)], middle: [], tail: [] };
  while (at < rdata.length) {
    const key = (rdata[at]! << 8) | rdata[at + 1]!;
    const next = at + 4 + ((rdata[at + 2]! << 8) | rdata[at + 3]!);
    const part = key < ipv4hint ? parts.head : key < ipv6hint ? parts.middle : parts.tail;
    if (key !== ipv4hint && key !== ipv6hint) part.push(...rdata.subarray(at, next));
    at = next;
  }
  return parts;
}

function write({ head, middle, tail }: Parts, v4: readonly number[], v6: readonly number[]): Uint8Array {
  return Uint8Array.from([...head, ...param(ipv4hint, v4), ...middle, ...param(ipv6hint, v6), ...tail]);
}

function param(key: number, value: readonly number[]): number[] {
  return value.length === 0 ? [] : [0, key, value.length >> 8, value.length & 255, ...value];
}
