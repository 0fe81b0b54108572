import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CookieKeys, createCookieKeys } from '@ufes/core/dns/cookie.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component, Store } from '@ufes/core/ports.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { createLog } from '@ufes/io/log.ts';
import { openStore } from '@ufes/io/store/sqlite.ts';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createCookieKeyring } from './cookie-keys.ts';

let state: string;
let clock: ManualClock;
let store: Store;
let isGone: boolean;
const running: Component[] = [];
const log = createLog({}, 'silent');

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'ufes-cookies-'));
  clock = new ManualClock();
  isGone = false;
  store = openStore({ path: join(state, 'store.sqlite'), keysFolder: join(state, 'keys'), clock, log });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  await store.close();
  rmSync(state, { recursive: true });
});

/** The store while it is there. */
const reached = (): Store => {
  if (isGone) throw new OperatingError('STORE_UNAVAILABLE', 'gone');
  return store;
};
async function node(name: string): Promise<CookieKeys> {
  const keys = createCookieKeys();
  const parts = {
    state,
    node: name,
    clock,
    log,
    rng: seededRng(`${name} ${clock.nowMs()}`),
    get store() {
      return {
        ...store,
        secrets: {
          ...store.secrets,
          get: async (secret: string) => reached().secrets.get(secret),
          put: async (secret: string, plain: Uint8Array) => reached().secrets.put(secret, plain),
        },
      };
    },
  };
  const keyring = createCookieKeyring(parts, keys);
  running.push(keyring);
  await keyring.start();
  return keys;
}
/** Current, previous and next. */
function inForce({ words }: CookieKeys): string[] {
  const bank = 1 + (words[0]! & 1) * 12;
  return [0, 4, 8].map((at) => words.slice(bank + at, bank + at + 4).join());
}
/** Lets every node look, until what they do has come to that. */
async function pass(ms: number, until: () => void): Promise<void> {
  clock.advance(ms);
  await vi.waitFor(
    () => {
      clock.advance(limits.keys.pollMs);
      until();
    },
    { timeout: 5_000, interval: 10 },
  );
}

it('all nodes have the same keys, after restarts too', async () => {
  const [a, b] = [await node('dns-a'), await node('dns-b')];
  expect(inForce(a)).toEqual(inForce(b));
  expect(new Set(inForce(a)).size).toBe(3);
  await running[0]!.stop();
  expect(inForce(await node('dns-a'))).toEqual(inForce(b));
});

it('changes daily: the next becomes the one in use, which stays good as the previous', async () => {
  const [a, b] = [await node('dns-a'), await node('dns-b')];
  for (let day = 0; day < 2; day++) {
    const [current, , next] = inForce(a);
    await pass(limits.dns.cookieKeyMs, () => {
      expect(inForce(a).slice(0, 2)).toEqual([next, current]);
      expect(inForce(a)[2]).not.toBe(next);
      expect(inForce(b)).toEqual(inForce(a));
    });
  }
});

it('without the store: from the own disk, and over to the next key all the same', async () => {
  const a = await node('dns-a');
  const [current, , next] = inForce(a);
  isGone = true;
  const again = await node('dns-a');
  expect(inForce(again)).toEqual(inForce(a));
  clock.advance(limits.dns.cookieKeyMs);
  await pass(0, () => expect(inForce(again)).toEqual([next, current, next]));
  // Back again: one change for everybody, and cookies of either key are believed by all.
  isGone = false;
  const b = await node('dns-b');
  await pass(0, () => {
    expect(inForce(again)).toEqual(inForce(b));
    expect(inForce(b).slice(0, 2)).toEqual([next, current]);
  });
});

it('with neither store nor disk: keys of its own, until the store is there', async () => {
  const a = await node('dns-a');
  isGone = true;
  const b = await node('dns-b');
  expect(inForce(b)).not.toEqual(inForce(a));
  expect(new Set(inForce(b)).size).toBe(3);
  isGone = false;
  await pass(0, () => expect(inForce(b)).toEqual(inForce(a)));
  await running.at(-1)!.stop();
  expect(await readFile(join(state, 'nodes/dns-b/cookie-keys.json'), 'utf8')).toContain('"changeAtMs"');
});

it('a damaged file counts as none', async () => {
  const a = await node('dns-a');
  await running[0]!.stop();
  writeFileSync(join(state, 'nodes/dns-a/cookie-keys.json'), '{"current":"00"}');
  expect(inForce(await node('dns-a'))).toEqual(inForce(a));
});
