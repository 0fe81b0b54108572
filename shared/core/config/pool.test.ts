import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes } from '../ip.ts';
import { canonicalAddress, parsePool, poolAddress, poolHolds, poolsOverlap } from './pool.ts';

describe('parsePool', () => {
  it('leaves out the first and last address of an IPv4 prefix, the first of an IPv6 one', () => {
    const v4 = parsePool('192.0.2.16/28')!;
    expect([v4.count, poolAddress(v4, 0n), poolAddress(v4, v4.count - 1n)]).toEqual([14n, '192.0.2.17', '192.0.2.30']);
    const v6 = parsePool('2001:db8::10/124')!;
    expect([v6.count, poolAddress(v6, 0n)]).toEqual([15n, '2001:db8::11']);
  });

  it('gives all of a prefix of one or two addresses', () => {
    expect(parsePool('192.0.2.1/32')!.count).toBe(1n);
    expect(parsePool('192.0.2.2/31')!.count).toBe(2n);
  });

  it('refuses what is no prefix, or has bits beyond its length', () => {
    for (const text of ['', '192.0.2.1', '192.0.2.1/28', '192.0.2.0/33', '2001:db8::/129', 'x/8']) {
      expect(parsePool(text), text).toBeUndefined();
    }
  });

  it('holds every address it gives out', () => {
    fc.assert(
      fc.property(fc.nat(255), fc.integer({ min: 24, max: 32 }), fc.nat(300), (last, length, index) => {
        const low = last & (0xff << (32 - length));
        const pool = parsePool(`192.0.2.${low & 255}/${length}`)!;
        const text = poolAddress(pool, BigInt(index) % pool.count);
        expect(poolHolds(pool, addressBytes(text)!)).toBe(true);
        expect(canonicalAddress(text)).toBe(text);
      }),
    );
  });

  it('knows when two overlap', () => {
    const pool = (text: string) => parsePool(text)!;
    expect(poolsOverlap(pool('192.0.2.0/24'), pool('192.0.2.128/25'))).toBe(true);
    expect(poolsOverlap(pool('192.0.2.0/25'), pool('192.0.2.128/25'))).toBe(false);
    expect(poolsOverlap(pool('0.0.0.0/0'), pool('::/0'))).toBe(false);
  });
});

describe('canonicalAddress', () => {
  it('has one text for every spelling (RFC 5952), and folds v4-mapped addresses', () => {
    expect(canonicalAddress('2001:DB8:0:0:0:0:0:1')).toBe('2001:db8::1');
    expect(canonicalAddress('2001:db8:0:1:0:0:0:0')).toBe('2001:db8:0:1::');
    expect(canonicalAddress('::')).toBe('::');
    expect(canonicalAddress('1:0:2:3:4:5:6:7')).toBe('1:0:2:3:4:5:6:7');
    expect(canonicalAddress('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(canonicalAddress('nowhere')).toBeUndefined();
  });
});
