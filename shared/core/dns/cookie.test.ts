import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parsePeer } from '../ip.ts';
import { CookieState, checkCookie, createCookie, createCookieKeys, readCookie, setCookieKeys } from './cookie.ts';
import { sipHash24 } from './siphash.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('SipHash-2-4', () => {
  // Reference vectors: key 00…0f, message 00, 01, … of growing length; the hash as bytes, little-endian.
  const vectors: Record<number, string> = {
    0: '310e0edd47db6f72',
    1: 'fd67dc93c539f874',
    7: '37d1018bf50002ab',
    8: '6224939a79f5f593',
    15: 'e545be4961ca29a1',
    16: 'db9bc2577fcc2a3f',
  };
  it.each(Object.entries(vectors))('of %s bytes', (length, wanted) => {
    const bytes = Number(length);
    const message = new Uint8Array(8 * ((bytes >> 3) + 1));
    for (let i = 0; i < bytes; i++) message[i] = i;
    const key = Uint8Array.from({ length: 16 }, (_, i) => i);
    const out = new Int32Array(2);
    sipHash24(new Int32Array(key.buffer), 0, new Int32Array(message.buffer), bytes, out);
    expect(text(new Uint8Array(out.buffer))).toBe(wanted);
  });
});

interface Case {
  readonly keys: readonly [current: string, previous: string, next: string];
  readonly client: string;
  readonly cookie: string;
  readonly seconds: number;
}

function check({ keys, client, cookie, seconds }: Case): { state: CookieState; answer: string } {
  const shared = createCookieKeys();
  setCookieKeys(shared, hex(keys[0]), hex(keys[1]), hex(keys[2]));
  const read = createCookie();
  const bytes = hex(cookie);
  expect(readCookie(bytes, 0, bytes.length, read)).toBe(true);
  const out = new Uint8Array(16);
  const state = checkCookie(shared, read, parsePeer(client)!, seconds, out);
  return { state, answer: text(bytes.subarray(0, 8)) + text(out) };
}

const a = 'e5e973e5a6b2a43f48e7dc849e37bfcf';
const before = 'dd3bdf9344b678b185a6f5cb60fca715';
const after = '445536bcd2513298075a5d379663c962';
const other = '00112233445566778899aabbccddeeff';

describe('RFC 9018 appendix A', () => {
  it('A.1: a new server cookie', () => {
    const one = {
      keys: [a, a, a],
      client: '198.51.100.100',
      cookie: '2464c4abcf10c957',
      seconds: 1_559_731_985,
    } as const;
    expect(check(one)).toEqual({
      state: CookieState.client,
      answer: '2464c4abcf10c957010000005cf79f111f8130c3eee29480',
    });
  });
  it('A.2: the same client, renewed after 40 minutes', () => {
    const cookie = '2464c4abcf10c957010000005cf79f111f8130c3eee29480';
    expect(check({ keys: [a, a, a], client: '198.51.100.100', cookie, seconds: 1_559_734_385 })).toEqual({
      state: CookieState.valid,
      answer: '2464c4abcf10c957010000005cf7a871d4a564a1442aca77',
    });
  });
  it('A.3: reserved bits of another implementation are hashed as they came, and not repeated', () => {
    const cookie = 'fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5';
    const one = { keys: [a, a, a], client: '203.0.113.203', cookie } as const;
    expect(check({ ...one, seconds: 1_559_734_700 })).toMatchObject({
      answer: 'fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e',
    });
    expect(check({ ...one, seconds: 0x5cf78f71 + 60 }).state).toBe(CookieState.valid);
  });
  it('A.4: IPv6, and a key that was changed', () => {
    const cookie = '22681ab97d52c298010000005cf7c57926556bd0934c72f8';
    const client = '2001:db8:220:1:59de:d0f4:8769:82b8';
    expect(check({ keys: [after, before, other], client, cookie, seconds: 1_559_741_961 })).toEqual({
      state: CookieState.valid,
      answer: '22681ab97d52c298010000005cf7c609a6bb79d16625507a',
    });
    // A node that has not changed over yet believes the cookies of one that has.
    expect(
      check({
        keys: [before, other, after],
        client,
        cookie: '22681ab97d52c298010000005cf7c609a6bb79d16625507a',
        seconds: 1_559_741_961,
      }).state,
    ).toBe(CookieState.valid);
  });
});

describe('a server cookie', () => {
  const cookie = '2464c4abcf10c957010000005cf79f111f8130c3eee29480';
  const madeAt = 1_559_731_985;
  const one = (seconds: number, over: Partial<Case> = {}) =>
    check({ keys: [a, other, other], client: '198.51.100.100', cookie, seconds, ...over });
  it('is repeated while it is fresh, renewed after half its life, and believed for an hour', () => {
    expect(one(madeAt + 1_800)).toEqual({ state: CookieState.valid, answer: cookie });
    expect(one(madeAt + 1_801).state).toBe(CookieState.valid);
    expect(one(madeAt + 1_801).answer).not.toBe(cookie);
    expect(one(madeAt + 3_600).state).toBe(CookieState.valid);
    expect(one(madeAt + 3_601).state).toBe(CookieState.bad);
    expect(one(madeAt - 300).state).toBe(CookieState.valid);
    expect(one(madeAt - 301).state).toBe(CookieState.bad);
  });
  it('is bound to the client cookie, the whole address, the key and the version', () => {
    expect(one(madeAt, { client: '198.51.100.101' }).state).toBe(CookieState.bad);
    expect(one(madeAt, { cookie: `2464c4abcf10c958${cookie.slice(16)}` }).state).toBe(CookieState.bad);
    expect(one(madeAt, { keys: [other, before, after] }).state).toBe(CookieState.bad);
    expect(one(madeAt, { cookie: cookie.replace('0100', '0200') }).state).toBe(CookieState.bad);
    expect(one(madeAt, { cookie: `${cookie}00` }).state).toBe(CookieState.bad);
    const v6 = check({ keys: [a, a, a], client: '2001:db8::1', cookie: '2464c4abcf10c957', seconds: madeAt }).answer;
    const from = (client: string) => check({ keys: [a, a, a], client, cookie: v6, seconds: madeAt }).state;
    expect([from('2001:db8::1'), from('2001:db8::2'), from('2001:db8:0:0:1::1')]).toEqual([3, 2, 2]);
  });
  it('any changed bit makes it bad', () => {
    for (let bit = 0; bit < 192; bit++) {
      const bytes = hex(cookie);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(one(madeAt, { cookie: text(bytes) }).state, `bit ${bit}`).toBe(CookieState.bad);
    }
  });
  it('of 8 to 32 bytes is well-formed, whoever made it; so is a client cookie alone', () => {
    const read = createCookie();
    const lengths = Array.from({ length: 50 }, (_, i) => i).filter((i) => readCookie(new Uint8Array(50), 0, i, read));
    expect(lengths).toEqual([8, ...Array.from({ length: 25 }, (_, i) => i + 16)]);
  });
  it('differs for every client cookie', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 500; i++) {
      const client = createHash('sha256').update(String(i)).digest('hex').slice(0, 16);
      seen.add(check({ keys: [a, a, a], client: '192.0.2.1', cookie: client, seconds: 1 }).answer.slice(16));
    }
    expect(seen.size).toBe(500);
  });
});
