/**
 * Evidence in Redis: of a shard its offsets (hash: collector → number), rows (hash: key → packed sketch) and used tokens
 * (sorted set by expiry), beside the lease that fences them. A fold is one script: lease and offsets are looked at and all
 * is written in one step, so that a fold is there whole or not at all, and a Redis that came back older is found out by
 * its offsets.
 */
import { limits } from '@ufes/core/limits.ts';
import type { EvidenceRow, EvidenceStore, Fold } from '@ufes/core/ports.ts';
import { type Argument, type RedisLink, script } from '../redis/link.ts';
import { bytesIn, mapIn } from '../redis/replies.ts';

export const shardTag = (shard: number): string => `shard/${shard}`;

/**
 * KEYS: lease, offsets, rows, tokens. ARGV: fence, owner, now, how many offsets from, offsets to, rows and tokens, then
 * these as pairs.
 */
const foldScript = script(`
  local held = redis.call('HMGET', KEYS[1], 'fence', 'owner')
  if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 'fenced' end
  local at = 8
  local from = {}
  for i = at, at + 2 * ARGV[4] - 1, 2 do from[ARGV[i]] = ARGV[i + 1] end
  local offsets = redis.call('HGETALL', KEYS[2])
  for i = 1, #offsets, 2 do
    if (from[offsets[i]] or '0') ~= offsets[i + 1] then return 'moved' end
    from[offsets[i]] = nil
  end
  for _, seq in pairs(from) do
    if seq ~= '0' then return 'moved' end
  end
  at = at + 2 * ARGV[4]
  local function write(count, ...)
    local last = at + 2 * count - 1
    for i = at, last, 2000 do
      local arguments = { ... }
      for j = i, math.min(i + 1999, last) do arguments[#arguments + 1] = ARGV[j] end
      redis.call(unpack(arguments))
    end
    at = last + 1
  end
  write(ARGV[5], 'HSET', KEYS[2])
  write(ARGV[6], 'HSET', KEYS[3])
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[3])
  write(ARGV[7], 'ZADD', KEYS[4], 'NX')
  return 'ok'`);

export function redisEvidence(link: RedisLink): EvidenceStore {
  const key = (shard: number, rest: string): string => link.key(shardTag(shard), rest);
  return {
    offsets: async (shard) => {
      const held = mapIn(await link.command('hgetall', key(shard, 'offsets')));
      return Object.fromEntries(held.map(([collector, seq]) => [collector, Number(seq)]));
    },
    rows: (shard) => readRows(link, key(shard, 'rows')),
    usedTokens: async (shard, ids) => {
      if (ids.length === 0) return new Set();
      const scores = (await link.command('zmscore', key(shard, 'tokens'), ...ids)) as unknown[];
      return new Set(ids.filter((_, i) => scores[i] !== null));
    },
    fold: async (fold, nowMs) => {
      const { shard, lease } = fold;
      // Only a lease that stands beside the shard can fence it.
      if (!lease.name.endsWith(`/${shard}`)) return 'fenced';
      const keys = [`lease/${lease.name}`, 'offsets', 'rows', 'tokens'].map((rest) => key(shard, rest));
      const outcome = String(await link.script(foldScript, keys, argumentsOf(fold, nowMs)));
      return outcome === 'fenced' || outcome === 'moved' ? outcome : 'ok';
    },
  };
}

function argumentsOf({ lease, from, to, rows, tokens }: Fold, nowMs: number): Argument[] {
  const before = Object.entries(from);
  const after = Object.entries(to);
  const args: Argument[] = [lease.fence, lease.owner, Math.floor(nowMs)];
  args.push(before.length, after.length, rows.length, tokens.length);
  for (const [collector, seq] of before) args.push(collector, seq);
  for (const [collector, seq] of after) args.push(collector, seq);
  for (const { key, bytes } of rows) args.push(key, bytes);
  for (const { id, expiresAtMs } of tokens) args.push(Math.ceil(expiresAtMs), id);
  return args;
}

/**
 * In steps, so that nobody waits long for one. A fold in between leaves rows of before and after it: who reads has read
 * the offsets first, and sees that they moved.
 */
async function readRows(link: RedisLink, key: string): Promise<EvidenceRow[]> {
  const rows = new Map<string, EvidenceRow>();
  let cursor = '0';
  do {
    const [next, flat] = (await link.command('hscan', key, cursor, 'COUNT', limits.redis.scanRows)) as [
      Buffer,
      Buffer[],
    ];
    for (let i = 0; i < flat.length; i += 2) {
      const name = String(flat[i]);
      rows.set(name, { key: name, bytes: bytesIn(flat[i + 1])! });
    }
    cursor = String(next);
  } while (cursor !== '0');
  return [...rows.values()];
}
