/**
 * Sets of keys that all nodes of a kind use: kept in the store's secrets and on the own disk, changed by the job `keys`.
 *
 *     changeAtMs passes:  every node by itself:  previous ← current ← next
 *                         the job `keys`:        writes that, with a new next, to the store; the nodes read it
 *
 * The next key is known to all long before it is used, so nodes need not change over at the same moment, nor the store
 * be there when they do. Where no job came for a while, whoever has the lease does its work. A node that finds neither
 * store nor disk makes keys of its own until the store is back.
 */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { writeDurably } from './kept.ts';
import type { ServiceContext } from './service.ts';

export interface KeySpec {
  /** Of the secret, and of the lease of who changes it. */
  readonly name: string;
  readonly bytes: number;
  /** Each is in use for so long, and believed for as long again. */
  readonly periodMs: number;
}

/** All there are. */
export const keySpecs = {
  /** What DNS cookies are made with (RFC 7873). */
  cookies: { name: 'dns/cookie-keys', bytes: 16, periodMs: limits.dns.cookieKeyMs },
  /** What tokens of measurement plans are signed with. */
  tokens: { name: 'probe/token-keys', bytes: 32, periodMs: limits.probe.tokenKeyMs },
} as const satisfies Record<string, KeySpec>;

interface KeySet {
  /** Hexadecimal. */
  readonly current: string;
  readonly previous: string;
  readonly next: string;
  readonly changeAtMs: number;
}

export type UseKeys = (current: Uint8Array, previous: Uint8Array, next: Uint8Array) => void;

type Parts = Pick<ServiceContext, 'state' | 'node' | 'clock' | 'rng' | 'log' | 'store'>;

/** Calls `use` before `start` resolves, and with each change. `first`: the current key of the first set, where none is known. */
export function createKeyring(context: Parts, spec: KeySpec, use: UseKeys, first?: Uint8Array): Component {
  const { clock, rng, log, store } = context;
  const path = join(context.state, 'nodes', context.node, `${basename(spec.name)}.json`);
  let held: KeySet | undefined;
  let inForce = '';
  let cancel = () => {};
  let underWay: Promise<void> | undefined;
  /** What the own disk has. */
  let written = '';

  function take(set: KeySet): void {
    held = set;
    const isChanged = clock.nowMs() >= set.changeAtMs;
    const order = isChanged ? [set.next, set.current, set.next] : [set.current, set.previous, set.next];
    if (order.join() === inForce) return;
    inForce = order.join();
    const [current, previous, next] = order.map((key) => Uint8Array.from(Buffer.from(key, 'hex')));
    use(current!, previous!, next!);
  }

  async function keep(set: KeySet): Promise<void> {
    take(set);
    const text = JSON.stringify(set);
    if (text === written) return;
    await writeDurably(path, Buffer.from(text));
    written = text;
  }

  /** What all nodes are to use: what the store has. */
  async function agree(): Promise<void> {
    const stored = readSet(spec, await store.secrets.get(spec.name));
    if (stored !== undefined) await keep(stored);
    if (stored !== undefined && clock.nowMs() < stored.changeAtMs + limits.keys.graceMs) return;
    const agreed = await change(context, spec, held);
    if (agreed !== undefined) await keep(agreed);
  }

  async function look(): Promise<void> {
    if (held !== undefined) take(held);
    try {
      await agree();
    } catch (error) {
      log.debug({ keys: spec.name, error: describeError(error) }, 'keys stay as they are, the store cannot be asked');
    }
  }

  return {
    async start() {
      const kept = readSet(spec, await readFile(path).catch(() => undefined));
      if (kept === undefined) {
        const own = firstSet(spec, rng, clock.nowMs());
        take(first === undefined ? own : { ...own, current: hex(first) });
      } else take(kept);
      await look();
      cancel = clock.every(limits.keys.pollMs, () => {
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

/**
 * The job `keys`: sets whose time has come are changed; the others, and those that no node has asked for yet, stay.
 * Rejects with STORE_UNAVAILABLE, also when somebody else is at it.
 */
export async function rotateKeys(context: Omit<Parts, 'state'>, specs: readonly KeySpec[]): Promise<void> {
  const { store, clock, log } = context;
  for (const spec of specs) {
    const stored = readSet(spec, await store.secrets.get(spec.name));
    if (stored === undefined || clock.nowMs() < stored.changeAtMs) continue;
    if ((await change(context, spec, stored)) === undefined) {
      throw new OperatingError('STORE_UNAVAILABLE', `${spec.name} are being changed by another node`);
    }
    log.info({ keys: spec.name }, 'keys changed');
  }
}

/** Under the lease: what the store has, changed when its time has come; `known` where it has none. Undefined: another has the lease. */
async function change(
  { store, clock, rng, node }: Omit<Parts, 'state'>,
  spec: KeySpec,
  known: KeySet | undefined,
): Promise<KeySet | undefined> {
  const lease = await store.leases.acquire(spec.name, node, limits.keys.leaseMs);
  if (lease === undefined) return undefined;
  try {
    // Another node may have written between our look and our lease.
    const stored = readSet(spec, await store.secrets.get(spec.name));
    const base = stored ?? known ?? firstSet(spec, rng, clock.nowMs());
    const isDue = clock.nowMs() >= base.changeAtMs;
    const set = isDue ? changed(spec, base, rng, clock.nowMs()) : base;
    if (isDue || stored === undefined) await store.secrets.put(spec.name, Buffer.from(JSON.stringify(set)));
    return set;
  } finally {
    await store.leases.release(lease);
  }
}

function firstSet(spec: KeySpec, rng: Parts['rng'], nowMs: number): KeySet {
  const key = () => hex(rng.bytes(spec.bytes));
  return { current: key(), previous: key(), next: key(), changeAtMs: nowMs + spec.periodMs };
}

function changed(spec: KeySpec, set: KeySet, rng: Parts['rng'], nowMs: number): KeySet {
  return {
    current: set.next,
    previous: set.current,
    next: hex(rng.bytes(spec.bytes)),
    changeAtMs: nowMs + spec.periodMs,
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Undefined for what is no key set. */
function readSet(spec: KeySpec, bytes: Uint8Array | undefined): KeySet | undefined {
  if (bytes === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { current, previous, next, changeAtMs } = value as Partial<Record<keyof KeySet, unknown>>;
  const isKey = (key: unknown): key is string =>
    typeof key === 'string' && key.length === 2 * spec.bytes && /^[0-9a-f]+$/.test(key);
  if (!isKey(current) || !isKey(previous) || !isKey(next) || typeof changeAtMs !== 'number') return undefined;
  return { current, previous, next, changeAtMs };
}
