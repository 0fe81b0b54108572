/**
 * Whether a beacon is taken, and for which prefix it speaks.
 *
 *     token ─ ours? ─▶ not expired? ─▶ of this client? ─▶ caps ─▶ { prefix, isLoose }
 *               └ forged   └ expired       └ foreign-prefix └ over-address-cap, over-prefix-cap
 *
 * A token is bound to the prefix that asked for the plan. PoPs may see another one, of the other family or behind a
 * carrier's NAT, and the beacon come from a third: the sample is of the prefix that a PoP saw, or when none has told yet,
 * of where the beacon came from. Within one AS it is taken; as *loose* evidence, which never outranks what an edge has
 * timed, unless that prefix had the plan. Nothing a client claims says whom it speaks for.
 */
import { type Address, cellOf, formatPrefix, parsePrefix } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Rng } from '@ufes/core/ports.ts';
import { HourlyCounts } from './caps.ts';
import { Refusal } from './refusals.ts';
import { labelOf, type TokenClaims, verifyToken } from './token.ts';
import type { TokenKeys } from './token-keys.ts';

/** 0: no cap. */
export interface Caps {
  readonly addressPerHour: number;
  readonly prefixPerHour: number;
}

export interface AdmissionParts {
  readonly tokenKeys: TokenKeys;
  readonly caps: Caps;
  /** Number of a client's network; 0 or undefined: not known. */
  readonly asnOf: (client: Address) => number | undefined;
  /** Prefix that a PoP saw a plan's probe names asked from, when one has told. */
  readonly sawAt: (label: string) => string | undefined;
  readonly rng: Rng;
}

export interface Admitted {
  readonly claims: TokenClaims;
  readonly prefix: string;
  readonly isLoose: boolean;
}

export class Admission {
  readonly #parts: AdmissionParts;
  readonly #addresses: HourlyCounts;
  readonly #prefixes: HourlyCounts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#addresses = new HourlyCounts(limits.probe.cappedAddresses, parts.rng.bytes(8));
    this.#prefixes = new HourlyCounts(limits.probe.cappedPrefixes, parts.rng.bytes(8));
  }

  /** Of the tables, whatever was counted. */
  get bytes(): number {
    return this.#addresses.bytes + this.#prefixes.bytes;
  }

  get evicted(): number {
    return this.#addresses.evicted + this.#prefixes.evicted;
  }

  /** Throws a Refusal. Agents have caps of their own. */
  admit(token: string, client: Address, nowMs: number, isCapped = true): Admitted {
    const claims = verifyToken(this.#parts.tokenKeys.believed, token, nowMs);
    const cell = cellOf(client);
    const own = formatPrefix(cell);
    const prefix = this.#parts.sawAt(labelOf(claims.id)) ?? own;
    for (const other of [claims.prefix, prefix]) {
      if (other === own || this.#isSameNetwork(other, client)) continue;
      const what = other === claims.prefix ? 'was given to' : 'was used by';
      throw new Refusal('foreign-prefix', `the token ${what} another network than ${own}`);
    }
    const isLoose = prefix !== claims.prefix;
    if (isCapped) this.#count(client, cell, nowMs);
    return { claims, prefix, isLoose };
  }

  #isSameNetwork(text: string, client: Address): boolean {
    const planned = parsePrefix(text);
    const own = this.#parts.asnOf(client);
    return planned !== undefined && own !== undefined && own > 0 && this.#parts.asnOf(planned) === own;
  }

  #count(client: Address, cell: Address, nowMs: number): void {
    const { addressPerHour, prefixPerHour } = this.#parts.caps;
    if (addressPerHour > 0 && this.#addresses.add(client, nowMs) > addressPerHour) {
      throw new Refusal('over-address-cap', `more than ${addressPerHour} beacons of one address in an hour`);
    }
    if (prefixPerHour > 0 && this.#prefixes.add(cell, nowMs) > prefixPerHour) {
      throw new Refusal(
        'over-prefix-cap',
        `more than ${prefixPerHour} beacons of ${formatPrefix(cellOf(cell))} in an hour`,
      );
    }
  }
}
