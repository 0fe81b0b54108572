import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createNameKey,
  isWithin,
  nameToText,
  nameToWire,
  readName,
  readNameKey,
  setNameKey,
  skipName,
} from './name.ts';

const wire = (text: string) => nameToWire(text) as Uint8Array;
const anyName = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 10 })
  .map((labels) => Uint8Array.from([...labels.flatMap((label) => [label.length, ...label]), 0]));

describe('names in text', () => {
  it('escapes and reads back any bytes', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        expect(nameToWire(nameToText(name))).toEqual(name);
      }),
    );
  });
  it('completes relative names and knows @ and the root', () => {
    const origin = wire('shop.example.');
    expect(nameToText(nameToWire('www', origin) as Uint8Array)).toBe('www.shop.example.');
    expect(nameToText(nameToWire('@', origin) as Uint8Array)).toBe('shop.example.');
    expect(nameToText(nameToWire('www.', origin) as Uint8Array)).toBe('www.');
    expect(nameToText(nameToWire('.', origin) as Uint8Array)).toBe('.');
  });
  it.each([
    ['a..b', 'empty label'],
    ['.a', 'empty label'],
    ['', 'empty name'],
    [`${'a'.repeat(64)}.example`, '64 bytes'],
    [`${'abcdefg.'.repeat(32)}`, '257 bytes'],
    ['caf\u00e9.example', 'xn--'],
    ['a\\300.example', 'DDD'],
    ['a\\', 'DDD'],
  ])('refuses %j', (text, problem) => expect(nameToWire(text)).toContain(problem));
});

describe('names on the wire', () => {
  it('follows compression pointers backwards only (RFC 1035 §4.1.4)', () => {
    const packet = Uint8Array.of(0, 1, 97, 0, 1, 98, 0xc0, 1, 0xc0, 4, 0xc0, 10, 0xc0, 13, 1);
    expect(nameToText(readName(packet, 4)!.wire)).toBe('b.a.');
    expect(readName(packet, 8)).toMatchObject({ next: 10 });
    expect(nameToText(readName(packet, 8)!.wire)).toBe('b.a.');
    expect(readName(packet, 10)).toBeUndefined();
    expect(readName(packet, 12)).toBeUndefined();
  });
  it('reads, skips and bounds arbitrary bytes alike', () => {
    const key = createNameKey();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(20), (packet, at) => {
        const next = readNameKey(packet, at, packet.length, key);
        const read = readName(packet, at);
        if (next >= 0) expect(read?.next).toBe(next);
        if (read !== undefined) expect(skipName(packet, at, packet.length)).toBe(read.next);
      }),
    );
  });
  it('gives a suffix the same hash wherever it stands, in any case', () => {
    const long = createNameKey();
    const short = createNameKey();
    setNameKey(long, wire('A.b.Shop.EXAMPLE.'));
    setNameKey(short, wire('shop.example.'));
    expect(long.labels).toBe(4);
    expect(long.hash[2]).toBe(short.hash[0]);
    expect(long.hash[4]).toBe(short.hash[2]);
    expect(long.hash[0]).not.toBe(long.hash[1]);
  });
  it('knows what is below what', () => {
    expect(isWithin(wire('a.Shop.example.'), wire('shop.example.'))).toBe(true);
    expect(isWithin(wire('shop.example.'), wire('shop.example.'))).toBe(true);
    expect(isWithin(wire('ashop.example.'), wire('shop.example.'))).toBe(false);
    expect(isWithin(wire('example.'), wire('shop.example.'))).toBe(false);
    expect(isWithin(wire('example.'), wire('.'))).toBe(true);
  });
});
