import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkZone, parseMaster, parseRecord } from './master.ts';

const zone = `
$TTL 1h
@       IN SOA ns1 hostmaster ( 7      ; serial
                2h 15m 2w
                60 )
        IN NS  ns1
        NS     ns2.other.example.
ns1     300 IN A 192.0.2.53
WWW     IN 5m CNAME @
txt     TXT "one; two" "th\\"ree" four
        TXT "caf\u00e9"
*.wild  A 192.0.2.9
$ORIGIN sub.shop.example.
a\\.b    A 192.0.2.1
@       MX 10 mail
_s._tcp SRV 0 5 443 mail.shop.example.
x       TYPE65280 \\# 3 0a0b 0c
raw     A \\# 4 c0000201
h       HTTPS 1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1,192.0.2.2
c       CAA 0 issue "ca.example; policy=ev"
`;

describe('parseMaster', () => {
  it('reads a zone as RFC 1035 §5 writes it', () => {
    const { records, problems } = parseMaster(zone, 'shop.example.', 600);
    expect(problems).toEqual([]);
    expect(records.map(({ name, ttl, type, data }) => `${name} ${ttl} ${type} ${data}`)).toEqual([
      'shop.example. 3600 SOA ns1.shop.example. hostmaster.shop.example. 7 7200 900 1209600 60',
      'shop.example. 3600 NS ns1.shop.example.',
      'shop.example. 3600 NS ns2.other.example.',
      'ns1.shop.example. 300 A 192.0.2.53',
      'www.shop.example. 300 CNAME shop.example.',
      'txt.shop.example. 3600 TXT "one; two" "th\\"ree" "four"',
      'txt.shop.example. 3600 TXT "caf\\195\\169"',
      '*.wild.shop.example. 3600 A 192.0.2.9',
      'a\\.b.sub.shop.example. 3600 A 192.0.2.1',
      'sub.shop.example. 3600 MX 10 mail.sub.shop.example.',
      '_s._tcp.sub.shop.example. 3600 SRV 0 5 443 mail.shop.example.',
      'x.sub.shop.example. 3600 TYPE65280 \\# 3 0a0b0c',
      'raw.sub.shop.example. 3600 A 192.0.2.1',
      'h.sub.shop.example. 3600 HTTPS 1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1,192.0.2.2',
      'c.sub.shop.example. 3600 CAA 0 issue "ca.example; policy=ev"',
    ]);
    expect(checkZone('shop.example.', records)).toEqual([]);
  });

  it('takes the last TTL written where there is no $TTL, and the default before any', () => {
    const { records } = parseMaster('a A 192.0.2.1\nb 60 A 192.0.2.1\nc A 192.0.2.1\n', 'example.', 300);
    expect(records.map((one) => one.ttl)).toEqual([300, 60, 60]);
  });

  it('reports every problem with its line', () => {
    const text = [
      'a A 192.0.2.300',
      'b AAAA',
      'c NOSUCH x',
      '$INCLUDE other.zone',
      '$NOPE 1',
      'd 1y A 192.0.2.1',
      'e TXT "open',
      'f A 192.0.2.1 192.0.2.2',
      'g..h A 192.0.2.1',
      '\tA 192.0.2.1',
      'i CH A 192.0.2.1',
      'j MX 70000 mail',
      'k A \\# 3 c00002',
      'l )',
      'm SOA ( ns1 host 1',
    ].join('\n');
    const { problems } = parseMaster(text, 'example.', 300);
    expect([...new Set(problems.map((one) => one.line))]).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
    expect(problems[0]!.message).toBe('"192.0.2.300" is no IPv4 address; A data is written 192.0.2.1');
    expect(problems.find((one) => one.line === 4)!.message).toContain('$INCLUDE is not supported yet');
    expect(problems.find((one) => one.line === 7)!.message).toContain('must end with "');
    expect(problems.find((one) => one.line === 15 && one.message.includes('never closed'))).toBeDefined();
  });

  it('never throws and gives only records that a zone check can read', () => {
    const pieces = fc.constantFrom(
      'a',
      '@',
      ' ',
      '\n',
      '\t',
      '(',
      ')',
      '"',
      '\\',
      ';',
      '$TTL ',
      '$ORIGIN ',
      'IN',
      'A',
      '192.0.2.1',
      'TXT',
      '60',
      '1h',
      'SOA',
      '\\#',
      '4',
      'HTTPS',
      '1',
      '.',
      'alpn=h2',
      'é',
      '\u{1f600}',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces, { maxLength: 40 }).map((all) => all.join(' ')),
        ),
        (text) => {
          const { records } = parseMaster(text, 'example.', 60);
          for (const one of records) {
            const again = parseRecord('example.', one);
            expect(again).toEqual(one);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('parseRecord', () => {
  it('completes names from the zone', () => {
    expect(parseRecord('shop.example.', { name: 'www', type: 'cname', ttl: 5, data: 'web' })).toEqual({
      name: 'www.shop.example.',
      type: 'CNAME',
      ttl: 5,
      data: 'web.shop.example.',
    });
  });
  it('says what is wrong', () => {
    expect(parseRecord('shop.example.', { name: 'www', type: 'A', ttl: 5, data: 'www' })).toContain('no IPv4 address');
    expect(parseRecord('shop.example.', { name: 'ü', type: 'A', ttl: 5, data: '192.0.2.1' })).toContain('xn--');
  });
});

describe('checkZone', () => {
  const soa = { name: 'example.', type: 'SOA', ttl: 60, data: 'ns.example. host.example. 1 2 3 4 5' };
  const ns = { name: 'example.', type: 'NS', ttl: 60, data: 'ns.example.' };
  const a = (name: string) => ({ name, type: 'A', ttl: 60, data: '192.0.2.1' });
  const messages = (records: Parameters<typeof checkZone>[1]) =>
    checkZone('example.', records).map((one) => one.message);

  it('wants exactly one SOA and an NS at the apex', () => {
    expect(messages([a('www.example.')])).toEqual([
      'example. has 0 SOA records, a zone has exactly one',
      'example. has no NS record, a zone names its servers',
    ]);
    expect(messages([soa, soa, ns])).toEqual(['example. has 2 SOA records, a zone has exactly one']);
    expect(messages([soa, ns, { ...soa, name: 'a.example.' }])).toEqual(['a.example.: a SOA stands only at example.']);
  });
  it('keeps a CNAME alone', () => {
    const cname = { name: 'www.example.', type: 'CNAME', ttl: 60, data: 'a.example.' };
    expect(messages([soa, ns, cname])).toEqual([]);
    expect(messages([soa, ns, cname, a('www.example.')])[0]).toContain('a CNAME stands alone');
    expect(messages([soa, ns, cname, cname])[0]).toContain('2 CNAME records');
  });
  it('refuses what lies outside, does not parse or has no possible TTL', () => {
    expect(messages([soa, ns, a('www.other.')])).toEqual(['www.other. is not in zone example.']);
    expect(messages([soa, ns, a('wwwexample.')])).toEqual(['wwwexample. is not in zone example.']);
    expect(messages([soa, ns, { ...a('www.example.'), data: 'x' }])[0]).toContain('no IPv4 address');
    expect(messages([soa, ns, { ...a('www.example.'), ttl: 2 ** 31 }])[0]).toContain('TTL 2147483648');
    expect(messages([soa, ns, { ...a('www.example.'), type: 'DNAME', data: 'x.' }])[0]).toContain('not supported yet');
  });
});
