import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatRdata, parseRdata } from './rdata.ts';
import { layouts, typeNumber } from './types.ts';

const examples: [type: string, text: string, canonical?: string][] = [
  ['A', '192.0.2.1'],
  ['AAAA', '2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['AAAA', '::ffff:192.0.2.1', '::ffff:c000:201'],
  ['AAAA', '1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ['AAAA', '1:0:2:3:4:5:6:7'],
  ['NS', 'ns1.example.'],
  ['SOA', 'a. b. 1 2h 15m 2w 60', 'a. b. 1 7200 900 1209600 60'],
  ['MX', '10 mail.example.'],
  ['TXT', 'plain "with space"', '"plain" "with space"'],
  ['SRV', '0 5 443 host.example.'],
  ['CAA', '128 issuewild "ca.example"'],
  ['NAPTR', '100 10 "u" "sip" "!^.*$!sip:a@b!" .', '100 10 "u" "sip" "!^.*$!sip:a@b!" .'],
  ['TLSA', '3 1 1 0A0B', '3 1 1 0a0b'],
  ['DS', '1 13 2 0a 0b', '1 13 2 0a0b'],
  ['HTTPS', '0 other.example.'],
  [
    'SVCB',
    '1 . port=53 alpn="h2,h3" key667="x y" mandatory=alpn,port',
    '1 . mandatory=alpn,port alpn=h2,h3 port=53 key667="x y"',
  ],
  [
    'HTTPS',
    '1 . no-default-alpn alpn=h3 ipv6hint=2001:db8::1 ech=AAEC',
    '1 . alpn=h3 no-default-alpn ech=AAEC ipv6hint=2001:db8::1',
  ],
  ['TYPE65280', '\\# 0'],
  ['TYPE65280', '\\# 2 00 ff', '\\# 2 00ff'],
];

describe('record data', () => {
  it.each(examples)('%s %s', (type, text, canonical = text) => {
    const wire = parseRdata(typeNumber(type)!, text);
    expect(wire).toBeInstanceOf(Uint8Array);
    expect(formatRdata(typeNumber(type)!, wire as Uint8Array)).toBe(canonical);
    expect(parseRdata(typeNumber(type)!, canonical)).toEqual(wire);
  });

  it.each([
    ['A', '192.0.2', 'no IPv4 address'],
    ['A', '192.0.2.1 x', 'too much'],
    ['AAAA', '192.0.2.1', 'no IPv6 address'],
    ['MX', 'mail.example.', 'no number'],
    ['MX', '10', 'MX data is written 10 mail.example.'],
    ['TXT', '', 'TXT data is written'],
    ['TXT', 'x'.repeat(256), 'at most 255'],
    ['TXT', '"x\\999"', 'escape'],
    ['TLSA', '3 1 1 abc', 'hex digits'],
    ['CAA', '0 is-sue "x"', 'no tag'],
    ['HTTPS', '1 . alpn=h2 alpn=h3', 'twice'],
    ['HTTPS', '1 . nope=1', 'unknown parameter'],
    ['TYPE65280', 'x', 'LENGTH HEX'],
    ['TYPE65280', '\\# 3 0000', '2 bytes'],
    ['A', '\\# 3 000000', 'no A data'],
  ])('refuses %s %s', (type, text, problem) => expect(parseRdata(typeNumber(type)!, text)).toContain(problem));

  it('formats any bytes to text that reads back as them, or says they are none', () => {
    const types = Object.values(layouts).map((one) => one.type);
    fc.assert(
      fc.property(fc.constantFrom(...types, 65280), fc.uint8Array({ maxLength: 60 }), (type, wire) => {
        const text = formatRdata(type, wire);
        if (text !== undefined) expect(parseRdata(type, text)).toEqual(wire);
      }),
      { numRuns: 5000 },
    );
  });
});
