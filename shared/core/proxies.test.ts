/** Whose word is taken: chains, spoofing, both families. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TrustedProxies, trustProblem } from './proxies.ts';

const proxies = new TrustedProxies(['192.0.2.0/24', '198.51.100.7', '2001:db8:aa::/48', '2001:db8:bb::1']);

describe('who is trusted', () => {
  it.each([
    ['192.0.2.1', true],
    ['::ffff:192.0.2.1', true],
    ['::ffff:c000:0201', true],
    ['192.0.3.1', false],
    ['198.51.100.7', true],
    ['198.51.100.8', false],
    ['2001:db8:aa:1::9', true],
    ['2001:db8:ab::9', false],
    ['2001:db8:bb::1', true],
    // The whole address counts, not its /64.
    ['2001:db8:bb::2', false],
    ['not an address', false],
    ['', false],
  ])('%s: %s', (address, trusted) => {
    expect(proxies.has(address)).toBe(trusted);
  });

  it('is nobody by default', () => {
    expect(new TrustedProxies().has('127.0.0.1')).toBe(false);
    expect(new TrustedProxies().clientBehind('127.0.0.1', '203.0.113.9')).toBe('127.0.0.1');
  });

  it.each([
    ['192.0.2.300', 'no prefix'],
    ['192.0.2.0/33', 'no prefix'],
    ['192.0.2.0/24/3', 'no prefix'],
    ['lb.example', 'no prefix'],
    ['0.0.0.0/0', 'everybody'],
    ['::/0', 'everybody'],
  ])('%s: %s', (text, why) => {
    expect(trustProblem(text)).toContain(why);
  });

  it.each(['192.0.2.1', '192.0.2.0/24', '2001:db8::/32', '::1'])('%s may be', (text) => {
    expect(trustProblem(text)).toBeUndefined();
  });
});

describe('X-Forwarded-For', () => {
  it.each<[what: string, peer: string, header: string | undefined, client: string]>([
    ['no header: the proxy itself', '192.0.2.1', undefined, '192.0.2.1'],
    ['an empty header', '192.0.2.1', '', '192.0.2.1'],
    ['one hop', '192.0.2.1', '203.0.113.9', '203.0.113.9'],
    ['a stranger names somebody', '203.0.113.66', '203.0.113.9', '203.0.113.66'],
    ['a client wrote one before it came to the proxy', '192.0.2.1', '8.8.8.8, 203.0.113.9', '203.0.113.9'],
    ['a client named a trusted proxy', '192.0.2.1', '8.8.8.8, 192.0.2.5, 203.0.113.9', '203.0.113.9'],
    ['a chain of trusted proxies', '192.0.2.1', '203.0.113.9, 198.51.100.7, 192.0.2.77', '203.0.113.9'],
    ['all of the chain is trusted', '192.0.2.1', '192.0.2.3, 192.0.2.2', '192.0.2.3'],
    ['garbage at the end', '192.0.2.1', '203.0.113.9, unknown', '192.0.2.1'],
    ['garbage behind a trusted hop', '192.0.2.1', 'nonsense, 192.0.2.2', '192.0.2.2'],
    ['with ports', '192.0.2.1', '203.0.113.9:4711', '203.0.113.9'],
    ['IPv6 in brackets', '2001:db8:bb::1', '[2001:db8:1::2]:4711', '2001:db8:1::2'],
    ['IPv6 behind an IPv4 proxy', '192.0.2.1', '2001:db8:1::2', '2001:db8:1::2'],
    ['a v4-mapped peer', '::ffff:192.0.2.1', '203.0.113.9', '203.0.113.9'],
    ['a v4-mapped stranger', '::ffff:203.0.113.66', '203.0.113.9', '::ffff:203.0.113.66'],
    ['a zone is no address', '192.0.2.1', 'fe80::1%eth0', '192.0.2.1'],
  ])('%s', (_, peer, header, client) => {
    expect(proxies.clientBehind(peer, header)).toBe(client);
  });

  it('whatever a client writes in front changes nothing', () => {
    fc.assert(
      fc.property(fc.string(), (written) => {
        expect(proxies.clientBehind('192.0.2.1', `${written}, 203.0.113.9`)).toBe('203.0.113.9');
      }),
    );
  });
});
