/**
 * The law of client subnets (RFC 7871) on random maps: whatever the cut, prefixes and scopes partition each family, no
 * scope is longer than it must be, and a cache that keeps to §7.3.1 serves every client the answer it would get itself.
 * The oracle is a search from the start over whole addresses, 32 or 128 bits, by another way than the code under test.
 */
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { buildMap, desiredState, harness, type Interval, service } from './testing.ts';

const rankings = [
  ['lon', 'iad', 'sin-2'],
  ['iad', 'lon', 'sin-2'],
  ['sin-2', 'iad', 'lon'],
];
type Bits = 32 | 128;
interface Client {
  readonly bits: Bits;
  readonly value: bigint;
}
const of4 = (text: string): bigint => text.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
const text = ({ bits, value }: Client): string =>
  bits === 32
    ? [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.')
    : Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(':');

/** [value, length]. */
const specials4: readonly (readonly [bigint, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
].map(([address, length]) => [of4(String(address)), Number(length)]);
const group = (hextets: string): bigint => {
  const parts = hextets.split(':').map((part) => BigInt(`0x${part}`));
  return parts.reduce((sum, part, i) => sum | (part << BigInt(112 - 16 * i)), 0n);
};
const specials6: readonly (readonly [bigint, number])[] = [
  [0n, 64],
  [group('64:ff9b'), 64],
  [group('64:ff9b:1'), 48],
  [group('100'), 64],
  [group('2001:2'), 48],
  [group('2001:10'), 28],
  [group('2001:20'), 28],
  [group('5f00'), 16],
  [group('fc00'), 7],
  [group('fe80'), 9],
  [group('ff00'), 8],
];
interface Embedding {
  readonly prefix: bigint;
  readonly length: number;
  /** Bits before the IPv4 address. */
  readonly base: number;
  readonly inverted: boolean;
}
const embeddings: readonly Embedding[] = [
  { prefix: 0xffff00000000n, length: 96, base: 96, inverted: false },
  { prefix: group('64:ff9b'), length: 96, base: 96, inverted: false },
  { prefix: group('2002'), length: 16, base: 16, inverted: false },
  { prefix: group('2001'), length: 32, base: 96, inverted: true },
];
const all32 = 0xffffffffn;
const covers = (bits: Bits, [prefix, length]: readonly [bigint, number], value: bigint) =>
  (prefix ^ value) >> BigInt(bits - length) === 0n;
const unfold = (value: bigint): bigint | undefined => {
  const found = embeddings.find(({ prefix, length }) => covers(128, [prefix, length], value));
  if (found === undefined) return undefined;
  const inner = (value >> BigInt(96 - found.base)) & all32;
  return found.inverted ? inner ^ all32 : inner;
};
/** The address of an embedding with that IPv4 address inside, and its other bits those of `noise`. */
const embed = ({ prefix, length, base, inverted }: Embedding, inner: bigint, noise: bigint): bigint => {
  const rest = (1n << BigInt(128 - length)) - 1n;
  const hole = all32 << BigInt(96 - base);
  return prefix | ((noise & rest & ~hole) | (((inverted ? inner ^ all32 : inner) & all32) << BigInt(96 - base)));
};

interface Cut {
  readonly hi: number;
  readonly lo: number;
  readonly length: number;
  readonly ranking: number;
}
interface World {
  readonly starts4: readonly { readonly value: bigint; readonly ranking: number }[];
  readonly starts6: readonly { readonly value: bigint; readonly ranking: number }[];
}
function startsOf(bits: Bits, cuts: readonly Cut[], first: number): World['starts4'] {
  const byValue = new Map<bigint, number>([[0n, first]]);
  for (const { hi, lo, length, ranking } of cuts) {
    const wide = (BigInt(hi) << 32n) | BigInt(lo);
    const top = bits === 32 ? BigInt(hi) : wide;
    const width = bits === 32 ? 32 : 64;
    const shift = BigInt(width - Math.min(length, bits === 32 ? 24 : 48));
    byValue.set(((top >> shift) << shift) << (bits === 32 ? 0n : 64n), ranking);
  }
  const sorted = [...byValue]
    .map(([value, ranking]) => ({ value, ranking }))
    .sort((a, b) => (a.value < b.value ? -1 : 1));
  return sorted.filter((one, i) => i === 0 || one.ranking !== sorted[i - 1]!.ranking);
}
/** The rankings that decide for an address, or that none does. */
function identity({ bits, value }: Client, world: World): string {
  const inner = bits === 128 ? unfold(value) : value;
  if (inner !== undefined) {
    if (specials4.some((block) => covers(32, block, inner))) return 'special';
    return String(world.starts4.findLast((one) => one.value <= inner)!.ranking);
  }
  if (specials6.some((block) => covers(128, block, value))) return 'special';
  return String(world.starts6.findLast((one) => one.value <= value)!.ranking);
}

const desired = desiredState({
  services: [
    service({
      candidates: [0, 1, 2].map((pop) => ({ pop, v4: `127.0.${pop + 1}0.1`, v6: `2001:db8:${pop}::1` })),
    }),
  ],
});
const one = harness(desired);
function use(world: World, cells: readonly { value: bigint; n: number }[] = []): void {
  const intervals = (bits: Bits, starts: World['starts4']): Interval[] =>
    starts.map(({ value, ranking }) => ({ from: text({ bits, value }), ranking: rankings[ranking]! }));
  const map = buildMap(desired, intervals(32, world.starts4), intervals(128, world.starts6));
  const pops = map.pops.length;
  const measured = {
    ...map.cells,
    v4: Uint32Array.from(cells, ({ value }) => Number(value)),
    estimate: new Uint16Array(cells.length * pops),
    low: new Uint16Array(cells.length * pops),
    high: new Uint16Array(cells.length * pops),
    n: Uint16Array.from(cells.flatMap(({ n }) => [n, ...Array<number>(pops - 1).fill(0)])),
    tier: new Uint8Array(cells.length * pops),
  };
  one.use(desired, { ...map, cells: measured });
}

interface Told {
  readonly answers: readonly string[];
  readonly scope: number;
}
const resolver = '203.0.113.9';
function ask({ bits, value }: Client, source: number = bits): Told {
  const shift = BigInt(bits - source);
  const kept = { bits, value: (value >> shift) << shift };
  const { answers, scope } = one.ask({ ecs: { address: text(kept), source } }, resolver);
  return { answers, scope: scope! };
}

const cut: fc.Arbitrary<Cut> = fc.record({
  hi: fc.oneof(
    fc.nat(0xffffffff),
    fc.integer({ min: 0x20010000, max: 0x20030000 }),
    fc.integer({ min: 0, max: 0x0b000000 }),
  ),
  lo: fc.nat(0xffffffff),
  length: fc.integer({ min: 1, max: 48 }),
  ranking: fc.nat(2),
});
const world: fc.Arbitrary<World> = fc
  .tuple(fc.array(cut, { maxLength: 12 }), fc.array(cut, { maxLength: 12 }), fc.nat(2), fc.nat(2))
  .map(([four, six, a, b]) => ({ starts4: startsOf(32, four, a), starts6: startsOf(128, six, b) }));
const word = fc.nat(0xffffffff).map(BigInt);
const wide = fc.tuple(word, word, word, word).map((words) => words.reduce((sum, part) => (sum << 32n) | part, 0n));
/** Where something begins or ends, and anywhere. */
const inner = fc.oneof(
  word,
  fc.constantFrom(...specials4).map(([value]) => value),
  fc.constantFrom(...specials4).map(([value]) => (value + all32) & all32),
);
const client4: fc.Arbitrary<Client> = inner.map((value) => ({ bits: 32, value }));
const client6: fc.Arbitrary<Client> = fc
  .oneof(
    wide,
    wide.map((value) => (value & ((1n << 112n) - 1n)) | group('2001')),
    fc.tuple(fc.constantFrom(...embeddings), inner, wide).map(([how, value, noise]) => embed(how, value, noise)),
    fc
      .tuple(fc.constantFrom(...specials6), wide)
      .map(([[prefix, length], noise]) => prefix | (noise >> BigInt(length))),
  )
  .map((value) => ({ bits: 128, value }));

const seen = { folded: 0, special: 0, ordinary: 0, short: 0, cached: 0 };
afterAll(() => {
  // What the generators reach, so that the laws are not about nothing.
  for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(100);
});

describe.each([
  ['IPv4', client4],
  ['IPv6', client6],
] as const)('prefixes and scopes over %s', (_, clients) => {
  it('partition the space: anywhere inside a scope are the same answer and scope', () => {
    fc.assert(
      fc.property(world, clients, wide, (cuts, client, noise) => {
        use(cuts);
        const told = ask(client);
        const rest = (1n << BigInt(client.bits - told.scope)) - 1n;
        const other = { bits: client.bits, value: (client.value & ~rest) | (noise & rest) };
        expect(ask(other)).toEqual(told);
        expect(identity(other, cuts)).toBe(identity(client, cuts));
        if (identity(client, cuts) === 'special') seen.special++;
        else if (client.bits === 128 && unfold(client.value) !== undefined) seen.folded++;
        else seen.ordinary++;
      }),
      { numRuns: 1_500 },
    );
  });

  it('are no longer than they must be: across the last bit is another ranking, or a special block', () => {
    fc.assert(
      fc.property(world, clients, wide, (cuts, client, noise) => {
        use(cuts);
        const { scope } = ask(client);
        if (scope === 0) return;
        const shift = BigInt(client.bits - scope);
        const sibling = ((client.value >> shift) ^ 1n) << shift;
        const rest = (1n << shift) - 1n;
        // Every place where an identity can begin inside the sibling: its first address, cuts, blocks, and those inside
        // embeddings that lie in it, or that it lies in.
        const inners = [0n, ...specials4.map(([value]) => value), ...cuts.starts4.map(({ value }) => value)];
        inners.push(...specials4.map(([value, length]) => value + (1n << BigInt(32 - length))));
        const places =
          client.bits === 32
            ? inners
            : [
                ...cuts.starts6.map(({ value }) => value),
                ...specials6.flatMap(([value, length]) => [value, value + (1n << BigInt(128 - length))]),
                ...embeddings.flatMap((how) => inners.map((value) => embed(how, value, sibling))),
                ...embeddings.flatMap((how) => inners.map((value) => embed(how, value, noise))),
              ];
        const inside = places.filter((place) => ((place ^ sibling) & ~rest) === 0n);
        // Of inverted addresses the first is the last.
        const found = [sibling, sibling | rest, ...inside].map((value) => identity({ bits: client.bits, value }, cuts));
        expect(found.some((other) => other !== identity(client, cuts))).toBe(true);
      }),
      { numRuns: 1_500 },
    );
  });

  it('a cache between us and the clients (§7.3.1) gives each the uncached answer, or knows that it asked too little', () => {
    const sources = fc.constantFrom(4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 112, 120, 128);
    // Neighbours meet in the cache; strangers do not.
    const crowd = fc
      .tuple(fc.array(clients, { minLength: 1, maxLength: 4 }), fc.array(wide, { maxLength: 12 }))
      .map(([some, noises]) =>
        noises.map((noise, i): Client => {
          const { bits, value } = some[i % some.length]!;
          const from = BigInt(Number(noise % BigInt(bits)));
          return { bits, value: value ^ ((noise >> 32n) & ((1n << (BigInt(bits) - from)) - 1n)) };
        }),
      );
    fc.assert(
      fc.property(world, crowd, sources, (cuts, asking, wanted) => {
        use(cuts);
        const cache: { readonly prefix: bigint; readonly length: number; readonly told: Told }[] = [];
        for (const client of asking) {
          const source = Math.min(wanted, client.bits);
          const own = ask(client);
          const hits = cache.filter(({ prefix, length }) => covers(client.bits, [prefix, length], client.value));
          const hit = hits.sort((a, b) => b.length - a.length)[0];
          const told = hit?.told ?? ask(client, source);
          if (hit === undefined) cache.push({ prefix: client.value, length: Math.min(told.scope, source), told });
          else seen.cached++;
          if (own.scope <= source) expect(told).toEqual(own);
          else {
            expect(told.scope).toBeGreaterThan(source);
            seen.short++;
          }
        }
      }),
      { numRuns: 1_500 },
    );
  });
});

describe('a source shorter than the leaves', () => {
  it('is answered by a leaf beneath it, whose depth is the scope', () => {
    fc.assert(
      fc.property(world, client4, fc.integer({ min: 1, max: 23 }), (cuts, client, source) => {
        use(cuts);
        const told = ask(client, source);
        if (told.scope <= source) return;
        const shift = BigInt(32 - source);
        const first = (client.value >> shift) << shift;
        // Some client beneath gets just this, answer and scope.
        const starts = [first, ...cuts.starts4.map(({ value }) => value), ...specials4.map(([value]) => value)];
        starts.push(...specials4.map(([value, length]) => value + (1n << BigInt(32 - length))));
        const beneath = starts.filter((value) => value >= first && value < first + (1n << shift));
        const leaves = beneath.map((value) => ask({ bits: 32, value }));
        const lengths = leaves.map(({ scope }) => scope);
        // Leaves that begin at no cut are continuations of one that does, and shorter or longer: depth is bounded by both.
        expect(told.scope).toBeGreaterThan(source);
        expect(told.scope).toBeLessThanOrEqual(Math.max(...lengths));
        expect(leaves.map(({ answers }) => answers[0])).toContain(told.answers[0]);
      }),
      { numRuns: 1_000 },
    );
  });

  it('by the demand that was measured', () => {
    const starts4 = [
      { value: 0n, ranking: 0 },
      { value: of4('81.2.64.0'), ranking: 1 },
      { value: of4('81.2.72.0'), ranking: 0 },
      { value: of4('81.2.200.0'), ranking: 2 },
      { value: of4('81.2.201.0'), ranking: 0 },
    ];
    const cuts: World = { starts4, starts6: [{ value: 0n, ranking: 0 }] };
    const client: Client = { bits: 32, value: of4('81.2.0.0') };
    const pop = (told: Told) => told.answers[0]!.split(' ').at(-1);
    use(cuts);
    // Nothing measured: from halves always the one that is cut less.
    expect([pop(ask(client, 16)), ask(client, 16).scope]).toEqual(['127.0.10.1', 18]);
    use(cuts, [
      { value: of4('81.2.3.0'), n: 90 },
      { value: of4('81.2.64.0'), n: 40 },
      { value: of4('81.2.71.0'), n: 60 },
      { value: of4('81.2.200.0'), n: 80 },
    ]);
    expect([pop(ask(client, 16)), ask(client, 16).scope]).toEqual(['127.0.20.1', 21]);
    expect([pop(ask(client, 18)), ask(client, 18).scope]).toEqual(['127.0.10.1', 18]);
    use(cuts, [
      { value: of4('81.2.3.0'), n: 90 },
      { value: of4('81.2.200.0'), n: 180 },
    ]);
    expect([pop(ask(client, 16)), ask(client, 16).scope]).toEqual(['127.0.30.1', 24]);
  });
});
