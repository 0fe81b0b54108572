/** The keys that tokens are signed with: one set for all collectors (io/keyring.ts), so that a plan of one is believed by all. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Component } from '@ufes/core/ports.ts';
import { createKeyring, keySpecs } from '@ufes/io/keyring.ts';
import { ensureKeyFile } from '@ufes/io/keys.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

export interface TokenKeys {
  /** New tokens are signed with it. */
  readonly current: Uint8Array;
  /** Tokens of these are believed, the likeliest first: also of the next one, by whose clock it may be time already. */
  readonly believed: readonly Uint8Array[];
}

/** `keys` are there once started. The first set begins with STATE/keys/token.key, made when missing. */
export function createTokenKeyring(context: ServiceContext): Component & { readonly keys: TokenKeys } {
  const keys: { current: Uint8Array; believed: readonly Uint8Array[] } = { current: new Uint8Array(0), believed: [] };
  const first = ensureKeyFile(join(context.state, 'keys', 'token.key'), () => randomBytes(keySpecs.tokens.bytes));
  const use = (current: Uint8Array, previous: Uint8Array, next: Uint8Array): void => {
    keys.current = current;
    keys.believed = [current, previous, next];
  };
  return { ...createKeyring(context, keySpecs.tokens, use, first), keys };
}
