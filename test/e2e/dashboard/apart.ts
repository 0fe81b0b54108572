/** What collector and mapper tell of a bad night: a botnet, a carrier that GeoIP has in the wrong country, a copied key. */
import type { HeldApart, Refused } from '@ufes/core/quarantine.ts';

const nowMs = Date.now();
const minutes = (n: number): number => nowMs - n * 60_000;

export const refusedOfABadNight: Refused = {
  sinceMs: minutes(2 * 24 * 60),
  reasons: [
    { reason: 'forged', total: 1_204, day: 1_190 },
    { reason: 'expired', total: 3_120, day: 811 },
    { reason: 'foreign-prefix', total: 402, day: 64 },
    { reason: 'over-address-cap', total: 61_418, day: 61_402 },
    { reason: 'over-prefix-cap', total: 0, day: 0 },
    { reason: 'agent-elsewhere', total: 12, day: 12 },
  ],
  prefixes: [
    ...Array.from({ length: 12 }, (_, i) => ({
      prefix: `198.51.${100 + i}.0/24`,
      reason: 'over-address-cap',
      source: 'rum',
      count: 9_421 - 611 * i,
      firstAtMs: minutes(300),
      lastAtMs: minutes(1 + i),
    })),
    {
      prefix: '2001:db8:77::/48',
      reason: 'forged',
      source: 'rum',
      count: 1_190,
      firstAtMs: minutes(200),
      lastAtMs: minutes(20),
    },
    {
      prefix: '203.0.113.0/24',
      reason: 'agent-elsewhere',
      source: 'rum',
      count: 12,
      firstAtMs: minutes(90),
      lastAtMs: minutes(31),
    },
  ],
};

export const apartOfABadNight: HeldApart = {
  atMs: nowMs,
  quarantined: {
    prefixes: 1_204,
    samples: 40_118,
    rows: [
      {
        prefix: '192.0.2.0/24',
        place: 'London, GB',
        asn: 'AS64500 Example Broadband',
        isDisputed: false,
        claims: [
          { target: 'pop:sin', samples: 412, ms: 20.4, floorMs: 108.5, lastAtMs: minutes(2) },
          { target: 'pop:iad', samples: 35, ms: 41, floorMs: 58.9, lastAtMs: minutes(44) },
        ],
      },
      {
        prefix: '2001:db8:4::/48',
        place: 'São Paulo, BR',
        asn: 'AS64501 Example Mobile of a Very Long Name Indeed Limited',
        isDisputed: true,
        claims: [{ target: 'pop:lon', samples: 80, ms: 9.1, floorMs: 94.8, lastAtMs: minutes(190) }],
      },
      {
        prefix: '203.0.113.0/24',
        isDisputed: false,
        claims: [{ target: 'pop:lon', samples: 3, ms: 0.3, lastAtMs: minutes(3_000) }],
      },
    ],
  },
  disputed: {
    prefixes: 1,
    rows: [
      {
        prefix: '2001:db8:4::/48',
        place: 'São Paulo, BR',
        asn: 'AS64501 Example Mobile of a Very Long Name Indeed Limited',
        target: 'pop:lon',
        samples: 261,
        ms: 8.7,
        floorMs: 94.8,
        lastAtMs: minutes(1),
      },
    ],
  },
  loose: { prefixes: 311, samples: 2_940, outranked: 288 },
  aside: {
    sinceMs: minutes(600),
    reasons: [
      { reason: 'token-repeated', total: 318 },
      { reason: 'future', total: 2 },
    ],
    rows: [
      {
        atMs: minutes(12),
        reason: 'token-repeated',
        shard: 7,
        collector: 'probe-1a2b3c',
        seq: 90_122,
        text: '{"token":"s0meT0kenIdentity","tokenExpiresAtMs":1764000000000,"atMs":1763999900000,"source":"rum"',
      },
    ],
  },
};
