/**
 * The keys of DNS cookies: one set for all nodes, kept in the store's secrets and on the own disk, changed every day.
 *
 *     changeAtMs passes:  every node by itself:  previous ← current ← next
 *                         whoever has the lease: writes that, with a new next, to the store; the others read it
 *
 * The next key is known to all long before it is used, so nodes need not change over at the same moment, nor the store
 * be there when they do. A node that finds neither store nor disk makes keys of its own until the store is back.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CookieKeys, setCookieKeys } from '@ufes/core/dns/cookie.ts';
import { describeError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { writeDurably } from '@ufes/io/kept.ts';
import type { ServiceContext } from '@ufes/io/service.ts';

interface KeySet {
  /** Hexadecimal, 16 bytes. */
  readonly current: string;
  readonly previous: string;
  readonly next: string;
  readonly changeAtMs: number;
}

/** Name of the secret, and of the lease of who changes it. */
const name = 'dns/cookie-keys';
const leaseMs = 10_000;

type Parts = Pick<ServiceContext, 'state' | 'node' | 'clock' | 'rng' | 'log' | 'store'>;

/** Once started, `keys` are good for use, and stay so. */
export function createCookieKeyring(context: Parts, keys: CookieKeys): Component {
  const { clock, rng, log, store } = context;
  const path = join(context.state, 'nodes', context.node, 'cookie-keys.json');
  let held: KeySet | undefined;
  let inForce = '';
  let cancel = () => {};
  let underWay: Promise<void> | undefined;
  /** What the own disk has. */
  let written = '';

  const newKey = () => Buffer.from(rng.bytes(16)).toString('hex');

  function use(set: KeySet): void {
    held = set;
    const changed = clock.nowMs() >= set.changeAtMs;
    const order = changed ? [set.next, set.current, set.next] : [set.current, set.previous, set.next];
    if (order.join() === inForce) return;
    inForce = order.join();
    const [current, previous, next] = order.map((key) => Uint8Array.from(Buffer.from(key, 'hex')));
    setCookieKeys(keys, current!, previous!, next!);
  }

  async function keep(set: KeySet): Promise<void> {
    use(set);
    const text = JSON.stringify(set);
    if (text === written) return;
    await writeDurably(path, Buffer.from(text));
    written = text;
  }

  /** What all nodes are to use: what the store has, brought up to date by whoever holds the lease. */
  async function agree(): Promise<void> {
    const stored = readSet(await store.secrets.get(name));
    if (stored !== undefined) await keep(stored);
    if (stored !== undefined && clock.nowMs() < stored.changeAtMs) return;
    const lease = await store.leases.acquire(name, context.node, leaseMs);
    if (lease === undefined) return;
    // Another node may have written between our look and our lease.
    const again = readSet(await store.secrets.get(name));
    const base = again ?? held!;
    if (again === undefined || clock.nowMs() >= again.changeAtMs) {
      const set = again === undefined && clock.nowMs() < base.changeAtMs ? base : changed(base);
      await store.secrets.put(name, Buffer.from(JSON.stringify(set)));
      await keep(set);
    } else await keep(again);
    await store.leases.release(lease);
  }

  function changed(set: KeySet): KeySet {
    return {
      current: set.next,
      previous: set.current,
      next: newKey(),
      changeAtMs: clock.nowMs() + limits.dns.cookieKeyMs,
    };
  }

  async function look(): Promise<void> {
    if (held !== undefined) use(held);
    try {
      await agree();
    } catch (error) {
      log.debug({ error: describeError(error) }, 'dns: cookie keys stay as they are, the store cannot be asked');
    }
  }

  return {
    async start() {
      const kept = readSet(await readFile(path).catch(() => undefined));
      if (kept !== undefined) use(kept);
      else {
        const changeAtMs = clock.nowMs() + limits.dns.cookieKeyMs;
        use({ current: newKey(), previous: newKey(), next: newKey(), changeAtMs });
      }
      await look();
      cancel = clock.every(limits.dns.cookiePollMs, () => {
        underWay ??= look().finally(() => {
          underWay = undefined;
        });
      });
    },
    async stop() {
      cancel();
      await underWay;
    },
  };
}

/** Undefined for what is no key set. */
function readSet(bytes: Uint8Array | undefined): KeySet | undefined {
  if (bytes === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { current, previous, next, changeAtMs } = value as Partial<Record<keyof KeySet, unknown>>;
  if (!isKey(current) || !isKey(previous) || !isKey(next) || typeof changeAtMs !== 'number') return undefined;
  return { current, previous, next, changeAtMs };
}

function isKey(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
}
