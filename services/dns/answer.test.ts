import { LiveState, setLive } from '@ufes/core/live.ts';
import { describe, expect, it } from 'vitest';
import {
  buildMap,
  desiredState,
  ecsOption,
  type Harness,
  harness,
  query,
  question,
  readAnswer,
  service,
  word,
} from './dns.fixture.ts';

const soa =
  'shop.example 60 SOA {"mname":"ns1.shop.example","rname":"host.shop.example","serial":7,"refresh":7200,"retry":900,"expire":1209600,"minimum":60}';
const A = 1;
const NS = 2;
const CNAME = 5;
const TXT = 16;
const AAAA = 28;

const map = buildMap(desiredState(), [
  { from: '0.0.0.0', ranking: ['lon', 'iad', 'sin-2'] },
  { from: '64.0.0.0', ranking: ['iad', 'lon', 'sin-2'] },
  { from: '81.2.69.0', ranking: ['lon', 'iad', 'sin-2'] },
  { from: '81.2.70.0', ranking: ['sin-2', 'iad', 'lon'] },
]);

function down(one: Harness, ...pops: number[]): void {
  for (const pop of pops)
    setLive(one.live, pop, { state: LiveState.down, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
}

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
    expect(one.ask({ edns: { options: [0, 10, 0, 2, 1, 2, 0xff, 0xfe, 0, 0] } })).toMatchObject({
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

describe('client subnet (RFC 7871)', () => {
  const one = harness(desiredState(), map);
  it.each([
    ['under 4 bytes', [0, 8, 0, 3, 0, 1, 0]],
    ['scope in a query', ecsOption({ address: '81.2.69.0', source: 24, scope: 1 })],
    ['source over 32', ecsOption({ address: '81.2.69.0', source: 33, bytes: [81, 2, 69, 0, 0] })],
    ['source over 128', ecsOption({ address: '2001:db8::', source: 129, bytes: Array(17).fill(0) })],
    ['unknown family', ecsOption({ address: '81.2.69.0', source: 24, family: 3 })],
    ['family 0 with a source', ecsOption({ address: '81.2.69.0', source: 24, family: 0 })],
    ['too few bytes', ecsOption({ address: '81.2.69.0', source: 24, bytes: [81, 2] })],
    ['too many bytes', ecsOption({ address: '81.2.69.0', source: 24, bytes: [81, 2, 69, 0] })],
    ['bits beyond the source', ecsOption({ address: '81.2.69.0', source: 23, bytes: [81, 2, 69] })],
    [
      'the option twice',
      [...ecsOption({ address: '81.2.69.0', source: 24 }), ...ecsOption({ address: '81.2.69.0', source: 24 })],
    ],
  ])('FORMERR for %s', (_, options) => {
    expect(one.ask({ edns: { options } })).toMatchObject({ rcode: 'FORMERR', answers: [] });
  });
  it('answers by the subnet with the scope of its leaf, echoed', () => {
    const answer = one.ask({ ecs: { address: '81.2.69.0', source: 24 } });
    expect(answer.answers).toEqual(['www.shop.example 60 A 127.0.10.1']);
    expect(answer.opt!.options![0]).toMatchObject({
      family: 1,
      sourcePrefixLength: 24,
      scopePrefixLength: 24,
      ip: '81.2.69.0',
    });
    expect(one.ask({ ecs: { address: '81.2.70.0', source: 24 } })).toMatchObject({
      answers: ['www.shop.example 60 A 127.0.30.1'],
      scope: 23,
    });
    expect(one.ask({ ecs: { address: '81.2.69.7', source: 32 } })).toMatchObject({ scope: 24 });
  });
  it('carries the option only when asked with it', () => {
    expect(one.ask({ edns: {} }).scope).toBeUndefined();
  });
  it('source 0 and family 0: by the resolver, scope 0', () => {
    for (const ecs of [
      { address: '0.0.0.0', source: 0 },
      { address: '::', source: 0 },
      { address: '0.0.0.0', source: 0, family: 0 },
    ]) {
      expect(one.ask({ ecs }, '81.2.70.1')).toMatchObject({ answers: ['www.shop.example 60 A 127.0.30.1'], scope: 0 });
    }
  });
  it.each([
    ['127.0.0.0', 24, 8],
    ['10.1.2.0', 24, 8],
    ['100.64.7.0', 24, 10],
    ['169.254.0.0', 16, 16],
    ['172.16.0.0', 24, 12],
    ['192.168.1.0', 24, 16],
    ['224.0.0.0', 24, 3],
    ['fd00::', 48, 7],
    ['fe80::', 64, 9],
    ['::1', 128, 81],
    ['::ffff:10.0.0.0', 120, 104],
  ])('%s/%i is answered by the resolver, with scope %i over the special block', (address, source, scope) => {
    expect(one.ask({ ecs: { address, source } }, '81.2.70.1')).toMatchObject({
      answers: ['www.shop.example 60 A 127.0.30.1'],
      scope,
    });
    expect(one.ask({ ecs: { address, source } }, '81.2.69.1')).toMatchObject({
      answers: ['www.shop.example 60 A 127.0.10.1'],
      scope,
    });
  });
  it('no scope reaches into a special block', () => {
    // The leaf is 0.0.0.0/2, which holds 0/8, 10/8 and more.
    expect(one.ask({ ecs: { address: '11.0.0.0', source: 24 } }).scope).toBe(8);
    expect(one.ask({ ecs: { address: '32.0.0.0', source: 24 } }).scope).toBe(3);
  });
  it('v4-mapped folds, with the scope in its own family', () => {
    expect(one.ask({ ecs: { address: '::ffff:81.2.69.0', source: 120 } })).toMatchObject({
      answers: ['www.shop.example 60 A 127.0.10.1'],
      scope: 120,
    });
  });
  it('a source shorter than the leaf is answered by a leaf beneath it', () => {
    expect(one.ask({ ecs: { address: '81.2.69.0', source: 8 } })).toMatchObject({ scope: 15 });
    expect(one.ask({ ecs: { address: '0.0.0.0', source: 1 } })).toMatchObject({
      answers: ['www.shop.example 60 A 127.0.10.1'],
      scope: 8,
    });
  });
  it('static data, negative answers and referrals have scope 0', () => {
    const ecs = { address: '81.2.69.0', source: 24 };
    for (const name of ['api.shop.example.', 'nope.shop.example.', 'sub.shop.example.'])
      expect(one.ask({ name, ecs }).scope).toBe(0);
    expect(one.ask({ ecs, type: AAAA })).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: [soa], scope: 0 });
  });
  it('a chain into a steered name gives its first link alone, scope 0 (§7.2.1)', () => {
    const asked = one.ask({ name: 'tosteer.shop.example.', ecs: { address: '81.2.69.0', source: 24 } });
    expect(asked).toMatchObject({ scope: 0, answers: ['tosteer.shop.example 300 CNAME tosteer2.shop.example'] });
    expect(one.ask({ name: 'tosteer.shop.example.' }, '81.2.70.1').answers).toEqual([
      'tosteer.shop.example 300 CNAME tosteer2.shop.example',
      'tosteer2.shop.example 300 CNAME www.shop.example',
      'www.shop.example 60 A 127.0.30.1',
    ]);
  });
});

describe('steered names', () => {
  it('by the default list without a map, scope 0', () => {
    expect(harness().ask({ ecs: { address: '81.2.69.0', source: 24 } })).toMatchObject({
      answers: ['www.shop.example 60 A 127.0.10.1'],
      scope: 0,
    });
  });
  it('passes over what is down, at once', () => {
    const one = harness(desiredState(), map);
    expect(one.ask({}, '81.2.70.1').answers).toEqual(['www.shop.example 60 A 127.0.30.1']);
    down(one, 2);
    expect(one.ask({}, '81.2.70.1').answers).toEqual(['www.shop.example 60 A 127.0.20.1']);
  });
  it('a TTL promises no more than the state does', () => {
    const one = harness();
    setLive(one.live, 0, { state: LiveState.up, loadPerMille: 0, holdMs: 20_000, sinceSeconds: 1 });
    expect(one.ask().answers).toEqual(['www.shop.example 20 A 127.0.10.1']);
    setLive(one.live, 0, { state: LiveState.up, loadPerMille: 0, holdMs: 500, sinceSeconds: 1 });
    expect(one.ask().answers).toEqual(['www.shop.example 5 A 127.0.10.1']);
  });
  it('all down: each rule, never an NXDOMAIN', () => {
    const rules = (allDown: ReturnType<typeof service>['allDown']) => {
      const one = harness(desiredState({ services: [service({ allDown })] }), map);
      down(one, 0, 1, 2);
      return one.ask({ ecs: { address: '81.2.69.0', source: 24 } });
    };
    expect(rules({ rule: 'serve-preferred' })).toMatchObject({
      answers: ['www.shop.example 5 A 127.0.10.1'],
      scope: 24,
    });
    expect(rules({ rule: 'nodata' })).toMatchObject({
      rcode: 'NOERROR',
      answers: [],
      authorities: [soa.replace(' 60 ', ' 5 ')],
      scope: 0,
    });
    const fallback = { rule: 'fallback', addresses: [{ family: 4, address: '192.0.2.99' }] } as const;
    expect(rules(fallback)).toMatchObject({ answers: ['www.shop.example 5 A 192.0.2.99'], scope: 0 });
  });
  it('N answers, both families', () => {
    const candidates = [0, 1, 2].map((pop) => ({ pop, v4: `127.0.${pop}0.1`, v6: `2001:db8:${pop}::1` }));
    const one = harness(desiredState({ services: [service({ answers: 2, candidates })] }), map);
    expect(one.ask({}, '81.2.70.1').answers).toEqual([
      'www.shop.example 60 A 127.0.20.1',
      'www.shop.example 60 A 127.0.10.1',
    ]);
    expect(one.ask({ type: AAAA }, '81.2.70.1').answers).toEqual([
      'www.shop.example 60 AAAA 2001:db8:2::1',
      'www.shop.example 60 AAAA 2001:db8:1::1',
    ]);
  });
  it('a service that is not answered leaves the name to its zone', () => {
    const one = harness(desiredState({ services: [service({ answered: false })] }));
    expect(one.ask().rcode).toBe('NXDOMAIN');
    const static1 = harness(desiredState({ services: [service({ answered: false, name: 'api.shop.example.' })] }));
    expect(static1.ask({ name: 'api.shop.example.' }).answers).toHaveLength(2);
  });
  it('other types come from the zone; a wildcard can be steered', () => {
    const one = harness(
      desiredState({
        services: [service({ name: 'api.shop.example.' }), service({ id: 'w', name: '*.apps.shop.example.' })],
      }),
    );
    expect(one.ask({ name: 'api.shop.example.' }).answers).toEqual(['api.shop.example 60 A 127.0.10.1']);
    expect(one.ask({ name: 'api.shop.example.', type: TXT }).answers).toEqual(['api.shop.example 300 TXT hello']);
    expect(one.ask({ name: 'one.apps.shop.example.' }).answers).toEqual(['one.apps.shop.example 60 A 127.0.10.1']);
  });
  it('tells of services that no zone of ours holds', () => {
    const tables = harness().use(
      desiredState({
        services: [service({ name: 'www.other.test.' }), service({ id: 'below', name: 'x.sub.shop.example.' })],
      }),
    );
    expect(tables.names.unserved.map((one) => one.reason)).toEqual([
      'www.other.test. is in none of our zones',
      'it lies at or below the delegation sub.shop.example.',
    ]);
  });
  it('counts and remembers answers', () => {
    const one = harness(desiredState(), map);
    one.ask({ ecs: { address: '81.2.69.0', source: 24 } });
    one.ask({}, '81.2.70.1');
    expect(one.recent.since(0)).toEqual({
      last: 2,
      answers: [
        { seq: 1, atMs: 1_764_000_000_000, name: 'www.shop.example.', client: '81.2.69.0/24', pop: 'lon' },
        { seq: 2, atMs: 1_764_000_000_000, name: 'www.shop.example.', client: '81.2.70.0/24', pop: 'sin-2' },
      ],
    });
    expect(one.recent.since(1).answers).toHaveLength(1);
    expect([...one.counters.answers.entries()]).toEqual([
      [{ service: 'shop', pop: 'lon' }, 1],
      [{ service: 'shop', pop: 'sin-2' }, 1],
    ]);
    for (let i = 0; i < 5_000; i++) one.ask({}, '81.2.70.1');
    expect(one.recent.since(0).answers).toHaveLength(4096);
    expect(one.recent.since(0).last).toBe(5002);
  });
});

describe('probe names', () => {
  it('answer their PoP whatever the steering says, and remember who asked', () => {
    const one = harness(desiredState(), map);
    down(one, 0);
    expect(
      one.ask({ name: 'AbC-Lon.probe.example.', ecs: { address: '81.2.70.0', source: 24 } }, '192.0.2.5'),
    ).toMatchObject({
      aa: true,
      answers: ['AbC-Lon.probe.example 5 A 127.0.10.1'],
      scope: 0,
    });
    expect(one.ask({ name: 'x-y-sin-2.probe.example.' }, '2001:db8::5').answers).toHaveLength(1);
    expect(one.ask({ name: 'a-lon.probe.example.', type: AAAA }).answers).toEqual([
      'a-lon.probe.example 5 AAAA 2001:db8:10::1',
    ]);
    expect(one.ask({ name: 'a-iad.probe.example.', type: AAAA })).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(one.probes.since(0)).toMatchObject([
      { id: 'abc', pop: 'lon', resolver: '192.0.2.5', subnet: '81.2.70.0/24' },
      { id: 'x-y', pop: 'sin-2', resolver: '2001:db8::/64' },
      { id: 'a', pop: 'lon' },
      { id: 'a', pop: 'iad' },
    ]);
  });
  it('of no known PoP are ordinary names', () => {
    const one = harness();
    for (const name of [
      'abc-nope.probe.example.',
      'abc.probe.example.',
      '-lon.probe.example.',
      'x.a-lon.probe.example.',
    ]) {
      expect(one.ask({ name }).rcode).toBe('NXDOMAIN');
    }
    expect(one.ask({ name: 'ns.probe.example.' }).answers).toHaveLength(1);
  });
});
