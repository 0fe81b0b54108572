/** The fast path and the long way give the same answers, byte by byte, and count the same. */
import { nameToWire } from '@ufes/core/dns/name.ts';
import { parsePeer } from '@ufes/core/ip.ts';
import { LiveState, setLive } from '@ufes/core/live.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildMap, desiredState, type Harness, harness, query, service, word } from './testing.ts';
import type { WireOptions } from './wire.ts';

const state = () => {
  const base = desiredState();
  return desiredState({
    services: [
      service(),
      service({ id: 'two', name: 'two.shop.example.', answers: 2 }),
      service({
        id: 'dual',
        name: 'dual.shop.example.',
        candidates: [
          { pop: 0, v4: '127.0.10.1', v6: '2001:db8:10::1' },
          { pop: 1, v4: '127.0.20.1', v6: '2001:db8:20::1' },
        ],
      }),
      service({ id: 'deep', name: 'hid.sub.shop.example.' }),
      service({ id: 'none', name: 'none.shop.example.', allDown: { rule: 'nodata' } }),
      service({
        id: 'safe',
        name: 'safe.shop.example.',
        allDown: { rule: 'fallback', addresses: [{ family: 4, address: '192.0.2.200' }] },
      }),
    ],
    zones: base.zones,
  });
};

const map = () =>
  buildMap(
    state(),
    [
      { from: '0.0.0.0', ranking: ['lon', 'iad', 'sin-2'] },
      { from: '198.51.100.0', ranking: ['iad', 'lon'] },
      { from: '198.51.101.0', ranking: ['sin-2', 'iad'] },
      { from: '203.0.113.128', ranking: ['iad'] },
    ],
    [
      { from: '::', ranking: ['lon', 'iad', 'sin-2'] },
      { from: '2001:db8:1::', ranking: ['sin-2', 'lon', 'iad'] },
      { from: '2001:db8:2::', ranking: ['lon'] },
    ],
  );

const names = ['www', 'two', 'dual', 'hid.sub', 'none', 'safe', 'api', 'alias', 'x', 'ab-lon.probe', 'tosteer'].map(
  (label) => (label.endsWith('probe') ? `${label}.example.` : `${label}.shop.example.`),
);
const cased = (flips: number) => (name: string) =>
  [...name].map((char, i) => ((flips >> (i % 30)) & 1 ? char.toUpperCase() : char)).join('');

const options = fc.oneof(
  { weight: 6, arbitrary: fc.constant<number[]>([]) },
  { weight: 1, arbitrary: fc.constant([0, 3, 0, 0]) },
  { weight: 3, arbitrary: fc.uint8Array({ minLength: 8, maxLength: 8 }).map((c) => [0, 10, 0, 8, ...c]) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 0, maxLength: 44 }).map((c) => [0, 10, ...word(c.length), ...c]) },
  { weight: 1, arbitrary: fc.constant([0, 11, 0, 0]) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 9 }).map((c) => [0xff, 1, ...word(c.length), ...c]) },
);
const ecs = fc.record({
  address: fc.constantFrom(
    '198.51.100.7',
    '198.51.101.0',
    '203.0.113.200',
    '203.0.113.1',
    '10.1.2.3',
    '127.0.0.1',
    '0.0.0.0',
    '192.0.2.9',
    '2001:db8:1::',
    '2001:db8:2:3::',
    'fe80::1',
    '::ffff:198.51.100.1',
    '64:ff9b::c633:6401',
    '2002:c633:6401::',
    '::',
  ),
  source: fc.integer({ min: 0, max: 130 }),
});
const packets = fc
  .record({
    name: fc.constantFrom(...names),
    flips: fc.oneof(fc.constant(0), fc.integer()),
    type: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(1, 28) },
      { weight: 1, arbitrary: fc.constantFrom(5, 16, 255, 65, 41) },
    ),
    class: fc.oneof({ weight: 20, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.constantFrom(3, 255) }),
    id: fc.integer({ min: 0, max: 65_535 }),
    flags: fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(0, 1) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 7 }) },
    ),
    edns: fc.option(
      fc.record({
        options,
        size: fc.constantFrom(1232, 512, 0, 4096),
        version: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
        do: fc.boolean(),
      }),
      { nil: undefined },
    ),
    ecs: fc.option(ecs, { nil: undefined }),
    cut: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -6, max: 6 }) }),
    damage: fc.oneof(
      { weight: 8, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.tuple(fc.nat(200), fc.integer({ min: 0, max: 255 })) },
    ),
  })
  .map(({ name, flips, cut, damage, edns, ecs: subnet, ...rest }) => {
    const source = subnet && (subnet.address.includes(':') ? subnet.source : Math.min(subnet.source, 33));
    const bytes = query({
      ...rest,
      name: cased(flips)(name),
      ...(edns && { edns }),
      ...(subnet && {
        ecs: { address: subnet.address, source: Math.min(source!, subnet.address.includes(':') ? 128 : 32) },
      }),
    });
    const whole = cut > 0 ? Uint8Array.from([...bytes, ...new Uint8Array(cut)]) : bytes.slice(0, bytes.length + cut);
    if (damage !== undefined) whole[damage[0] % whole.length] = damage[1];
    return whole;
  });

const live = fc.array(fc.constantFrom(LiveState.unknown, LiveState.up, LiveState.down, LiveState.draining), {
  minLength: 3,
  maxLength: 3,
});
const peers = fc.constantFrom('192.0.2.53', '198.51.100.53', '2001:db8:1::53', '127.0.0.1');

/** The answer by way of `answerInto`, from the middle of one buffer to the middle of another. */
function byFastPath(
  one: Harness,
  packet: Uint8Array,
  peer: string,
): { bytes: Uint8Array | undefined; isFast: boolean } {
  const input = new Uint8Array(packet.length + 40).fill(0xaa);
  input.set(packet, 17);
  const out = new Uint8Array(1_400);
  one.answerer.out.fill(0x55, 0, 64);
  const length = one.answerer.answerInto(input, 17, packet.length, parsePeer(peer)!, out, 23);
  const isFast = length > 0 && one.answerer.out.subarray(0, 64).every((byte) => byte === 0x55);
  return { bytes: length === 0 ? undefined : out.slice(23, 23 + length), isFast };
}

const wires: Partial<WireOptions>[] = [
  {},
  { nsid: Uint8Array.of(1, 2, 3) },
  { udpBytesWithoutCookie: 90 },
  { cookies: false },
  { rateLimit: { answersPerSecond: 3, slip: 2 } },
];

describe('the fast path', () => {
  it.each(wires)('answers as the long way does: %o', (over) => {
    let fast = 0;
    let all = 0;
    fc.assert(
      fc.property(
        fc.array(packets, { minLength: 1, maxLength: 12 }),
        live,
        peers,
        fc.boolean(),
        (list, states, peer, hasMap) => {
          const [long, short] = [1, 2].map(() => harness(state(), hasMap ? map() : undefined, over)) as [
            Harness,
            Harness,
          ];
          for (const one of [long, short]) {
            for (const [pop, to] of states.entries()) {
              setLive(one.live, pop, { state: to, loadPerMille: 0, holdMs: 2500 * pop, sinceSeconds: 0 });
            }
          }
          for (const packet of list) {
            const expected = long.raw(packet, peer);
            const { bytes, isFast } = byFastPath(short, packet, peer);
            expect(bytes).toEqual(expected);
            all++;
            if (isFast) fast++;
          }
          const counted = (one: Harness) => [...one.counters.queryCounts()];
          expect(counted(short)).toEqual(counted(long));
          expect([...short.counters.answers.entries()]).toEqual([...long.counters.answers.entries()]);
          expect(short.recent.since(0)).toEqual(long.recent.since(0));
        },
      ),
      { numRuns: 250 },
    );
    // It would be idle to compare the long way with itself.
    if (over.rateLimit === undefined) expect(fast).toBeGreaterThan(all / 15);
  });

  it('takes the queries that resolvers send', () => {
    const one = harness(state(), map());
    const shapes = [
      query(),
      query({ edns: {} }),
      query({ ecs: { address: '198.51.100.0', source: 24 } }),
      query({ ecs: { address: '2001:db8:1::', source: 56 } }),
      query({ edns: { options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8] } }),
      query({ name: 'Two.shOp.example.' }),
      query({ name: 'dual.shop.example.', type: 28, edns: { do: true } }),
    ];
    for (const packet of shapes) expect(byFastPath(one, packet, '192.0.2.53').isFast).toBe(true);
  });

  it('reads no name past its end', () => {
    const one = harness(state());
    const name = nameToWire(`${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}.`) as Uint8Array;
    expect(name.length).toBe(255);
    for (const bytes of [name, Uint8Array.of(1, 97, ...name), Uint8Array.of(64, ...name), Uint8Array.of(0xc0, 12)]) {
      const packet = Uint8Array.of(0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...bytes, 0, 1, 0, 1);
      expect(byFastPath(one, packet, '192.0.2.53').bytes).toEqual(harness(state()).raw(packet, '192.0.2.53'));
    }
  });
});
