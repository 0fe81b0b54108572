import { describe, expect, it } from 'vitest';
import { desiredState, harness, query, question, readAnswer, word } from './testing.ts';

const soa =
  'shop.example 60 SOA {"mname":"ns1.shop.example","rname":"host.shop.example","serial":7,"refresh":7200,"retry":900,"expire":1209600,"minimum":60}';
const A = 1;
const NS = 2;
const CNAME = 5;
const TXT = 16;
const AAAA = 28;

describe('zone data', () => {
  const { ask } = harness();
  it('answers what is there, authoritatively and minimally', () => {
    expect(ask({ name: 'api.shop.example.' })).toMatchObject({
      rcode: 'NOERROR',
      aa: true,
      id: 0x1234,
      answers: ['api.shop.example 300 A 192.0.2.81', 'api.shop.example 300 A 192.0.2.82'],
      authorities: [],
      additionals: [],
    });
    expect(ask({ name: 'shop.example.', type: NS }).answers).toEqual(['shop.example 300 NS ns1.shop.example']);
    expect(ask({ name: 'mail.shop.example.', type: 15 }).answers).toEqual([
      'mail.shop.example 300 MX {"preference":10,"exchange":"mx1.shop.example"}',
      'mail.shop.example 300 MX {"preference":20,"exchange":"mx2.mail.shop.example"}',
    ]);
  });
  it('NODATA and NXDOMAIN carry the SOA with the lower TTL (RFC 2308)', () => {
    expect(ask({ name: 'api.shop.example.', type: AAAA })).toMatchObject({
      rcode: 'NOERROR',
      aa: true,
      answers: [],
      authorities: [soa],
    });
    expect(ask({ name: 'nope.shop.example.' })).toMatchObject({
      rcode: 'NXDOMAIN',
      aa: true,
      answers: [],
      authorities: [soa],
    });
    expect(ask({ name: 'x.api.shop.example.' }).rcode).toBe('NXDOMAIN');
  });
  it('empty non-terminals exist', () => {
    for (const name of ['b.ent.shop.example.', 'ent.shop.example.']) {
      expect(ask({ name })).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: [soa] });
    }
    expect(ask({ name: 'a.b.ent.shop.example.' }).answers).toHaveLength(1);
    expect(ask({ name: 'c.b.ent.shop.example.' }).rcode).toBe('NXDOMAIN');
  });
  it('wildcards answer from the closest encloser alone (RFC 4592)', () => {
    expect(ask({ name: 'q.wild.shop.example.', type: TXT }).answers).toEqual(['q.wild.shop.example 300 TXT any']);
    expect(ask({ name: 'q.r.wild.shop.example.', type: TXT }).answers).toHaveLength(1);
    expect(ask({ name: 'q.wild.shop.example.' })).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: [soa] });
    // y.wild exists as an empty non-terminal: it is no synthesis, and the closest encloser of what is below it.
    expect(ask({ name: 'y.wild.shop.example.', type: TXT })).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(ask({ name: 'q.y.wild.shop.example.', type: TXT }).rcode).toBe('NXDOMAIN');
    expect(ask({ name: '*.wild.shop.example.', type: TXT }).answers).toHaveLength(1);
    expect(ask({ name: 'q.cw.shop.example.' }).answers).toEqual([
      'q.cw.shop.example 300 CNAME api.shop.example',
      'api.shop.example 300 A 192.0.2.81',
      'api.shop.example 300 A 192.0.2.82',
    ]);
  });
  it('follows CNAMEs inside our zones', () => {
    expect(ask({ name: 'alias.shop.example.' }).answers[0]).toBe('alias.shop.example 300 CNAME api.shop.example');
    expect(ask({ name: 'alias.shop.example.' }).answers).toHaveLength(3);
    expect(ask({ name: 'alias.shop.example.', type: CNAME }).answers).toHaveLength(1);
    expect(ask({ name: 'far.shop.example.' })).toMatchObject({
      rcode: 'NOERROR',
      answers: ['far.shop.example 300 CNAME www.elsewhere.test'],
    });
    expect(ask({ name: 'deep.shop.example.' })).toMatchObject({ rcode: 'NXDOMAIN', authorities: [soa] });
    expect(ask({ name: 'deep.shop.example.' }).answers).toHaveLength(2);
    expect(ask({ name: 'loop.shop.example.' })).toMatchObject({ rcode: 'NOERROR' });
    expect(ask({ name: 'alias.shop.example.', type: AAAA })).toMatchObject({ rcode: 'NOERROR', authorities: [soa] });
  });
  it('refers below a cut, with glue, and hides what is occluded', () => {
    for (const name of ['sub.shop.example.', 'hid.sub.shop.example.', 'q.sub.shop.example.', 'ns.sub.shop.example.']) {
      expect(ask({ name })).toMatchObject({
        rcode: 'NOERROR',
        aa: false,
        answers: [],
        authorities: ['sub.shop.example 300 NS ns.sub.shop.example', 'sub.shop.example 300 NS ns1.shop.example'],
        additionals: ['ns.sub.shop.example 300 A 192.0.2.90', 'ns1.shop.example 300 A 192.0.2.53'],
      });
    }
    // DS belongs to the parent.
    expect(ask({ name: 'sub.shop.example.', type: 43 })).toMatchObject({ aa: true, authorities: [soa] });
  });
  it('REFUSED outside our zones and for other classes and transfers', () => {
    for (const init of [
      { name: 'example.' },
      { name: 'other.test.' },
      { name: '.' },
      { class: 3 },
      { class: 255 },
      { type: 252 },
    ]) {
      expect(ask(init)).toMatchObject({ rcode: 'REFUSED', aa: false, answers: [], authorities: [] });
    }
  });
  it('ANY is answered minimally (RFC 8482)', () => {
    expect(ask({ name: 'api.shop.example.', type: 255 }).answers).toEqual([
      'api.shop.example 3789 HINFO {"cpu":"RFC8482","os":""}',
    ]);
    expect(ask({ name: 'www.shop.example.', type: 255 }).answers).toHaveLength(1);
    expect(ask({ name: 'nope.shop.example.', type: 255 }).rcode).toBe('NXDOMAIN');
  });
  it('echoes the case of the question, in the answer too (0x20)', () => {
    const bytes = harness().raw(query({ name: 'aPi.ShOp.eXaMpLe.' }))!;
    expect(Buffer.from(bytes).toString('latin1')).toContain('aPi');
    expect(readAnswer(bytes).answers[0]).toBe('aPi.ShOp.eXaMpLe 300 A 192.0.2.81');
  });
  it('a child zone of ours owns its names', () => {
    const both = harness(
      desiredState({
        zones: [
          ...desiredState().zones,
          {
            origin: 'sub.shop.example.',
            records: [
              { name: 'sub.shop.example.', type: 'SOA', ttl: 9, data: 'a. b. 1 2 3 4 5' },
              { name: 'sub.shop.example.', type: 'NS', ttl: 9, data: 'ns1.shop.example.' },
              { name: 'own.sub.shop.example.', type: 'A', ttl: 9, data: '192.0.2.7' },
            ],
          },
        ],
      }),
    );
    expect(both.ask({ name: 'own.sub.shop.example.' })).toMatchObject({
      aa: true,
      answers: ['own.sub.shop.example 9 A 192.0.2.7'],
    });
    expect(both.ask({ name: 'hid.sub.shop.example.' }).rcode).toBe('NXDOMAIN');
  });
  it('refuses a zone that cannot be served, and keeps the one in service', () => {
    const one = harness();
    expect(() => one.use(desiredState({ zones: [{ origin: 'shop.example.', records: [] }] }))).toThrow(
      'has 0 SOA records',
    );
    expect(one.ask({ name: 'api.shop.example.' }).rcode).toBe('NOERROR');
  });
  it('SERVFAIL while there is no desired state', () => {
    const one = harness();
    one.answerer.tables = undefined;
    expect(one.ask()).toMatchObject({ rcode: 'SERVFAIL', aa: false });
  });
});

describe('messages', () => {
  const one = harness();
  const bytesOf = (head: number[], ...rest: number[][]) => Uint8Array.from([0x12, 0x34, ...head, ...rest.flat()]);
  const www = question('www.shop.example.', A);
  it('drops answers and scraps in silence', () => {
    const answer = query();
    answer[2]! |= 0x80;
    expect(one.raw(answer)).toBeUndefined();
    for (let length = 0; length < 12; length++) expect(one.raw(query().subarray(0, length))).toBeUndefined();
  });
  it.each([
    ['QDCOUNT 0', bytesOf([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
    ['QDCOUNT 2', bytesOf([1, 0, 0, 2, 0, 0, 0, 0, 0, 0], www, www)],
    ['a question cut short', query().subarray(0, 20)],
    ['a pointer in the question', bytesOf([1, 0, 0, 1, 0, 0, 0, 0, 0, 0], [0xc0, 12, 0, 1, 0, 1])],
    ['a label over 63 bytes', bytesOf([1, 0, 0, 1, 0, 0, 0, 0, 0, 0], [64, ...Array(64).fill(97), 0, 0, 1, 0, 1])],
    ['bytes after the message', Uint8Array.from([...query(), 0])],
    [
      'a record that reaches past the end',
      bytesOf([1, 0, 0, 1, 0, 1, 0, 0, 0, 0], www, [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 9]),
    ],
    ['a record count without records', bytesOf([1, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff], www)],
    ['type OPT asked for', query({ type: 41 })],
  ])('FORMERR for %s', (_, bytes) => {
    expect(readAnswer(one.raw(bytes)!)).toMatchObject({ rcode: 'FORMERR', id: 0x1234, answers: [], tc: false });
  });
  it.each([1, 2, 4, 5, 6, 15])('NOTIMP for opcode %i, echoed', (opcode) => {
    const bytes = one.raw(query({ opcode }))!;
    expect(readAnswer(bytes).rcode).toBe('NOTIMP');
    expect((bytes[2]! >> 3) & 15).toBe(opcode);
    expect(readAnswer(one.raw(query({ opcode, edns: {} }))!).opt).toBeDefined();
  });
  it('keeps RD, clears RA, AD and CD', () => {
    const bytes = query({ flags: 1 });
    bytes[3] = 0xf0;
    const answer = one.raw(bytes)!;
    expect(answer[2]! & 1).toBe(1);
    expect(answer[3]).toBe(0);
    expect(one.raw(query({ flags: 0 }))![2]! & 1).toBe(0);
  });
  it('accepts records in other sections, as NOTIFY-like clients send them', () => {
    const rr = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0];
    expect(readAnswer(one.raw(bytesOf([1, 0, 0, 1, 0, 1, 0, 0, 0, 0], www, rr))!).rcode).toBe('NOERROR');
  });
});

describe('EDNS (RFC 6891)', () => {
  const one = harness();
  it('answers OPT exactly when asked with it, our size, DO echoed', () => {
    expect(one.ask().opt).toBeUndefined();
    expect(one.ask({ edns: { do: true } }).opt).toMatchObject({ udpPayloadSize: 1232, ednsVersion: 0, flag_do: true });
    expect(one.ask({ edns: {} }).opt).toMatchObject({ flag_do: false, options: [] });
    expect(one.ask({ name: 'other.test.', edns: {} }).opt).toBeDefined();
  });
  it('BADVERS for a later version, whatever its options hold', () => {
    expect(one.ask({ edns: { version: 1, options: [0, 8, 0, 1, 0] } })).toMatchObject({
      rcode: '16',
      answers: [],
      opt: { ednsVersion: 0 },
    });
  });
  it('ignores options it does not know', () => {
    expect(one.ask({ edns: { options: [0, 12, 0, 2, 1, 2, 0xff, 0xfe, 0, 0] } })).toMatchObject({
      rcode: 'NOERROR',
      opt: { options: [] },
    });
  });
  it('FORMERR for two OPTs, one with a name, one elsewhere, an option past its end', () => {
    const opt = [0, ...word(41), ...word(1232), 0, 0, 0, 0, 0, 0];
    const head = (counts: number[]) => [0x12, 0x34, 1, 0, 0, 1, ...counts.flatMap(word)];
    const www = question('www.shop.example.', A);
    for (const bytes of [
      [...head([0, 0, 2]), ...www, ...opt, ...opt],
      [...head([0, 0, 1]), ...www, 1, 97, ...opt],
      [...head([1, 0, 0]), ...www, ...opt],
    ]) {
      expect(readAnswer(one.raw(Uint8Array.from(bytes))!).rcode).toBe('FORMERR');
    }
    expect(one.ask({ edns: { options: [0, 10, 0, 9, 1] } })).toMatchObject({ rcode: 'FORMERR' });
    expect(one.ask({ edns: { options: [0, 10, 0] } })).toMatchObject({ rcode: 'FORMERR' });
  });
  it('truncates to an empty answer with TC that keeps OPT; TCP has room', () => {
    const big = { name: 'big.shop.example.', type: TXT };
    expect(one.ask(big)).toMatchObject({ tc: true, answers: [], rcode: 'NOERROR' });
    expect(one.ask({ ...big, edns: { size: 4096 } })).toMatchObject({
      tc: true,
      answers: [],
      opt: { udpPayloadSize: 1232 },
    });
    expect(one.ask({ ...big, edns: { size: 4096 } }, '127.0.0.1', true)).toMatchObject({ tc: false });
    expect(one.ask(big, '127.0.0.1', true).answers).toHaveLength(1);
    const mid = { name: 'mid.shop.example.', type: TXT };
    expect(one.ask({ ...mid, edns: { size: 100 } })).toMatchObject({ tc: true });
    expect(one.ask(mid)).toMatchObject({ tc: true });
    expect(one.ask({ ...mid, edns: { size: 1232 } })).toMatchObject({ tc: false });
  });
});
