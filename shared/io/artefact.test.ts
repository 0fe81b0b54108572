import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { compareVersions, formatVersion, type Version } from '@ufes/core/version.ts';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { type ArtefactFollower, type FollowOptions, followArtefact, publishArtefact } from './artefact.ts';
import { localBus } from './bus.ts';
import { ManualClock } from './clock.ts';
import { seal, unseal } from './envelope.ts';
import { ensureSigningKeys } from './keys.ts';
import { silentLog } from './log.ts';
import { type KeptRest, readKept } from './sealed-file.ts';
import { type TestContext, testContext } from './testing.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const text = (payload: Uint8Array): string => Buffer.from(payload).toString('utf8');
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

/** A tree of a publisher and a reader, `mapper` and `dns`, on one state folder. */
async function tree({ log = silentLog, clock = new ManualClock() }: { log?: Log; clock?: ManualClock } = {}) {
  const bus = localBus();
  const mapper = await testContext({ node: 'mapper', bus, clock });
  cleanups.push(() => mapper.dispose());
  const contexts: TestContext[] = [];
  const reader = async (): Promise<TestContext> => {
    const context = await testContext({ node: 'dns', bus, clock, log, state: mapper.state });
    cleanups.push(() => context.dispose());
    contexts.push(context);
    return context;
  };
  return { mapper, bus, clock, reader };
}

interface Reading {
  follower: ArtefactFollower;
  applied: string[];
  /** Resolves when `payload` has been applied and kept, and the poll behind it is over. */
  settle(): Promise<void>;
}

function follow(context: TestContext, refuse?: (payload: string) => boolean, options?: FollowOptions): Reading {
  const applied: string[] = [];
  const apply = (payload: Uint8Array): void => {
    if (refuse?.(text(payload))) throw new Error('this map has no trie');
    applied.push(text(payload));
  };
  const follower = followArtefact(context, 'map', apply, options);
  cleanups.push(() => follower.stop());
  return {
    follower,
    applied,
    settle: async () => {
      // `stop` waits for the look under way, `start` looks once more; what is kept is not applied again.
      await follower.stop();
      const before = applied.length;
      await follower.start();
      applied.splice(before, 1);
    },
  };
}

const keptPath = (context: TestContext, which: string): string => join(context.state, 'nodes', 'dns', `map.${which}`);
const metric = async (context: TestContext, name: string): Promise<number | undefined> =>
  (await context.registry.getSingleMetric(name)!.get()).values.find((value) => value.labels['kind'] === 'map')?.value;

test('a reader applies what is there at its start and follows what comes, newest only', async () => {
  const { mapper, reader } = await tree();
  const first = await publishArtefact(mapper, 'map', bytes('one'));
  const context = await reader();
  const { follower, applied } = follow(context);
  expect(follower.version()).toBeUndefined();
  expect(follower.ageMs()).toBe(Number.POSITIVE_INFINITY);
  await follower.start();
  expect(applied).toEqual(['one']);
  expect(follower.version()).toEqual(first);
  const arrival = new Promise<void>((resolve) => context.bus.on('live', resolve));
  const second = await publishArtefact(mapper, 'map', bytes('two'));
  await arrival;
  expect(applied).toEqual(['one', 'two']);
  expect(await context.store.live.list('applied/')).toMatchObject([
    { key: 'applied/dns/map', value: { version: formatVersion(second) } },
  ]);
});

test('a lost wake-up costs a poll interval', async () => {
  const { mapper, reader, clock } = await tree();
  const context = await reader();
  const { follower, applied } = follow(context);
  await follower.start();
  await mapper.store.artefacts.put('map', { ms: clock.nowMs(), writer: 'w' }, sealWith(mapper, 'quiet', clock.nowMs()));
  const arrival = new Promise<void>((resolve) => context.bus.on('live', resolve));
  clock.advance(limits.store.pollMs);
  await arrival;
  expect(applied).toEqual(['quiet']);
});

function sealWith(context: TestContext, payload: string, ms: number, kind: 'map' | 'desired' = 'map'): Uint8Array {
  return seal(kind, { ms, writer: 'w' }, bytes(payload), ensureSigningKeys(join(context.state, 'keys')).privateKey);
}

test('a corrupt newest falls back to the one before, is named once and never tried again', async () => {
  const messages: string[] = [];
  const log: Log = { ...silentLog, error: (_fields, message) => messages.push(message) };
  const { mapper, reader, clock } = await tree({ log });
  const { ms } = await publishArtefact(mapper, 'map', bytes('good'));
  const flipped = sealWith(mapper, 'flipped', ms + 1);
  flipped[flipped.length - 1]! ^= 1;
  await mapper.store.artefacts.put('map', { ms: ms + 1, writer: 'w' }, flipped);
  await mapper.store.artefacts.put(
    'map',
    { ms: ms + 2, writer: 'w' },
    sealWith(mapper, 'cut', ms + 2).subarray(0, 146),
  );
  await mapper.store.artefacts.put('map', { ms: ms + 3, writer: 'w' }, new Uint8Array(10));
  await mapper.store.artefacts.put('map', { ms: ms + 4, writer: 'w' }, sealWith(mapper, 'desired', ms + 4, 'desired'));
  // Replay of an old sealed artefact under a newer version: a rollback that nobody signed.
  await mapper.store.artefacts.put('map', { ms: ms + 5, writer: 'w' }, sealWith(mapper, 'old', ms - 1000));
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const forged = seal('map', { ms: ms + 6, writer: 'w' }, bytes('forged'), stranger);
  await mapper.store.artefacts.put('map', { ms: ms + 6, writer: 'w' }, forged);
  const context = await reader();
  const { follower, applied, settle } = follow(context, (payload) => payload === 'inapplicable');
  await follower.start();
  expect(applied).toEqual(['good']);
  expect(messages).toHaveLength(6);
  expect(await metric(context, 'ufes_artefact_rejected_total')).toBe(6);
  await publishArtefact(mapper, 'map', bytes('inapplicable'));
  clock.advance(limits.store.pollMs);
  await settle();
  clock.advance(limits.store.pollMs);
  await settle();
  expect(applied).toEqual(['good']);
  expect(messages).toHaveLength(7);
  expect(messages[6]).toContain('no trie');
  await publishArtefact(mapper, 'map', bytes('better'));
  await settle();
  expect(applied).toEqual(['good', 'better']);
});

test('never an older version, even from a store that came back older', async () => {
  const { mapper, reader, clock } = await tree();
  await publishArtefact(mapper, 'map', bytes('one'));
  clock.advance(10);
  const second = await publishArtefact(mapper, 'map', bytes('two'));
  const { follower, applied, settle } = follow(await reader());
  await follower.start();
  await mapper.store.artefacts.prune('map', 0);
  await mapper.store.artefacts.put('map', { ms: second.ms - 5, writer: 'w' }, sealWith(mapper, 'older', second.ms - 5));
  await settle();
  expect(applied).toEqual(['two']);
  // The publisher does not reuse a version either, after a restart with a clock that went back.
  const past = await testContext({ node: 'mapper', clock: new ManualClock(1_000_000_000_000), state: mapper.state });
  cleanups.push(() => past.dispose());
  expect(compareVersions(await publishArtefact(past, 'map', bytes('three')), second)).toBeGreaterThan(0);
  await settle();
  expect(applied).toEqual(['two', 'three']);
});

test('a store that came back empty gets what is in service from a reader', async () => {
  const { mapper, reader } = await tree();
  const context = await reader();
  const { follower, settle } = follow(context);
  await follower.start();
  const version = await publishArtefact(mapper, 'map', bytes('kept'));
  await settle();
  await mapper.store.artefacts.prune('map', 0);
  expect(await mapper.store.artefacts.newestVersion('map')).toBeUndefined();
  await settle();
  expect(await mapper.store.artefacts.newestVersion('map')).toEqual(version);
});

test('publishing is in order, also at once and from two processes', async () => {
  const { mapper, reader } = await tree();
  const other = await reader();
  const versions = await Promise.all(
    [1, 2, 3, 4, 5, 6].map((i) => publishArtefact(i % 2 ? mapper : other, 'map', bytes(String(i)))),
  );
  expect(new Set(versions.map(formatVersion)).size).toBe(6);
  const listed = await mapper.store.artefacts.list('map', 100);
  expect(listed.map(formatVersion).sort()).toEqual(versions.map(formatVersion).sort());
});

test('only the newest are kept in the store', async () => {
  const { mapper } = await tree();
  for (let i = 0; i < limits.store.artefactsKept + 3; i++) await publishArtefact(mapper, 'map', bytes(`m${i}`));
  expect(await mapper.store.artefacts.list('map', 1000)).toHaveLength(limits.store.artefactsKept);
});

test('without the store a restarted reader serves what it kept, and says how old that is', async () => {
  const { mapper, reader, clock } = await tree();
  await publishArtefact(mapper, 'map', bytes('one'));
  await publishArtefact(mapper, 'map', bytes('two'));
  const before = follow(await reader());
  await before.follower.start();
  await before.follower.stop();
  rmSync(join(mapper.state, 'store.sqlite'));
  // What stands in its place is no store, and nothing can be made there.
  writeFileSync(join(mapper.state, 'store.sqlite'), 'not a database, and long enough to be looked at'.repeat(100));
  clock.advance(90_000);
  const context = await reader();
  const after = follow(context);
  await after.follower.start();
  expect(after.applied).toEqual(['two']);
  expect(after.follower.ageMs()).toBeGreaterThanOrEqual(89_990);
  expect(await metric(context, 'ufes_artefact_age_seconds')).toBeGreaterThanOrEqual(89.99);
  expect(await metric(context, 'ufes_artefact_version_ms')).toBe(after.follower.version()!.ms);
});

test('a corrupt kept file gives way to the previous one, which is not lost by the next', async () => {
  const { mapper, reader } = await tree();
  const settled = follow(await reader());
  await settled.follower.start();
  for (const payload of ['one', 'two']) {
    await publishArtefact(mapper, 'map', bytes(payload));
    await settled.settle();
  }
  await settled.follower.stop();
  const context = await reader();
  const damaged = readFileSync(keptPath(context, 'current')).subarray(0, 100);
  writeFileSync(keptPath(context, 'current'), damaged);
  await mapper.store.artefacts.prune('map', 0);
  const again = follow(context);
  await again.follower.start();
  expect(again.applied).toEqual(['one']);
  await again.follower.stop();
  await publishArtefact(mapper, 'map', bytes('three'));
  const third = follow(context);
  await third.follower.start();
  expect(third.applied).toEqual(['one', 'three']);
  const { publicKey } = ensureSigningKeys(join(context.state, 'keys'));
  expect(text(unseal('map', readFileSync(keptPath(context, 'current')), publicKey).payload)).toBe('three');
  expect(text(unseal('map', readFileSync(keptPath(context, 'previous')), publicKey).payload)).toBe('one');
});

test('a copy that cannot be kept is served all the same', async () => {
  const { mapper, reader } = await tree();
  await publishArtefact(mapper, 'map', bytes('one'));
  const context = await reader();
  writeFileSync(join(context.state, 'nodes', 'dns'), 'in the way');
  const { follower, applied } = follow(context);
  await follower.start();
  expect(applied).toEqual(['one']);
});

test('payloads are aligned, in a buffer of their own, shared when asked', async () => {
  const { mapper, reader } = await tree();
  await publishArtefact(mapper, 'map', new Uint8Array(24).fill(7));
  const context = await reader();
  const seen: Uint8Array[] = [];
  for (const options of [{}, { head: () => Number.POSITIVE_INFINITY }]) {
    const follower = followArtefact(context, 'map', (payload) => void seen.push(payload), options);
    await follower.start();
    await follower.stop();
  }
  expect(seen.map((payload) => [payload.byteOffset, payload.buffer.byteLength])).toEqual([
    [0, 24],
    [0, 24],
  ]);
  expect(new Float64Array(seen[0]!.buffer)).toHaveLength(3);
  expect(seen[0]!.buffer).toBeInstanceOf(ArrayBuffer);
  expect(seen[1]!.buffer).toBeInstanceOf(SharedArrayBuffer);
});

test('payloads, and the hashes of what stays on disk, lie in what is allocated, whatever was there before', async () => {
  const { mapper, reader } = await tree();
  const context = await reader();
  // Refused, too short to leave anything on disk, and long.
  const payloads = [bytes('bad'), bytes('short'), Uint8Array.from({ length: 300_000 }, (_, i) => i * 7)];
  const buffer = new SharedArrayBuffer(1 << 20);
  const asked: number[] = [];
  const seen: { payload: Uint8Array; rest: KeptRest | undefined }[] = [];
  const follower = followArtefact(
    context,
    'map',
    (payload, _, rest) => {
      if (text(payload) === 'bad') throw new Error('this map has no trie');
      seen.push({ payload, rest });
    },
    {
      head: () => 100_000,
      allocate: (length) => {
        asked.push(length);
        new Uint8Array(buffer).fill(0xa5);
        return buffer;
      },
    },
  );
  for (const payload of payloads) {
    await publishArtefact(mapper, 'map', payload);
    await follower.start();
    await follower.stop();
    const last = seen.at(-1);
    if (text(payload) === 'bad') continue;
    expect([last!.payload.buffer, last!.payload.byteOffset]).toEqual([buffer, 0]);
    expect(last!.payload).toEqual(payload.subarray(0, 100_000));
  }
  expect(seen.at(-1)!.rest!.hashes.buffer).toBe(buffer);
  expect(readKept(seen.at(-1)!.rest!, 299_990, 10)).toEqual(payloads[2]!.subarray(299_990));
  // Bytes of two blocks, and 32 of each of five. Starting reads what is kept once more.
  expect([...new Set(asked)]).toEqual([3, 5, 2 * 65_536 + 5 * 32]);
});

test('of a payload as much is in memory as is wanted; the rest is read from disk, checked', async () => {
  const { mapper, reader } = await tree();
  // Longer than a piece of the store, and no multiple of a block.
  const payload = Uint8Array.from({ length: (5 << 20) + 1_234 }, (_, i) => (i * 7) ^ (i >> 8));
  await publishArtefact(mapper, 'map', payload);
  const context = await reader();
  const rests: KeptRest[] = [];
  const apply = (head: Uint8Array, _: Version, rest?: KeptRest): void => {
    expect(Buffer.compare(head, payload.subarray(0, 100_000))).toBe(0);
    rests.push(rest!);
  };
  const options: FollowOptions = { head: (first) => (first.length === 65_536 ? 100_000 : 0) };
  const followOnce = async (): Promise<void> => {
    const follower = followArtefact(context, 'map', apply, options);
    await follower.start();
    await follower.stop();
  };
  const current = join(context.state, 'nodes/dns/map.current');
  // From the store first, then from the own disk.
  for (let i = 1; i <= 2; i++) {
    await followOnce();
    expect(rests).toHaveLength(i);
    for (const [offset, length] of [
      [0, 4],
      [65_530, 12],
      [payload.length - 40, 40],
    ] as const) {
      expect(readKept(rests.at(-1)!, offset, length)).toEqual(payload.subarray(offset, offset + length));
    }
    expect(readKept(rests.at(-1)!, payload.length - 3, 4)).toBeUndefined();
  }
  const sealed = readFileSync(current);
  sealed[144 + 4_000_000]! ^= 1;
  writeFileSync(current, sealed);
  expect(readKept(rests[0]!, 4_000_000, 1)).toBeUndefined();
  expect(readKept(rests[0]!, 2_000_000, 1)).toEqual(payload.subarray(2_000_000, 2_000_001));
  sealed[144 + 99_999]! ^= 1;
  writeFileSync(current, sealed);
  await followOnce();
  // The damaged file was refused, and the store's put in its place.
  expect(readFileSync(current)[144 + 99_999]).toBe(payload[99_999]);
  expect(rests).toHaveLength(3);
});

test('format 1, without hashes of blocks, is read', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const payload = bytes('payload of a map');
  const old = Buffer.from(seal('map', { ms: 1_764_000_000_000, writer: 'a1b2c3' }, payload, privateKey)).subarray(
    0,
    160,
  );
  old.writeUInt32LE(1, 8);
  createHash('sha256').update(payload).digest().copy(old, 48);
  sign(null, old.subarray(0, 80), privateKey).copy(old, 80);
  expect(text(unseal('map', old, publicKey).payload)).toBe('payload of a map');
  old[150]! ^= 1;
  expect(() => unseal('map', old, publicKey)).toThrow('does not match its hash');
});

test('the applied version is told again before it expires', async () => {
  const { mapper, reader, clock } = await tree();
  await publishArtefact(mapper, 'map', bytes('one'));
  const { follower, settle } = follow(await reader());
  await follower.start();
  for (let i = 0; i < 4; i++) {
    clock.advance(limits.store.appliedMs / 2);
    await settle();
  }
  expect(await mapper.store.live.list('applied/dns/map')).toHaveLength(1);
});

test('no byte of a sealed artefact can be changed, cut or added unnoticed', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const version: Version = { ms: 1_764_000_000_000, writer: 'a1b2c3' };
  const sealed = seal('map', version, bytes('payload of a map'), privateKey);
  expect(unseal('map', sealed, publicKey).version).toEqual(version);
  const corrupt = expect.objectContaining({ code: 'ARTEFACT_CORRUPT' });
  for (let at = 0; at < sealed.length; at++) {
    const changed = sealed.slice();
    changed[at]! ^= 0x10;
    expect(() => unseal('map', changed, publicKey), `byte ${at}`).toThrow(corrupt);
    expect(() => unseal('map', sealed.subarray(0, at), publicKey), `cut at ${at}`).toThrow(corrupt);
  }
  expect(() => unseal('map', Buffer.concat([sealed, Uint8Array.of(0)]), publicKey)).toThrow(corrupt);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
      expect(() => unseal('map', noise, publicKey)).toThrow(corrupt);
    }),
  );
});
