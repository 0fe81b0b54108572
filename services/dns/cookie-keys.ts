/** The keys of DNS cookies: one set for all nodes (io/keyring.ts). */
import { type CookieKeys, setCookieKeys } from '@ufes/core/dns/cookie.ts';
import type { Component } from '@ufes/core/ports.ts';
import { createKeyring, keySpecs } from '@ufes/io/keyring.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

type Parts = Pick<ServiceContext, 'state' | 'node' | 'clock' | 'rng' | 'log' | 'store'>;

/** Once started, `keys` are good for use, and stay so. */
export function createCookieKeyring(context: Parts, keys: CookieKeys): Component {
  return createKeyring(context, keySpecs.cookies, (current, previous, next) => {
    setCookieKeys(keys, current, previous, next);
  });
}
