/** The connection to a real Redis that is slow, silent, full, read-only, away, misconfigured. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkStore } from '../context.ts';
import { onPath } from '../testing.ts';
import { redisBus } from './bus.ts';
import { RedisLink, targetOf } from './link.ts';
import { startProxy, type TestProxy } from './testing-proxy.ts';
import { freePort, hasRedis, type RedisServer, startRedis } from './testing-server.ts';

const unavailable = (what: string) => ({
  code: 'STORE_UNAVAILABLE',
  retry: true,
  message: expect.stringContaining(what),
});
/** Timers and a busy machine come on top. */
const slackMs = 1_000;

let logged: string[] = [];
const keepLine = (fields: object, message: string): void => {
  logged.push(`${JSON.stringify(fields)} ${message}`);
};
const log: Log = { debug: keepLine, info: keepLine, warn: keepLine, error: keepLine, child: () => log };

const disposables: (() => unknown)[] = [];
const later = <T>(made: T, dispose: (made: T) => unknown): T => {
  disposables.unshift(() => dispose(made));
  return made;
};
const redis = async (...args: string[]): Promise<RedisServer> =>
  later(await startRedis(args), (server) => server.dispose());
const linkTo = (url: string, folder = tmpdir()): RedisLink =>
  later(new RedisLink({ target: targetOf(url), folder, log }), (link) => link.close());
const place = (store: string) => ({ store, configFolder: tmpdir(), state: tmpdir() });
const proxied = async (server: RedisServer): Promise<[TestProxy, RedisLink]> => {
  const proxy = later(await startProxy(server.port), (one) => one.close());
  return [proxy, linkTo(`redis://127.0.0.1:${proxy.port}`)];
};

async function tookMs(act: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await act();
  return performance.now() - startedMs;
}

/** Tries until it works, as every caller does. */
async function recovers(link: RedisLink, withinMs = 10_000): Promise<void> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    try {
      await link.command('set', 'ufes:recovered', '1');
      return;
    } catch (error) {
      if (performance.now() > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

beforeEach(() => {
  logged = [];
});
afterEach(async () => {
  for (const dispose of disposables.splice(0)) await dispose();
});

describe.skipIf(!hasRedis)('a link to redis-server (Debian package redis-server)', () => {
  test('slow by 50 ms each way: calls wait for it, at once', async () => {
    const [proxy, link] = await proxied(await redis());
    await recovers(link);
    proxy.delayMs = 50;
    const ms = await tookMs(() => Promise.all(Array.from({ length: 200 }, (_, i) => link.command('set', `k${i}`, i))));
    expect(ms).toBeGreaterThan(95);
    expect(ms).toBeLessThan(slackMs);
  });

  test('silent: each call fails within its time, and the next connection is used', async () => {
    const [proxy, link] = await proxied(await redis());
    await recovers(link);
    proxy.isSilent = true;
    for (let i = 0; i < 2; i++) {
      const call = expect(link.command('get', 'k')).rejects.toMatchObject(unavailable('no answer'));
      expect(await tookMs(() => call)).toBeLessThan(limits.redis.callMs + slackMs);
    }
    proxy.isSilent = false;
    await recovers(link);
  });

  test('stopped (SIGSTOP) and going on: the same', async () => {
    const server = await redis();
    const link = linkTo(server.url);
    await recovers(link);
    server.process.kill('SIGSTOP');
    const call = expect(link.command('get', 'k')).rejects.toMatchObject(unavailable('no answer'));
    expect(await tookMs(() => call)).toBeLessThan(limits.redis.callMs + slackMs);
    server.process.kill('SIGCONT');
    await recovers(link);
  });

  test('gone: calls fail soon, thousands at once too, and it is found again', async () => {
    const server = await redis();
    const link = linkTo(server.url);
    await recovers(link);
    await server.kill();
    const calls = () => Promise.allSettled(Array.from({ length: 5_000 }, () => link.command('get', 'k')));
    let failed = 0;
    const ms = await tookMs(async () => {
      for (const one of await calls()) if (one.status === 'rejected') failed++;
    });
    expect(failed).toBe(5_000);
    expect(ms).toBeLessThan(limits.redis.callMs + slackMs);
    await expect(link.command('get', 'k')).rejects.toMatchObject(unavailable('ECONNREFUSED'));
    await server.start();
    await recovers(link);
    expect(logged.filter((line) => line.includes('is back'))).toHaveLength(1);
    expect(logged.length).toBeLessThan(10);
  });

  test('flapping: what was under way fails, nothing is sent twice', async () => {
    const [proxy, link] = await proxied(await redis());
    await recovers(link);
    let [done, failed] = [0, 0];
    for (let round = 0; round < 15; round++) {
      const calls = Array.from({ length: 20 }, () => link.command('incr', 'ufes:n'));
      if (round % 3 === 2) setImmediate(() => proxy.cut());
      for (const { status } of await Promise.allSettled(calls)) {
        if (status === 'fulfilled') done++;
        else failed++;
      }
      proxy.mend();
    }
    await recovers(link);
    const count = Number(await link.command('get', 'ufes:n'));
    expect(count).toBeGreaterThanOrEqual(done);
    expect(count).toBeLessThanOrEqual(done + failed);
    expect(failed).toBeGreaterThan(0);
  });

  test('full: writes fail and say what to set, reads go on; with room again all is well', async () => {
    const server = await redis('--maxmemory', '3mb');
    const link = linkTo(server.url);
    const fill = async () => {
      for (let i = 0; i < 1_000; i++) await link.command('set', `fill${i}`, Buffer.alloc(100_000));
    };
    await expect(fill()).rejects.toMatchObject(unavailable('is full: raise maxmemory'));
    expect(await link.command('get', 'none')).toBeNull();
    await server.cli('config', 'set', 'maxmemory', '100mb');
    await link.command('set', 'k', 1);
  });

  test('a replica is refused with what to give instead, and used once it is the master', async () => {
    const master = await redis();
    const replica = await redis('--replicaof', '127.0.0.1', String(master.port));
    const link = linkTo(replica.url);
    await expect(link.command('set', 'k', 1)).rejects.toMatchObject(unavailable('read-only replica: give ufes'));
    expect(await checkStore(place(replica.url))).toEqual([expect.stringContaining('read-only replica')]);
    await replica.cli('replicaof', 'no', 'one');
    await recovers(link);
  });

  test('a master that becomes a replica is left, and what it is is said', async () => {
    const other = await redis();
    const server = await redis();
    const link = linkTo(server.url);
    await recovers(link);
    await server.cli('replicaof', '127.0.0.1', String(other.port));
    await expect(link.command('set', 'k', 1)).rejects.toMatchObject(unavailable('read-only replica'));
    await expect(link.command('get', 'k')).rejects.toMatchObject(unavailable('read-only replica'));
  });

  test('one that evicts is refused at start, and when it begins to; set right it is used without a hand', async () => {
    const server = await redis('--maxmemory-policy', 'allkeys-lru');
    await expect(checkStore(place(server.url))).rejects.toMatchObject({
      code: 'STORE_UNSUITABLE',
      message: expect.stringContaining('set "maxmemory-policy noeviction"'),
    });
    const link = linkTo(server.url);
    await expect(link.command('set', 'k', 1)).rejects.toMatchObject(unavailable('maxmemory-policy allkeys-lru'));
    await server.cli('config', 'set', 'maxmemory-policy', 'noeviction');
    await recovers(link);
  });

  test('one without an append-only file is warned of, with what to set', async () => {
    const without = await redis();
    expect(await checkStore(place(without.url))).toEqual([expect.stringContaining('Set "appendonly yes"')]);
    const withIt = await redis('--appendonly', 'yes');
    expect(await checkStore(place(withIt.url))).toEqual([]);
  });

  test('one that is not there is no reason not to start', async () => {
    const url = `redis://127.0.0.1:${await freePort()}`;
    expect(await checkStore(place(url))).toEqual([expect.stringMatching(/cannot be reached yet: .*ECONNREFUSED/)]);
  });

  test('a password is used and never said, right or wrong', async () => {
    const server = await redis('--requirepass', 'quite secret');
    const right = linkTo(`redis://:quite%20secret@127.0.0.1:${server.port}`);
    await right.command('set', 'k', 1);
    for (const user of ['', ':a%20wrong%20secret@']) {
      const link = linkTo(`redis://${user}127.0.0.1:${server.port}`);
      const thrown = await link.command('get', 'k').catch((error: unknown) => error);
      expect(thrown).toMatchObject(unavailable(user === '' ? 'wants a password' : 'does not know this user'));
      expect(JSON.stringify([thrown, String(thrown), (thrown as Error).cause ?? null])).not.toContain('secret');
    }
    await server.kill();
    await expect(right.command('get', 'k')).rejects.toThrow();
    expect(logged.length).toBeGreaterThan(0);
    expect(logged.join('\n')).not.toContain('secret');
  });

  test.skipIf(!onPath('openssl'))('over TLS, by the certificates that are named', async () => {
    const folder = later(mkdtempSync(join(tmpdir(), 'ufes-redis-tls-')), (one) => rmSync(one, { recursive: true }));
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'ca.pem')];
    const subject = ['-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    execFileSync('openssl', ['req', '-x509', ...made, '-keyout', key, '-out', certificate, ...subject], {
      stdio: 'ignore',
    });
    const port = await freePort();
    const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate];
    await redis('--tls-port', String(port), '--tls-auth-clients', 'no', ...files);
    const link = linkTo(`rediss://127.0.0.1:${port}?ca=ca.pem`, folder);
    await link.command('set', 'k', 1);
    expect(String(await link.command('get', 'k'))).toBe('1');
    const stranger = linkTo(`rediss://127.0.0.1:${port}`);
    await expect(stranger.command('get', 'k')).rejects.toMatchObject(unavailable('certificate'));
    expect(() => linkTo(`rediss://127.0.0.1:${port}?ca=none.pem`, folder)).toThrow('none.pem cannot be read');
    expect(readFileSync(certificate, 'utf8')).toContain('CERTIFICATE');
  });

  test('Sentinels lead to the master, and after a failover to the next', { timeout: 60_000 }, async () => {
    const master = await redis();
    const replica = await redis('--replicaof', '127.0.0.1', String(master.port));
    const sentinels: RedisServer[] = [];
    for (let i = 0; i < 3; i++) sentinels.push(await redis('--sentinel'));
    for (const sentinel of sentinels) {
      await sentinel.cli('sentinel', 'monitor', 'shop', '127.0.0.1', String(master.port), '2');
      await sentinel.cli('sentinel', 'set', 'shop', 'down-after-milliseconds', '500');
      await sentinel.cli('sentinel', 'set', 'shop', 'failover-timeout', '3000');
    }
    const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
    const link = linkTo(`redis+sentinel://${hosts}/shop`);
    await link.command('set', 'k', 'before');
    const isFollowing = async () => (await replica.cli('get', 'k')) === 'before';
    const knows = async () => /num-slaves\n1/.test(await sentinels[0]!.cli('sentinel', 'master', 'shop'));
    while (!((await isFollowing()) && (await knows()))) await new Promise((resolve) => setTimeout(resolve, 100));
    await master.kill();
    await expect(link.command('get', 'k')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await recovers(link, 40_000);
    expect(String(await link.command('get', 'k'))).toBe('before');
    expect(await replica.cli('get', 'ufes:recovered')).toBe('1');
  });

  test('wake-ups reach every process, again after the connection was lost', async () => {
    const server = await redis();
    const [proxy, link] = await proxied(server);
    const [here, there] = [redisBus(link), redisBus(linkTo(server.url))];
    const heard: string[] = [];
    const until = async (what: () => boolean) => {
      while (!what()) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    here.on('live', () => heard.push('here'));
    const stop = there.on('live', () => heard.push('there'));
    // Both are woken once they are subscribed.
    await until(() => heard.length >= 2);
    heard.length = 0;
    here.wake('live');
    await until(() => heard.includes('there'));
    expect(heard).toEqual(['here', 'there']);
    stop();
    heard.length = 0;
    proxy.cut();
    proxy.mend();
    await until(() => heard.includes('here'));
    heard.length = 0;
    there.wake('live');
    await until(() => heard.includes('here'));
    expect(heard).not.toContain('there');
  });
});
