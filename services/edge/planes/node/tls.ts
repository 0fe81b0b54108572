/**
 * Which certificate a name is served with. Immutable; a new state makes a new book, and the next handshake uses it.
 * Contexts of unchanged pairs are taken over, so that a reload costs what changed.
 */
import { createSecureContext, type SecureContext } from 'node:tls';
import { matchHost, probeSecret, type RouteTable } from '@ufes/core/routing/route-table.ts';
import type { KeyPair, KeyPairs } from '../../data-plane.ts';

export const tlsOptions = {
  minVersion: 'TLSv1.2',
  /** TLS 1.3's own, and of 1.2 those with forward secrecy and AEAD. */
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
} as const;

/** A name's certificate. Its context is made at the first handshake: most of very many hosts are never asked for. */
export class Chosen {
  /** Secret name; '' is the default certificate. Requests whose hosts have different names do not share a connection. */
  readonly name: string;
  readonly pair: KeyPair;
  #context: SecureContext | undefined;

  constructor(name: string, pair: KeyPair) {
    this.name = name;
    this.pair = pair;
  }

  get context(): SecureContext {
    this.#context ??= createSecureContext({ cert: this.pair.certificate, key: this.pair.key, ...tlsOptions });
    return this.#context;
  }
}

export class CertificateBook {
  readonly #chosen = new Map<string, Chosen>();
  readonly #table: RouteTable;
  readonly #probeSecret: string | undefined;
  readonly #default: Chosen;

  constructor(table: RouteTable, pairs: KeyPairs, defaultPair: KeyPair, before?: CertificateBook) {
    this.#table = table;
    this.#probeSecret = table.probeZone === undefined ? undefined : probeSecret(table.probeZone);
    for (const [name, pair] of pairs) this.#chosen.set(name, take(name, pair, before));
    this.#default = take('', defaultPair, before);
    this.#chosen.set('', this.#default);
  }

  /** For SNI and for a request's host (lower case, no port). Unknown names, and those whose certificate is missing: the default. */
  choose(host: string): Chosen {
    const secret = matchHost(this.#table, host)?.secret ?? this.#probeSecretOf(host);
    return (secret === undefined ? undefined : this.#chosen.get(secret)) ?? this.#default;
  }

  #probeSecretOf(host: string): string | undefined {
    const dot = host.indexOf('.');
    return dot > 0 && host.slice(dot + 1) === this.#table.probeZone ? this.#probeSecret : undefined;
  }

  named(name: string): Chosen | undefined {
    return this.#chosen.get(name);
  }
}

function take(name: string, pair: KeyPair, before: CertificateBook | undefined): Chosen {
  const known = before?.named(name);
  const same = known?.pair.fingerprint === pair.fingerprint && known.pair.key === pair.key;
  return same ? known : new Chosen(name, pair);
}
