/** Clients of ioredis by what the URL of a store says (core/config/store-url.ts). Bounds and gates around them: link.ts. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { RedisTarget } from '@ufes/core/config/store-url.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { Cluster, Redis, type RedisOptions } from 'ioredis';

export type Client = Redis | Cluster;

/**
 * A client that begins to connect, and goes on trying. A command that was under way when the connection went fails: its
 * outcome is not known, and who sent it decides. `own`: laid over the options of a connection. `folder`: where the
 * path of certificates starts. Throws CONFIG_UNREADABLE for these.
 */
export function createClient(target: RedisTarget, folder: string, own: RedisOptions = {}): Client {
  const options: RedisOptions = { ...connectionOptions(target, folder), ...own };
  const { hosts, kind } = target;
  if (kind === 'cluster') {
    const { retryStrategy: _, ...redisOptions } = options;
    return new Cluster([...hosts], {
      redisOptions,
      clusterRetryStrategy: pauseMs,
      slotsRefreshTimeout: limits.redis.connectMs,
      // Names of hosts in certificates must stay names.
      ...(target.tls && { dnsLookup: (host, done) => done(null, host) }),
    });
  }
  if (kind === 'standalone') return new Redis({ ...options, ...hosts[0]! });
  return new Redis({
    ...options,
    sentinels: [...hosts],
    name: target.master!,
    sentinelRetryStrategy: pauseMs,
    ...(target.sentinelUsername && { sentinelUsername: target.sentinelUsername }),
    ...(target.sentinelPassword && { sentinelPassword: target.sentinelPassword }),
    ...(options.tls && { enableTLSForSentinelMode: true, sentinelTLS: options.tls }),
  });
}

function connectionOptions(target: RedisTarget, folder: string): RedisOptions {
  return {
    ...(target.username && { username: target.username }),
    ...(target.password && { password: target.password }),
    ...(target.db > 0 && { db: target.db }),
    ...(target.tls && { tls: target.ca === undefined ? {} : { ca: readAuthorities(resolve(folder, target.ca)) } }),
    protocol: 2,
    connectionName: target.prefix,
    connectTimeout: limits.redis.connectMs,
    // What does not say goodbye is left.
    disconnectTimeout: 100,
    retryStrategy: pauseMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // link.ts looks for more than ioredis would.
    enableReadyCheck: false,
  };
}

function pauseMs(attempt: number): number {
  return Math.min(25 * 2 ** Math.min(attempt, 10), limits.redis.retryMs);
}

function readAuthorities(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new OperatingError('CONFIG_UNREADABLE', `store: the certificates in ${path} cannot be read`, { cause });
  }
}
