/** The past in Redis: of a stream a sorted set of its keys by time (those of one time by text), a hash of its rows, their size. */
import type { HistoryRow, HistoryStore } from '@ufes/core/ports.ts';
import { type RedisLink, script } from '../redis/link.ts';
import { bytesIn, textsIn } from '../redis/replies.ts';

/** KEYS: index, rows, size. ARGV: key, time, bytes; times and bytes to keep. */
const append = script(`
  local held = redis.call('HSTRLEN', KEYS[2], ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
  local size = redis.call('INCRBY', KEYS[3], #ARGV[3] - held)
  while true do
    local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    if #oldest == 0 then break end
    if tonumber(oldest[2]) >= tonumber(ARGV[4]) and size <= tonumber(ARGV[5]) then break end
    size = redis.call('DECRBY', KEYS[3], redis.call('HSTRLEN', KEYS[2], oldest[1]))
    redis.call('HDEL', KEYS[2], oldest[1])
    redis.call('ZREM', KEYS[1], oldest[1])
  end`);

const get = script(`
  local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if not score then return {} end
  return { ARGV[1], score, redis.call('HGET', KEYS[2], ARGV[1]) }`);

const list = script(`
  local found = {}
  local index = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'BYSCORE', 'REV', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
  for i = 1, #index, 2 do
    found[#found + 1] = index[i]
    found[#found + 1] = index[i + 1]
    found[#found + 1] = redis.call('HGET', KEYS[2], index[i])
  end
  return found`);

export function redisHistory(link: RedisLink): HistoryStore {
  const keys = (stream: string): string[] =>
    ['index', 'rows', 'size'].map((rest) => link.key(`history/${stream}`, rest));
  const names = link.key('history', 'streams');
  return {
    append: async (stream, { atMs, key, bytes }, keep) => {
      // The name first: what has rows is listed.
      await link.command('sadd', names, stream);
      const args = [key, Math.floor(atMs), bytes, Math.floor(keep.fromMs), Math.floor(keep.bytes)];
      await link.script(append, keys(stream), args);
    },
    get: async (stream, key) => rowsIn(await link.script(get, keys(stream), [key]))[0],
    list: async (stream, { fromMs = 0, toMs, limit }) => {
      if (limit <= 0) return [];
      const latest = toMs === undefined ? '+inf' : Math.floor(toMs);
      return rowsIn(await link.script(list, keys(stream), [latest, Math.ceil(fromMs), limit]));
    },
    streams: async (prefix) =>
      textsIn(await link.command('smembers', names))
        .filter((stream) => stream.startsWith(prefix))
        .sort(),
  };
}

function rowsIn(reply: unknown): HistoryRow[] {
  const flat = reply as readonly Buffer[];
  return Array.from({ length: flat.length / 3 }, (_, i) => ({
    key: String(flat[3 * i]),
    atMs: Number(flat[3 * i + 1]),
    bytes: bytesIn(flat[3 * i + 2])!,
  }));
}
