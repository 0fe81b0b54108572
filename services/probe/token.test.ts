/** What a token proves, and that nothing else passes for one. */
import { seededRng } from '@ufes/core/seeded.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { newTokenId, signToken, type TokenClaims, verifyToken } from './token.ts';

const key = Uint8Array.from({ length: 32 }, (_, i) => i);
const nowMs = 1_764_000_000_000;
const claims: TokenClaims = {
  id: 'AAAAAAAAAAAAAAAA',
  expiresAtMs: nowMs + 300_000,
  prefix: '192.0.2.0/24',
  targets: new Map([
    ['pop:lon', 1],
    ['origin:eu', 8],
  ]),
};
const anyClaims = fc.record({
  id: fc.base64String({ maxLength: 24 }),
  expiresAtMs: fc.integer({ min: nowMs + 1, max: nowMs + 300_000 }),
  prefix: fc.constantFrom('192.0.2.0/24', '198.51.100.0/24', '2001:db8::/48'),
  targets: fc
    .uniqueArray(fc.tuple(fc.string({ maxLength: 20 }), fc.double({ min: 1, max: 20, noNaN: true })), {
      maxLength: 5,
      selector: ([id]) => id,
    })
    .map((entries) => new Map(entries)),
});

it('gives back what was signed, until it expires', () => {
  fc.assert(
    fc.property(anyClaims, (given) => {
      const token = signToken(key, given);
      expect(verifyToken([key], token, nowMs)).toEqual(given);
      expect(verifyToken([key], token, given.expiresAtMs - 1)).toEqual(given);
      expect(() => verifyToken([key], token, given.expiresAtMs)).toThrow('expired');
    }),
  );
});

it('is short enough for the beacon schema with the longest targets', () => {
  const targets = new Map(
    Array.from({ length: 5 }, (_, i) => [`origin:${'x'.repeat(56)}${i}`, 19.999999999999996] as const),
  );
  expect(signToken(key, { ...claims, prefix: '2001:db8:ffff::/48', targets }).length).toBeLessThanOrEqual(1024);
});

it('is refused after any change of a character, a cut, an addition or under another key', () => {
  const token = signToken(key, claims);
  const refused = (text: string, by = key) =>
    expect(() => verifyToken([by], text, nowMs)).toThrow(expect.objectContaining({ code: 'TOKEN_INVALID' }));
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.constantFrom(...alphabet, '.'), (at, char) => {
      fc.pre(token[at] !== char);
      refused(token.slice(0, at) + char + token.slice(at + 1));
    }),
  );
  for (let cut = 0; cut < token.length; cut++) refused(token.slice(0, cut));
  refused(`${token}.`);
  refused(`${token}.x`);
  refused(
    token,
    Uint8Array.from(key, (byte) => byte ^ 1),
  );
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      refused(text);
    }),
  );
});

it('has an id of its own', () => {
  const rng = seededRng('tokens');
  expect(new Set(Array.from({ length: 10_000 }, () => newTokenId(rng))).size).toBe(10_000);
});
