import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { badTarget, normalisePath, normaliseTarget, parseAuthority } from './normal.ts';

describe('normal form of a path', () => {
  it.each([
    ['/', '/'],
    ['/a/b', '/a/b'],
    ['/a/./b/', '/a/b/'],
    ['/a/../b', '/b'],
    ['/../../b', '/b'],
    ['/a/b/..', '/a/'],
    ['/a/b/.', '/a/b/'],
    ['/.', '/'],
    ['/..', '/'],
    ['/a//b', '/a//b'],
    ['//', '//'],
    ['/a//../b', '/a/b'],
    ['/.//x', '//x'],
    ['/%61dmin', '/admin'],
    ['/%2e%2e/admin', '/admin'],
    ['/x/%2E./admin', '/admin'],
    ['/%7euser', '/~user'],
    ['/%c3%a9', '/%C3%A9'],
    ['/%20%3f%23', '/%20%3F%23'],
    ['/%2525', '/%2525'],
    ['/...', '/...'],
    ['/.well-known/x', '/.well-known/x'],
    ['/a|b', '/a|b'],
  ])('%s → %s', (raw, normal) => {
    expect(normalisePath(raw)).toBe(normal);
  });

  it.each([
    ['', 'no-leading-slash'],
    ['a/b', 'no-leading-slash'],
    ['/a%2fb', 'encoded-slash'],
    ['/a%2Fb', 'encoded-slash'],
    ['/a%5cb', 'encoded-backslash'],
    ['/a\\b', 'encoded-backslash'],
    ['/a%00', 'encoded-null'],
    ['/a%', 'bad-encoding'],
    ['/a%4', 'bad-encoding'],
    ['/%zz', 'bad-encoding'],
    ['/%2%31', 'bad-encoding'],
    ['/%c0%ae%c0%ae/admin', 'bad-encoding'],
    ['/%e0%80%af', 'bad-encoding'],
    ['/é', 'bad-octet'],
    ['/a b', 'bad-octet'],
    ['/a\tb', 'bad-octet'],
    ['/a\r\nHost: x', 'bad-octet'],
    ['/a#b', 'bad-octet'],
  ])('%j is refused: %s', (raw, reason) => {
    expect(normalisePath(raw)).toBe(reason);
  });

  const piece = fc.constantFrom(
    '/',
    '//',
    '.',
    '..',
    'a',
    'B',
    '~',
    '%',
    '%2',
    '%2e',
    '%2E',
    '%41',
    '%7e',
    '%2F',
    '%5c',
    '%00',
    '%c3',
    '%a9',
    '%25',
    '%20',
    '?',
    '#',
    ';',
    '\\',
    'é',
    '|',
  );
  const paths = fc.array(piece, { maxLength: 14 }).map((pieces) => `/${pieces.join('')}`);

  it('is idempotent, and without dot segments, lower-case hexadecimal and encoded unreserved octets', () => {
    fc.assert(
      fc.property(fc.oneof(paths, fc.string({ unit: 'binary', maxLength: 40 })), (raw) => {
        const normal = normalisePath(raw);
        if (!normal.startsWith('/')) {
          expect(Object.keys(badTarget)).toContain(normal);
          return;
        }
        expect(normalisePath(normal)).toBe(normal);
        expect(normal).toMatch(/^[\x21-\x7e]+$/);
        expect(normal.split('/')).not.toContain('..');
        expect(normal.split('/')).not.toContain('.');
        expect(normal).not.toMatch(/%(?![0-9A-F]{2})|%2F|%5C|%00|%2E|%[46][1-9A-F]|%7E/);
      }),
      { numRuns: 5_000 },
    );
  });

  it('spelling an octet of the path in another way does not change the form', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^(\/[a-z.~-]{1,4}){1,5}$/), fc.infiniteStream(fc.nat(3)), (path, choices) => {
        const spelt = [...path].map((char) => {
          const hex = char.charCodeAt(0).toString(16);
          const choice = choices.next().value;
          return char === '/' || choice < 2 ? char : `%${choice === 2 ? hex : hex.toUpperCase()}`;
        });
        expect(normalisePath(spelt.join(''))).toBe(normalisePath(path));
      }),
    );
  });
});

describe('request targets', () => {
  it('leaves the query as it is', () => {
    expect(normaliseTarget('GET', '/a/../b?x=%2f..%2F/../%zz')).toEqual({ path: '/b', query: '?x=%2f..%2F/../%zz' });
    expect(normaliseTarget('GET', '/?')).toEqual({ path: '/', query: '?' });
    expect(normaliseTarget('GET', '/?a b')).toBe('bad-octet');
  });

  it('takes the authority of the absolute form (RFC 9112 §3.2.2)', () => {
    expect(normaliseTarget('GET', 'http://WWW.shop.example:8080/a/./b?q')).toEqual({
      path: '/a/b',
      query: '?q',
      authority: { host: 'www.shop.example', port: 8080 },
    });
    expect(normaliseTarget('GET', 'https://shop.example?q')).toMatchObject({ path: '/', query: '?q' });
    expect(normaliseTarget('GET', 'http://user@shop.example/')).toBe('bad-authority');
    expect(normaliseTarget('GET', 'ftp://shop.example/')).toBe('bad-form');
    expect(normaliseTarget('CONNECT', 'shop.example:443')).toBe('bad-form');
  });

  it('takes * for OPTIONS alone', () => {
    expect(normaliseTarget('OPTIONS', '*')).toEqual({ path: '*', query: '' });
    expect(normaliseTarget('OPTIONS', 'http://shop.example')).toMatchObject({ path: '*' });
    expect(normaliseTarget('GET', '*')).toBe('bad-form');
  });

  it('never throws, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (raw) => void normaliseTarget('GET', raw)),
      { numRuns: 3_000 },
    );
  });
});

describe('authorities', () => {
  it.each([
    ['WWW.Shop.Example', { host: 'www.shop.example' }],
    ['shop.example.', { host: 'shop.example' }],
    ['shop.example:8443', { host: 'shop.example', port: 8443 }],
    ['shop.example:', { host: 'shop.example' }],
    ['192.0.2.1:80', { host: '192.0.2.1', port: 80 }],
    ['[2001:DB8::1]:443', { host: '[2001:db8::1]', port: 443 }],
    ['xn--bcher-kva.example', { host: 'xn--bcher-kva.example' }],
  ])('%s', (text, authority) => {
    expect(parseAuthority(text)).toEqual(authority);
  });

  it.each([
    '',
    ':80',
    'a@shop.example',
    'shop.example:0',
    'shop.example:65536',
    'shop.example:80:80',
    'shop..example',
    '.shop.example',
    '-a.example',
    'bücher.example',
    'shop.example/x',
    'shop example',
    '[2001:db8::1',
    '[192.0.2.1]',
    '[::1%25eth0]',
    `${'a'.repeat(64)}.example`,
  ])('%j is none', (text) => {
    expect(parseAuthority(text)).toBeUndefined();
  });
});
