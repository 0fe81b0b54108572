import { describe, expect, test } from 'vitest';
import { parseStoreUrl, type RedisTarget, storeName } from './store-url.ts';

const target = (url: string): RedisTarget => {
  const found = parseStoreUrl(url);
  if (typeof found === 'string') throw new Error(found);
  return found;
};

describe('the URL of a store', () => {
  test('of one Redis, with defaults', () => {
    expect(target('redis://redis.example')).toEqual({
      kind: 'standalone',
      tls: false,
      hosts: [{ host: 'redis.example', port: 6379 }],
      db: 0,
      prefix: 'ufes',
    });
    expect(target('redis://[2001:db8::1]:7000/3?prefix=shop.a')).toMatchObject({
      hosts: [{ host: '2001:db8::1', port: 7000 }],
      db: 3,
      prefix: 'shop.a',
    });
  });

  test('of Sentinels and of a Cluster, over TLS', () => {
    const url = 'rediss+sentinel://u:p%40ss@a.example,b.example:5000/main/2?ca=tls/ca.pem&sentinelPassword=s%26';
    expect(target(url)).toEqual({
      kind: 'sentinel',
      tls: true,
      hosts: [
        { host: 'a.example', port: 26_379 },
        { host: 'b.example', port: 5_000 },
      ],
      username: 'u',
      password: 'p@ss',
      master: 'main',
      db: 2,
      ca: 'tls/ca.pem',
      sentinelPassword: 's&',
      prefix: 'ufes',
    });
    expect(target('redis+cluster://192.0.2.1,192.0.2.2:7001/')).toMatchObject({
      kind: 'cluster',
      hosts: [{}, {}],
      db: 0,
    });
  });

  test('with a password alone, or with a user', () => {
    expect(target('redis://:secret@redis.example')).toMatchObject({ password: 'secret' });
    expect(target('redis://:secret@redis.example')).not.toHaveProperty('username');
    expect(target('redis://u:a:b@redis.example')).toMatchObject({ username: 'u', password: 'a:b' });
  });

  test.each([
    ['http://redis.example', 'write embedded, redis://'],
    ['redis://', 'write embedded, redis://'],
    ['redis://a.example,b.example', 'several hosts need'],
    ['redis://a.example:0', 'HOST:PORT'],
    ['redis://a.example:70000', 'HOST:PORT'],
    ['redis://a.example/main', 'number of a database'],
    ['redis+sentinel://a.example', 'name of the master'],
    ['redis+cluster://a.example/1', 'no other database than 0'],
    ['redis://a.example?prefx=a', 'prefix, ca'],
    ['redis://a.example?prefix=a%7Bb', 'letters, digits'],
    ['redis://:hidden%word@a.example', 'hexadecimal'],
    ['redis://:hidden@a.example/x', 'number of a database'],
  ])('%s is refused, and its password not repeated', (url, why) => {
    const found = parseStoreUrl(url);
    expect(found).toContain(why);
    expect(found).not.toContain('hidden');
  });

  test('is shown without names and passwords', () => {
    expect(storeName(target('redis://u:p@redis.example/1?prefix=x'))).toBe('redis://redis.example:6379/1');
    expect(storeName(target('rediss+sentinel://:p@a,b/main?sentinelPassword=s'))).toBe(
      'rediss+sentinel://a:26379,b:26379/main',
    );
    expect(storeName(target('redis+cluster://[2001:db8::1]'))).toBe('redis+cluster://[2001:db8::1]:6379');
  });
});
