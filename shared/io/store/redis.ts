/**
 * The distributed store, in Redis: standalone, by Sentinels, or a Cluster. What each part promises is said in ports.ts and
 * held to it by test/conformance.
 *
 *     PREFIX:{artefact/KIND}:versions      sorted set of TIME-WRITER, by text      …:VERSION   hash: offset → piece
 *     PREFIX:{live}:values | keys | expiry hash key → JSON; sorted sets of keys, by text and by expiry
 *     PREFIX:{shard/N}:lease/NAME          hash: fence, owner, expires             leases named …/N, beside what they fence
 *     PREFIX:{shard/N}:offsets | rows | tokens                                     redis-evidence.ts
 *     PREFIX:{secret}:sealed               hash: name → sealed
 *     PREFIX:{audit}:entries               list, newest first
 *     PREFIX:{history/STREAM}:…                                                    redis-history.ts
 *
 * What belongs together has one hash tag, and is changed by one script: all of it or nothing, also in a Cluster, and when
 * Redis is full (it refuses a script's first write, not a later one: so what needs room comes first).
 * Times are those of the callers' clocks. How durable "written" is, Redis's configuration says (docs/redis.md).
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { ArtefactStore, AuditLog, Clock, LeaseStore, LiveStore, SecretStore, Store } from '@ufes/core/ports.ts';
import { formatVersion, parseVersion, type Version } from '@ufes/core/version.ts';
import { type RedisLink, script } from '../redis/link.ts';
import { bytesIn, jsonIn, textsIn } from '../redis/replies.ts';
import { redisEvidence, shardTag } from './redis-evidence.ts';
import { redisHistory } from './redis-history.ts';
import { openSecret, sealSecret, secretKey } from './seal.ts';

export interface RedisStoreOptions {
  /** Closed with the store. */
  readonly link: RedisLink;
  /** STATE/keys, for the key that secrets are encrypted with. */
  readonly keysFolder: string;
  readonly clock: Clock;
  readonly random: (bytes: number) => Uint8Array;
}

export function redisStore({ link, keysFolder, clock, random }: RedisStoreOptions): Store {
  return {
    artefacts: artefactStore(link, random),
    live: liveStore(link, clock),
    evidence: redisEvidence(link),
    leases: leaseStore(link, clock),
    secrets: secretStore(link, keysFolder),
    audit: auditLog(link),
    history: redisHistory(link),
    close: async () => link.close(),
  };
}

// --- Artefacts -----------------------------------------------------------------------------------------------------

const upload = script(`
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])`);

/** Nothing: it is published. Else the newest, which is no older; or '' when what was uploaded is not there any more. */
const publish = script(`
  local newest = redis.call('ZRANGE', KEYS[1], 0, 0, 'REV')[1]
  if redis.call('EXISTS', KEYS[2]) == 0 then return '' end
  redis.call('ZADD', KEYS[1], 0, ARGV[1])
  if newest == ARGV[1] then return newest end
  if redis.call('ZRANGE', KEYS[1], 0, 0, 'REV')[1] ~= ARGV[1] then
    if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
    return newest
  end
  redis.call('RENAME', KEYS[2], KEYS[3])
  redis.call('PERSIST', KEYS[3])
  return false`);

const prune = script(`
  for _, version in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], -1, 'REV')) do
    redis.call('ZREM', KEYS[1], version)
    redis.call('UNLINK', ARGV[2] .. version)
  end`);

/** Sorts by text as versions sort. */
function memberOf({ ms, writer }: Version): string {
  return formatVersion({ ms, writer }).padStart(15 + 1 + writer.length, '0');
}

function versionIn(member: string | undefined): Version | undefined {
  return member === undefined ? undefined : parseVersion(member);
}

function artefactStore(link: RedisLink, random: (bytes: number) => Uint8Array): ArtefactStore {
  const key = (kind: string, rest: string): string => link.key(`artefact/${kind}`, rest);
  const list = async (kind: string, limit: number): Promise<Version[]> => {
    if (limit <= 0) return [];
    const found = textsIn(await link.command('zrange', key(kind, 'versions'), 0, limit - 1, 'REV'));
    return found.map((member) => versionIn(member)!);
  };
  const read = async (kind: string, version: Version, offset: number): Promise<Uint8Array | undefined> =>
    bytesIn(await link.command('hget', key(kind, memberOf(version)), offset));
  return {
    put: async (kind, version, sealed) => {
      // Under a name of its own: a version that is published stays as it is.
      const uploaded = key(kind, `upload/${Buffer.from(random(9)).toString('base64url')}`);
      for (let at = 0; at === 0 || at < sealed.length; at += limits.redis.pieceBytes) {
        const piece = sealed.subarray(at, at + limits.redis.pieceBytes);
        await link.script(upload, [uploaded], [at, piece, limits.redis.uploadMs]);
      }
      const member = memberOf(version);
      const newest = await link.script(publish, [key(kind, 'versions'), uploaded, key(kind, member)], [member]);
      if (newest === null) return;
      const last = versionIn(String(newest));
      if (last === undefined) throw new OperatingError('STORE_UNAVAILABLE', `the upload of ${kind} took too long`);
      throw new OperatingError(
        'ARTEFACT_STALE',
        `${kind} ${formatVersion(version)} is not newer than ${formatVersion(last)}, which is published`,
      );
    },
    newestVersion: async (kind) => (await list(kind, 1))[0],
    get: async (kind, version) => {
      const pieces: Uint8Array[] = [];
      let length = 0;
      for (;;) {
        const piece = await read(kind, version, length);
        if (piece === undefined) return pieces.length < 2 ? pieces[0] : Buffer.concat(pieces);
        pieces.push(piece);
        length += piece.length;
        if (piece.length === 0) return piece;
      }
    },
    read,
    list,
    prune: async (kind, keep) => {
      await link.script(prune, [key(kind, 'versions')], [keep, key(kind, '')]);
    },
  };
}

// --- Live state ----------------------------------------------------------------------------------------------------

const putLive = script(`
  for i = 2, #ARGV, 3 do
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    redis.call('ZADD', KEYS[2], 0, ARGV[i])
    redis.call('ZADD', KEYS[3], ARGV[i + 2], ARGV[i])
  end
  for _, key in ipairs(redis.call('ZRANGE', KEYS[3], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, 1000)) do
    redis.call('HDEL', KEYS[1], key)
    redis.call('ZREM', KEYS[2], key)
    redis.call('ZREM', KEYS[3], key)
  end`);

const listLive = script(`
  local found = {}
  for _, key in ipairs(redis.call('ZRANGE', KEYS[2], ARGV[1], ARGV[2], 'BYLEX')) do
    found[#found + 1] = key
    found[#found + 1] = redis.call('HGET', KEYS[1], key)
  end
  return found`);

const removeLive = script(`
  for _, key in ipairs(ARGV) do
    redis.call('HDEL', KEYS[1], key)
    redis.call('ZREM', KEYS[2], key)
    redis.call('ZREM', KEYS[3], key)
  end`);

interface LiveValue {
  readonly value: unknown;
  readonly writtenAtMs: number;
  readonly expiresAtMs: number;
}

function liveStore(link: RedisLink, clock: Clock): LiveStore {
  const keys = ['values', 'keys', 'expiry'].map((rest) => link.key('live', rest));
  return {
    put: async (entries) => {
      const nowMs = Math.floor(clock.nowMs());
      const args = entries.flatMap(({ key, value, ttlMs }) => {
        const expiresAtMs = nowMs + Math.ceil(ttlMs);
        const kept: LiveValue = { value: value ?? null, writtenAtMs: nowMs, expiresAtMs };
        return [key, JSON.stringify(kept), expiresAtMs];
      });
      await link.script(putLive, keys, [nowMs, ...args]);
    },
    list: async (prefix) => {
      const nowMs = clock.nowMs();
      // No byte of UTF-8 is 255.
      const after = Buffer.concat([Buffer.from(`(${prefix}`), Uint8Array.of(255)]);
      const found = (await link.script(listLive, keys, [`[${prefix}`, after])) as Buffer[];
      return pairs(found).flatMap(([key, json]) => {
        const kept = jsonIn(json) as LiveValue;
        return kept.expiresAtMs > nowMs ? [{ key: String(key), ...kept }] : [];
      });
    },
    remove: async (removed) => {
      await link.script(removeLive, keys, removed);
    },
  };
}

function pairs<T>(flat: readonly T[]): [T, T][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}

// --- Leases --------------------------------------------------------------------------------------------------------

/** A fence is never below the time it was given at: a store that came back older gives none a second time. */
const acquire = script(`
  local held = redis.call('HMGET', KEYS[1], 'fence', 'owner', 'expires')
  local fence = held[1]
  if held[2] ~= ARGV[1] then
    if held[3] and tonumber(held[3]) > tonumber(ARGV[2]) then return false end
    fence = string.format('%.0f', math.max(tonumber(fence or '0') + 1, tonumber(ARGV[2])))
  end
  redis.call('HSET', KEYS[1], 'fence', fence, 'owner', ARGV[1], 'expires', ARGV[3])
  return fence`);

const release = script(`
  local held = redis.call('HMGET', KEYS[1], 'fence', 'owner')
  if held[1] == ARGV[1] and held[2] == ARGV[2] then redis.call('HSET', KEYS[1], 'owner', '', 'expires', '0') end`);

/** Beside what it fences. */
export function leaseKey(link: RedisLink, name: string): string {
  const shard = /\/(\d+)$/.exec(name)?.[1];
  return link.key(shard === undefined ? `lease/${name}` : shardTag(Number(shard)), `lease/${name}`);
}

function leaseStore(link: RedisLink, clock: Clock): LeaseStore {
  return {
    acquire: async (name, owner, ttlMs) => {
      const nowMs = Math.floor(clock.nowMs());
      const fence = await link.script(acquire, [leaseKey(link, name)], [owner, nowMs, nowMs + Math.ceil(ttlMs)]);
      return fence === null ? undefined : { name, fence: Number(fence), owner };
    },
    release: async ({ name, fence, owner }) => {
      await link.script(release, [leaseKey(link, name)], [fence, owner]);
    },
  };
}

// --- Secrets and audit -----------------------------------------------------------------------------------------------

function secretStore(link: RedisLink, keysFolder: string): SecretStore {
  const key = link.key('secret', 'sealed');
  return {
    put: async (name, plain) => {
      if (plain.length > limits.store.secretBytes) {
        throw new OperatingError('BODY_TOO_LARGE', `secret ${name} has more than ${limits.store.secretBytes} bytes`);
      }
      await link.command('hset', key, name, sealSecret(secretKey(keysFolder), name, plain));
    },
    get: async (name) => {
      const sealed = bytesIn(await link.command('hget', key, name));
      return sealed && openSecret(secretKey(keysFolder), name, sealed);
    },
    list: async (prefix) =>
      textsIn(await link.command('hkeys', key))
        .filter((name) => name.startsWith(prefix))
        .sort(),
    remove: async (name) => {
      await link.command('hdel', key, name);
    },
  };
}

const appendAudit = script(`
  redis.call('LPUSH', KEYS[1], ARGV[1])
  redis.call('LTRIM', KEYS[1], 0, ARGV[2])`);

function auditLog(link: RedisLink): AuditLog {
  const key = link.key('audit', 'entries');
  return {
    append: async ({ atMs, actor, action, subject, detail }) => {
      const entry = { atMs: Math.floor(atMs), actor, action, subject, detail: detail ?? null };
      await link.script(appendAudit, [key], [JSON.stringify(entry), limits.store.auditEntries - 1]);
    },
    list: async (limit) =>
      limit <= 0 ? [] : textsIn(await link.command('lrange', key, 0, limit - 1)).map((text) => JSON.parse(text)),
  };
}
