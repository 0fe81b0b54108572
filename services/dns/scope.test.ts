import type { DesiredService } from '@ufes/core/desired.ts';
import { addressBytes, formatAddress, parsePrefix } from '@ufes/core/ip.ts';
import { LiveState, setLive } from '@ufes/core/live.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildMap, desiredState, explained, harness, type Interval, service } from './testing.ts';

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
          const said = explained(one.answerer.tables!, { name: 'WWW.shop.example', client: text, type }, 0);
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
    const said = explained(
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
    expect(explained(harness().answerer.tables!, { name, client, type: 1 }, 0)).toContain(problem);
  });
});
