/**
 * Samples on their way in Redis Streams, as the embedded ones are in their table (stream.ts): numbers are dense, the fold
 * reads by its own offsets, no consumer group keeps any.
 *
 *     PREFIX:{samples/SHARD}:ends                 hash: COLLECTOR → "LAST TRIMMED"
 *     PREFIX:{samples/SHARD}:stream/COLLECTOR     stream: SEQ-0 → bytes
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Bus, SampleStream, StreamRecord } from '@ufes/core/ports.ts';
import { type Argument, type RedisLink, script } from '../redis/link.ts';
import { bytesIn, textsIn } from '../redis/replies.ts';

const readEnds = `
  local last, trimmed = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '0 0', '^(%d+) (%d+)$')
  last, trimmed = tonumber(last), tonumber(trimmed)`;
const writeEnds = "redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f', last, trimmed))";

/** ARGV: collector, bound, then number and bytes of each. Added records; or {wanted, found} of a gap; or {waiting} when full. */
const append = script(`${readEnds}
  local first, fresh = 0, 0
  for i = 3, #ARGV, 2 do
    local seq = tonumber(ARGV[i])
    if seq > last then
      if seq ~= last + fresh + 1 then return {last + fresh + 1, seq} end
      if first == 0 then first = i end
      fresh = fresh + 1
    end
  end
  if fresh == 0 then return 0 end
  if last + fresh - trimmed > tonumber(ARGV[2]) then return {last - trimmed} end
  for i = first, #ARGV, 2 do
    if tonumber(ARGV[i]) > last then redis.call('XADD', KEYS[2], ARGV[i] .. '-0', 'b', ARGV[i + 1]) end
  end
  last = last + fresh
  ${writeEnds}
  return fresh`);

/** ARGV: collector, number, the next number. */
const trim = script(`${readEnds}
  local seq = tonumber(ARGV[2])
  if seq <= trimmed then return end
  redis.call('XTRIM', KEYS[2], 'MINID', ARGV[3] .. '-0')
  last, trimmed = math.max(last, seq), seq
  ${writeEnds}`);

/** ARGV: collector, number. */
const restart = script(`
  local last, trimmed = tonumber(ARGV[2]), tonumber(ARGV[2])
  redis.call('UNLINK', KEYS[2])
  ${writeEnds}`);

export function redisStream(
  link: RedisLink,
  bus: Bus,
  streamRecords: number = limits.queue.streamRecords,
): SampleStream {
  const ends = (shard: number): string => link.key(`samples/${shard}`, 'ends');
  const stream = (shard: number, collector: string): string => link.key(`samples/${shard}`, `stream/${collector}`);
  const keys = (shard: number, collector: string): string[] => [ends(shard), stream(shard, collector)];
  return {
    append: async (shard, collector, records) => {
      if (records.length === 0) return;
      const args = records.flatMap(({ seq, bytes }): Argument[] => [seq, bytes]);
      const added = await link.script(append, keys(shard, collector), [collector, streamRecords, ...args]);
      if (Array.isArray(added)) throw refusal(shard, collector, streamRecords, added.map(Number));
      if (Number(added) > 0) bus.wake('samples');
    },
    lastSeq: async (shard, collector) => {
      const found = await link.command('hget', ends(shard), collector);
      return found === null ? 0 : Number(String(found).split(' ')[0]);
    },
    collectors: async (shard) => textsIn(await link.command('hkeys', ends(shard))).sort(),
    read: async (shard, collector, afterSeq, limit) => {
      if (limit <= 0) return [];
      const from = `${afterSeq + 1}-0`;
      return recordsIn(await link.command('xrange', stream(shard, collector), from, '+', 'COUNT', limit));
    },
    trim: async (shard, collector, seq) => {
      await link.script(trim, keys(shard, collector), [collector, seq, seq + 1]);
    },
    restart: async (shard, collector, seq) => {
      await link.script(restart, keys(shard, collector), [collector, seq]);
    },
  };
}

function refusal(shard: number, collector: string, streamRecords: number, said: readonly number[]): OperatingError {
  const [first, found] = said;
  if (found !== undefined) {
    const message = `shard ${shard} of ${collector}: record ${first} is wanted next, not ${found}`;
    return new OperatingError('SEQUENCE_GAP', message);
  }
  const message = `${first} samples of ${collector} wait in shard ${shard}; at most ${streamRecords} may. Is a mapper running?`;
  return new OperatingError('QUEUE_FULL', message);
}

/** [[SEQ-0, ['b', bytes]], …] */
function recordsIn(reply: unknown): StreamRecord[] {
  const entries = reply as readonly (readonly [Buffer, readonly [Buffer, Buffer]])[];
  return entries.map(([id, [, bytes]]) => ({
    seq: Number.parseInt(id.toString('latin1'), 10),
    bytes: bytesIn(bytes)!,
  }));
}
