/** Tokens, prefixes and caps, without sockets; and what a botnet can make of the tables. */
import { type Address, cellOf, formatPrefix, parseAddress } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { describe, expect, it } from 'vitest';
import { Admission, type Caps } from './admission.ts';
import { HourlyCounts } from './caps.ts';
import { newTokenId, signToken } from './token.ts';

const tokenKey = new Uint8Array(32).fill(7);
const tokenKeys = { current: tokenKey, believed: [tokenKey] };
const nowMs = 1_764_000_000_000;
const rng = seededRng('admission');
/** 192.0.2.0/24 and 198.51.100.0/24 and all IPv6 here are of one network. */
const asnOf = ({ family, hi }: Address): number | undefined =>
  family === 6 || [0xc000_0200, 0xc633_6400].includes((hi & 0xffff_ff00) >>> 0) ? 64_500 : 0;

const admission = (caps: Caps = { addressPerHour: 0, prefixPerHour: 0 }) =>
  new Admission({ tokenKeys, caps, asnOf, sawAt: () => undefined, rng: seededRng('seed') });
const addressOf = (text: string): Address => parseAddress(text)!;
const tokenFor = (client: string, expiresAtMs = nowMs + 300_000): string => {
  const prefix = formatPrefix(cellOf(addressOf(client)));
  return signToken(tokenKey, { id: newTokenId(rng), expiresAtMs, prefix, targets: new Map([['pop:lon', 1]]) });
};

describe('whom a beacon speaks for', () => {
  it('is the prefix it came from, which had the plan', () => {
    const { prefix, isLoose } = admission().admit(tokenFor('192.0.2.1'), addressOf('192.0.2.200'), nowMs);
    expect([prefix, isLoose]).toEqual(['192.0.2.0/24', false]);
  });

  it.each([
    ['another /24', '192.0.2.1', '198.51.100.9', '198.51.100.0/24'],
    ['the other family', '2001:db8:1::1', '192.0.2.1', '192.0.2.0/24'],
  ])('of the same network: %s is loose evidence of where it came from', (_, planned, client, prefix) => {
    expect(admission().admit(tokenFor(planned), addressOf(client), nowMs)).toMatchObject({ prefix, isLoose: true });
  });

  it.each([
    ['another network', '192.0.2.1', '203.0.113.9'],
    ['networks that nobody knows', '203.0.113.1', '10.0.0.1'],
  ])('%s is refused', (_, planned, client) => {
    expect(() => admission().admit(tokenFor(planned), addressOf(client), nowMs)).toThrow(
      expect.objectContaining({ reason: 'foreign-prefix', code: 'TOKEN_INVALID' }),
    );
  });

  const seeing = (prefix: string) =>
    new Admission({
      tokenKeys,
      caps: { addressPerHour: 0, prefixPerHour: 0 },
      asnOf,
      sawAt: (label) => (/^[0-9a-f]{16}$/.test(label) ? prefix : undefined),
      rng: seededRng('seed'),
    });

  it('is the prefix that a PoP saw its probe names asked from', () => {
    const [planned, client] = [tokenFor('2001:db8:1::1'), addressOf('2001:db8:1::1')];
    const other = seeing('192.0.2.0/24').admit(planned, client, nowMs);
    expect(other).toMatchObject({ prefix: '192.0.2.0/24', isLoose: true });
    // What had the plan and was seen is no guess, whatever way the beacon took.
    const same = seeing('192.0.2.0/24').admit(tokenFor('192.0.2.1'), addressOf('198.51.100.1'), nowMs);
    expect(same).toMatchObject({ prefix: '192.0.2.0/24', isLoose: false });
    // A page that makes a stranger's browser load the names does not speak for the stranger.
    expect(() => seeing('203.0.113.0/24').admit(tokenFor('192.0.2.1'), addressOf('192.0.2.1'), nowMs)).toThrow(
      expect.objectContaining({ reason: 'foreign-prefix' }),
    );
  });

  it('is refused while AS numbers are not known', () => {
    const blind = new Admission({
      tokenKeys,
      caps: { addressPerHour: 0, prefixPerHour: 0 },
      asnOf: () => undefined,
      sawAt: () => undefined,
      rng: seededRng('seed'),
    });
    expect(() => blind.admit(tokenFor('192.0.2.1'), addressOf('198.51.100.1'), nowMs)).toThrow('another network');
  });

  it.each([
    ['forged', `${tokenFor('192.0.2.1').slice(0, -2)}xx`, nowMs],
    ['expired', tokenFor('192.0.2.1'), nowMs + 300_000],
  ])('%s', (reason, token, atMs) => {
    expect(() => admission().admit(token, addressOf('192.0.2.1'), atMs)).toThrow(expect.objectContaining({ reason }));
  });
});

describe('caps', () => {
  const take = (one: Admission, client: string, atMs = nowMs): string => {
    try {
      one.admit(tokenFor(client, atMs + 1_000), addressOf(client), atMs);
      return 'taken';
    } catch (thrown) {
      return (thrown as { reason: string }).reason;
    }
  };

  it('count tokens that hold alone, and begin anew within the hour', () => {
    const one = admission({ addressPerHour: 2, prefixPerHour: 3 });
    for (let i = 0; i < 10; i++) {
      expect(() => one.admit('forged.token', addressOf('192.0.2.1'), nowMs)).toThrow();
    }
    expect([1, 2, 3].map(() => take(one, '192.0.2.1'))).toEqual(['taken', 'taken', 'over-address-cap']);
    expect([1, 2].map(() => take(one, '192.0.2.2'))).toEqual(['taken', 'over-prefix-cap']);
    expect(take(one, '192.0.2.1', nowMs + 3_600_000)).toBe('taken');
  });

  it('take an IPv6 /64 for one address', () => {
    const one = admission({ addressPerHour: 1, prefixPerHour: 0 });
    expect(['2001:db8:1:2::1', '2001:db8:1:2::99', '2001:db8:1:3::1'].map((client) => take(one, client))).toEqual([
      'taken',
      'over-address-cap',
      'taken',
    ]);
  });

  it('hold each of 10,000 sources of a botnet, take honest beacons beside it, in the same memory', () => {
    const one = admission({ addressPerHour: 10, prefixPerHour: 10_000 });
    const { bytes } = one;
    const bots = Array.from({ length: 10_000 }, (_, i) => `10.${(i >> 8) & 255}.${i & 255}.${1 + (i % 200)}`);
    const honest = Array.from({ length: 5_000 }, (_, i) => `172.${16 + (i >> 8)}.${i & 255}.9`);
    let taken = 0;
    let refusedHonest = 0;
    for (let round = 0; round < 12; round++) {
      // Within an hour of every key's.
      const atMs = nowMs + round;
      for (const bot of bots) if (take(one, bot, atMs) === 'taken') taken++;
      if (round % 4 === 0) for (const user of honest) if (take(one, user, atMs) !== 'taken') refusedHonest++;
    }
    expect(refusedHonest).toBe(0);
    expect(taken).toBe(10 * bots.length);
    expect(one.evicted).toBe(0);
    expect(one.bytes).toBe(bytes);
    expect(bytes).toBe(16 * (limits.probe.cappedAddresses + limits.probe.cappedPrefixes));
  }, 60_000);
});

describe('a table that is full', () => {
  it('pushes out those with fewest, whoever floods it with ever new addresses', () => {
    const counts = new HourlyCounts(1_024, seededRng('full').bytes(8));
    const known = Array.from({ length: 100 }, (_, i): Address => ({ family: 4, hi: i, lo: 0 }));
    for (let n = 0; n < 20; n++) for (const one of known) counts.add(one, nowMs);
    const flood = seededRng('flood');
    for (let i = 0; i < 200_000; i++) {
      counts.add({ family: 6, hi: 0x2001_0db8, lo: Math.floor(flood.next() * 2 ** 32) }, nowMs + 1);
    }
    expect(known.map((one) => counts.add(one, nowMs + 2))).toEqual(known.map(() => 21));
    expect(counts.evicted).toBeGreaterThan(190_000);
  });
});
