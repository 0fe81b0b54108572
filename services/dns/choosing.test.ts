/** The rules of choosing as they are seen on the wire: debug names, bindings, families, and explain beside the answer. */
import { type DesiredService, groupKey } from '@ufes/core/desired.ts';
import { formatRdata } from '@ufes/core/dns/rdata.ts';
import { formatAddress, formatPrefix, parsePrefix, prefixOf } from '@ufes/core/ip.ts';
import { LiveState, setForce, setLive, setRoom, setRowForces } from '@ufes/core/live.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import packet from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Answer,
  buildMap,
  desiredState,
  explained,
  type Harness,
  harness,
  type QueryInit,
  query,
  service,
} from './testing.ts';

const [A, TXT, AAAA, SVCB, HTTPS] = [1, 16, 28, 64, 65];
const candidates = [0, 1, 2].map((pop) => ({ pop, v4: `192.0.2.${pop + 1}`, v6: `2001:db8:${pop + 1}::1` }));
const bindings: DesiredService['bindings'] = [
  { type: 'HTTPS', data: '1 . alpn=h2,h3 port=8443' },
  { type: 'SVCB', data: '2 www.shop.example. alpn=h2 ech=AEX+DQ== key65280=x' },
];
const debug = { pinnedLabel: '{pop}', explainClients: ['127.0.0.0/8', '2001:db8:ff::/48'] };
const world = (over: Partial<DesiredService> = {}, map?: (desired: ReturnType<typeof desiredState>) => SteeringMap) => {
  const desired = desiredState({ services: [service({ candidates, bindings, ...over })], debug });
  return harness(desired, map?.(desired));
};

/** Data of the answers of a type, as text. */
function dataOf(one: Harness, init: QueryInit, peer?: string): string[] {
  const bytes = one.raw(query(init), peer)!;
  return packet.decode(Buffer.from(bytes)).answers.map((record) => {
    const { type, data } = record as unknown as { type: string; data: unknown };
    const isRaw = Buffer.isBuffer(data);
    return isRaw ? (formatRdata(init.type ?? A!, data) ?? '?') : `${type} ${String(data)}`;
  });
}

describe('HTTPS and SVCB of a steered name (RFC 9460)', () => {
  it('have the addresses of the chosen PoP as hints, at their place among the parameters', () => {
    const one = world();
    expect(dataOf(one, { type: HTTPS! })).toEqual([
      '1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1 ipv6hint=2001:db8:1::1',
    ]);
    expect(dataOf(one, { type: SVCB! })).toEqual([
      '2 www.shop.example. alpn=h2 ipv4hint=192.0.2.1 ech=AEX+DQ== ipv6hint=2001:db8:1::1 key65280="x"',
    ]);
    setLive(one.live, 0, { state: LiveState.down, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
    expect(dataOf(one, { type: HTTPS! })[0]).toContain('ipv4hint=192.0.2.2 ');
  });
  it('have several, best first, and those of the fall-back', () => {
    expect(dataOf(world({ answers: 2 }), { type: HTTPS! })[0]).toContain(
      'ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8:1::1,2001:db8:2::1',
    );
    const addresses = [{ family: 4, address: '192.0.2.99' }] as const;
    const one = world({ allDown: { rule: 'fallback', addresses } });
    for (const pop of [0, 1, 2]) setLive(one.live, pop, { state: 2, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
    expect(dataOf(one, { type: HTTPS! })[0]).toMatch(/ipv4hint=192\.0\.2\.99$/);
  });
  it('are not there when the service has none', () => {
    const answer = world({ bindings: [] }).ask({ type: HTTPS!, ecs: { address: '81.2.69.0', source: 24 } });
    expect(answer).toMatchObject({ rcode: 'NOERROR', answers: [], scope: 0 });
    expect(answer.authorities).toHaveLength(1);
  });
});

describe('names that pin a PoP', () => {
  it('answer it whatever its state and the rules', () => {
    const one = world({ overrides: [{ prefixes: ['0.0.0.0/0'], pops: [0], pin: true }] });
    setLive(one.live, 1, { state: LiveState.down, loadPerMille: 0, holdMs: 0, sinceSeconds: 1 });
    expect(one.ask({ name: 'IAD.www.shop.example.' }).answers).toEqual(['IAD.www.shop.example 60 A 192.0.2.2']);
    expect(one.ask({ name: 'sin-2.www.shop.example.', type: AAAA! }).answers).toHaveLength(1);
    expect(dataOf(one, { name: 'iad.www.shop.example.', type: HTTPS! })[0]).toContain('ipv4hint=192.0.2.2');
    expect(one.ask({ name: 'nope.www.shop.example.' }).rcode).toBe('NXDOMAIN');
  });
  it('are there for PoPs in `only` alone, and answer nobody from whom a region keeps them', () => {
    const one = world({ only: [0, 1], regions: [{ prefixes: ['81.2.0.0/16'], only: [0] }] });
    expect(one.ask({ name: 'sin-2.www.shop.example.' }).rcode).toBe('NXDOMAIN');
    expect(one.ask({ name: 'iad.www.shop.example.' }, '81.2.69.1')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(one.ask({ name: 'iad.www.shop.example.' }, '81.3.69.1').answers).toHaveLength(1);
  });
  it('leave names that the zone has alone', () => {
    const desired = desiredState({
      services: [service({ candidates, name: 'wild.shop.example.' })],
      debug: { ...debug, pinnedLabel: 'x' },
    });
    expect(harness(desired).ask({ name: 'x.wild.shop.example.', type: TXT! }).rcode).toBe('NOERROR');
  });
});

describe('_ufes-explain', () => {
  const ask = (one: Harness, peer: string): Answer =>
    one.ask({ name: '_ufes-explain.www.shop.example.', type: TXT! }, peer);
  it('says the decision in words, for those who may know', () => {
    const one = world({ shares: [{ pop: 2, share: 1 }] });
    setLive(one.live, 0, { state: LiveState.down, loadPerMille: 312, holdMs: 0, sinceSeconds: 1 });
    const { answers, rcode } = ask(one, '127.0.0.1');
    expect(rcode).toBe('NOERROR');
    expect(answers[0]).toContain('0 TXT why="share" answer=192.0.2.3 by="address of the resolver"');
    expect(answers[0]).toContain('share=sin-2,100%');
    expect(answers).toHaveLength(4);
    expect(answers[1]).toContain('1 lon down');
    expect(answers[1]).toContain('load=31.2%');
    expect(answers[3]).toContain('sin-2 unknown chosen');
  });
  it('is refused to others', () => {
    expect(ask(world(), '192.0.2.200')).toMatchObject({ rcode: 'REFUSED', answers: [] });
    expect(ask(world(), '2001:db8:ff::5').rcode).toBe('NOERROR');
    const none = harness(desiredState({ services: [service({ candidates })] }));
    expect(ask(none, '127.0.0.1').rcode).toBe('NXDOMAIN');
  });
});

const anyPrefix = fc
  .tuple(fc.nat(0xffffffff), fc.integer({ min: 1, max: 28 }))
  .map(([hi, length]) => formatPrefix(prefixOf({ family: 4, hi, lo: 0 }, length)));
const anyPrefixes = fc.array(anyPrefix, { minLength: 1, maxLength: 4 });
const anyPop = fc.nat(2);
const anyPops = fc.shuffledSubarray([0, 1, 2], { minLength: 1 });
const anyRules = fc.record({
  answers: fc.integer({ min: 1, max: 3 }),
  overrides: fc.array(fc.record({ prefixes: anyPrefixes, pops: anyPops, pin: fc.boolean() }), { maxLength: 2 }),
  shares: fc.array(fc.record({ pop: anyPop, share: fc.constantFrom(0.05, 0.5, 1) }), { maxLength: 2 }),
  regions: fc.array(fc.record({ prefixes: anyPrefixes, only: anyPops }), { maxLength: 2 }),
  controlShare: fc.constantFrom(0, 0.5, 1),
  ignoreSubnet: fc.boolean(),
  allDown: fc.constantFrom<DesiredService['allDown']>(
    { rule: 'serve-preferred' },
    { rule: 'nodata' },
    {
      rule: 'fallback',
      addresses: [
        { family: 4, address: '192.0.2.99' },
        { family: 6, address: '2001:db8::99' },
      ],
    },
  ),
});
const anyState = fc.record({
  states: fc.array(fc.record({ state: fc.constantFrom<LiveState>(0, 1, 2, 3), holdMs: fc.constantFrom(0, 20_000) }), {
    minLength: 3,
    maxLength: 3,
  }),
  shed: fc.constantFrom(0, 0, 30_000, 65_536),
  force: fc.option(fc.record({ pop: anyPop, state: fc.constantFrom<LiveState>(0, 2), pin: fc.boolean() }), {
    nil: undefined,
  }),
});
const anyClient = fc
  .tuple(fc.nat(0xffffffff), fc.constantFrom('', '/24', '/20', '/8'))
  .map(([hi, length]) => formatAddress({ family: 4, hi, lo: 0 }) + length);

function worldOf(
  rules: Partial<DesiredService>,
  { states, shed, force }: typeof anyState extends fc.Arbitrary<infer T> ? T : never,
): Harness {
  const one = world(rules, (desired) => {
    const map = buildMap(desired, [
      { from: '0.0.0.0', ranking: ['lon', 'iad', 'sin-2'] },
      { from: '81.2.69.0', ranking: ['iad', 'lon', 'sin-2'] },
      { from: '128.0.0.0', ranking: ['sin-2', 'iad', 'lon'] },
    ]);
    const other = buildMap(desired, [{ from: '0.0.0.0', ranking: ['iad', 'sin-2', 'lon'] }]);
    const key = groupKey({ ...desired.services[0]!, policy: 'geo' }, desired.pops);
    return { ...map, groups: [...map.groups, { ...other.groups[0]!, key }] };
  });
  for (const [pop, { state, holdMs }] of states.entries()) {
    setLive(one.live, pop, { state, holdMs, loadPerMille: 0, sinceSeconds: 9 });
  }
  setRoom(one.live, 0, shed, shed === 0 ? 0 : 6_554);
  if (force !== undefined) {
    setForce(one.live, 0, { ...force, endsMs: 30_000 });
    setRowForces(one.live, 0, force.state === 0 ? 1 : 0, force.state === 0 ? 0 : 1);
  }
  return one;
}

describe('under every rule', () => {
  it('explain says what the wire says', () => {
    const whys = new Set<string>();
    fc.assert(
      fc.property(anyRules, anyState, anyClient, fc.constantFrom(A!, AAAA!, HTTPS!), (rules, state, client, type) => {
        const one = worldOf(rules, state);
        const said = explained(one.answerer.tables!, { name: 'www.shop.example', client, type }, 0);
        if (typeof said === 'string') throw new Error(said);
        whys.add(said.why);
        const [address, length] = client.split('/');
        const init = { type, ecs: { address: address!, source: Number(length ?? 32) } };
        const peer = formatAddress(parsePrefix(client)!);
        const wire = one.ask(init, peer);
        const data = dataOf(one, init, peer).map((text) => text.replace(/^A{1,4} /, ''));
        expect(data).toEqual([...said.answers]);
        if (data.length > 0) {
          expect(wire.scope).toBe(said.scope);
          expect(wire.answers[0]).toContain(` ${said.ttlSeconds} `);
        }
        const chosen = said.pops.filter((pop) => pop.chosen);
        for (const pop of chosen) expect(pop).toMatchObject({ passed: '', by: expect.stringMatching(/./) });
        if (chosen.length === 1) expect(chosen[0]!.by).toBe(said.why);
        const first = one.recent.since(0).answers[0]!.pop;
        if (first !== undefined) expect(chosen.map(({ pop }) => pop)).toContain(first);
      }),
      { numRuns: 600 },
    );
    expect(whys.size).toBeGreaterThanOrEqual(9);
  });

  it('A, AAAA and HTTPS hints name the same PoPs', () => {
    fc.assert(
      fc.property(anyRules, anyState, anyClient, (rules, state, client) => {
        const one = worldOf(rules, state);
        const [address, length] = client.split('/');
        const ecs = { address: address!, source: Number(length ?? 32) };
        const four = dataOf(one, { type: A!, ecs }).map((text) => text.slice(2));
        const six = dataOf(one, { type: AAAA!, ecs }).map((text) => text.slice(5));
        const hints = dataOf(one, { type: HTTPS!, ecs })[0] ?? '';
        const listed = (name: string) =>
          (new RegExp(`${name}=(\\S+)`).exec(hints)?.[1] ?? '').split(',').filter(Boolean);
        const number = (text: string) => /(?:\.|8:)(\d+)(?:::1)?$/.exec(text.replace('::99', ':99::1'))?.[1];
        expect(listed('ipv4hint')).toEqual(four);
        expect(listed('ipv6hint')).toEqual(six);
        if (four[0] !== '192.0.2.99') expect(six.map(number)).toEqual(four.map(number));
      }),
      { numRuns: 300 },
    );
  });
});
