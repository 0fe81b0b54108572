import { CookieState } from '@ufes/core/dns/cookie.ts';
import { describe, expect, it } from 'vitest';
import {
  type Answer,
  desiredState,
  ecsOption,
  type Harness,
  harness,
  type QueryInit,
  query,
  readAnswer,
  word,
} from './testing.ts';

const option = (code: number, ...data: number[]) => [...word(code), ...word(data.length), ...data];
const clientCookie = [1, 2, 3, 4, 5, 6, 7, 8];
const cookieOption = (...server: number[]) => option(10, ...clientCookie, ...server);

/** Data of an option in the answer's OPT, which stands at its end; undefined: it has none. */
function dataOf({ bytes }: Pick<Answer, 'bytes'>, code: number): number[] | undefined {
  for (let opt = 12; opt < bytes.length; opt++) {
    const isOpt = bytes[opt] === 0 && bytes[opt + 1] === 0 && bytes[opt + 2] === 41;
    if (!isOpt || opt + 11 + ((bytes[opt + 9]! << 8) | bytes[opt + 10]!) !== bytes.length) continue;
    for (let at = opt + 11; at < bytes.length; ) {
      const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
      if (((bytes[at]! << 8) | bytes[at + 1]!) === code) return [...bytes.slice(at + 4, at + 4 + length)];
      at += 4 + length;
    }
  }
  return undefined;
}
function learn(one: Harness, peer?: string): number[] {
  return dataOf(one.ask({ edns: { options: cookieOption() } }, peer), 10)!.slice(8);
}

describe('DNS cookies (RFC 7873, 9018)', () => {
  const one = harness();
  it('a client cookie gets a server cookie, beside the ordinary answer', () => {
    const answer = one.ask({ edns: { options: cookieOption() } });
    expect(answer).toMatchObject({ rcode: 'NOERROR' });
    expect(answer.answers).toHaveLength(1);
    const data = dataOf(answer, 10)!;
    expect(data.slice(0, 8)).toEqual(clientCookie);
    expect(data).toHaveLength(24);
    expect(data[8]).toBe(1);
  });
  it('a good one comes back as it was, a bad one gets a good one; both are answered', () => {
    const server = learn(one);
    expect(dataOf(one.ask({ edns: { options: cookieOption(...server) } }), 10)!.slice(8)).toEqual(server);
    const bad = server.with(15, server[15]! ^ 1);
    const answer = one.ask({ edns: { options: cookieOption(...bad) } });
    expect(answer.answers).toHaveLength(1);
    expect(dataOf(answer, 10)!.slice(8)).toEqual(server);
    expect(one.counters.cookies[CookieState.valid]).toBe(1);
    expect(one.counters.cookies[CookieState.bad]).toBe(1);
  });
  it('a new one after half an hour, none believed after an hour', () => {
    const own = harness();
    const server = learn(own);
    own.clock.advance(1_801_000);
    const renewed = dataOf(own.ask({ edns: { options: cookieOption(...server) } }), 10)!.slice(8);
    expect(renewed).not.toEqual(server);
    expect(own.counters.cookies[CookieState.valid]).toBe(1);
    own.clock.advance(1_801_000);
    own.ask({ edns: { options: cookieOption(...server) } });
    expect(own.counters.cookies[CookieState.bad]).toBe(1);
  });
  it.each([0, 7, 9, 15, 41])('FORMERR for %i bytes', (length) => {
    expect(one.ask({ edns: { options: option(10, ...Array<number>(length).fill(1)) } })).toMatchObject({
      rcode: 'FORMERR',
      answers: [],
    });
  });
  it('of two the first counts', () => {
    const options = [...cookieOption(), ...option(10, 9)];
    expect(dataOf(one.ask({ edns: { options } }), 10)!.slice(0, 8)).toEqual(clientCookie);
  });
  it('no question: who only wants a cookie gets it (§5.4)', () => {
    const ask = (options: number[]) => {
      const opt = [0, ...word(41), ...word(1232), 0, 0, 0, 0, ...word(options.length), ...options];
      return readAnswer(one.raw(Uint8Array.from([1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, ...opt]))!);
    };
    const answer = ask(cookieOption());
    expect(answer).toMatchObject({ rcode: 'NOERROR', answers: [], id: 0x0102 });
    const server = dataOf(answer, 10)!.slice(8);
    expect(ask(cookieOption(...server)).rcode).toBe('NOERROR');
    expect(ask(cookieOption(...server.with(9, 7))).rcode).toBe('23');
    expect(ask([]).rcode).toBe('FORMERR');
  });
  it('none when they are off', () => {
    const off = harness(desiredState(), undefined, { cookies: false });
    expect(dataOf(off.ask({ edns: { options: cookieOption() } }), 10)).toBeUndefined();
  });
});

describe('answers over UDP without a cookie', () => {
  const big: QueryInit = { name: 'mid.shop.example.', type: 16 };
  const strict = harness(desiredState(), undefined, { udpBytesWithoutCookie: 256 });
  it('are truncated beyond the bound, but not with a good cookie, nor over TCP', () => {
    expect(strict.ask({ ...big, edns: {} })).toMatchObject({ tc: true, answers: [], rcode: 'NOERROR' });
    expect(strict.ask({ ...big, edns: {} }, '127.0.0.1', true)).toMatchObject({ tc: false });
    expect(strict.ask({ edns: {} })).toMatchObject({ tc: false });
    expect(strict.ask({ edns: {} }).answers).toHaveLength(1);
    const server = learn(strict);
    expect(strict.ask({ ...big, edns: { options: cookieOption(...server) } })).toMatchObject({ tc: false });
    // From another address it is worth nothing.
    expect(strict.ask({ ...big, edns: { options: cookieOption(...server) } }, '127.0.0.2')).toMatchObject({
      rcode: '23',
      answers: [],
    });
  });
  it('BADCOOKIE with a good cookie for who understands cookies', () => {
    const answer = strict.ask({ ...big, edns: { options: cookieOption() } });
    expect(answer).toMatchObject({ rcode: '23', tc: false, answers: [], aa: false });
    const server = dataOf(answer, 10)!.slice(8);
    expect(strict.ask({ ...big, edns: { options: cookieOption(...server) } }).answers).toHaveLength(1);
  });
  it('0: every answer', () => {
    const none = harness(desiredState(), undefined, { udpBytesWithoutCookie: 0 });
    for (const init of [{}, { edns: {} }, { name: 'nope.shop.example.' }, { name: 'other.test.' }]) {
      expect(none.ask(init)).toMatchObject({ tc: true, answers: [], authorities: [] });
    }
  });
});

describe('options of the answer', () => {
  const one = harness(desiredState(), undefined, {
    nsid: new TextEncoder().encode('ns1-lon'),
    chaos: new Map([
      ['version.bind.', Uint8Array.of(4, ...Buffer.from('ufes'))],
      ['id.server.', Uint8Array.of(3, ...Buffer.from('lon'))],
    ]),
  });
  it('NSID when asked for, and known (RFC 5001)', () => {
    expect(dataOf(one.ask({ edns: { options: option(3) } }), 3)).toEqual([...Buffer.from('ns1-lon')]);
    expect(dataOf(one.ask({ edns: {} }), 3)).toBeUndefined();
    expect(dataOf(harness().ask({ edns: { options: option(3) } }), 3)).toBeUndefined();
  });
  it('keepalive over TCP alone (RFC 7828)', () => {
    const options = option(11);
    const answer = one.raw(query({ edns: { options } }), '127.0.0.1', true)!;
    // 10 s in tenths, as the last option.
    expect([...answer.slice(-6)]).toEqual([...word(11), ...word(2), ...word(100)]);
    expect(one.ask({ edns: { options } }).opt!.options).toEqual([]);
    expect(one.ask({ edns: { options: option(11, 0, 1) } }, '127.0.0.1', true).rcode).toBe('NOERROR');
    expect(one.ask({ edns: { options: option(11, 0) } }, '127.0.0.1', true).rcode).toBe('FORMERR');
  });
  it.each<[string, QueryInit, number]>([
    ['not authoritative', { name: 'other.test.' }, 20],
    ['a transfer', { type: 252 }, 18],
    ['another class', { class: 4 }, 21],
    ['an unknown opcode', { opcode: 4 }, 21],
    ['a CHAOS name without an answer', { name: 'hostname.bind.', type: 16, class: 3 }, 18],
  ])('extended error for %s (RFC 8914)', (_, init, code) => {
    const bytes = one.raw(query({ ...init, edns: {} }))!;
    expect([...bytes.slice(-6)]).toEqual([...word(15), ...word(2), ...word(code)]);
    expect(one.ask(init).opt).toBeUndefined();
  });
  it('Not Ready without a desired state, Stale Answer from an old map of measurements', () => {
    const own = harness();
    own.answerer.tables = undefined;
    expect([...own.raw(query({ edns: {} }))!.slice(-6)]).toEqual([...word(15), ...word(2), ...word(14)]);
    const stale = harness();
    stale.answerer.tables = { ...stale.answerer.tables!, staleAtMs: stale.clock.nowMs() - 1 };
    const answer = stale.raw(query({ ecs: { address: '81.2.69.0', source: 24 } }))!;
    expect([...answer.slice(-6)]).toEqual([...word(15), ...word(2), ...word(3)]);
  });
  it('CHAOS names as configured, else REFUSED', () => {
    const ask = (name: string, type = 16) => one.ask({ name, type, class: 3 });
    expect(ask('Version.BIND.')).toMatchObject({ rcode: 'NOERROR', aa: true, answers: ['Version.BIND 0 TXT ufes'] });
    expect(ask('id.server.').answers).toEqual(['id.server 0 TXT lon']);
    expect(ask('id.server.', 1)).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(ask('hostname.bind.').rcode).toBe('REFUSED');
    expect(ask('www.shop.example.').rcode).toBe('REFUSED');
    expect(harness().ask({ name: 'version.bind.', type: 16, class: 3 }).rcode).toBe('REFUSED');
  });
  it('all at once keep to the size that was asked for', () => {
    const options = [...option(3), ...cookieOption(), ...ecsOption({ address: '2001:db8::', source: 128 })];
    for (let size = 512; size <= 1_300; size += 13) {
      for (const name of ['mid.shop.example.', 'big.shop.example.', 'other.test.']) {
        const bytes = one.raw(query({ name, type: 16, edns: { size, options } }))!;
        expect(bytes.length).toBeLessThanOrEqual(Math.min(size, 1_232));
        expect(dataOf(readAnswer(bytes), 10)).toHaveLength(24);
      }
    }
  });
});

describe('the rate limit', () => {
  const limited = (slip = 2) => harness(desiredState(), undefined, { rateLimit: { answersPerSecond: 50, slip } });
  interface Flood {
    readonly answered: number;
    readonly short: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
  }
  /** `count` queries at once from a /24, after its limit was used up. */
  function flood(one: Harness, init: QueryInit, count: number): Flood {
    for (let i = 0; i < 50; i++) one.raw(query(), '203.0.113.1');
    const packet = query(init);
    let [answered, short, bytesOut] = [0, 0, 0];
    for (let i = 0; i < count; i++) {
      const bytes = one.raw(packet, `203.0.113.${i % 250}`);
      if (bytes === undefined) continue;
      bytesOut += bytes.length;
      const answer = readAnswer(bytes);
      if (answer.answers.length + answer.authorities.length > 0) answered++;
      else short++;
    }
    return { answered, short, bytesIn: count * packet.length, bytesOut };
  }

  it.each<[string, QueryInit, number]>([
    ['plain queries', {}, 2],
    ['queries for much', { name: 'big.shop.example.', type: 16 }, 2],
    ['client cookies', { edns: { options: cookieOption() } }, 2],
    ['client cookies, all of them told', { edns: { options: cookieOption() } }, 1],
    [
      'every option',
      { edns: { options: [...option(3), ...cookieOption()] }, ecs: { address: '81.2.69.0', source: 24 } },
      1,
    ],
    ['names that are not there', { name: 'nope.shop.example.' }, 2],
    ['names of others', { name: 'other.test.', edns: {} }, 1],
  ])('over it, bytes out are at most bytes in, and a real client is told how to come back: %s', (_, init, slip) => {
    const { answered, short, bytesIn, bytesOut } = flood(limited(slip), init, 1_000);
    expect(answered).toBe(0);
    expect(short).toBeGreaterThan(200);
    expect(bytesOut).toBeLessThanOrEqual(bytesIn);
  });
  it('tells to use TCP, or a cookie where the client knows cookies', () => {
    const over = (init: QueryInit) => {
      const one = limited(1);
      for (let i = 0; i < 50; i++) one.raw(query(), '203.0.113.1');
      // The first earns the bytes for the second.
      one.raw(query(init), '203.0.113.2');
      return readAnswer(one.raw(query(init), '203.0.113.2')!);
    };
    expect(over({})).toMatchObject({ tc: true, rcode: 'NOERROR', answers: [] });
    const asked = over({ edns: { options: cookieOption() } });
    expect(asked).toMatchObject({ tc: false, rcode: '23', answers: [] });
    expect(dataOf(asked, 10)).toHaveLength(24);
  });
  it('broken queries over it get silence', () => {
    const one = limited(1);
    for (let i = 0; i < 50; i++) one.raw(query(), '203.0.113.1');
    for (let i = 0; i < 20; i++) expect(one.raw(query({ opcode: 7 }), '203.0.113.1')).toBeUndefined();
  });
  it('exempts good cookies and TCP, and no other network pays', () => {
    const one = limited();
    const server = learn(one, '203.0.113.7');
    flood(one, {}, 500);
    const options = cookieOption(...server);
    for (let i = 0; i < 500; i++) {
      expect(one.ask({ edns: { options } }, '203.0.113.7').answers).toHaveLength(1);
      expect(one.ask({}, '203.0.113.8', true).answers).toHaveLength(1);
    }
    expect(one.ask({}, '203.0.114.1').answers).toHaveLength(1);
    // From elsewhere in the network the cookie is not good.
    let answered = 0;
    for (let i = 0; i < 500; i++) {
      const bytes = one.raw(query({ edns: { options } }), '203.0.113.9');
      if (bytes !== undefined && readAnswer(bytes).answers.length > 0) answered++;
    }
    expect(answered).toBe(0);
    expect(one.counters.rateDropped).toBeGreaterThan(500);
    expect(one.counters.rateSlipped).toBeGreaterThan(200);
  });
});
