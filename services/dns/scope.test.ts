import type { DesiredService } from '@ufes/core/desired.ts';
import { type Address, addressBytes, formatAddress, parseAddress, parsePrefix } from '@ufes/core/ip.ts';
import { LiveState, setLive } from '@ufes/core/live.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explain } from './explain.ts';
import { buildMap, desiredState, type Harness, harness, type Interval, service } from './testing.ts';

const rankings = [
  ['lon', 'iad', 'sin-2'],
  ['iad', 'lon', 'sin-2'],
  ['sin-2', 'iad', 'lon'],
];
/** A cut of the address space at the first addresses of random blocks. */
const cuts = fc.array(
  fc.record({
    hi: fc.nat(0xffffffff),
    lo: fc.nat(0xffffffff),
    length: fc.integer({ min: 1, max: 48 }),
    ranking: fc.nat(2),
  }),
  { maxLength: 12 },
);
type Cut = { hi: number; lo: number; length: number; ranking: number };

function intervals(family: 4 | 6, list: readonly Cut[]): Interval[] {
  const starts = new Map<string, { key: bigint; ranking: number }>([['0', { key: 0n, ranking: 0 }]]);
  const bits = family === 4 ? 32 : 64;
  for (const { hi, lo, length, ranking } of list) {
    const whole = family === 4 ? BigInt(hi) : (BigInt(hi) << 32n) | BigInt(lo);
    const shift = BigInt(bits - (family === 4 ? Math.min(length, 24) : length));
    const key = (whole >> shift) << shift;
    starts.set(String(key), { key, ranking });
  }
  const sorted = [...starts.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  return sorted
    .filter((one, i) => i === 0 || one.ranking !== sorted[i - 1]!.ranking)
    .map(({ key, ranking }) => ({
      from: formatAddress(
        family === 4
          ? { family, hi: Number(key), lo: 0 }
          : { family, hi: Number(key >> 32n), lo: Number(key & 0xffffffffn) },
      ),
      ranking: rankings[ranking]!,
    }));
}

const specials = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
  '::/64',
  'fc00::/7',
  'fe80::/9',
  'ff00::/8',
].map((text) => {
  const [address, length] = text.split('/');
  return { ...parseAddress(address!)!, length: Number(length) };
});
const key = ({ family, hi, lo }: Address): bigint =>
  family === 4 ? BigInt(hi) << 32n : (BigInt(hi) << 32n) | BigInt(lo);

/** By search from the start: the ranking around an address, or `special`. */
function identity(address: Address, list: readonly Interval[]): string {
  const at = key(address);
  for (const block of specials) {
    if (block.family !== address.family) continue;
    const shift = BigInt(64 - block.length);
    if (at >> shift === key(block) >> shift) return 'special';
  }
  return list.findLast(({ from }) => key(parseAddress(from)!) <= at)!.ranking.join();
}

/** The address with its bits from `length` on replaced by those of `noise`. */
function within(address: Address, length: number, noise: Address): Address {
  const shift = BigInt(64 - Math.min(length, 64));
  const mask = (1n << shift) - 1n;
  const mixed = ((key(address) >> shift) << shift) | (key({ ...noise, family: 6 }) & mask);
  return {
    family: address.family,
    hi: Number(mixed >> 32n),
    lo: address.family === 4 ? 0 : Number(mixed & 0xffffffffn),
  };
}

const desired = desiredState();
const steered = harness(desired);
/** The cut as the map of one family; of the other all is one. */
function useCut(family: 4 | 6, cut: readonly Interval[]): void {
  const whole = [{ from: family === 4 ? '::' : '0.0.0.0', ranking: rankings[0]! }];
  steered.use(desired, family === 4 ? buildMap(desired, cut, whole) : buildMap(desired, whole, cut));
}

const ask = (one: Harness, client: Address) => {
  const source = client.family === 4 ? 32 : 64;
  const answer = one.ask({ ecs: { address: formatAddress(client), source } }, '203.0.113.9');
  return { answers: answer.answers, scope: answer.scope! };
};

describe.each([4, 6] as const)('scopes over IPv%i', (family) => {
  const anywhere = fc.record({ hi: fc.nat(0xffffffff), lo: fc.nat(0xffffffff) }).map(
    ({ hi, lo }): Address => ({
      family,
      // Half of the v6 clients where the real ones are.
      hi: family === 6 && hi % 2 === 0 ? 0x20010000 | (hi & 0xffff) : hi,
      lo: family === 4 ? 0 : lo,
    }),
  );

  it('partition the space: a second look-up anywhere inside a scope gives the same answer and scope', () => {
    fc.assert(
      fc.property(cuts, anywhere, anywhere, (list, client, noise) => {
        const cut = intervals(family, list);
        useCut(family, cut);
        const first = ask(steered, client);
        if (first.scope > 64) return;
        const second = within(client, first.scope, noise);
        expect(ask(steered, second)).toEqual(first);
        // Of a special block too: everything inside is special.
        expect(identity(second, cut)).toBe(identity(client, cut));
      }),
      { numRuns: 1_000 },
    );
  });

  it('are no longer than they must be: the sibling holds another ranking, or a special block', () => {
    fc.assert(
      fc.property(cuts, anywhere, (list, client) => {
        const cut = intervals(family, list);
        useCut(family, cut);
        const { scope } = ask(steered, client);
        if (scope === 0 || scope > 64) return;
        const shift = BigInt(64 - scope);
        const sibling = (key(client) >> shift) ^ 1n;
        const inside = (address: Address) => address.family === family && key(address) >> shift === sibling;
        const first: Address = {
          family,
          hi: Number((sibling << shift) >> 32n),
          lo: family === 4 ? 0 : Number((sibling << shift) & 0xffffffffn),
        };
        const places = [
          first,
          ...cut.map(({ from }) => parseAddress(from)!).filter(inside),
          ...specials.filter(inside),
        ];
        expect(places.some((place) => identity(place, cut) !== identity(client, cut))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('explain', () => {
  const candidates = [0, 1, 2].map((pop) => ({ pop, v4: `127.0.${pop + 1}0.1`, v6: `2001:db8:${pop}::1` }));
  const allDown = fc.constantFrom<DesiredService['allDown']>(
    { rule: 'serve-preferred' },
    { rule: 'nodata' },
    { rule: 'fallback', addresses: [{ family: 4, address: '192.0.2.99' }] },
  );
  const client = fc.oneof(
    fc
      .tuple(fc.nat(0xffffffff), fc.constantFrom('', '/24', '/32', '/8', '/1'))
      .map(([hi, length]) => formatAddress({ family: 4, hi, lo: 0 }) + length),
    fc
      .tuple(fc.nat(0xffffffff), fc.nat(0xffffffff), fc.constantFrom('', '/48', '/64', '/32'))
      .map(([hi, lo, length]) => formatAddress({ family: 6, hi, lo }) + length),
    fc.constantFrom('127.0.0.1', '::1', '10.0.0.0/8', '81.2.69.160'),
  );

  it('says what the wire says', () => {
    fc.assert(
      fc.property(
        cuts,
        client,
        fc.constantFrom(1, 28),
        allDown,
        fc.array(fc.record({ state: fc.constantFrom<LiveState>(0, 1, 2, 3), holdMs: fc.nat(70_000) }), {
          minLength: 3,
          maxLength: 3,
        }),
        fc.integer({ min: 1, max: 3 }),
        fc.option(fc.subarray([0, 1, 2], { minLength: 1 }), { nil: undefined }),
        (list, text, type, rule, states, answers, only) => {
          const desired = desiredState({
            services: [service({ candidates, answers, allDown: rule, ...(only ? { only } : {}) })],
          });
          const one = harness(desired, buildMap(desired, intervals(4, list), intervals(6, list)));
          for (const [pop, { state, holdMs }] of states.entries()) {
            setLive(one.live, pop, { state, holdMs, loadPerMille: 0, sinceSeconds: 9 });
          }
          const said = explain(one.answerer.tables!, { name: 'WWW.shop.example', client: text, type }, 0);
          if (typeof said === 'string') throw new Error(said);
          const [address, length] = text.split('/');
          const source = Number(length ?? addressBytes(address!)!.length * 8);
          const peer = formatAddress(parsePrefix(text)!);
          const wire = one.ask({ type, ecs: { address: address!, source } }, peer);
          expect(said.answers.map((data) => `www.shop.example ${said.ttlSeconds} ${said.type} ${data}`)).toEqual(
            wire.answers,
          );
          if (wire.answers.length > 0) expect(said.scope).toBe(wire.scope);
          const first = one.recent.since(0).answers[0]!.pop;
          const chosen = said.pops.filter((pop) => pop.chosen).map((pop) => pop.pop);
          if (first === undefined) expect(chosen).toEqual([]);
          else expect(chosen).toContain(first);
          expect(chosen).not.toContain(said.pops.find((pop) => pop.passed === 'not in `only`')?.pop);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('names why a PoP was passed over, and the cell and estimates of a measured client', () => {
    const desired = desiredState();
    const map = buildMap(desired, [{ from: '0.0.0.0', ranking: ['lon', 'iad', 'sin-2'] }]);
    const cells = {
      ...map.cells,
      v4: Uint32Array.of(0x51024500),
      estimate: Uint16Array.of(123, 800, 65_535),
      low: Uint16Array.of(100, 700, 0),
      high: Uint16Array.of(150, 900, 0),
      n: Uint16Array.of(40, 12, 0),
      tier: Uint8Array.of(1, 2, 0),
    };
    const one = harness(desired, { ...map, cells });
    setLive(one.live, 0, { state: LiveState.down, holdMs: 0, loadPerMille: 0, sinceSeconds: 77 });
    const said = explain(
      one.answerer.tables!,
      { name: 'www.shop.example.', client: '81.2.69.160', type: 1 },
      1_764_000_030_000,
    );
    expect(said).toMatchObject({
      service: 'shop',
      why: 'map',
      cell: '81.2.69.0/24',
      answers: ['127.0.20.1'],
      map: { version: '1764000000001-bbbbbb', ageSeconds: 30, sources: ['rum'] },
      pops: [
        {
          pop: 'lon',
          rank: 1,
          chosen: false,
          passed: 'down',
          state: 'down',
          sinceSeconds: 77,
          estimate: { clientMs: 12.3, lowMs: 10, highMs: 15, n: 40, tier: 'prefix', backboneMs: 20 },
        },
        { pop: 'iad', rank: 2, chosen: true, passed: '', estimate: { clientMs: 80, tier: 'asn-metro' } },
        { pop: 'sin-2', rank: 3, chosen: false, passed: '' },
      ],
    });
  });

  it.each([
    ['www.other.test.', '81.2.69.1', 'is in none of our zones'],
    ['api.shop.example', '81.2.69.1', 'is not steered'],
    ['nope.shop.example', '81.2.69.1', 'does not exist'],
    ['x.sub.shop.example', '81.2.69.1', 'is delegated'],
    ['www.shop.example', 'nowhere', 'neither an IP address nor a prefix'],
    ['a..b', '81.2.69.1', 'empty label'],
  ])('of %s for %s says that it %s', (name, client, problem) => {
    expect(explain(harness().answerer.tables!, { name, client, type: 1 }, 0)).toContain(problem);
  });
});
