import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Address, formatPrefix, parseAddress, parsePrefix, prefixOf } from '../ip.ts';
import { compilePrefixes, findPrefix, prefixLeaf } from './prefixes.ts';
import { anyAddress } from './testing-decide.ts';

const entries = fc.array(
  fc
    .record({ address: anyAddress, length: fc.integer({ min: 0, max: 64 }), value: fc.integer({ min: 1, max: 3 }) })
    .map(({ address, length, value }) => ({
      prefix: prefixOf(address, address.family === 4 ? Math.min(32, length) : length),
      value,
    })),
  { maxLength: 20 },
);

/** By search: the longest prefix that holds the address, the last of equal ones. */
function search(list: readonly { prefix: Address & { length: number }; value: number }[], address: Address): number {
  let best = -1;
  let value = 0;
  for (const one of list) {
    if (one.prefix.family !== address.family || one.prefix.length < best) continue;
    if (formatPrefix(prefixOf(address, one.prefix.length)) !== formatPrefix(one.prefix)) continue;
    best = one.prefix.length;
    value = one.value;
  }
  return value;
}

it('finds the value of the longest prefix', () => {
  fc.assert(
    fc.property(entries, anyAddress, (list, address) => {
      const table = compilePrefixes(list);
      const places = [address, ...list.map(({ prefix }) => prefix)];
      for (const place of places) expect(findPrefix(table, place)).toBe(search(list, place));
    }),
    { numRuns: 3_000 },
  );
});

it('tells the largest block of one value', () => {
  const table = compilePrefixes([
    { prefix: parsePrefix('192.0.2.0/24')!, value: 1 },
    { prefix: parsePrefix('192.0.2.128/28')!, value: 2 },
    { prefix: parsePrefix('192.0.3.0/24')!, value: 1 },
  ]);
  const leaf = (text: string) => prefixLeaf(table, parseAddress(text)!);
  expect([leaf('192.0.2.1'), leaf('192.0.2.130'), leaf('192.0.2.250'), leaf('192.0.3.1'), leaf('10.0.0.1')]).toEqual([
    25, 28, 26, 24, 1,
  ]);
  expect(prefixLeaf(table, parseAddress('2001:db8::')!)).toBe(0);
});

it('holds many: the last address of a family too', () => {
  const list = Array.from({ length: 2_000 }, (_, i) => ({
    prefix: parsePrefix(`10.${i >> 8}.${i & 255}.0/24`)!,
    value: 1 + (i % 3),
  }));
  const table = compilePrefixes([...list, { prefix: parsePrefix('255.255.255.255')!, value: 9 }]);
  expect(table.v4.buckets).toBeDefined();
  for (const { prefix, value } of list) expect(findPrefix(table, prefix)).toBe(value);
  expect(findPrefix(table, parseAddress('255.255.255.255')!)).toBe(9);
  expect(findPrefix(table, parseAddress('255.255.255.254')!)).toBe(0);
});
