import { LiveState, setLive } from '@ufes/core/live.ts';
import { Packet } from 'dns2';
import { describe, expect, it } from 'vitest';
import { buildMap, desiredState, ecsOption, type Harness, harness, service } from './testing.ts';

const soa =
  'shop.example 60 SOA {"mname":"ns1.shop.example","rname":"host.shop.example","serial":7,"refresh":7200,"retry":900,"expire":1209600,"minimum":60}';
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
  it.each([
    ['64:ff9b::81.2.70.1', '127.0.30.1'],
    ['2002:5102:4601::9', '127.0.30.1'],
    ['2001:0:c000:235:8000:1:aefd:b9fe', '127.0.30.1'],
    ['64:ff9b::1:81.2.70.1', '127.0.10.1'],
    ['2001:db8::81.2.70.1', '127.0.10.1'],
  ])('a resolver at %s is placed by the IPv4 address inside, if there is one', (resolver, pop) => {
    expect(one.ask({}, resolver).answers).toEqual([`www.shop.example 60 A ${pop}`]);
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
  it.each([
    ['NAT64', '64:ff9b::81.2.69.0', 120, '127.0.10.1', 120],
    ['6to4', '2002:5102:4500::', 40, '127.0.10.1', 40],
    ['6to4, its whole /48 and more', '2002:5102:4600:77::', 64, '127.0.30.1', 39],
    ['Teredo', '2001:0:c000:235::aefd:b9ff', 128, '127.0.30.1', 119],
  ])('%s folds, with a scope that counts the bits before', (_, address, source, pop, scope) => {
    expect(one.ask({ ecs: { address, source } }, '10.0.0.1')).toMatchObject({
      answers: [`www.shop.example 60 A ${pop}`],
      scope,
    });
  });
  it.each([
    ['64:ff9b::10.0.0.0', 128, 104],
    ['64:ff9b:0:0:1::', 128, 80],
    ['64:ff9b:1::', 64, 48],
    ['2002:a00::', 48, 24],
    ['2001:0:c000:235::f5ff:ffff', 128, 104],
    ['2001:2::', 48, 48],
  ])('%s/%i is special, scope %i', (address, source, scope) => {
    expect(one.ask({ ecs: { address, source } }, '81.2.70.1')).toMatchObject({
      answers: ['www.shop.example 60 A 127.0.30.1'],
      scope,
    });
  });
  it('a source shorter than the leaf is answered by a large leaf beneath it, where nothing was measured', () => {
    expect(one.ask({ ecs: { address: '81.2.69.0', source: 8 } })).toMatchObject({
      answers: ['www.shop.example 60 A 127.0.30.1'],
      scope: 9,
    });
    expect(one.ask({ ecs: { address: '2001::', source: 40 } }).scope).toBeGreaterThan(96);
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

it('a second reader, dns2, sees the same answers and client subnet', () => {
  const one = harness(desiredState(), map);
  const seen = (init: Parameters<Harness['ask']>[0]) => Packet.parse(Buffer.from(one.ask(init).bytes));
  const steered = seen({ ecs: { address: '81.2.70.0', source: 24 } });
  expect(steered.header).toMatchObject({ id: 0x1234, qr: 1, aa: 1, tc: 0, rcode: 0 });
  expect(steered.answers).toMatchObject([{ name: 'www.shop.example', type: 1, ttl: 60, address: '127.0.30.1' }]);
  expect(steered.additionals[0]).toMatchObject({
    rdata: [{ ednsCode: 8, family: 1, sourcePrefixLength: 24, scopePrefixLength: 23, ip: '81.2.70.0' }],
  });
  expect(seen({ name: 'mail.shop.example.', type: 15 }).answers).toMatchObject([
    { exchange: 'mx1.shop.example', priority: 10 },
    { exchange: 'mx2.mail.shop.example', priority: 20 },
  ]);
  expect(seen({ name: 'nope.shop.example.' }).authorities).toMatchObject([
    { primary: 'ns1.shop.example', admin: 'host.shop.example', serial: 7, minimum: 60 },
  ]);
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
